"""Fit a network: choose precision and batch size, run the loop, return the model in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.precision import KERAS_POLICIES, Precision, gpu_precision, native_bfloat16
from train.data.examples import Examples
from train.fitting.checkpoints import Checkpoints
from train.fitting.epochs import FitOptions, FitPlan, run_epochs
from train.fitting.losses import Loss, make_loss, positive_weights
from train.fitting.sampling import Imbalance, repeat_factors, upsample_factors
from train.fitting.schedule import make_optimizer
from train.networks.registry import Network, set_input_statistics

_MIN_BATCH, _STEPS_PER_EPOCH = 8, 8


@dataclass(frozen=True)
class Fit:
    """A fitted network.

    Attributes:
        model: Keras model, float32 and uncompiled, with the weights of the best epoch.
        history: by measure, one value per epoch.
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
    checkpoints: Checkpoints | None = None,
    names: Sequence[str] = (),
) -> Fit:
    """Fit a network to the training part, stopping early by the validation part.

    Uses Adam and returns the weights of the best epoch. On one machine the same seed gives the
    same model except for rounding, since the order of sums depends on threads;
    docs/training.md has the figures.

    Args:
        load_weights: called with the untrained model, to give it pretrained weights.
        checkpoints: where to resume from, and where to save the state of each epoch.
        names: the labels; needed if `options.imbalance` names some.

    Raises:
        RunFailed: the loss is not a number before any epoch was usable.
        UsageError: the checkpoint belongs to another training.
    """
    import keras

    keras.utils.set_random_seed(options.seed)
    if options.deterministic:
        _make_deterministic()
    shapes = (train.pixels.shape[1:], train.truth.shape[1])
    with precision_policy(options.precision):
        model = network.build(*shapes)
    if load_weights is not None:
        load_weights(model)
    set_input_statistics(model, train.pixels)
    plan = FitPlan(options, _factors(train, options.imbalance, names))
    optimizer = make_optimizer(
        model, options.learning_rate, plan.steps_per_epoch, options.epochs, options.schedule
    )
    weights = positive_weights(train.truth, options.imbalance.label_weights)
    loss = make_loss(loss_of(network, options.imbalance), weights)
    progress = run_epochs(model, optimizer, loss, (train, validation), plan, checkpoints)
    model.set_weights(progress.best_weights)
    keras.utils.set_random_seed(options.seed)  # a saved dropout layer stores the state of its seed
    return Fit(
        model=_as_float32(model, network, shapes),
        history=progress.history,
        best_epoch=progress.best_epoch,
        seconds=sum(progress.history["seconds"]),
    )


def default_batch_size(chips: int, network: Network) -> int:
    """The largest power of two, from 8 to the network's maximum, that leaves 8 steps per epoch.

    For vgg16, whose maximum is 128: 8 for 74 chips, 64 for 800, 128 for 30,000.
    """
    fitting = chips // _STEPS_PER_EPOCH
    power = 1 << max(0, fitting.bit_length() - 1)
    return max(_MIN_BATCH, min(network.max_batch_size, power))


def loss_of(network: Network, imbalance: Imbalance) -> Loss:
    """The loss asked for; a network that chooses exactly one label has only one."""
    return "categorical" if network.sky_only else imbalance.loss


def choose_precision(asked: str, network: Network) -> Precision:
    """The precision to train in: `auto` is bfloat16 if it is native and the network gains."""
    if asked == "auto":
        return "bfloat16" if network.takes_bfloat16 and _multiplies_bfloat16() else "float32"
    return "bfloat16" if asked == "bfloat16" else "float32"


def _multiplies_bfloat16() -> bool:
    """Whether the device that trains here (a GPU if there is one) has instructions for it."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return native_bfloat16()
    details = tf.config.experimental.get_device_details(gpus[0])
    return gpu_precision(details.get("compute_capability")) == "bfloat16"


@contextmanager
def precision_policy(precision: Precision) -> Iterator[None]:
    """Layers built inside the context compute in this precision; their weights are float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(KERAS_POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _factors(
    train: Examples, imbalance: Imbalance, names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """How often each chip is shown per epoch."""
    repeated = repeat_factors(train.truth, imbalance.repeat_rare)
    if not imbalance.upsample:
        return repeated
    return np.maximum(repeated, upsample_factors(train.truth, names, imbalance.upsample))


def _make_deterministic() -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _as_float32(model: Any, network: Network, shapes: tuple[Any, int]) -> Any:
    """The same weights in a float32 network that was never compiled: a saved model contains its
    precision policy, and the state of an optimiser would triple its size."""
    with precision_policy("float32"):
        plain = network.build(*shapes)
    plain.set_weights(model.get_weights())
    return plain
