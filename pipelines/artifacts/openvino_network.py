"""A checked artifact's network for OpenVINO, compiled for this processor. Neither TensorFlow nor
Keras is imported."""

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.artifacts.loading import MOST_VALUES
from pipelines.errors import UsageError
from pipelines.processors import usable_cores
from schemas.artifact import ArtifactError
from schemas.networks.openvino_file import OpenVinoModel
from schemas.precision import Precision, native_bfloat16

_VALUES_AT_ONCE = 16 * 64**3
"""Values of the largest layer that a stream computes at once, 16 chips of 64 x 64 in VGG16: more is
no faster, and those of all layers are in memory (32 chips: 0.1 GB, 256 chips: 0.5 GB)."""

_MOST_AT_ONCE = 64  # chips, of a network with small layers
_MOST_STREAMS = 4

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def import_openvino() -> Any:
    """The package, whose tools report to their maker unless the package for that looks as if it
    were not installed."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: ImportError
    import openvino

    return openvino


class OpenVinoNetwork:
    """A network that is called with any number of chips, by several threads if need be.

    It computes in streams that share the cores and do not wait for each other: cores that work on
    one layer together wait for the slowest of them, which on a busy core is the one that decodes.

    Args:
        checked: graph and weights.
        precision: of the computation. `auto` is bfloat16 if the processor has it and the network
            has convolutions, else float32. `int8` is for an int8 network: its other layers compute
            like `auto`.
        input_shape: side, side, bands.
        labels: number of scores per chip.

    Attributes:
        precision: the one it computes in, never `auto`.

    Raises:
        UsageError: OpenVINO does not compute in the precision.
        ArtifactError: the network does not fit the artifact, or OpenVINO cannot read it.
    """

    def __init__(
        self,
        checked: OpenVinoModel,
        precision: Precision,
        input_shape: tuple[int, int, int],
        labels: int,
    ) -> None:
        self.precision = _resolve(precision, convolutions=checked.convolutions > 0)
        self._idle = SimpleQueue[Any]()
        streams = self._compile(checked, input_shape, labels)
        self._pool = ThreadPoolExecutor(streams, "infer")

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores `float32 [n, labels]` of `uint8 [n, S, S, bands]`, n at least 1.

        Raises:
            MemoryError: there is no memory for n chips.
        """
        parts = [pixels[i : i + self._step] for i in range(0, len(pixels), self._step)]
        return np.concatenate(list(self._pool.map(self._infer, parts)))

    def _infer(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        request = self._idle.get()
        try:
            found = request.infer([np.ascontiguousarray(pixels)], share_inputs=True)
        finally:
            self._idle.put(request)
        scores: npt.NDArray[np.float32] = found[0]
        return scores

    def _compile(
        self, checked: OpenVinoModel, input_shape: tuple[int, int, int], labels: int
    ) -> int:
        """Make an idle request for each stream; returns their number."""
        others = _resolve("auto", convolutions=True) if self.precision == "int8" else self.precision
        with _translating_errors() as openvino:
            model = _read(checked, input_shape, labels)
            largest = _largest_layer(model)
            self._step = max(1, min(_MOST_AT_ONCE, _VALUES_AT_ONCE // largest))
            streams = _streams(usable_cores(), _MOST_STREAMS * _VALUES_AT_ONCE // largest)
            # Left alone, OpenVINO takes bfloat16 wherever the processor has it, and all cores of
            # the machine, whatever the share of its container is.
            settings = {
                "INFERENCE_PRECISION_HINT": _HINTS[others],
                "INFERENCE_NUM_THREADS": str(usable_cores()),
                "NUM_STREAMS": str(streams),
            }
            compiled = openvino.Core().compile_model(model, "CPU", settings)
            for _ in range(streams):
                self._idle.put(compiled.create_infer_request())
        return streams


def check_network(checked: OpenVinoModel, input_shape: tuple[int, int, int], labels: int) -> None:
    """Let OpenVINO read a network, without compiling it.

    Raises:
        ArtifactError: the network does not fit the artifact, or OpenVINO cannot read it.
    """
    with _translating_errors():
        _read(checked, input_shape, labels)


def _read(checked: OpenVinoModel, input_shape: tuple[int, int, int], labels: int) -> Any:
    """The network, with a copy of the weights: the caller's can go."""
    openvino = import_openvino()
    weights = openvino.Tensor(np.frombuffer(checked.weights, np.uint8))
    model = openvino.Core().read_model(checked.graph.encode(), weights)
    _check_ends(model, input_shape, labels)
    return model


@contextmanager
def _translating_errors() -> Iterator[Any]:
    """OpenVINO, whose errors become errors of the artifact in one line."""
    openvino = import_openvino()
    try:
        yield openvino
    except RuntimeError as error:  # it has no other class
        reason = str(error).strip().splitlines()[-1]
        raise ArtifactError(f"OpenVINO {openvino.__version__}: {reason}") from error


def _streams(cores: int, chips: int) -> int:
    """How many streams share the cores evenly, with at least one chip for each."""
    most = max(1, min(_MOST_STREAMS, chips))
    return max(number for number in range(1, most + 1) if cores % number == 0)


def _resolve(precision: Precision, convolutions: bool) -> Precision:
    if precision == "float16":
        raise UsageError("--precision float16 needs --engine tensorflow and a GPU")
    if precision == "int8":
        return "int8"
    if not convolutions:  # a mean of thousands of pixels is inexact in 8 bits, and no faster
        return "float32"
    if precision == "auto":
        return "bfloat16" if native_bfloat16() else "float32"
    return precision


def _check_ends(model: Any, input_shape: tuple[int, int, int], labels: int) -> None:
    """Check what a network takes and returns, and that it fits in memory.

    Raises:
        ArtifactError: it does not fit the artifact's preprocessing and labels, or is too large.
    """
    ends = [
        (end.get_element_type().get_type_name(), _sides(end))
        for end in (*model.inputs, *model.outputs)
    ]
    expected = [("u8", [-1, *input_shape]), ("f32", [-1, labels])]
    if ends != expected:
        raise ArtifactError(f"the OpenVINO network takes and returns {ends}, not {expected}")
    for layer in model.get_ops():
        for value in layer.outputs():
            if _values(value) > MOST_VALUES:
                raise ArtifactError(f"a layer of the OpenVINO network has {_sides(value)} values")


def _largest_layer(model: Any) -> int:
    """Most values of one chip in one layer. Weights do not count: in an int8 network they pass
    through layers, too, but their shapes have no side for the number of chips."""
    values = (value for layer in model.get_ops() for value in layer.outputs())
    return max(_values(value) for value in values if value.get_partial_shape().is_dynamic)


def _values(value: Any) -> int:
    """How many values of one chip there are."""
    return math.prod(abs(side) for side in _sides(value))


def _sides(value: Any) -> list[int]:
    """Its shape, -1 for the number of chips."""
    shape = value.get_partial_shape()
    return [-1 if side.is_dynamic else side.get_length() for side in shape]
