"""Test-time views are part of the model, so the scoring job need not know about them."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from pipelines.scoring.classifier import Classifier
from schemas.artifact_files import MODEL_FILE, read_artifact
from schemas.networks import keras_file
from tests.support.drawn_chips import draw_labelled_jpgs, write_labels
from train.__main__ import main
from train.artifact.export import save_model
from train.judging.measuring import predict_scores
from train.networks.registry import NETWORKS
from train.networks.views import with_views

SIDE = 32
PIXELS = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
GROUPS = {
    1: [lambda p: p],
    2: [lambda p: p, lambda p: p[:, :, ::-1]],
    4: [lambda p: p, lambda p: p[:, :, ::-1], lambda p: p[:, ::-1], lambda p: p[:, ::-1, ::-1]],
    8: [
        lambda p, turns=turns, mirrored=mirrored: np.rot90(
            p[:, :, ::-1] if mirrored else p, turns, axes=(1, 2)
        )
        for turns in range(4)
        for mirrored in (False, True)
    ],
}
"""The views of pixels `[n, S, S, bands]`, made by numpy."""


@pytest.fixture(scope="module")
def cnn():
    import keras

    keras.utils.set_random_seed(0)
    model = NETWORKS["cnn"].build((SIDE, SIDE, 3), 5)
    kernel, bias = model.get_layer("scores").get_weights()
    model.get_layer("scores").set_weights([kernel * 20, bias])  # or all views would be near 0.5
    return model


@pytest.mark.parametrize("views", GROUPS)
def test_scores_are_those_of_the_mean_logits_over_the_views_of_a_chip(cnn, views):
    of_views = [predict_scores(cnn, np.ascontiguousarray(view(PIXELS))) for view in GROUPS[views]]
    logits = np.mean([np.log(scores / (1 - scores)) for scores in of_views], axis=0)
    scores = predict_scores(with_views(cnn, views), PIXELS)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-5)
    if views > 1:
        assert (
            np.ptp(of_views, axis=0).min() > 1e-3
        )  # the views differ, or the test would prove nothing


@pytest.mark.parametrize("views", GROUPS)
def test_a_chip_and_its_views_have_the_same_scores(cnn, views):
    model = with_views(cnn, views)
    expected = predict_scores(model, PIXELS)
    for view in GROUPS[views]:
        scores = predict_scores(model, np.ascontiguousarray(view(PIXELS)))
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_one_view_is_the_plain_model(cnn):
    assert with_views(cnn, 1) is cnn


def test_views_share_the_weights_of_the_model_and_add_none_that_learn(cnn):
    model = with_views(cnn, 8)
    assert model.count_params() == cnn.count_params() + 2 * SIDE * SIDE
    assert len(model.trainable_weights) == len(cnn.trainable_weights)


@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
def test_a_saved_model_with_views_needs_no_code_of_this_project(cnn, tmp_path, file):
    import keras

    model = with_views(cnn, 8)
    save_model(tmp_path, model)
    loaded = keras.models.load_model(tmp_path / file, compile=False, safe_mode=True)
    np.testing.assert_array_equal(predict_scores(loaded, PIXELS), predict_scores(model, PIXELS))


def test_a_saved_model_with_views_has_only_keras_layers_and_the_same_inputs_and_outputs(
    cnn, tmp_path
):
    with_views(cnn, 8).save(tmp_path / MODEL_FILE)
    model_file = keras_file.read_model(tmp_path / MODEL_FILE)
    model_file.check()
    architecture = model_file.architecture
    assert keras_file.ends_of(architecture) == ([[SIDE, SIDE, 3]], 5)
    with zipfile.ZipFile(tmp_path / MODEL_FILE) as archive:
        config = json.loads(archive.read("config.json"))
    modules = {layer["module"] for layer in config["config"]["layers"]}
    assert modules == {"keras.layers"}


def test_the_same_model_with_views_has_the_same_architecture_however_many_were_built(cnn, tmp_path):
    architectures = []
    for _ in range(2):
        with_views(cnn, 4).save(tmp_path / MODEL_FILE)
        architectures.append(keras_file.read_model(tmp_path / MODEL_FILE).architecture)
    assert architectures[0] == architectures[1]


def test_an_artifact_with_views_is_trained_recorded_and_scored_as_it_is(tmp_path):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 6))
    flags = ["--chips", str(tmp_path / "chips"), "--labels", str(tmp_path / "labels.csv")]
    flags += ["--network", "mean_colour", "--image_size", "8", "--epochs", "1"]
    for views in ("1", "8"):
        folder = str(tmp_path / views)
        assert main([*flags, "--artifact", folder, "--test_time_views", views]) == 0
    plain, turned = (read_artifact(tmp_path / views) for views in ("1", "8"))
    assert turned.training["options"]["test_time_views"] == 8
    assert turned.model_digest != plain.model_digest
    pixels = PIXELS[:, :8, :8]
    scores = [
        Classifier(tmp_path / views, artifact, "float32").score(pixels)
        for views, artifact in (("1", plain), ("8", turned))
    ]
    np.testing.assert_allclose(*scores, atol=1e-6)  # a mean colour is the same from every side


def test_views_of_scores_that_exclude_each_other_still_sum_to_1():
    model = with_views(NETWORKS["cnn_sky"].build((SIDE, SIDE, 3), 4), 4)
    np.testing.assert_allclose(predict_scores(model, PIXELS).sum(axis=1), 1, atol=1e-6)


def test_a_model_with_views_is_calibrated_like_any_other(cnn):
    from train.judging.calibration import fold_temperatures, logits_of

    model = with_views(cnn, 2)
    before = [weights.copy() for weights in cnn.get_layer("scores").get_weights()]
    with logits_of(model):
        logits = predict_scores(model, PIXELS)
    fold_temperatures(model, np.full(5, 2.0))
    scores = predict_scores(model, PIXELS)
    cnn.get_layer("scores").set_weights(before)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits / 2)), atol=1e-6)


def test_three_views_are_refused_since_they_are_not_a_group(tmp_path, capsys):
    flags = ["--chips", "c", "--labels", "l", "--artifact", str(tmp_path / "m")]
    assert main([*flags, "--test_time_views", "3"]) == 2
    assert "choose from 1, 2, 4, 8" in capsys.readouterr().err.replace("'", "")
