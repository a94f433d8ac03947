"""The model on a worker: fetched once, checked, and called through one compiled function."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines import storage
from pipelines.errors import UsageError
from schemas.artifact import ARTIFACT_FILE, MODEL_FILE, ArtifactError, ModelArtifact, read_artifact
from schemas.precision import KERAS_POLICIES, Precision, native_bfloat16


class DeviceOutOfMemory(Exception):
    """The device has no memory for a batch; a smaller one may fit."""


class Classifier:
    """A model artifact, ready to score.

    Args:
        folder: local folder of the artifact.
        artifact: its description, already checked.
        precision: what to compute in; `auto` is resolved here, on the machine that computes.

    Attributes:
        labels: how many scores a chip has.
        precision: what it computes in: float32, bfloat16 or float16. A model without
            convolutions stays at float32: it has nothing to gain, and a mean over thousands of
            pixels means little in the 8 bits of a bfloat16.

    Raises:
        UsageError: float16 without a GPU.
        ArtifactError: the model's outputs do not fit the artifact's labels.
    """

    def __init__(self, folder: Path, artifact: ModelArtifact, precision: Precision) -> None:
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:  # take memory as it is needed, not all of it at once
            tf.config.experimental.set_memory_growth(gpu, True)
        resolved = resolve_precision(precision, has_gpu=bool(gpus))
        self.labels = len(artifact.label_set.names)
        # safe_mode: a model file must not bring code of its own.
        model = keras.models.load_model(folder / MODEL_FILE, compile=False, safe_mode=True)
        if model.output_shape != (None, self.labels):
            raise ArtifactError(f"outputs {model.output_shape} for {self.labels} labels")
        self.precision = resolved if _has_convolutions(model) else "float32"
        _compute_in(model, self.precision)
        self._function = _compile(model, artifact.preprocessing.input_shape)

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores `float32 [n, labels]` of `uint8 [n, S, S, bands]`; n may be 0.

        Raises:
            DeviceOutOfMemory: the device has no memory for so many chips at once.
        """
        import tensorflow as tf

        if not len(pixels):
            return np.empty((0, self.labels), np.float32)
        try:
            scores: npt.NDArray[np.float32] = self._function(pixels).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise DeviceOutOfMemory(f"no memory for {len(pixels)} chips at once") from error
        return scores


def resolve_precision(precision: Precision, has_gpu: bool) -> Precision:
    """What `auto` means on this machine; other precisions stay.

    bfloat16 where the processor has instructions for it (or a GPU does the work): emulated, it
    is no faster than float32 and less exact.

    Raises:
        UsageError: float16 without a GPU.
    """
    if precision == "float16" and not has_gpu:
        raise UsageError("--precision float16 needs a GPU; on a CPU use auto, float32 or bfloat16")
    if precision != "auto":
        return precision
    return "bfloat16" if has_gpu or native_bfloat16() else "float32"


def open_artifact(uri: str, expected_digest: str = "") -> tuple[Path, ModelArtifact]:
    """A local folder with the artifact, and its description, checked without TensorFlow.

    Args:
        uri: absolute address of the artifact.
        expected_digest: the model_digest that it must have, if one is known.

    Raises:
        ArtifactError: the artifact does not fit together, or is another than expected.
        StorageError: it cannot be fetched.
    """
    folder = _fetch(uri) if storage.is_remote(uri) else Path(uri)
    artifact = read_artifact(folder)
    if expected_digest and artifact.model_digest != expected_digest:
        raise ArtifactError(
            f"{uri} has changed since the run was planned: model_digest "
            f"{expected_digest} then, {artifact.model_digest} now"
        )
    return folder, artifact


def _fetch(uri: str) -> Path:
    """Copy a remote artifact to a local folder named by what is there, once a machine.

    Only a copy that was read and found sound gets its place: an artifact that is being uploaded
    while it is fetched fails this run and no later one.
    """
    description = storage.read_bytes(storage.join_uri(uri, ARTIFACT_FILE))
    name = hashlib.sha256(uri.encode() + description).hexdigest()[:32]
    cache = Path(tempfile.gettempdir()) / f"forest-chips-artifacts-{os.getuid()}"
    if (cache / name).exists():
        return cache / name
    cache.mkdir(mode=0o700, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=cache))
    try:
        storage.fetch_folder(uri, partial)
        read_artifact(partial)
        with contextlib.suppress(OSError):  # another process was faster; its copy is as good
            partial.rename(cache / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return cache / name


def _has_convolutions(model: Any) -> bool:
    import keras

    layers = model._flatten_layers(include_self=False)
    return any(isinstance(layer, keras.layers.Conv2D) for layer in layers)


def _compute_in(model: Any, precision: Precision) -> None:
    """Set the precision of every layer but the last, whose scores stay float32."""
    import keras

    policy = keras.DTypePolicy(KERAS_POLICIES[precision])
    for layer in model._flatten_layers(include_self=False):
        if layer is not model.layers[-1]:
            layer.dtype_policy = policy


def _compile(model: Any, input_shape: tuple[int, int, int]) -> Any:
    """One function for every number of chips: a signature of its own for each would be traced
    anew, and padding a small batch costs its full price."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *input_shape), tf.uint8)]

    @tf.function(input_signature=signature)
    def score(pixels: Any) -> Any:
        return model(tf.cast(pixels, tf.float32), training=False)

    return score
