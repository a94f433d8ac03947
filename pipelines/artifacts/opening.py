"""Open a model artifact, local or remote; a remote one is fetched once per machine.

Of a remote artifact only what is needed is fetched: its description and a model. A copy's folder is
named by the sha256 of its artifact.json, which has the sha256 of every file. A file gets its name
there once it is complete and checked, under a lock that the operating system releases if the
process dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.artifacts.loading import check_keras
from pipelines.artifacts.signing import check_signature
from pipelines.errors import StorageError
from pipelines.storage import store
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import (
    ARTIFACT_FILE,
    MODEL_FILE,
    MOST_DESCRIPTION_BYTES,
    MOST_MODEL_BYTES,
    parse_description,
    read_artifact,
    read_description,
)
from schemas.networks.openvino_file import MOST_GRAPH_BYTES

Wanted = Callable[[ModelArtifact], Sequence[str]]
"""The names of an artifact's files that a caller needs."""


def only_keras(artifact: ModelArtifact) -> Sequence[str]:
    """The model that Keras opens."""
    return (MODEL_FILE,)


def open_artifact(
    uri: str,
    expected_digest: str = "",
    wanted: Wanted | None = None,
    trusted_key: str | None = None,
) -> tuple[Path, ModelArtifact]:
    """A local folder with the artifact, and its description, checked without TensorFlow.

    Args:
        uri: absolute address of the artifact.
        expected_digest: the model_digest that it must have, if one is known.
        wanted: the files to check, by default all of a local artifact and the Keras model of a
            remote one.
        trusted_key: address of the public key that it must be signed with; None if it need not be.

    Raises:
        ArtifactError: the artifact does not fit together, has another digest, is not signed as
            asked, or was saved by a newer Keras than the one here.
        UsageError: the key cannot be used.
        StorageError: it cannot be fetched.
    """
    if store.is_remote(uri):
        folder, artifact = fetch_artifact(uri, wanted or only_keras)
    else:
        folder = Path(uri)
        artifact = read_artifact(folder, wanted and wanted(read_description(folder)))
    if trusted_key:
        _check_trust(uri, folder, artifact, trusted_key)
    if wanted is None or MODEL_FILE in wanted(artifact):
        check_keras(folder, artifact)
    if expected_digest and artifact.model_digest != expected_digest:
        raise ArtifactError(
            f"{uri} has changed since the run was planned: model_digest was {expected_digest}, "
            f"is {artifact.model_digest}"
        )
    return folder, artifact


def _check_trust(uri: str, folder: Path, artifact: ModelArtifact, trusted_key: str) -> None:
    """Check the signature of what was read, even if the file is being replaced."""
    description = (folder / ARTIFACT_FILE).read_bytes()
    check_signature(uri, description, trusted_key)
    if parse_description(description, uri) != artifact:
        raise ArtifactError(f"{uri} has changed while it was opened: try again")


def fetch_artifact(uri: str, wanted: Wanted = only_keras) -> tuple[Path, ModelArtifact]:
    """A local copy of a remote artifact as it is now, and its description, checked.

    If the artifact is being uploaded meanwhile, this call fails; a later one succeeds.

    Args:
        wanted: the files that the copy must have; others may be missing.

    Raises:
        ArtifactError: the artifact does not fit together.
        StorageError: it cannot be fetched or stored.
    """
    description = store.read_bytes(store.join_uri(uri, ARTIFACT_FILE), MOST_DESCRIPTION_BYTES)
    folder = _cache_folder() / hashlib.sha256(description).hexdigest()[:32]
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        artifact = _read_copy(folder, description, wanted)
        return folder, artifact or _fetch(uri, folder, description, wanted)


def _cache_folder() -> Path:
    """The cache of this user on this machine.

    Raises:
        StorageError: another user made it, or can write to it, or it is a link.
    """
    cache = Path(tempfile.gettempdir(), f"forest-chips-artifacts-{os.getuid()}")
    cache.mkdir(mode=0o700, exist_ok=True)
    found = cache.lstat()  # of the folder itself: a link of another user may lead to one of ours
    if not stat.S_ISDIR(found.st_mode):
        raise StorageError(f"{cache} is not a folder: remove it, or set TMPDIR")
    if found.st_uid != os.getuid():
        raise StorageError(f"{cache} belongs to another user: remove it, or set TMPDIR")
    if found.st_mode & 0o077:
        raise StorageError(f"{cache} is open to other users: remove it, or set TMPDIR")
    return cache


def _read_copy(folder: Path, description: bytes, wanted: Wanted) -> ModelArtifact | None:
    """The copy if it has what is wanted: a cleaner of temporary folders may have deleted files."""
    try:
        if (folder / ARTIFACT_FILE).read_bytes() != description:
            return None
        return read_artifact(folder, wanted(read_description(folder)))
    except (ArtifactError, OSError):
        return None


def _fetch(uri: str, folder: Path, description: bytes, wanted: Wanted) -> ModelArtifact:
    """Fetch and check files, then move them to the copy's folder; under the lock.

    A process may be using files of the copy: they are replaced one by one, and never missing.
    """
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a dead process
    try:
        partial.mkdir(parents=True)
        (partial / ARTIFACT_FILE).write_bytes(description)
        names = wanted(parse_description(description, store.join_uri(uri, ARTIFACT_FILE)))
        for name in names:
            file = store.join_uri(uri, name)
            limit = MOST_GRAPH_BYTES if name.endswith(".xml") else MOST_MODEL_BYTES
            if store.head_object(file):
                (partial / name).write_bytes(store.read_bytes(file, limit))
        artifact = read_artifact(partial, names)
        folder.mkdir(exist_ok=True)
        for name in (*names, ARTIFACT_FILE):
            (partial / name).replace(folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return artifact
