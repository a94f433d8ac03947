"""Open a model artifact, local or remote."""

from __future__ import annotations

from pathlib import Path

from pipelines.artifacts.artifact_cache import fetch_artifact
from pipelines.storage import store
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import read_artifact


def open_artifact(uri: str, expected_digest: str = "") -> tuple[Path, ModelArtifact]:
    """A local folder with the artifact, and its description, checked without TensorFlow.

    Args:
        uri: absolute address of the artifact.
        expected_digest: the model_digest that it must have, if one is known.

    Raises:
        ArtifactError: the artifact does not fit together, or has another digest.
        StorageError: it cannot be fetched.
    """
    if store.is_remote(uri):
        folder, artifact = fetch_artifact(uri)
    else:
        folder, artifact = Path(uri), read_artifact(Path(uri))
    if expected_digest and artifact.model_digest != expected_digest:
        raise ArtifactError(
            f"{uri} has changed since the run was planned: model_digest was {expected_digest}, "
            f"is {artifact.model_digest}"
        )
    return folder, artifact
