"""Open a model artifact, local or remote; a remote one is fetched once per machine.

Of a remote artifact only what scoring needs is fetched: its description and its model. A copy's
folder is named by the sha256 of its artifact.json, which has the sha256 of the model. It gets that
name once it is complete and checked, under a lock that the operating system releases if the process
dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from pipelines.artifacts.loading import check_keras
from pipelines.errors import StorageError
from pipelines.storage import store
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import (
    ARTIFACT_FILE,
    MODEL_FILE,
    MOST_DESCRIPTION_BYTES,
    MOST_MODEL_BYTES,
    read_artifact,
)


def open_artifact(uri: str, expected_digest: str = "") -> tuple[Path, ModelArtifact]:
    """A local folder with the artifact, and its description, checked without TensorFlow.

    Args:
        uri: absolute address of the artifact.
        expected_digest: the model_digest that it must have, if one is known.

    Raises:
        ArtifactError: the artifact does not fit together, has another digest, or was saved by a
            newer Keras than the one here.
        StorageError: it cannot be fetched.
    """
    if store.is_remote(uri):
        folder, artifact = fetch_artifact(uri)
    else:
        folder, artifact = Path(uri), read_artifact(Path(uri))
    check_keras(folder, artifact)
    if expected_digest and artifact.model_digest != expected_digest:
        raise ArtifactError(
            f"{uri} has changed since the run was planned: model_digest was {expected_digest}, "
            f"is {artifact.model_digest}"
        )
    return folder, artifact


def fetch_artifact(uri: str) -> tuple[Path, ModelArtifact]:
    """A local copy of a remote artifact as it is now, and its description, checked.

    If the artifact is being uploaded meanwhile, this call fails; a later one succeeds.

    Raises:
        ArtifactError: the artifact does not fit together.
        StorageError: it cannot be fetched or stored.
    """
    description = store.read_bytes(store.join_uri(uri, ARTIFACT_FILE), MOST_DESCRIPTION_BYTES)
    folder = _cache_folder() / hashlib.sha256(description).hexdigest()[:32]
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        artifact = _read_copy(folder, description)
        return folder, artifact or _fetch(uri, folder, description)


def _cache_folder() -> Path:
    """The cache of this user on this machine.

    Raises:
        StorageError: another user made it.
    """
    cache = Path(tempfile.gettempdir(), f"forest-chips-artifacts-{os.getuid()}")
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise StorageError(f"{cache} belongs to another user: remove it, or set TMPDIR")
    return cache


def _read_copy(folder: Path, description: bytes) -> ModelArtifact | None:
    """The copy if it is complete: a cleaner of temporary folders may have deleted files."""
    try:
        artifact = read_artifact(folder, needed_only=True)
        return artifact if (folder / ARTIFACT_FILE).read_bytes() == description else None
    except (ArtifactError, OSError):
        return None


def _fetch(uri: str, folder: Path, description: bytes) -> ModelArtifact:
    """Fetch and check a copy, then give it its name; under the lock."""
    partial = folder.with_suffix(".partial")
    for left_over in (partial, folder):  # of a dead process, or an incomplete copy
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        (partial / ARTIFACT_FILE).write_bytes(description)
        model = store.join_uri(uri, MODEL_FILE)
        if store.head_object(model):
            (partial / MODEL_FILE).write_bytes(store.read_bytes(model, MOST_MODEL_BYTES))
        artifact = read_artifact(partial, needed_only=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return artifact
