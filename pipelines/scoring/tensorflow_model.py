"""A model that TensorFlow computes, on a GPU or on the processor, through one compiled function."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.artifacts.loading import load_model
from pipelines.errors import UsageError
from pipelines.scoring.devices import Gpu, find_gpu, translating_memory_errors
from pipelines.scoring.gpu_model import on_gpu
from pipelines.scoring.tuning import BATCH_SIZE, CALLS_IN_FLIGHT, TUNED_FROM_CHIPS, Call
from schemas.artifact import ModelArtifact
from schemas.precision import KERAS_POLICIES, Precision, gpu_precision, native_bfloat16

_opened: dict[str, Any] = {}
"""Models that were opened to be checked, by model_digest; the first to score with one takes it."""


class TensorFlowModel:
    """See `engines.LoadedModel`.

    A model without convolutions keeps float32 and is not tuned to a GPU: it gains nothing, and a
    mean of thousands of pixels is inexact in the 8 bits of a bfloat16.

    Args:
        folder: local folder of the artifact.
        artifact: its description, already checked.
        precision: of the computation; `auto` is decided here, on the machine that computes.
        batch_size: chips per call; None for 256 on a CPU, and the best size on a GPU.
        chips: number of chips to score, which decides whether tuning to a GPU is worth it.

    Raises:
        UsageError: the device does not support the precision.
        ArtifactError: see `load_model`.
    """

    def __init__(
        self,
        folder: Path,
        artifact: ModelArtifact,
        precision: Precision,
        batch_size: int | None = None,
        chips: int = 0,
    ) -> None:
        gpu = find_gpu()
        resolved = resolve_precision(precision, gpu)
        model = _opened.pop(artifact.model_digest, None) or load_model(folder, artifact)
        gains = _has_convolutions(model)
        self.precision: Precision = resolved if gains else "float32"
        _compute_in(model, self.precision)
        shape = artifact.preprocessing.input_shape
        self.batch_size, self.calls_in_flight, self.xla = batch_size or BATCH_SIZE, 1, False
        if gpu is None:
            self.call = _on_cpu(_compile(model, shape, None))
        else:
            tune = gains and chips >= TUNED_FROM_CHIPS
            compiled = partial(_compile, model, shape)
            self.call, self.batch_size, self.xla = on_gpu(gpu, compiled, shape, batch_size, tune)
            self.calls_in_flight = CALLS_IN_FLIGHT

    @staticmethod
    def check(folder: Path, artifact: ModelArtifact, precision: Precision) -> None:
        """See `engines.LoadedModel`."""
        _opened[artifact.model_digest] = load_model(folder, artifact)


def check_precision(precision: Precision, has_gpu: bool) -> None:
    """Refuse a precision that is wrong on any such device.

    Raises:
        UsageError: float16 without a GPU.
    """
    if precision == "float16" and not has_gpu:
        raise UsageError("--precision float16 needs a GPU; on a CPU use auto, float32 or bfloat16")


def resolve_precision(precision: Precision, gpu: Gpu | None) -> Precision:
    """What `auto` means on this machine; other precisions stay.

    On a GPU the precision that it multiplies fastest; on a CPU bfloat16 if the processor has
    instructions for it: emulated, it is no faster than float32 and less exact.

    Raises:
        UsageError: float16 without a GPU, or bfloat16 on a GPU that does not support it.
    """
    check_precision(precision, has_gpu=gpu is not None)
    if gpu is None:
        native: Precision = "bfloat16" if native_bfloat16() else "float32"
    else:
        native = gpu_precision(gpu.compute_capability)
    if gpu and precision == "bfloat16" and native != "bfloat16":
        raise UsageError(
            f"--precision bfloat16 needs a GPU of compute capability 8.0 or more, which "
            f"{gpu.name} is not; use auto, float32 or float16"
        )
    return native if precision == "auto" else precision


def _has_convolutions(model: Any) -> bool:
    import keras

    layers = model._flatten_layers(include_self=False)
    return any(isinstance(layer, keras.layers.Conv2D) for layer in layers)


def _compute_in(model: Any, precision: Precision) -> None:
    """Set the precision of the layers between the first convolution and the last layer.

    Those two, and the layers before the first convolution, stay float32. For VGG16 in bfloat16 this
    costs no measurable time, and divides the largest difference of scores from float32 by three:
    the first convolution takes differences of neighbouring pixels, for which 8 bits are too few.
    """
    import keras

    policy = keras.DTypePolicy(KERAS_POLICIES[precision])
    layers = list(model._flatten_layers(include_self=False))
    convolutions = (i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Conv2D))
    for layer in layers[next(convolutions, -1) + 1 :]:
        if layer is not model.layers[-1]:
            layer.dtype_policy = policy


def _compile(model: Any, input_shape: tuple[int, int, int], chips: int | None) -> Any:
    """One function for any number of chips (None), or one that XLA compiles for exactly `chips`.

    One signature per number would be traced each time, and without XLA padding a small batch costs
    as much as a full one.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec((chips, *input_shape), tf.uint8)]

    @tf.function(input_signature=signature, jit_compile=None if chips is None else True)
    def score(pixels: Any) -> Any:
        return model(tf.cast(pixels, tf.float32), training=False)

    return score


def _on_cpu(function: Any) -> Call:
    def score(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with translating_memory_errors(len(pixels)):
            scores: npt.NDArray[np.float32] = function(pixels).numpy()
        return scores

    return score
