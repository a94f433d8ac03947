"""Remote model artifacts on a machine's own disk: fetched once, by whichever process is first.

A copy's folder is named by the sha256 of its artifact.json, which holds the sha256 of every other
file. It gets that name only when it is whole and sound, under a lock that the operating system
gives up for a process that dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import StorageError
from pipelines.storage import store
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import ARTIFACT_FILE, read_artifact


def fetch_artifact(uri: str) -> tuple[Path, ModelArtifact]:
    """A local copy of a remote artifact as it is now, and what it is, checked.

    An artifact that is being uploaded meanwhile fails this time and no later one.

    Raises:
        ArtifactError: the artifact does not fit together.
        StorageError: it cannot be fetched or kept.
    """
    description = store.read_bytes(store.join_uri(uri, ARTIFACT_FILE))
    folder = _cache_folder() / hashlib.sha256(description).hexdigest()[:32]
    with _locked(folder):
        artifact = _read_copy(folder, description)
        return folder, artifact or _fetch(uri, folder)


def _cache_folder() -> Path:
    """This user's, on this machine.

    Raises:
        StorageError: somebody else made it.
    """
    cache = Path(tempfile.gettempdir(), f"forest-chips-artifacts-{os.getuid()}")
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise StorageError(f"{cache} belongs to another user: remove it, or set TMPDIR")
    return cache


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_copy(folder: Path, description: bytes) -> ModelArtifact | None:
    """The copy, where it is whole: what cleans temporary folders may have taken files of it."""
    try:
        artifact = read_artifact(folder)
        return artifact if (folder / ARTIFACT_FILE).read_bytes() == description else None
    except (ArtifactError, OSError):
        return None


def _fetch(uri: str, folder: Path) -> ModelArtifact:
    """Fetch, check, and only then give the copy its name; under the lock."""
    partial = folder.with_suffix(".partial")
    for left_over in (partial, folder):  # by a process that died, or a copy that has lost files
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        store.fetch_folder(uri, partial)
        artifact = read_artifact(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return artifact
