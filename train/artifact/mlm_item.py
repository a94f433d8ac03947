"""A STAC item that describes the model, for catalogues of models.

STAC 1.1 (https://github.com/radiantearth/stac-spec) with the extensions Machine Learning Model 1.4
(https://github.com/stac-extensions/mlm) and file 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.artifact import ModelArtifact, Preprocessing
from schemas.artifact_files import ARTIFACT_FILE, MODEL_FILE, OPENVINO_FILES
from schemas.labels import score_column
from schemas.networks.keras_file import read_model
from train.artifact.file_names import (
    CARD_FILE,
    CURVES_FILE,
    HISTORY_FILE,
    LEGACY_MODEL_FILE,
    RELIABILITY_FILE,
    SPLIT_FILE,
)
from train.networks.backbones import BACKBONES

EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)

_ARCHITECTURES = {"vgg16": "VGG", "mean_colour": "linear"}
_HYPERPARAMETERS = ("epochs", "batch_size", "learning_rate", "seed", "precision")
_SHA256 = "1220"  # multihash: the function sha2-256 and its 32 bytes

_MODEL = {"roles": ["mlm:model", "mlm:weights"], "mlm:artifact_type": "tf.keras.Model.save"}
_PICTURE = {"type": "image/png", "roles": ["overview"]}
_JSON = {"type": "application/json", "roles": ["metadata"]}
_OPENVINO = {"roles": ["mlm:model", "mlm:weights"], "mlm:artifact_type": "openvino.save_model"}
_KINDS: Mapping[str, Mapping[str, Any]] = {
    MODEL_FILE: {"type": "application/octet-stream; framework=keras", **_MODEL},
    LEGACY_MODEL_FILE: {"type": "application/x-hdf5", **_MODEL},
    **{graph: {"type": "application/xml", **_OPENVINO} for graph, _ in OPENVINO_FILES.values()},
    **{
        weights: {"type": "application/octet-stream", "roles": ["mlm:weights"]}
        for _, weights in OPENVINO_FILES.values()
    },
    CARD_FILE: {"type": "text/markdown", "roles": ["metadata"]},
    CURVES_FILE: _PICTURE,
    RELIABILITY_FILE: _PICTURE,
    HISTORY_FILE: {"type": "text/csv", "roles": ["metadata"]},
    SPLIT_FILE: {"type": "text/csv", "roles": ["metadata"]},
}


def describe_model(folder: Path, artifact: ModelArtifact) -> dict[str, Any]:
    """The item, as plain data for JSON.

    It has no place and no time, since chips have neither: `geometry` is null, so there is no
    `bbox`, and the time range is open, as in the extension's best practices.

    Args:
        folder: of the artifact, with the files that are assets.
        artifact: with the sha256 of those files.
    """
    name = f"{artifact.network}-{artifact.model_digest[:12]}"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": name,
        "geometry": None,
        "properties": {
            "description": _describe(artifact),
            "datetime": None,
            "start_datetime": "1900-01-01T00:00:00Z",
            "end_datetime": "9999-12-31T23:59:59Z",
            "bands": _bands(artifact.preprocessing),
            "mlm:name": name,
            **_properties(folder, artifact),
        },
        "links": [],
        "assets": _assets(folder, artifact),
    }


def _describe(artifact: ModelArtifact) -> str:
    labels = artifact.label_set.names
    return (
        f"{artifact.network}: a score in [0, 1] for each of {len(labels)} labels of a "
        f"{artifact.preprocessing.media_type} chip, and a threshold for each."
    )


def _properties(folder: Path, artifact: ModelArtifact) -> dict[str, Any]:
    source = artifact.training["weights"]["source"]
    weights = artifact.training["weights"]
    pretrained = weights["sha256"] is not None or "artifact" in weights
    return {
        "mlm:architecture": _architecture(artifact.network),
        "mlm:tasks": ["classification"],
        "mlm:framework": "Keras",
        "mlm:framework_version": artifact.versions["keras"],
        "mlm:total_parameters": sum(a.size for _, a in read_model(folder / MODEL_FILE).arrays()),
        "mlm:pretrained": pretrained,
        "mlm:pretrained_source": source if pretrained else None,
        "mlm:accelerator": None,
        "mlm:input": [_input(artifact.preprocessing)],
        "mlm:output": [_output(artifact)],
        "mlm:hyperparameters": _hyperparameters(artifact),
    }


def _architecture(network: str) -> str:
    backbone = BACKBONES.get(network)
    return backbone.application if backbone else _ARCHITECTURES.get(network, "CNN")


def _bands(preprocessing: Preprocessing) -> list[dict[str, str]]:
    return [{"name": band} for band in preprocessing.bands]


def _input(preprocessing: Preprocessing) -> dict[str, Any]:
    return {
        "name": "pixels",
        "description": "Values of 0 to 255, in the order of the bands.",
        "bands": list(preprocessing.bands),
        "input": {
            "shape": [-1, *preprocessing.input_shape],
            "dim_order": ["batch", "height", "width", "channel"],
            "data_type": "float32",
        },
        "value_scaling": _scaling(preprocessing),
        "resize_type": "interpolation-area",
        "pre_processing_function": {
            "format": "python",
            "expression": "pipelines.imaging.decoding:decode_chip",
        },
    }


def _scaling(preprocessing: Preprocessing) -> list[dict[str, Any]] | None:
    """For each band of a tif, what maps its two limits to 0 and 255; None for a jpg."""
    if preprocessing.scaling is None:
        return None
    return [
        {
            "type": "processing",
            "format": "numpy",
            "expression": f"np.rint(np.clip((x - {low!r}) / ({high!r} - {low!r}), 0, 1) * 255)",
        }
        for low, high in preprocessing.scaling
    ]


def _output(artifact: ModelArtifact) -> dict[str, Any]:
    names = artifact.label_set.names
    return {
        "name": "scores",
        "description": "A score in [0, 1] for each label; several labels may apply together.",
        "tasks": ["classification"],
        "result": {
            "shape": [-1, len(names)],
            "dim_order": ["batch", "class"],
            "data_type": "float32",
        },
        "classification:classes": [
            {"value": i, "name": score_column(name).removeprefix("score_"), "description": name}
            for i, name in enumerate(names)
        ],
        "post_processing_function": {
            "format": "python",
            "expression": "schemas.decisions:choose_labels",
        },
    }


def _hyperparameters(artifact: ModelArtifact) -> dict[str, Any]:
    options: Mapping[str, Any] = artifact.training["options"]
    return {
        **{name: options[name] for name in _HYPERPARAMETERS if name in options},
        "thresholds": dict(zip(artifact.label_set.names, artifact.thresholds, strict=True)),
        "sky_rule": artifact.sky_rule,
    }


def _assets(folder: Path, artifact: ModelArtifact) -> dict[str, Any]:
    """Every file of the artifact; artifact.json has no checksum, since it contains the checksum of
    this item.

    STAC 1.1 allows bands in an item only if an asset has them, too.
    """
    described: dict[str, Any] = {
        name: {
            "href": f"./{name}",
            **_KINDS.get(name, {"roles": ["metadata"]}),
            "file:size": (folder / name).stat().st_size,
            "file:checksum": _SHA256 + digest,
        }
        for name, digest in artifact.files.items()
    }
    described[MODEL_FILE]["bands"] = _bands(artifact.preprocessing)
    return described | {ARTIFACT_FILE: {"href": f"./{ARTIFACT_FILE}", **_JSON}}
