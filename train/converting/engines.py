"""Adds a network for OpenVINO to an artifact that is being written."""

import importlib.metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipelines.artifacts.openvino_network import OpenVinoNetwork
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.networks.openvino_file import OpenVinoModel
from train.converting.network import convert_network, write_network
from train.judging.measuring import predict_scores

Conversion = Literal["float32", "none"]
"""The networks for OpenVINO that an artifact gets."""

TOLERANCE = 1e-4
"""Largest difference of a score from Keras' for a network to count as the same."""

_COMPARED_CHIPS = 32


def add_openvino(
    folder: Path, artifact: ModelArtifact, model: Any, conversion: Conversion
) -> dict[str, Any]:
    """Write the artifact's network for OpenVINO into its folder, if that can be done; else print
    why not.

    Args:
        artifact: its description, without the converted network.
        model: its Keras model.

    Returns:
        The artifact's `engines`.
    """
    if conversion == "none":
        return {}
    if not find_spec("openvino"):
        print("Not converted for OpenVINO, which is not installed: TensorFlow scores this model")
        return {}
    try:
        network = convert_network(model)
        _check_scores(write_network(folder, "float32", network), artifact, model)
    except Exception as error:  # OpenVINO has no common class for what it cannot convert
        for name in ("openvino.xml", "openvino.bin"):
            (folder / name).unlink(missing_ok=True)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(f"Not converted for OpenVINO, so TensorFlow scores this model: {reason}")
        return {}
    versions = {"openvino": importlib.metadata.version("openvino")}
    return {"openvino": {"model_digest": artifact.model_digest, "versions": versions}}


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
