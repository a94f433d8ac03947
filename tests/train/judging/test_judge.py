"""From a fitted network to the fields of its artifact."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.decisions import choose_labels
from schemas.labels import LabelSet
from train.data.examples import Examples
from train.judging.judge import JudgingOptions, judge
from train.judging.measuring import measure_overall, predict_scores
from train.judging.thresholds import ThresholdOptions, choose_thresholds, cross_fitted_thresholds
from train.networks.registry import build_mean_colour

LABELS = LabelSet(("red", "dark", "bright"), sky=("dark", "bright"))


def draw_part(chips: int, seed: int) -> Examples:
    """Chips of one colour each, and labels that mostly follow it."""
    generator = np.random.default_rng(seed)
    colours = generator.integers(0, 256, (chips, 3))
    pixels = np.broadcast_to(colours[:, None, None], (chips, 4, 4, 3)).astype(np.uint8)
    noisy = colours + generator.normal(0, 60, colours.shape)
    bright = noisy.mean(axis=1) > 127
    truth = np.stack([noisy[:, 0] > 170, ~bright, bright], axis=1).astype(np.uint8)
    return Examples(tuple(map(str, range(chips))), pixels, truth)


@pytest.fixture
def parts() -> dict[str, Examples]:
    return {"train": draw_part(5, 0), "validation": draw_part(200, 1), "test": draw_part(150, 2)}


@pytest.fixture
def model():
    """A model that is right, but overconfident."""
    built = build_mean_colour((4, 4, 3), 3)
    kernel = np.array([[40.0, -20, 20], [0, -20, 20], [0, -20, 20]])
    built.get_layer("scores").set_weights([kernel, np.array([-27.0, 30, -30])])
    return built


def test_thresholds_come_from_validation_and_figures_from_validation_and_test(model, parts):
    options = JudgingOptions("best", beta=2.0)
    description, temperatures = judge(model, parts, LABELS, options)
    scores = predict_scores(model, parts["validation"].pixels)
    truth = parts["validation"].truth
    expected, _ = choose_thresholds(scores, truth, LABELS.names, options)
    assert description["thresholds"] == expected
    assert temperatures == {}
    assert list(description["figures"]) == ["validation", "test"]
    assert description["figures"]["test"]["chips"] == 150
    fitted = cross_fitted_thresholds(scores, truth, LABELS.names, options)
    chosen = choose_labels(scores, fitted, LABELS)
    cross_fitted = description["figures"]["validation"]["cross_fitted"]
    assert cross_fitted == measure_overall(truth, chosen)


def test_scores_of_a_calibrated_model_match_frequencies_and_figures_from_before_are_kept(
    model, parts
):
    description, temperatures = judge(model, parts, LABELS, JudgingOptions(calibrate=True))
    assert all(temperature > 1.5 for temperature in temperatures.values())
    for figures in description["figures"].values():
        before, after = figures["before_calibration"], figures["calibration"]
        assert after["expected_error"] < before["expected_error"]
        assert after["log_loss"] < before["log_loss"]
    scores = predict_scores(model, parts["validation"].pixels)
    again, _ = choose_thresholds(
        scores, parts["validation"].truth, LABELS.names, ThresholdOptions()
    )
    assert description["thresholds"] == again  # chosen after calibration, on the model's own scores


def test_figures_follow_the_sky_rule(model, parts, capsys):
    description, _ = judge(model, parts, LABELS, JudgingOptions(sky_rule="argmax"))
    figures = description["figures"]["test"]
    rows = [figures["labels"][name]["at_threshold"] for name in LABELS.sky]
    assert sum(row["predicted"] for row in rows) == figures["chips"]
    assert description["sky_rule"] == "argmax"
    assert "Test" in capsys.readouterr().out


def test_a_label_without_positives_is_named(model, parts, capsys):
    parts["validation"].truth[:, 0] = 0
    description, _ = judge(model, parts, LABELS, JudgingOptions())
    assert description["unproven_thresholds"] == ("red",)
    said = "Thresholds not proven, because validation has no positive chip: red"
    assert said in capsys.readouterr().out
