"""The training loop: epochs of compiled steps, each followed by validation and a checkpoint.

A loop of our own around Keras' model and optimiser, rather than `Model.fit`: resuming from a
checkpoint needs every random draw to be a function of seed and epoch, and all state in one place
(docs/decisions/training-loop.md).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import RunFailed
from schemas.precision import Precision
from train.data.examples import Examples
from train.fitting.augmentation import Augmentation, augment
from train.fitting.checkpoints import Checkpoints
from train.fitting.history import Tally, mean_average_precision
from train.fitting.progress import Monitor, Progress
from train.fitting.sampling import Imbalance, epoch_order, rare_chips
from train.fitting.schedule import Schedule
from train.judging.measuring import compile_scorer

_AHEAD = 2  # batches gathered while the network trains on one


@dataclass(frozen=True)
class FitOptions:
    """How to fit: the trainer's flags of the same names, with values for what depends on the data.

    Attributes:
        precision: of the computation; weights are always float32.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    precision: Precision
    seed: int
    patience: int = 5
    monitor: Monitor = "val_loss"
    augmentation: Augmentation = field(default_factory=Augmentation)
    imbalance: Imbalance = field(default_factory=Imbalance)
    schedule: Schedule = field(default_factory=Schedule)
    deterministic: bool = False


@dataclass(frozen=True)
class FitPlan:
    """How to fit to some chips; `factors` is how often an epoch shows each: `float64 [n]`."""

    options: FitOptions
    factors: npt.NDArray[np.float64]

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last batch may be smaller."""
        return math.ceil(round(float(self.factors.sum())) / self.options.batch_size)

    def ended(self, progress: Progress) -> bool:
        """Whether all epochs are done, or there was no better one within `patience` epochs."""
        done, waited = progress.epochs, progress.epochs - progress.best_epoch
        return done >= self.options.epochs or (done > 0 and waited >= self.options.patience)


def run_epochs(
    model: Any,
    optimizer: Any,
    loss: Callable[[Any, Any], Any],
    parts: tuple[Examples, Examples],
    plan: FitPlan,
    checkpoints: Checkpoints | None = None,
) -> Progress:
    """Train until the plan has ended, resuming from a checkpoint if there is one.

    Args:
        parts: training and validation.

    Raises:
        RunFailed: the loss is not a number before any epoch was usable.
        UsageError: the checkpoint belongs to another training.
    """
    variables = [*model.variables, *optimizer.variables]
    progress = _resume(variables, checkpoints)
    step = compile_step(model, optimizer, loss, plan.options.augmentation)
    score = compile_scorer(model)
    while not plan.ended(progress):
        started = time.monotonic()
        row = _train_epoch(step, parts[0], plan, progress.epochs + 1)
        with averaged_weights(model, optimizer):
            row |= _validate(score, loss, parts[1])
            rest = {"learning_rate": float(optimizer.learning_rate)}
            row |= rest | {"seconds": time.monotonic() - started}
            if not (math.isfinite(row["loss"]) and math.isfinite(row["val_loss"])):
                return _end_early(progress)
            progress = progress.after(row, plan.options.monitor, model.get_weights)
        _report(progress, row, plan)
        if checkpoints is not None:
            checkpoints.save(progress, [variable.numpy() for variable in variables])
    return progress


def compile_step(
    model: Any, optimizer: Any, loss: Callable[[Any, Any], Any], augmentation: Augmentation
) -> Callable[..., tuple[Any, Any]]:
    """A step: augment, predict, learn. Returns scores and loss."""
    import tensorflow as tf

    signature = [
        tf.TensorSpec(model.input_shape, tf.uint8),
        tf.TensorSpec(model.output_shape, tf.uint8),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((2,), tf.int64),
    ]

    def step(pixels: Any, truth: Any, strength: Any, seed: Any) -> tuple[Any, Any]:
        values = augment(pixels, strength, seed, augmentation)
        with tf.GradientTape() as tape:
            scores = model(values, training=True)
            lost = loss(tf.cast(truth, tf.float32), scores)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(lost, weights), weights)
        return scores, lost

    compiled: Callable[..., tuple[Any, Any]] = tf.function(step, input_signature=signature)
    return compiled


@contextmanager
def averaged_weights(model: Any, optimizer: Any) -> Iterator[None]:
    """Give the model the moving average of its weights inside the context, if there is one."""
    if not optimizer.use_ema:
        yield
        return
    weights = model.trainable_variables
    kept = [weight.numpy() for weight in weights]
    optimizer.finalize_variable_values(weights)
    try:
        yield
    finally:
        for weight, value in zip(weights, kept, strict=True):
            weight.assign(value)


def _resume(variables: list[Any], checkpoints: Checkpoints | None) -> Progress:
    if checkpoints is None or (found := checkpoints.load()) is None:
        return Progress()
    progress, state = found
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)
    print(f"Resuming after epoch {progress.epochs}, from {checkpoints.folder}", flush=True)
    return progress


def _train_epoch(
    step: Callable[..., tuple[Any, Any]], train: Examples, plan: FitPlan, epoch: int
) -> dict[str, float]:
    """Run the steps of one epoch. Returns its measures."""
    from tqdm import tqdm

    order = epoch_order(plan.factors, plan.options.seed, epoch)
    first = (epoch - 1) * plan.steps_per_epoch
    batches = tqdm(
        _batches(train, order, plan),
        total=plan.steps_per_epoch,
        disable=None,  # without a terminal
        leave=False,
        desc=f"Epoch {epoch}/{plan.options.epochs}",
    )
    # Results are read at the end of the epoch: reading one waits for its step.
    seed = plan.options.seed
    results = [(batch[1], *step(*batch, (seed, first + i))) for i, batch in enumerate(batches)]
    tally = Tally()
    for truth, scores, lost in results:
        tally.add(scores.numpy(), truth.numpy(), float(lost))
    return tally.measures()


def _batches(train: Examples, order: npt.NDArray[np.int64], plan: FitPlan) -> Any:
    """Batches of pixels, truth and augmentation strength, gathered ahead."""
    import tensorflow as tf

    strength = np.where(rare_chips(train.truth), plan.options.augmentation.rare_strength, 1.0)
    columns = (train.pixels, train.truth, strength.astype(np.float32))

    def gather() -> Iterator[tuple[npt.NDArray[Any], ...]]:
        for start in range(0, len(order), plan.options.batch_size):
            chosen = order[start : start + plan.options.batch_size]
            yield tuple(column[chosen] for column in columns)

    signature = tuple(tf.TensorSpec((None, *c.shape[1:]), c.dtype) for c in columns)
    return tf.data.Dataset.from_generator(gather, output_signature=signature).prefetch(_AHEAD)


def _validate(
    score: Callable[..., Any], loss: Callable[[Any, Any], Any], validation: Examples
) -> dict[str, float]:
    scores = score(validation.pixels)
    tally = Tally()
    tally.add(scores, validation.truth, float(loss(validation.truth.astype(np.float32), scores)))
    measures = {f"val_{name}": value for name, value in tally.measures().items()}
    finite = bool(np.isfinite(scores).all())
    return measures | {"val_map": mean_average_precision(scores, validation.truth) if finite else 0}


def _report(progress: Progress, row: dict[str, float], plan: FitPlan) -> None:
    shown = ("loss", "f1", "val_loss", "val_f1", "val_map")
    figures = ", ".join(f"{name} {row[name]:.4f}" for name in shown)
    best = " *" if progress.improved else ""
    print(
        f"Epoch {progress.epochs}/{plan.options.epochs}: {figures} ({row['seconds']:.0f} s){best}",
        flush=True,
    )


def _end_early(progress: Progress) -> Progress:
    """End the training: a loss that is not a number never recovers."""
    if not progress.best_epoch:
        raise RunFailed("the loss is not a number: give a lower --learning_rate")
    print(
        f"The loss is not a number in epoch {progress.epochs + 1}: training ends there", flush=True
    )
    return progress
