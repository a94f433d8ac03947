"""Adds a network for OpenVINO to an artifact that is being written."""

import importlib.metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipelines.artifacts.openvino_network import OpenVinoNetwork
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import OPENVINO_FILES, OpenVinoKind
from schemas.networks.openvino_file import OpenVinoModel
from train.converting.int8 import Chips, add_int8
from train.converting.network import convert_network, write_network
from train.judging.measuring import predict_scores

Conversion = Literal["int8", "float32", "none"]
"""The networks for OpenVINO that an artifact gets: both, one, or none."""

TOLERANCE = 1e-4
"""Largest difference of a score from Keras' for a network to count as the same."""

_COMPARED_CHIPS = 32


def add_openvino(
    folder: Path, artifact: ModelArtifact, model: Any, chips: Chips | None = None
) -> dict[str, Any]:
    """Write the artifact's networks for OpenVINO into its folder, if that can be done; else print
    why not.

    Args:
        artifact: its description, without the converted networks.
        model: its Keras model.
        chips: to make and judge an int8 network with; None makes none.

    Returns:
        The artifact's `engines`.
    """
    if not find_spec("openvino"):
        print("Not converted for OpenVINO, which is not installed: TensorFlow scores this model")
        return {}
    try:
        network = convert_network(model)
        checked = write_network(folder, "float32", network)
        _check_scores(checked, artifact, model)
    except Exception as error:  # OpenVINO has no common class for what it cannot convert
        _remove(folder, "float32")
        print(f"Not converted for OpenVINO, so TensorFlow scores this model: {_reason(error)}")
        return {}
    known = {"model_digest": artifact.model_digest, "versions": _versions("openvino")}
    if chips and checked.convolutions:  # without convolutions there is nothing to gain
        known |= _add_int8(folder, artifact, network, checked, chips)
    return {"openvino": known}


def _add_int8(
    folder: Path, artifact: ModelArtifact, network: Any, checked: OpenVinoModel, chips: Chips
) -> dict[str, Any]:
    if not find_spec("nncf"):
        print("Not converted to int8: NNCF is not installed")
        return {}
    try:
        found = add_int8(folder, artifact, network, checked, chips)
    except Exception as error:  # NNCF has no common class either
        _remove(folder, "int8")
        print(f"Not converted to int8: {_reason(error)}")
        return {}
    return {"int8": found, "versions": _versions("openvino", "nncf")}


def _remove(folder: Path, kind: OpenVinoKind) -> None:
    for name in OPENVINO_FILES[kind]:
        (folder / name).unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def _check_scores(checked: OpenVinoModel, artifact: ModelArtifact, model: Any) -> None:
    """Compare the scores of random chips with Keras'.

    Raises:
        ArtifactError: they differ.
    """
    shape = artifact.preprocessing.input_shape
    pixels = random_chips(shape)
    found = OpenVinoNetwork(checked, "float32", shape, len(artifact.label_set.names))(pixels)
    difference = float(np.abs(found - predict_scores(model, pixels)).max())
    if not difference <= TOLERANCE:
        raise ArtifactError(f"its scores differ from Keras' by {difference:g}")


def random_chips(shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Chips of random colours with a random texture, `uint8 [32, *shape]`."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (_COMPARED_CHIPS, 1, 1, shape[2]))
    textures = rng.integers(-64, 65, (_COMPARED_CHIPS, *shape))
    chips: npt.NDArray[np.uint8] = np.clip(colours + textures, 0, 255).astype(np.uint8)
    return chips
