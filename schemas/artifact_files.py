"""An artifact on disk: a folder with `artifact.json` and the model's files.

`read_artifact` checks that everything in it fits together, and says which two values differ.
Nothing here needs TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from schemas.artifact import (
    ArtifactError,
    ModelArtifact,
    Preprocessing,
    canonical_json,
    check_equal,
)
from schemas.labels import LabelSet
from schemas.networks import keras_file, openvino_file

ARTIFACT_FILE = "artifact.json"
MODEL_FILE = "model.keras"
SIGNATURE_FILE = "artifact.sig"

MOST_DESCRIPTION_BYTES = 1 << 24
MOST_MODEL_BYTES = 1 << 32
"""Sizes of artifact.json, and of the model or another file, beyond which they are not read."""

OpenVinoKind = Literal["float32", "int8"]

OPENVINO_FILES: Mapping[OpenVinoKind, tuple[str, str]] = {
    "float32": ("openvino.xml", "openvino.bin"),
    "int8": ("openvino_int8.xml", "openvino_int8.bin"),
}
"""The same network for OpenVINO, if the artifact has it: graph and weights. `int8` has 8-bit
weights and activations, so its scores differ a little."""


def model_digest(model_file: Path, label_set: LabelSet, preprocessing: Preprocessing) -> str:
    """The digest of a model file with its labels and preprocessing, see `_digest`.

    Raises:
        ArtifactError: the file is not a Keras 3 model.
    """
    return _digest(keras_file.read_model(model_file), label_set, preprocessing)


def _digest(model: keras_file.KerasModel, label_set: LabelSet, preprocessing: Preprocessing) -> str:
    """sha256 of everything that affects a score: weights, architecture, labels, preprocessing.

    A `.keras` file is a zip with timestamps, so its bytes differ each time the same model is
    saved; this digest covers only the parts that matter.
    """
    digest = hashlib.sha256()
    digest.update(canonical_json(label_set.to_dict()))
    # As read back from JSON: 2000 and 2000.0 are the same value.
    digest.update(canonical_json(Preprocessing.from_dict(preprocessing.to_dict()).to_dict()))
    digest.update(canonical_json(model.architecture))
    for name, array in model.arrays():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_artifact(folder: Path, artifact: ModelArtifact) -> ModelArtifact:
    """Write artifact.json next to the model's files, with the sha256 of each file. A signature that
    was there is removed: it was of the former artifact.json.

    Returns:
        The artifact with `files` filled in.
    """
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != ARTIFACT_FILE)
    data = artifact.to_dict()
    data["files"] = {name: _file_sha256(folder / name) for name in names}
    text = json.dumps(data, indent=2, sort_keys=False, allow_nan=False)
    (folder / ARTIFACT_FILE).write_text(text + "\n", encoding="utf-8")
    return ModelArtifact.from_dict(data)


def read_artifact(folder: Path, only: Collection[str] | None = None) -> ModelArtifact:
    """Open an artifact and check that all of it fits together.

    Args:
        only: names of the files to check, if the others are not there, or not needed.

    Raises:
        ArtifactError: a file is missing or differs from its sha256; labels, thresholds,
            preprocessing and model do not fit; the digest differs; the model has parts that the
            trainer does not write.
    """
    artifact = read_description(folder)
    names = artifact.files.keys() if only is None else only
    networks = [kind for kind, (graph, _) in OPENVINO_FILES.items() if graph in names]
    with _naming(folder):
        _check_files(
            folder, artifact, names, [f for kind in networks for f in OPENVINO_FILES[kind]]
        )
        if MODEL_FILE in names:
            _read_checked(folder, artifact)
        for kind in networks:
            _read_graph(folder, artifact, kind)
    return artifact


def has_openvino(artifact: ModelArtifact, kind: OpenVinoKind) -> bool:
    """Whether an artifact has its network for OpenVINO."""
    return artifact.files.keys() >= set(OPENVINO_FILES[kind])


def read_openvino(
    folder: Path, artifact: ModelArtifact, kind: OpenVinoKind
) -> openvino_file.OpenVinoModel:
    """The network for OpenVINO, read once and checked.

    Raises:
        ArtifactError: a file differs from its sha256, or has parts that the trainer does not write.
    """
    with _naming(folder):
        return _read_graph(folder, artifact, kind)


def write_checked_model(folder: Path, artifact: ModelArtifact, target: Path) -> None:
    """Write the artifact's model as a `.keras` file that has only what was checked.

    Raises:
        ArtifactError: the model is not the artifact's, or has parts that the trainer does not
            write.
    """
    with _naming(folder):
        _read_checked(folder, artifact).write(target)


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{folder}: {error}") from error


def read_description(folder: Path) -> ModelArtifact:
    """Read artifact.json alone, without checking the model's files.

    Raises:
        ArtifactError: it is missing, or its values do not fit together.
    """
    path = folder / ARTIFACT_FILE
    try:
        _check_file(path, MOST_DESCRIPTION_BYTES)
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing: is this a model artifact?") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as JSON: {error}") from error
    return parse_description(data, str(path))


def parse_description(text: bytes, path: str) -> ModelArtifact:
    """The content of an artifact.json.

    Args:
        path: where it was read, for messages.

    Raises:
        ArtifactError: it is not JSON, or its values do not fit together.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise ArtifactError(f"{path} must be a JSON object")
    try:
        return ModelArtifact.from_dict(data)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error


def _check_files(
    folder: Path, artifact: ModelArtifact, names: Collection[str], read_later: Collection[str]
) -> None:
    """Check files by their sha256, those of `read_later` by nothing but their size."""
    for name in {MODEL_FILE, *names} - artifact.files.keys():
        raise ArtifactError(f"{ARTIFACT_FILE} does not list {name}")
    for name, expected in artifact.files.items():
        if Path(name).name != name or name in ("", ".."):
            raise ArtifactError(f"file name {name!r} points outside the artifact")
        if name not in names:
            continue
        try:
            _check_file(folder / name, MOST_MODEL_BYTES)
            found = expected if name in read_later else _file_sha256(folder / name)
        except FileNotFoundError as error:
            raise ArtifactError(f"the file {name} is missing") from error
        except (OSError, ValueError) as error:  # ValueError: not a possible name of a file
            raise ArtifactError(f"the file {name!r} cannot be read: {error}") from error
        check_equal(f"sha256 of {name}", expected, found)


def _read_graph(
    folder: Path, artifact: ModelArtifact, kind: OpenVinoKind
) -> openvino_file.OpenVinoModel:
    graph_name, weights_name = OPENVINO_FILES[kind]
    graph = _read_listed(folder, artifact, graph_name, openvino_file.MOST_GRAPH_BYTES)
    weights = _read_listed(folder, artifact, weights_name, MOST_MODEL_BYTES)
    return openvino_file.check_model(graph_name, graph, weights)


def _read_listed(folder: Path, artifact: ModelArtifact, name: str, most_bytes: int) -> bytes:
    """A file's bytes, which are read once, so that what is used is what was checked."""
    try:
        _check_file(folder / name, most_bytes)
        data = (folder / name).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{name} cannot be read: {error}") from error
    check_equal(f"sha256 of {name}", artifact.files.get(name), hashlib.sha256(data).hexdigest())
    return data


def _read_checked(folder: Path, artifact: ModelArtifact) -> keras_file.KerasModel:
    """The artifact's model, read once and checked."""
    model = keras_file.read_model(folder / MODEL_FILE)
    model.check()
    shapes, units = keras_file.ends_of(model.architecture)
    expected = list(artifact.preprocessing.input_shape)
    if shapes != [expected]:
        raise ArtifactError(f"the model takes {shapes}, preprocessing makes {expected}")
    if units is not None and units != len(artifact.label_set.names):
        raise ArtifactError(
            f"the model has {units} outputs for {len(artifact.label_set.names)} labels"
        )
    found = _digest(model, artifact.label_set, artifact.preprocessing)
    check_equal("model_digest", artifact.model_digest, found)
    return model


def _check_file(path: Path, most_bytes: int) -> None:
    """Refuse what would block a reader or never end, such as a pipe or a link to a device.

    Raises:
        OSError: it is that, too large, or missing.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is not a regular file")
    if found.st_size > most_bytes:
        raise OSError(f"it has {found.st_size:,} bytes, at most {most_bytes:,} are read")


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
