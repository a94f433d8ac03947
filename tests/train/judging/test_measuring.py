"""Figures agree with their definitions, and undefined ones are null."""

from __future__ import annotations

import json
import logging
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score, fbeta_score

from schemas.labels import LabelSet
from train.judging import intervals
from train.judging.figure_table import format_figures
from train.judging.measuring import measure, measure_overall, predict_scores

LABELS = LabelSet(("a", "b", "c"))
MANY = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float32, (n, 3), elements=st.floats(0, 1, width=32)),
        arrays.arrays(np.uint8, (n, 3), elements=st.integers(0, 1)),
    )
)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 5)


@given(MANY)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_figures_agree_with_a_simple_count(chips):
    scores, truth = chips
    figures = measure(scores, truth, LABELS, (0.25, 0.5, 0.75))
    json.dumps(figures, allow_nan=False)
    chosen = scores >= [0.25, 0.5, 0.75]
    hits = (chosen & (truth == 1)).sum(axis=0)
    for i, name in enumerate(LABELS.names):
        row = figures["labels"][name]
        found, there = int(chosen[:, i].sum()), int(truth[:, i].sum())
        assert row["positives"] == there
        expected = {
            "predicted": found,
            "precision": hits[i] / found if found else None,
            "recall": hits[i] / there if there else None,
            "f1": 2 * hits[i] / (found + there) if there else None,
            "f2": 5 * hits[i] / (found + 4 * there) if there else None,
        }
        assert row["at_threshold"] == pytest.approx(expected)
        assert (row["average_precision"] is None) == (there == 0)


@given(MANY)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_figures_over_all_are_those_of_scikit_learn(chips):
    scores, truth = chips
    figures = measure(scores, truth, LABELS, (0.25, 0.5, 0.75))["at_threshold"]
    chosen, seen = scores >= [0.25, 0.5, 0.75], truth.any(axis=0)
    for beta in (1, 2):
        of = partial(fbeta_score, beta=beta, zero_division=np.nan)
        macro = of(truth[:, seen], chosen[:, seen], average="macro") if seen.sum() > 1 else None
        found = [figures[f"{average}_f{beta}"] for average in ("macro", "micro", "sample")]
        if macro is not None:
            assert found[0] == pytest.approx(macro)
        if (truth | chosen).any():
            assert found[1] == pytest.approx(of(truth, chosen, average="micro"))
            assert found[2] == pytest.approx(of(truth, chosen, average="samples"))
        else:
            assert found == [None, None, None]


@given(MANY)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_the_best_f1_of_a_label_is_that_of_its_best_threshold_and_no_decision_beats_it(chips):
    scores, truth = chips
    figures = measure(scores, truth, LABELS, (0.25, 0.5, 0.75))
    rows = figures["labels"].values()
    for row, column, held in zip(rows, scores.T, truth.T, strict=True):
        best = row["best"]
        if not held.any():
            assert best == {"threshold": None, "f1": None}
            continue
        chosen = column.astype(np.float64) >= best["threshold"]
        assert best["f1"] == pytest.approx(f1_score(held, chosen))
        assert best["f1"] >= max(row["at_threshold"]["f1"], row["at_half"]["f1"]) - 1e-12
    known = [row["best"]["f1"] for row in rows if row["positives"]]
    assert figures["mean_best_f1"] == (pytest.approx(np.mean(known)) if known else None)


def test_decisions_follow_the_sky_rule_and_those_at_a_half_never_do():
    labels = LabelSet(("clear", "cloudy", "road"), sky=("clear", "cloudy"))
    scores = np.array([[0.3, 0.2, 0.9], [0.6, 0.7, 0.1]], np.float32)
    truth = np.array([[1, 0, 1], [0, 1, 0]], np.uint8)
    figures = measure(scores, truth, labels, (0.5, 0.5, 0.5), "argmax")
    assert figures["at_threshold"]["micro_f1"] == 1.0
    assert figures["at_half"]["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert figures["labels"]["clear"]["at_threshold"]["predicted"] == 1


def test_a_sample_without_any_label_does_not_count_in_sample_f1():
    truth = np.array([[1, 0, 0], [0, 0, 0]], np.uint8)
    nothing = np.zeros((2, 3), bool)
    assert measure_overall(truth, truth == 1)["sample_f1"] == 1.0
    assert measure_overall(truth, nothing)["sample_f1"] == 0.0
    assert measure_overall(truth * 0, nothing)["sample_f1"] is None


def test_average_precision_is_one_for_a_perfect_order_and_map_leaves_out_labels_never_seen():
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], np.uint8)
    scores = np.array([[0.9, 0.9, 0.1], [0.8, 0.8, 0.1], [0.1, 0.1, 0.1]], np.float32)
    figures = measure(scores, truth, LABELS, (0.5, 0.5, 0.5))
    assert figures["labels"]["a"]["average_precision"] == 1
    assert figures["labels"]["b"]["average_precision"] == 0.5
    assert figures["labels"]["c"]["average_precision"] is None
    assert figures["mean_average_precision"] == 0.75


def test_a_single_label_is_measured_too():
    truth, scores = np.array([[1], [0]], np.uint8), np.array([[0.9], [0.1]], np.float32)
    figures = measure(scores, truth, LabelSet(("only",)), (0.5,))
    assert set(figures["at_half"].values()) == {1.0}


def test_the_table_shows_each_label_and_a_dash_for_what_is_not_defined():
    truth = np.array([[1, 0, 0], [0, 0, 1]], np.uint8)
    scores = np.array([[0.9, 0.1, 0.2], [0.2, 0.1, 0.3]], np.float32)
    lines = format_figures(measure(scores, truth, LABELS, (0.5, 0.5, 0.5))).splitlines()
    cells = [[cell for cell in line.split() if cell != "|"] for line in lines]
    assert [row[0] for row in cells[2:5]] == ["a", "b", "c"]
    f1_and_ends = ["1.000", "too", "few"]
    assert cells[2][1:] == ["1", "0.5000", "1", "1.000", "1.000", *f1_and_ends] + ["1.000"] * 5
    assert cells[3][3:] == ["0", *["-"] * 3, "too", "few", *["-"] * 5]
    assert lines[5] == "too few: no interval below 5 positives"
    assert lines[6].startswith("2 chips: mAP 1.000 (-), mean best F1 1.000")
    assert lines[7].startswith("  macro F1 (mean over labels): 0.500")


def test_scores_are_in_the_order_of_the_chips_whatever_the_batches():
    from train.networks.registry import build_mean_colour

    model = build_mean_colour((4, 4, 3), 2)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    scores = predict_scores(model, pixels)
    weights, bias = model.get_layer("scores").get_weights()
    logits = (pixels / 255).mean(axis=(1, 2)) @ weights + bias
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert scores.dtype == np.float32


def test_scoring_with_many_models_prints_no_warning_about_retracing(caplog):
    from train.networks.registry import build_mean_colour

    pixels = np.zeros((3, 4, 4, 3), np.uint8)
    models = [build_mean_colour((4, 4, 3), 2) for _ in range(8)]
    with caplog.at_level("WARNING", logger="tensorflow"):
        logging.getLogger("tensorflow").addHandler(caplog.handler)
        try:
            scores = [predict_scores(model, pixels) for model in models]
        finally:
            logging.getLogger("tensorflow").removeHandler(caplog.handler)
    assert [found.shape for found in scores] == [(3, 2)] * 8
    assert "retracing" not in caplog.text
