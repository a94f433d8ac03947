"""Figures agree with their definitions, and what is not defined is null."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas.labels import LabelSet
from train.evaluate import format_figures, measure, predict_scores

LABELS = LabelSet(("a", "b", "c"))


@given(
    arrays.arrays(np.float32, (7, 3), elements=st.floats(0, 1, width=32)),
    arrays.arrays(np.uint8, (7, 3), elements=st.integers(0, 1)),
)
def test_figures_agree_with_counting_by_hand(scores, truth):
    figures = measure(scores, truth, LABELS, (0.25, 0.5, 0.75))
    json.dumps(figures, allow_nan=False)
    chosen = scores >= [0.25, 0.5, 0.75]
    hits = (chosen & (truth == 1)).sum(axis=0)
    for i, name in enumerate(LABELS.names):
        row = figures["labels"][name]
        found, there = int(chosen[:, i].sum()), int(truth[:, i].sum())
        assert row["positives"] == there
        expected = {
            "precision": hits[i] / found if found else None,
            "recall": hits[i] / there if there else None,
            "f1": 2 * hits[i] / (found + there) if there else None,
        }
        assert row["at_threshold"] == pytest.approx(expected)
        assert (row["average_precision"] is None) == (there == 0)
    known = [r["at_threshold"]["f1"] for r in figures["labels"].values() if r["positives"]]
    overall = figures["at_threshold"]
    assert overall["macro_f1"] == (pytest.approx(np.mean(known)) if known else None)
    total = int(chosen.sum() + truth.sum())
    assert overall["micro_f1"] == (pytest.approx(2 * hits.sum() / total) if total else None)


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
    assert figures["at_half"] == {"macro_f1": 1.0, "micro_f1": 1.0}


def test_the_table_shows_each_label_and_a_dash_for_what_is_not_defined():
    truth = np.array([[1, 0, 0], [0, 0, 1]], np.uint8)
    scores = np.array([[0.9, 0.1, 0.2], [0.2, 0.1, 0.3]], np.float32)
    lines = format_figures(measure(scores, truth, LABELS, (0.5, 0.5, 0.5))).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["a", "b", "c"]
    assert lines[2].split()[2:] == ["0.5000", *["1.000"] * 6, "1.000"]
    assert lines[3].split()[3:] == ["-"] * 7
    assert lines[5].startswith("2 chips: mAP 1.000; macro F1 0.500")


def test_scores_come_in_the_order_of_the_chips_whatever_the_batches():
    from train.networks import build_mean_colour

    model = build_mean_colour((4, 4, 3), 2)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    scores = predict_scores(model, pixels)
    weights, bias = model.get_layer("scores").get_weights()
    logits = (pixels / 255).mean(axis=(1, 2)) @ weights + bias
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert scores.dtype == np.float32
