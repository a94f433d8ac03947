"""Ascent finds the picture that excites a filter; the command draws it for any network."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.samples import TIF, make_artifact
from train.__main__ import main
from train.filters._ascent import as_pictures, ascend, cut_network
from train.filters.filters import convolutions, default_layers
from train.networks.registry import NETWORKS
from train.networks.vgg_weights import (
    CONVOLUTIONS,
    load_into,
    set_imagenet_statistics,
    write_weights_file,
)


@pytest.fixture(scope="module")
def simple() -> Any:
    """A network: filter 0 responds to red, filter 1 to missing blue, and 2 to an upright edge.

    No filter responds at first: each bias is far below 0, behind a ReLU.
    """
    import keras

    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1, 0, 0] = 1
    kernel[1, 1, 2, 1] = -1
    kernel[:, 0, :, 2], kernel[:, 2, :, 2] = -1, 1
    pixels = keras.Input((8, 8, 3), name="pixels")
    found = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(pixels)
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(found)))
    model.get_layer("conv").set_weights([kernel, np.full(3, -1000, np.float32)])
    return model


def test_the_picture_of_a_filter_has_what_excites_it_and_nothing_else(simple):
    found = ascend(cut_network(simple, "conv"), [0, 1], side_px=12, steps=40, seed=0)
    red, no_blue = found.pictures
    assert (red[..., 0] > 250).all()
    assert (no_blue[..., 2] < 5).all()
    assert 110 < red[..., 1:].min() < red[..., 1:].max() < 146  # as the random picture has it
    assert (found.reached > found.start + 20).all()
    np.testing.assert_allclose(found.reached, [0.2 * (255 - 1000), 0.2 * -1000], atol=1)


def test_the_picture_of_an_edge_filter_has_edges_in_both_directions(simple):
    import keras

    seeing = keras.models.clone_model(simple)
    kernel, bias = simple.get_layer("conv").get_weights()
    seeing.get_layer("conv").set_weights([kernel, 0 * bias])
    found = ascend(cut_network(seeing, "conv"), [2], side_px=12, steps=20, seed=0)
    across = found.pictures[0].mean(axis=(0, 2))
    assert np.abs(np.diff(across)).max() > 50
    assert found.reached[0] > found.start[0] + 100


def test_a_filter_s_picture_does_not_depend_on_which_others_are_drawn(simple, monkeypatch):
    monkeypatch.setattr("train.filters._ascent._FILTERS_AT_ONCE", 2)
    network = cut_network(simple, "conv")
    together = ascend(network, [0, 1, 2], side_px=8, steps=6, seed=3)
    alone = ascend(network, [2], side_px=8, steps=6, seed=3)
    np.testing.assert_allclose(together.pictures[2], alone.pictures[0], atol=0.5)
    again = ascend(network, [2], side_px=8, steps=6, seed=4)
    assert np.abs(again.pictures - alone.pictures).max() > 1


@pytest.mark.parametrize(("network", "layer"), [("vgg16", "block2_conv1"), ("cnn_grey", "conv3")])
def test_a_cut_network_returns_the_same_values_as_the_whole_one_and_negative_ones_too(
    network, layer
):
    import keras

    model = NETWORKS[network].build((40, 40, 3), 2)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 40, 40, 3)).astype(np.float32)
    whole = keras.Model(model.input, model.get_layer(layer).output)(pixels, training=False)
    answers = cut_network(model, layer)(pixels, training=False)
    assert np.min(answers) < 0
    np.testing.assert_allclose(np.maximum(answers, 0), whole, atol=1e-5)
    larger = cut_network(model, layer)(np.zeros((1, 64, 48, 3), np.float32), training=False)
    assert larger.shape[1] > larger.shape[2] > whole.shape[2]


def test_by_default_the_last_convolutions_before_poolings_and_the_last_one_are_drawn():
    vgg16, cnn = NETWORKS["vgg16"].build((32, 32, 3), 2), NETWORKS["cnn"].build((32, 32, 3), 2)
    assert default_layers(cnn) == ["conv2", "conv3"]
    ends = (2, 2, 3, 3, 3)
    assert default_layers(vgg16) == [f"block{i}_conv{end}" for i, end in enumerate(ends, 1)]
    assert convolutions(vgg16) == {name: channels for name, (_, channels) in CONVOLUTIONS.items()}


def test_a_fixed_layer_that_makes_pixels_grey_has_no_filters_to_draw():
    assert list(convolutions(NETWORKS["cnn_grey"].build((32, 32, 3), 2))) == [
        *("conv1", "conv2", "conv3")
    ]


def test_pictures_are_shown_with_one_contrast_about_mid_grey():
    rng = np.random.default_rng(0)
    faint = rng.normal(90, 0.5, (1, 32, 32, 3)).astype(np.float32)
    strong = rng.normal(160, 30, (1, 32, 32, 3)).astype(np.float32)
    shown = as_pictures(np.concatenate([faint, strong])).astype(float)
    np.testing.assert_allclose(shown.mean(axis=(1, 2, 3)), 128, atol=1.5)
    np.testing.assert_allclose(shown.std(axis=(1, 2, 3)), 48, atol=1.5)


def test_with_imagenet_s_statistics_the_first_layer_sees_what_keras_shows_it():
    import keras

    rng = np.random.default_rng(0)
    weights = {
        name: (
            rng.normal(0, 0.05, (3, 3, *channels)).astype(np.float32),
            rng.normal(0, 1, channels[1]).astype(np.float32),
        )
        for name, channels in CONVOLUTIONS.items()
    }
    model = NETWORKS["vgg16"].build((32, 32, 3), 2)
    load_into(model, weights)
    set_imagenet_statistics(model)
    pixels = rng.uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    kernel, bias = weights["block1_conv1"]
    seen = keras.applications.vgg16.preprocess_input(pixels.copy())
    expected = keras.ops.conv(seen, kernel, padding="same") + bias
    found = cut_network(model, "block1_conv1")(pixels, training=False)
    np.testing.assert_allclose(found, keras.ops.leaky_relu(expected, 0.2), atol=0.05)


# --- The command --------------------------------------------------------------------------------

QUICK = ["--filters", "3", "--image_size", "56", "--steps", "4"]


@pytest.mark.parametrize("preprocessing", ["jpg", "tif"])
def test_filters_of_an_artifact_are_drawn_and_more_excited_than_at_the_start(
    tmp_path, preprocessing
):
    make_artifact(tmp_path / "model", network="cnn", **_of(preprocessing))
    flags = ["--artifact", str(tmp_path / "model"), "--output", str(tmp_path / "out")]
    assert main(["filters", *flags, *QUICK]) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert {picture["file"] for picture in summary["pictures"]} == {
        *("filters_conv2.png", "filters_conv3.png")
    }
    for picture in summary["pictures"]:
        assert Image.open(tmp_path / "out" / picture["file"]).width > 3 * 56
    with (tmp_path / "out/filters.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    drawn = {
        layer: [int(row["filter"]) for row in rows if row["layer"] == layer]
        for layer in ("conv2", "conv3")
    }
    assert summary["layers"] == drawn
    assert all(len(set(numbers)) == 3 for numbers in drawn.values())
    assert all(float(row["reached"]) > float(row["start"]) for row in rows)


def _of(media_type: str) -> dict[str, Any]:
    return {"preprocessing": TIF} if media_type == "tif" else {}


def test_a_network_with_pretrained_weights_is_drawn_without_an_artifact(tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        name: (
            rng.normal(0, np.sqrt(2 / (9 * channels[0])), (3, 3, *channels)).astype(np.float32),
            np.zeros(channels[1], np.float32),
        )
        for name, channels in CONVOLUTIONS.items()
    }
    write_weights_file(tmp_path / "weights.h5", weights)
    flags = ["--network", "vgg16", "--weights", str(tmp_path / "weights.h5")]
    flags += ["--layers", "block1_conv2", "--output", str(tmp_path / "out")]
    assert main(["filters", *flags, *QUICK]) == 0
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["filters_block1_conv2.png"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    make_artifact(folder / "cnn", network="cnn")
    make_artifact(folder / "mean_colour")
    return folder


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--artifact and --network"),
        (["--artifact", "cnn", "--network", "vgg16"], "--artifact and --network"),
        (["--artifact", "cnn", "--weights", "imagenet"], "has its own"),
        (["--artifact", "cnn", "--layers", "conv9"], "conv1, conv2, conv3"),
        (["--artifact", "cnn", "--image_size", "50"], "conv3 sees nothing of 25 pixels"),
        (["--artifact", "mean_colour"], "no convolutions"),
        (["--artifact", "nowhere"], "nowhere"),
        (["--network", "cnn"], "vgg16"),
        (["--network", "vgg16", "--weights", "none"], "--artifact"),
        (["--network", "vgg16", "--weights", "nowhere.h5"], "nowhere.h5"),
    ],
)
def test_a_usage_error_ends_with_2_and_one_line(artifacts, capsys, monkeypatch, flags, said):
    monkeypatch.chdir(artifacts)
    assert main(["filters", *flags, "--output", "out"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (artifacts / "out").exists()
