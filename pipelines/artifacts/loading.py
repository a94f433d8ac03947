"""A checked artifact's model, opened by Keras, if the Keras here is new enough for it."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipelines.quiet_tensorflow import quiet_tensorflow
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import MODEL_FILE, write_checked_model
from schemas.networks.keras_file import read_keras_version

MOST_VALUES = 1 << 28
"""Values of one chip in one layer, beyond which a model is refused; VGG16 at 1024 pixels has a
quarter of it."""

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
            cannot be opened, would compute layers that no memory holds, or its outputs do not fit
            the labels.
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
    for shape in _layer_shapes(model):
        if math.prod(side for side in shape if side is not None) > MOST_VALUES:
            raise ArtifactError(f"{folder}: a layer of the model has {shape} values")
    labels = len(artifact.label_set.names)
    if outputs != (None, labels):
        raise ArtifactError(f"{folder}: the model has the outputs {outputs} for {labels} labels")
    return model


def _layer_shapes(model: Any) -> Iterator[tuple[int | None, ...]]:
    """The shape of what each layer computes, each time that it is called."""
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            for tensor in node.output_tensors:
                yield tensor.shape


def _reason(error: Exception) -> str:
    """One line of what Keras says. Before the cause, it advises the authors of layers."""
    text = str(error).partition("Exception encountered:")[2] or str(error) or type(error).__name__
    return text.strip().splitlines()[0][:_REASON_CHARACTERS]
