"""Thresholds maximise F1 exactly, and say where nothing proves them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.thresholds import UNPROVEN_THRESHOLD, best_threshold, best_thresholds

SCORES = st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
CHIPS = st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=30).filter(
    lambda chips: any(held for _, held in chips)
)


def f1(threshold: float, scores: np.ndarray, truth: np.ndarray) -> float:
    chosen = scores.astype(np.float64) >= threshold
    return 2 * int((chosen & (truth == 1)).sum()) / (int(chosen.sum()) + int(truth.sum()))


def every_cut(scores: np.ndarray) -> list[float]:
    distinct = np.unique(scores.astype(np.float64))
    return [0.0, 1.0, *distinct, *np.nextafter(distinct, 2)]


@given(CHIPS)
def test_no_threshold_at_all_has_a_higher_f1(chips):
    scores = np.array([score for score, _ in chips], np.float32)
    truth = np.array([held for _, held in chips], np.uint8)
    threshold = best_threshold(scores, truth)
    assert 0 <= threshold <= 1
    best = max(f1(cut, scores, truth) for cut in every_cut(scores))
    assert f1(threshold, scores, truth) == best


@given(CHIPS)
def test_the_threshold_lies_midway_between_neighbouring_scores(chips):
    scores = np.array([score for score, _ in chips], np.float32)
    threshold = best_threshold(scores, np.array([held for _, held in chips], np.uint8))
    values = scores.astype(np.float64)
    above = values[values >= threshold].min()
    below = values[values < threshold].max(initial=0.0)
    assert threshold == pytest.approx((above + below) / 2, abs=1e-12)


@given(CHIPS, st.randoms())
def test_the_order_of_the_chips_does_not_matter(chips, random):
    shuffled = random.sample(chips, len(chips))
    first, second = (
        best_threshold(np.array([s for s, _ in c], np.float32), np.array([h for _, h in c]))
        for c in (chips, shuffled)
    )
    assert first == second


def test_of_equal_cuts_the_widest_gap_wins():
    scores = np.array([0.1, 0.2, 0.3, 0.8, 0.9])  # cutting under 0.9, 0.8 or 0.3: 2/3, 1, 2/3
    assert best_threshold(scores, np.array([0, 0, 0, 1, 1])) == pytest.approx(0.55)
    scores = np.array([0.1, 0.4, 0.5, 0.6])  # under 0.6 and under 0.1 both 2/3
    assert best_threshold(scores, np.array([1, 0, 0, 1])) == pytest.approx(0.05)


def test_neighbouring_float32_scores_are_told_apart():
    low = np.float32(0.3)
    scores = np.array([low, np.nextafter(low, np.float32(1))], np.float32)
    threshold = best_threshold(scores, np.array([0, 1]))
    assert float(scores[0]) < threshold < float(scores[1])


def test_a_label_that_always_holds_gets_a_threshold_under_every_score():
    assert best_threshold(np.array([0.4, 0.9]), np.array([1, 1])) == pytest.approx(0.2)
    assert best_threshold(np.array([0.0, 0.9]), np.array([1, 1])) == 0.0


def test_a_label_without_positives_gets_a_half_and_is_named():
    scores = np.array([[0.9, 0.2], [0.1, 0.8]])
    thresholds, unproven = best_thresholds(scores, np.array([[1, 0], [0, 0]]), ["seen", "unseen"])
    assert thresholds == (0.5, UNPROVEN_THRESHOLD)
    assert unproven == ("unseen",)


@pytest.mark.parametrize("scores", [[np.nan, 0.5], [np.inf, 0.5], [-0.1, 0.5], [1.1, 0.5]])
def test_scores_that_are_no_probabilities_are_refused(scores):
    with pytest.raises(ValueError, match="finite numbers"):
        best_threshold(np.array(scores), np.array([1, 0]))


def test_a_hundred_thousand_scores_take_no_time():
    generator = np.random.default_rng(0)
    scores = generator.random(100_000).astype(np.float32)
    threshold = best_threshold(scores, (scores > 0.7).astype(np.uint8))
    assert threshold == pytest.approx(0.7, abs=1e-4)
