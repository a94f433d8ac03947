"""An int8 network for OpenVINO: 8-bit weights and activations, found without training."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.artifacts.openvino_network import import_openvino
from train.data.pixel_rows import PixelSource

CALIBRATION_CHIPS = 300
"""Chips whose activations choose the ranges of the 8-bit numbers; NNCF's default."""

Scores = npt.NDArray[np.float32]
Excess = Callable[[Scores, Sequence[int]], float]
"""How bad scores of some validation chips are: up to 1 they are accepted. 0 for those of the
float32 network."""

_BATCH = 64


def quantise(network: Any, calibration: PixelSource) -> Any:
    """The int8 network, except its first convolution and its last layer, which stay as they are:
    differences of neighbouring pixels, and scores near 0 and 1, need more than 8 bits.

    Args:
        network: in OpenVINO's memory; it stays as it is.
        calibration: `uint8 [n, S, S, bands]`, training chips; 300 of them are used.
    """
    with _quietly() as nncf:
        return nncf.quantize(
            network, _calibration(nncf, calibration), **_settings(nncf, network, calibration)
        )


def quantise_carefully(
    network: Any, calibration: PixelSource, validation: PixelSource, excess: Excess
) -> Any:
    """Like `quantise`, but layers that hurt most stay as they are until `excess` is at most 1.

    NNCF's accuracy control: it ranks the layers by how far each moves the scores, and takes them
    back one by one. Its measure is 1 for the float32 network, since it divides by that.
    """

    def validate(model: Any, numbers: Iterable[int]) -> tuple[float, list[list[Any]]]:
        chosen = list(numbers)
        pixels = validation[np.array(chosen)]
        parts = [model(pixels[i : i + _BATCH])[0] for i in range(0, len(pixels), _BATCH)]
        scores = np.concatenate(parts)
        return 1 - excess(scores, chosen), [[row] for row in scores]  # NNCF divides by 1, float32

    with _quietly() as nncf:
        return nncf.quantize_with_accuracy_control(
            network,
            _calibration(nncf, calibration),
            nncf.Dataset(range(len(validation)), lambda i: validation[np.array([i])]),
            validate,
            max_drop=1.0,
            drop_type=nncf.DropType.ABSOLUTE,
            **_settings(nncf, network, calibration),
        )


def _calibration(nncf: Any, pixels: PixelSource) -> Any:
    count = min(CALIBRATION_CHIPS, len(pixels))
    numbers = np.arange(count) * len(pixels) // count
    return nncf.Dataset([pixels[np.array([number])] for number in numbers])


def _settings(nncf: Any, network: Any, calibration: PixelSource) -> dict[str, Any]:
    layers = network.get_ordered_ops()
    named = {
        kind: [layer.get_friendly_name() for layer in layers if layer.get_type_name() == kind]
        for kind in ("Convolution", "MatMul")
    }
    exact = named["Convolution"][:1] + named["MatMul"][-1:]
    return {
        "preset": nncf.QuantizationPreset.MIXED,  # activations after a ReLU are not symmetric
        "subset_size": min(CALIBRATION_CHIPS, len(calibration)),
        "ignored_scope": nncf.IgnoredScope(names=exact),
    }


@contextlib.contextmanager
def _quietly() -> Any:
    """NNCF, without its progress bars and notes."""
    import_openvino()  # without its reports, which NNCF would make, too
    import nncf

    # Not nncf.set_log_level: it also silences every handler that others have added.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        yield nncf
