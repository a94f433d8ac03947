"""Small artifacts, and jpg chips of one colour."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from schemas.artifact import ModelArtifact, Preprocessing
from schemas.artifact_files import MODEL_FILE, model_digest, read_description, write_artifact
from schemas.labels import PLANET_LABELS, LabelSet
from train.networks.registry import NETWORKS

JPG = Preprocessing("jpg", 64, ("red", "green", "blue"), None, (64, 1024))
TIF = Preprocessing(
    "tif", 64, ("blue", "green", "red", "near_infrared"), ((2000.0, 12000.0),) * 4, (64, 1024)
)

PNG = Preprocessing("png", 64, ("red", "green", "blue"), None, (64, 1024))
FLOATS = Preprocessing(
    *("tif", 64, ("B04", "B03", "B08"), ((0.0, 1.0),) * 3, (64, 512)),
    stored_bands=("B02", "B03", "B04", "B08", "B11", "B12"),
    sample_type="float32",
)
MODELS = {"jpg": JPG, "tif": TIF, "png": PNG, "floats": FLOATS}
"""A model for each kind of chip."""


def make_artifact(
    folder: Path,
    preprocessing: Preprocessing = JPG,
    label_set: LabelSet = PLANET_LABELS,
    network: str = "mean_colour",
    thresholds: Sequence[float] | None = None,
    seed: int = 0,
) -> ModelArtifact:
    """Write an artifact whose model has random weights, so that chips differ in their scores."""
    import keras

    keras.utils.set_random_seed(seed)
    labels = len(label_set.names)
    model = NETWORKS[network].build(preprocessing.input_shape, labels)
    if network == "mean_colour":
        rng = np.random.default_rng(seed)
        kernel = rng.normal(0, 4, (len(preprocessing.bands), labels))
        model.get_layer("scores").set_weights([kernel, -kernel.mean(0)])
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / MODEL_FILE)
    return write_artifact(
        folder,
        ModelArtifact(
            network=network,
            label_set=label_set,
            thresholds=tuple(thresholds or [0.5] * labels),
            preprocessing=preprocessing,
            model_digest=model_digest(folder / MODEL_FILE, label_set, preprocessing),
        ),
    )


def jpg_bytes(colour: tuple[int, int, int] = (40, 80, 40), side: int = 256) -> bytes:
    """A JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def write_chips(folder: Path, count: int) -> list[Path]:
    """Write jpg chips, each of another colour; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"chip_{i:05d}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(jpg_bytes((i * 37 % 256, i * 91 % 256, 255 - i * 53 % 256)))
    return paths


def rezip(
    folder: Path, changes: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> None:
    """Rewrite an artifact's model.keras with some of its members changed, and update its hash."""
    path = folder / MODEL_FILE
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()} | dict(changes)
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in members.items():
            new.writestr(name, content)
    write_artifact(folder, read_description(folder))


def read_member(folder: Path, name: str) -> bytes:
    """A member of an artifact's model.keras."""
    with zipfile.ZipFile(folder / MODEL_FILE) as archive:
        return archive.read(name)
