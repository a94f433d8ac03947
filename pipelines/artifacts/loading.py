"""A checked artifact's model, opened by Keras, if the Keras here is new enough for it."""

from __future__ import annotations

import re
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipelines.quiet_tensorflow import quiet_tensorflow
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import MODEL_FILE, write_checked_model
from schemas.networks.keras_file import read_keras_version

_REASON_CHARACTERS = 300


def check_keras(folder: Path, artifact: ModelArtifact) -> None:
    """Compare the Keras that saved the model with the one here, if there is one; nothing is
    imported.

    Raises:
        ArtifactError: the one here is older, and would not know all settings of the model.
    """
    try:
        here = version("keras")
    except PackageNotFoundError:  # a worker that uses another engine
        return
    saved_by = (artifact.versions.get("keras"), read_keras_version(folder / MODEL_FILE))
    for saved in saved_by:
        if _minor(saved) > _minor(here):
            raise ArtifactError(
                f"{folder}: the model was saved by Keras {saved}, and Keras {here} here is older; "
                f"install keras>={saved}"
            )


def _minor(version: object) -> tuple[int, int]:
    """The first two numbers of a version; patch releases do not change what is saved."""
    found = re.match(r"(\d{1,6})\.(\d{1,6})(?!\d)", str(version))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def load_model(folder: Path, artifact: ModelArtifact) -> Any:
    """The Keras model, uncompiled, with the artifact's weights.

    Keras never sees the artifact's file: it gets a copy that is written from what was checked.

    Raises:
        ArtifactError: the model is not the artifact's, has parts that the trainer does not write,
            cannot be opened, or its outputs do not fit the labels.
    """
    check_keras(folder, artifact)
    quiet_tensorflow()
    import keras

    with tempfile.TemporaryDirectory(prefix="forest-chips-model-") as temporary:
        copy = Path(temporary, MODEL_FILE)
        write_checked_model(folder, artifact, copy)
        try:
            model = keras.models.load_model(copy, compile=False, safe_mode=True)
            outputs = model.output_shape
        except Exception as error:  # Keras has no common class for what it cannot open
            raise ArtifactError(
                f"Keras {keras.__version__} cannot open {folder / MODEL_FILE}: {_reason(error)}"
            ) from error
    labels = len(artifact.label_set.names)
    if outputs != (None, labels):
        raise ArtifactError(f"{folder}: the model has the outputs {outputs} for {labels} labels")
    return model


def _reason(error: Exception) -> str:
    """One line of what Keras says. Before the cause, it advises the authors of layers."""
    text = str(error).partition("Exception encountered:")[2] or str(error) or type(error).__name__
    return text.strip().splitlines()[0][:_REASON_CHARACTERS]
