"""Fitting a network: precision, batch size, early stopping, and the float32 model at the end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.errors import RunFailed
from schemas.precision import KERAS_POLICIES, Precision, gpu_precision, native_bfloat16
from train.examples import Examples
from train.networks import Network, set_input_statistics

PATIENCE = 5
"""Epochs without a better validation loss after which training ends."""

_MIN_BATCH, _STEPS_PER_EPOCH = 8, 8


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        epochs: the most epochs; early stopping may end sooner.
        batch_size: chips a step.
        learning_rate: Adam's.
        precision: what the training computes in; weights are float32 either way.
        seed: of the weights drawn and the order of the chips.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    precision: Precision
    seed: int


@dataclass(frozen=True)
class Fit:
    """A fitted network.

    Attributes:
        model: Keras model, float32 and uncompiled, with the weights of the best epoch.
        history: measure to one value an epoch.
        best_epoch: the epoch, from 1, with the lowest validation loss.
        seconds: how long fitting took.
    """

    model: Any
    history: Mapping[str, list[float]]
    best_epoch: int
    seconds: float


def fit_network(
    network: Network,
    train: Examples,
    validation: Examples,
    options: FitOptions,
    load_weights: Callable[[Any], None] | None = None,
) -> Fit:
    """Fit a network to the training part, stopping early by the validation part.

    Adam on the network's loss, the best epoch's weights restored. On one machine the same
    seed gives the same model up to the last bits of float32 sums, whose order depends on
    threads; another processor, another number of threads or a GPU differs by more.

    Args:
        load_weights: called with the untrained model, to give it pretrained weights.

    Raises:
        RunFailed: the loss is not a number in any epoch.
    """
    import keras

    keras.utils.set_random_seed(options.seed)
    shapes = (train.pixels.shape[1:], train.truth.shape[1])
    with precision_policy(options.precision):
        model = network.build(*shapes)
    if load_weights is not None:
        load_weights(model)
    set_input_statistics(model, train.pixels)
    started = time.monotonic()
    history = _run(model, train, validation, options, loss_of(network))
    return Fit(
        model=_as_float32(model, network, shapes),
        history=history,
        best_epoch=_best_epoch(history["val_loss"]),
        seconds=time.monotonic() - started,
    )


def default_batch_size(chips: int, network: Network) -> int:
    """The largest power of two, from 8 to the network's most, that leaves 8 steps an epoch.

    For vgg16, whose most is 128: 8 of 74 chips, 64 of 800, 128 of 30,000.
    """
    fitting = chips // _STEPS_PER_EPOCH
    power = 1 << max(0, fitting.bit_length() - 1)
    return max(_MIN_BATCH, min(network.max_batch_size, power))


def loss_of(network: Network) -> Any:
    """Binary cross-entropy, a label at a time; categorical where a chip has exactly one label."""
    import keras

    losses = keras.losses
    return losses.CategoricalCrossentropy() if network.sky_only else losses.BinaryCrossentropy()


def resolve_precision(asked: str, network: Network) -> Precision:
    """The precision to train in: `auto` is bfloat16 where it is native and the network gains."""
    if asked == "auto":
        return "bfloat16" if network.takes_bfloat16 and _multiplies_bfloat16() else "float32"
    return "bfloat16" if asked == "bfloat16" else "float32"


def _multiplies_bfloat16() -> bool:
    """Whether that which trains here, the GPU where there is one, has instructions for it."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return native_bfloat16()
    details = tf.config.experimental.get_device_details(gpus[0])
    return gpu_precision(details.get("compute_capability")) == "bfloat16"


@contextmanager
def precision_policy(precision: Precision) -> Iterator[None]:
    """Layers made within compute in this precision; their weights are float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(KERAS_POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _run(
    model: Any, train: Examples, validation: Examples, options: FitOptions, loss: Any
) -> dict[str, list[float]]:
    import keras

    model.compile(
        optimizer=keras.optimizers.Adam(options.learning_rate),
        loss=loss,
        metrics=[keras.metrics.F1Score(average="micro", threshold=0.5, name="micro_f1")],
    )
    fitted = model.fit(
        train.pixels[:],
        train.truth,
        validation_data=(validation.pixels[:], validation.truth),
        epochs=options.epochs,
        batch_size=options.batch_size,
        callbacks=[
            keras.callbacks.EarlyStopping(
                "val_loss", patience=PATIENCE, restore_best_weights=True, verbose=1
            )
        ],
        verbose=1 if sys.stdout.isatty() else 2,  # a bar, or a line an epoch in a file
    )
    return {name: [float(v) for v in values] for name, values in fitted.history.items()}


def _best_epoch(losses: list[float]) -> int:
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        raise RunFailed("the validation loss is not a number: give a lower --learning_rate")
    return losses.index(min(finite)) + 1


def _as_float32(model: Any, network: Network, shapes: tuple[Any, int]) -> Any:
    """The same weights in a network built in float32 and never compiled: a policy is baked into
    a saved model, and an optimiser's state would triple its size."""
    with precision_policy("float32"):
        plain = network.build(*shapes)
    plain.set_weights(model.get_weights())
    return plain
