"""Model artifacts to measure with: VGG16 with random weights, also in int8, and a model that costs
nothing.

python -m benchmarks.harness.artifacts vgg16 jpg FOLDER
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.harness.own_process import ROOT
from schemas.artifact import BANDS, MediaType, ModelArtifact, Preprocessing
from schemas.artifact_files import MODEL_FILE, OPENVINO_FILES, model_digest, write_artifact
from schemas.labels import PLANET_LABELS

BLACK_FILE = "black.json"
"""Next to a mean_colour artifact: the scores of an all black chip."""

_SCALING = (2000.0, 12000.0)
_SIDES_PX = (64, 1024)


def artifact_for(network: str, media_type: MediaType, work: Path) -> Path:
    """The artifact's folder; made once, in a process of its own."""
    folder = work / "artifacts" / f"{network}_{media_type}"
    if not (folder / OPENVINO_FILES["float32"][0]).exists():  # older ones are of TensorFlow alone
        shutil.rmtree(folder, ignore_errors=True)
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.harness.artifacts",
            network,
            media_type,
            str(partial),
        ]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        partial.rename(folder)
    return folder


def write_random(network: str, media_type: MediaType, folder: Path) -> None:
    """Write an artifact with random weights, saved in float32 as the trainer saves, and converted
    for OpenVINO. Of VGG16 there is an int8 network, too: as fast as one of a trained model. It is
    not judged, since random weights say nothing about labels."""
    import keras

    from train.converting.engines import random_chips
    from train.converting.network import convert_network, write_network
    from train.converting.quantising import quantise
    from train.networks.input_bands import choose_bands
    from train.networks.registry import NETWORKS

    keras.utils.set_random_seed(0)
    bands = choose_bands(network, NETWORKS[network].bands, BANDS[media_type], None)
    preprocessing = _preprocessing(bands, media_type)
    labels = len(PLANET_LABELS.names)
    model = NETWORKS[network].build(preprocessing.input_shape, labels)
    folder.mkdir(parents=True)
    if network == "mean_colour":
        black = _spread_scores(model, len(preprocessing.bands), labels)
        (folder / BLACK_FILE).write_text(json.dumps(black))
    model.save(folder / MODEL_FILE)
    digest = model_digest(folder / MODEL_FILE, PLANET_LABELS, preprocessing)
    converted = convert_network(model)
    write_network(folder, "float32", converted)
    if network == "vgg16":
        write_network(folder, "int8", quantise(converted, random_chips(preprocessing.input_shape)))
    write_artifact(
        folder,
        ModelArtifact(
            network=network,
            label_set=PLANET_LABELS,
            thresholds=(0.5,) * labels,
            preprocessing=preprocessing,
            model_digest=digest,
            engines={"openvino": {"model_digest": digest}},
        ),
    )


def _preprocessing(bands: tuple[str, ...], media_type: MediaType) -> Preprocessing:
    scaling = (_SCALING,) * len(bands) if media_type == "tif" else None
    return Preprocessing(media_type, 64, bands, scaling, _SIDES_PX)


def _spread_scores(model: object, bands: int, labels: int) -> list[float]:
    """Set weights that give chips different scores; returns the scores of a black chip."""
    kernel = np.random.default_rng(0).normal(0, 4, (bands, labels))
    bias = -kernel.mean(0)
    model.get_layer("scores").set_weights([kernel, bias])  # type: ignore[attr-defined]
    return [float(score) for score in 1 / (1 + np.exp(-bias))]


if __name__ == "__main__":
    write_random(sys.argv[1], "tif" if sys.argv[2] == "tif" else "jpg", Path(sys.argv[3]))
