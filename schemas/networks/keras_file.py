"""A `.keras` file read and written without Keras: a zip with JSON and weights in HDF5.

It may come from anywhere, and Keras runs what it describes. So it is read once, with bounds, and
Keras gets a file that is written from what was read and checked, nothing else of the original.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import h5py

from schemas.networks.hdf5_arrays import find_arrays
from schemas.networks.keras_config import ArtifactError as ArtifactError
from schemas.networks.keras_config import check_config
from schemas.networks.layer_weights import layer_names, weight_shapes

_METADATA, _CONFIG, _WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
_MOST_BYTES = {_METADATA: 1 << 16, _CONFIG: 1 << 23, _WEIGHTS: 1 << 32}
_STATE = "/seed_generator/"
_MOST_INFLATION = 10  # Keras stores without compression; a zip bomb inflates a thousandfold


@dataclass(frozen=True)
class KerasModel:
    """What a `.keras` file says; not checked yet, see `check`.

    Attributes:
        name: of the file, for messages.
        architecture: its config.json, without the options of its training.
        keras_version: of the Keras that saved it; "" if it does not say.
        weights: its model.weights.h5.
    """

    name: str
    architecture: Mapping[str, Any]
    keras_version: str
    weights: bytes

    def arrays(self) -> Iterator[tuple[str, Any]]:
        """Names and arrays, ordered by name; without the optimizer's state, which affects no
        score.

        Raises:
            ArtifactError: the weights cannot be read, or are not numbers in this file alone.
        """
        try:
            with h5py.File(io.BytesIO(self.weights), "r") as stored:
                datasets = find_arrays(stored, len(self.weights))
                for name in sorted(datasets):
                    if not name.startswith("optimizer/"):
                        yield name, datasets[name][()]
        except (OSError, RuntimeError, KeyError, ValueError, OverflowError) as error:
            raise ArtifactError(f"{self.name} has no readable weights: {error}") from error

    def check(self) -> None:
        """Check that Keras can build it without doing anything else.

        Raises:
            ArtifactError: it has a part that our trainer does not write, or its weights are not
                those of its layers.
        """
        check_config(self.architecture)
        expected = weight_shapes(self.architecture)
        found = {name: array.shape for name, array in self._weights()}
        for name in sorted(expected.keys() | found.keys()):
            if found.get(name) != expected.get(name):
                raise ArtifactError(
                    f"the weights {name} in {self.name} have the shape {found.get(name)}, "
                    f"its layers need {expected.get(name)}"
                )

    def write(self, target: Path) -> None:
        """Write the checked model, and nothing else, as a `.keras` file."""
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr(_METADATA, json.dumps({"keras_version": self.keras_version}))
            archive.writestr(_CONFIG, json.dumps(self.architecture))
            archive.writestr(_WEIGHTS, self._plain_weights())

    def _plain_weights(self) -> bytes:
        content = io.BytesIO()
        with h5py.File(content, "w") as plain:
            for path, name in layer_names(self.architecture).items():
                plain.create_group(f"{path}/vars").attrs["name"] = name
            for path, array in self._weights():
                plain.create_dataset(path, data=array)
        return content.getvalue()

    def _weights(self) -> Iterator[tuple[str, Any]]:
        """The arrays without the states of random generators, which only training uses."""
        return ((path, array) for path, array in self.arrays() if _STATE not in path)


def read_model(model_file: Path) -> KerasModel:
    """Read a model file, each part of it once and with a bound.

    Raises:
        ArtifactError: the file is not a Keras 3 model.
    """
    members = _read_members(model_file)
    metadata = _parse(model_file, _METADATA, members)
    architecture = _parse(model_file, _CONFIG, members)
    if not architecture:
        raise ArtifactError(f"{model_file.name} has no model")
    architecture.pop("compile_config", None)
    _number_shared_objects(architecture, {})
    return KerasModel(model_file.name, architecture, _version_in(metadata), members[_WEIGHTS])


def read_keras_version(model_file: Path) -> str:
    """The version of the Keras that saved a model; "" if the file does not say.

    Raises:
        ArtifactError: the file is not a Keras 3 model.
    """
    return _version_in(_parse(model_file, _METADATA, _read_members(model_file, (_METADATA,))))


def _version_in(metadata: Mapping[str, Any]) -> str:
    version = metadata.get("keras_version")
    return version if isinstance(version, str) and len(version) < 30 else ""


def ends_of(architecture: Mapping[str, Any]) -> tuple[list[list[int]], int | None]:
    """The shapes of a model's inputs, and the units of its last layer if it has any.

    Raises:
        ArtifactError: it does not describe a model of layers.
    """
    try:
        layers = architecture["config"]["layers"]
        inputs = [layer for layer in layers if layer["class_name"] == "InputLayer"]
        shapes = [layer["config"]["batch_shape"] for layer in inputs]
        if any(shape[0] is not None for shape in shapes):
            raise ArtifactError(f"the model takes batches of one size: {shapes}")
        return [shape[1:] for shape in shapes], layers[-1]["config"].get("units")
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ArtifactError("config.json does not describe a model of layers") from error


def _number_shared_objects(node: Any, numbers: dict[Any, int]) -> None:
    """Number objects that layers share in the order of their first use.

    Keras numbers them by address in memory, which differs between processes.
    """
    if isinstance(node, dict):
        if isinstance(node.get("shared_object_id"), int):
            shared = node["shared_object_id"]
            node["shared_object_id"] = numbers.setdefault(shared, len(numbers))
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            _number_shared_objects(value, numbers)


def _read_members(model_file: Path, wanted: Sequence[str] = tuple(_MOST_BYTES)) -> dict[str, bytes]:
    """Members of a `.keras` file by name; it may only have the three that Keras writes.

    Raises:
        ArtifactError: it is not a zip, or has other members, or one that is too large.
    """
    size_bytes = model_file.stat().st_size
    try:
        with zipfile.ZipFile(model_file) as archive:
            members = archive.infolist()
            _check_names(model_file, [member.filename for member in members])
            for member in members:
                limit = min(_MOST_BYTES[member.filename], _MOST_INFLATION * size_bytes)
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ArtifactError(f"{member.filename} is compressed in an unusual way")
                if member.file_size > limit:
                    raise ArtifactError(
                        f"{member.filename} in {model_file.name} claims {member.file_size:,} bytes"
                    )
            return {name: archive.read(name) for name in wanted}
    except (OSError, RuntimeError, EOFError, UnicodeError, zlib.error, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{model_file.name} is not a Keras 3 file: {error}") from error


def _check_names(model_file: Path, names: list[str]) -> None:
    if missing := sorted(_MOST_BYTES.keys() - set(names)):
        raise ArtifactError(f"{model_file.name} is not a Keras 3 file: it has no {missing[0]}")
    if odd := sorted(set(names) - _MOST_BYTES.keys()):
        raise ArtifactError(
            f"{model_file.name} holds {odd[0]!r}, which no release of the trainer writes"
        )
    if len(names) > len(_MOST_BYTES):
        raise ArtifactError(f"{model_file.name} holds a file twice")


def _parse(model_file: Path, name: str, members: Mapping[str, bytes]) -> dict[str, Any]:
    """A member that is a JSON object."""
    try:
        parsed = json.loads(
            members[name], object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{model_file.name} has no readable {name}: {error}") from error
    return parsed if isinstance(parsed, dict) else {}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; readers differ in which of two equal keys they use."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice in an object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
