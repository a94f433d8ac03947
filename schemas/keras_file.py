"""A `.keras` file read without Keras: a zip with a description in JSON and weights in HDF5.

It may come from anywhere, and Keras runs what it describes, so it is checked first.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

_KERAS_MODULES = {
    *("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints"),
    *("keras.models", "keras.src.models.functional", "keras.src.models.sequential"),
}
"""Modules that a model's parts may come from; others in Keras fetch files or change settings."""

_FOREIGN_CODE = {
    *("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
}
"""Keras layers that run code from the model file."""

_MOST_INFLATION = 10  # Keras stores without compression; a zip bomb inflates a thousandfold


class ArtifactError(ValueError):
    """An artifact cannot be trusted; the message names the file and the values that differ."""


def read_architecture(model_file: Path) -> dict[str, Any]:
    """The model's config.json, without the options of its training.

    Raises:
        ArtifactError: the file is not a Keras 3 model.
    """
    try:
        architecture = json.loads(_read_member(model_file, "config.json"))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{model_file.name} has no readable config.json: {error}") from error
    if not isinstance(architecture, dict):
        raise ArtifactError(f"{model_file.name} has no model")
    architecture.pop("compile_config", None)
    _number_shared_objects(architecture, {})
    return architecture


def read_weights(model_file: Path) -> Iterator[tuple[str, Any]]:
    """Names and arrays, ordered by name; without the optimizer's state, which affects no score.

    Raises:
        ArtifactError: the weights cannot be read, or are not numbers in this file alone.
    """
    content = _read_member(model_file, "model.weights.h5")
    try:
        with h5py.File(io.BytesIO(content), "r") as stored:
            datasets = _datasets(stored)
            _refuse_foreign_data(datasets, len(content))
            for name in sorted(datasets):
                if not name.startswith("optimizer/"):
                    yield name, datasets[name][()]
    except (OSError, RuntimeError, KeyError) as error:
        raise ArtifactError(f"{model_file.name} has no readable weights: {error}") from error


def refuse_code(architecture: Mapping[str, Any]) -> None:
    """Check every part of a model before Keras builds it.

    Raises:
        ArtifactError: a layer runs code from the file (Lambda) or comes from outside Keras.
    """
    for part in _objects(architecture):
        name, module = part["class_name"], part.get("module")
        if str(name) in _FOREIGN_CODE:
            raise ArtifactError(
                f"the model has a {name} layer, which runs code when it is loaded; "
                "rebuild the model from Keras' own layers"
            )
        if module is not None and str(module) not in _KERAS_MODULES:
            raise ArtifactError(f"the model needs {module}.{name}, which is not a Keras layer")


def ends_of(architecture: Mapping[str, Any]) -> tuple[list[list[int]], int | None]:
    """The shapes of a model's inputs, and the units of its last layer if it has any.

    Raises:
        ArtifactError: it does not describe a model of layers.
    """
    try:
        layers = architecture["config"]["layers"]
        inputs = [layer for layer in layers if layer["class_name"] == "InputLayer"]
        shapes = [layer["config"]["batch_shape"][1:] for layer in inputs]
        return shapes, layers[-1]["config"].get("units")
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ArtifactError("config.json does not describe a model of layers") from error


def _objects(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, dict):
        if "class_name" in node:
            yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)


def _number_shared_objects(node: Any, numbers: dict[Any, int]) -> None:
    """Number objects that layers share in the order of their first use.

    Keras numbers them by address in memory, which differs between processes.
    """
    if isinstance(node, dict):
        if "shared_object_id" in node:
            shared = node["shared_object_id"]
            node["shared_object_id"] = numbers.setdefault(shared, len(numbers))
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            _number_shared_objects(value, numbers)


def _datasets(stored: h5py.File) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def keep(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = node

    stored.visititems(keep)
    return found


def _refuse_foreign_data(datasets: Mapping[str, Any], size_bytes: int) -> None:
    """Refuse arrays that are in other files, are not numbers, or would fill the memory."""
    for name, dataset in datasets.items():
        if dataset.external or dataset.is_virtual or dataset.dtype.kind == "O":
            raise ArtifactError(f"the weights {name} in the model are not plain numbers in it")
    claimed = sum(int(dataset.nbytes) for dataset in datasets.values())
    if claimed > size_bytes:
        raise ArtifactError(f"the weights in the model claim {claimed:,} of {size_bytes:,} bytes")


def _read_member(model_file: Path, name: str) -> bytes:
    """One member of a `.keras` file, which is a zip."""
    limit = _MOST_INFLATION * model_file.stat().st_size
    try:
        with zipfile.ZipFile(model_file) as archive:
            claimed = archive.getinfo(name).file_size
            if claimed > limit:
                raise ArtifactError(f"{name} in {model_file.name} claims {claimed:,} bytes")
            return archive.read(name)
    except (KeyError, OSError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{model_file.name} is not a Keras 3 file: {name}: {error}") from error
