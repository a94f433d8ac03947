"""A backbone is trained, converted, opened and drawn like any network."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.scoring.classifier import Classifier
from schemas.artifact_files import has_openvino, read_artifact
from tests.support.backbones import write_random_file
from tests.support.drawn_chips import draw_labelled_tifs, write_labels
from train.__main__ import main
from train.filters.filters import default_layers
from train.fitting.schedule import Schedule
from train.networks.backbones import BACKBONES, Backbone
from train.networks.registry import NETWORKS, with_head
from train.options import TrainOptions
from train.training import train_model

SMALL = Backbone(
    "small",
    "MobileNetV3Small",
    BACKBONES["mobilenetv3large"].scaling,
    {"include_preprocessing": False, "minimalistic": True},
)
"""A network that is not in the table: an entry is all that another one needs."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with tifs, their labels, and the artifact of a backbone that started from a file."""
    folder = tmp_path_factory.mktemp("backbone")
    write_labels(folder / "labels.csv", draw_labelled_tifs(folder / "chips", 12))
    write_random_file(SMALL, folder / "notop.h5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", with_head(SMALL))
        train_model(
            TrainOptions(
                chips=str(folder / "chips"),
                labels=str(folder / "labels.csv"),
                artifact=str(folder / "model"),
                network="small",
                image_size=32,
                epochs=1,
                weights=str(folder / "notop.h5"),
                schedule=Schedule(layer_decay=0.8),
                convert="float32",
                pixel_cache="none",
            )
        )
    return folder


def test_its_artifact_opens_and_both_engines_compute_the_same(trained):
    artifact = read_artifact(trained / "model")
    assert artifact.network == "small"
    assert artifact.preprocessing.bands == ("red", "green", "blue", "near_infrared")
    assert artifact.training["weights"]["source"] == "file notop.h5"
    assert has_openvino(artifact, "float32")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 4), dtype=np.uint8)
    scores = [
        Classifier(trained / "model", artifact, "float32", engine=engine).score(pixels)
        for engine in ("tensorflow", "openvino")
    ]
    np.testing.assert_allclose(*scores, atol=1e-4)


def test_its_filters_are_drawn(trained):
    from pipelines.artifacts.loading import load_model

    model = load_model(trained / "model", read_artifact(trained / "model"))
    first, *_, last = default_layers(model)
    assert (first, last) == ("conv", "conv_1")
    flags = ["--filters", "1", "--steps", "1", "--image_size", "32", "--layers", first]
    asked = ["filters", "--artifact", str(trained / "model"), "--output", str(trained / "drawn")]
    assert main([*asked, *flags]) == 0
    assert (trained / f"drawn/filters_{first}.png").is_file()
