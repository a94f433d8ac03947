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
from train.networks.backbones import BACKBONES


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with tifs, their labels, and the artifact of a backbone that started from a file."""
    folder = tmp_path_factory.mktemp("backbone")
    write_labels(folder / "labels.csv", draw_labelled_tifs(folder / "chips", 12))
    write_random_file(BACKBONES["mobilenetv3large"], folder / "notop.h5")
    asked = {"chips": folder / "chips", "labels": folder / "labels.csv", "image_size": 32}
    asked |= {"artifact": folder / "model", "network": "mobilenetv3large", "epochs": 1}
    asked |= {"weights": folder / "notop.h5", "recipe": "best", "warmup_epochs": 0}
    asked |= {"convert": "float32", "test_time_views": 1, "pixel_cache": "none"}
    assert main([f"--{name}={value}" for name, value in asked.items()]) == 0
    return folder


def test_its_artifact_opens_and_both_engines_compute_the_same(trained):
    artifact = read_artifact(trained / "model")
    assert artifact.network == "mobilenetv3large"
    assert artifact.preprocessing.bands == ("red", "green", "blue", "near_infrared")
    assert artifact.training["weights"]["source"] == "file notop.h5"
    assert has_openvino(artifact, "float32")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 4), dtype=np.uint8)
    scores = [
        Classifier(trained / "model", artifact, "float32", engine=engine).score(pixels)
        for engine in ("tensorflow", "openvino")
    ]
    np.testing.assert_allclose(*scores, atol=1e-4)


def test_its_filters_are_drawn(trained, capsys):
    from pipelines.artifacts.loading import load_model

    model = load_model(trained / "model", read_artifact(trained / "model"))
    last = default_layers(model)
    assert last[0] == "expanded_conv_1_expand"  # the last that sees 16 x 16 of 32 x 32 pixels
    assert last[-1] == "conv_1"
    flags = ["--filters", "1", "--steps", "1", "--image_size", "32", "--layers", last[0]]
    asked = ["filters", "--artifact", str(trained / "model"), "--output", str(trained / "drawn")]
    assert main([*asked, *flags]) == 0
    assert (trained / f"drawn/filters_{last[0]}.png").is_file()
