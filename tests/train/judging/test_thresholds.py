"""Thresholds maximise F-beta exactly, or are shrunk if there are few positives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from train.judging.thresholds import (
    OWN_POSITIVES,
    THRESHOLD_METHODS,
    ThresholdOptions,
    best_threshold,
    choose_thresholds,
    cross_fit_threshold,
    cross_fitted_thresholds,
    prior_threshold,
    shrunk_thresholds,
)

SCORES = st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
CHIPS = st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=30).filter(
    lambda chips: any(held for _, held in chips)
)
BETAS = st.sampled_from([0.5, 1.0, 2.0]) | st.floats(0.1, 10)
MANY = st.integers(1, 20).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float32, (n, 3), elements=st.floats(0, 1, width=32)),
        arrays.arrays(np.uint8, (n, 3), elements=st.integers(0, 1)),
    )
)
NAMES = ("a", "b", "c")


def f_beta(threshold: float, scores: np.ndarray, truth: np.ndarray, beta: float = 1.0) -> float:
    chosen = scores.astype(np.float64) >= threshold
    hits = int((chosen & (truth == 1)).sum())
    return (1 + beta**2) * hits / (beta**2 * int(truth.sum()) + int(chosen.sum()))


def every_cut(scores: np.ndarray) -> list[float]:
    distinct = np.unique(scores.astype(np.float64))
    return [0.0, 1.0, *distinct, *np.nextafter(distinct, 2)]


def split(chips: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([s for s, _ in chips], np.float32), np.array([h for _, h in chips], np.uint8)


# --- The exact maximiser ------------------------------------------------------------------------


@given(CHIPS, BETAS)
def test_no_threshold_at_all_has_a_higher_f_beta(chips, beta):
    scores, truth = split(chips)
    threshold = best_threshold(scores, truth, beta)
    assert 0 <= threshold <= 1
    best = max(f_beta(cut, scores, truth, beta) for cut in every_cut(scores))
    assert f_beta(threshold, scores, truth, beta) == pytest.approx(best, rel=1e-12)


@given(CHIPS)
def test_the_threshold_is_midway_between_neighbouring_scores(chips):
    scores, truth = split(chips)
    threshold = best_threshold(scores, truth)
    values = scores.astype(np.float64)
    above = values[values >= threshold].min()
    below = values[values < threshold].max(initial=0.0)
    assert threshold == pytest.approx((above + below) / 2, abs=1e-12)


@given(CHIPS, st.randoms())
def test_the_order_of_the_chips_does_not_matter(chips, random):
    first, second = (best_threshold(*split(c)) for c in (chips, random.sample(chips, len(chips))))
    assert first == second


@given(CHIPS)
def test_more_weight_on_recall_never_raises_the_threshold(chips):
    scores, truth = split(chips)
    recalls = [
        (truth[scores.astype(np.float64) >= best_threshold(scores, truth, beta)]).sum()
        for beta in (0.5, 1.0, 2.0)
    ]
    assert recalls == sorted(recalls)


def test_of_equal_cuts_the_widest_gap_wins():
    scores = np.array([0.1, 0.2, 0.3, 0.8, 0.9])  # cutting under 0.9, 0.8 or 0.3: 2/3, 1, 2/3
    assert best_threshold(scores, np.array([0, 0, 0, 1, 1])) == pytest.approx(0.55)
    scores = np.array([0.1, 0.4, 0.5, 0.6])  # under 0.6 and under 0.1 both 2/3
    assert best_threshold(scores, np.array([1, 0, 0, 1])) == pytest.approx(0.05)


def test_neighbouring_float32_scores_are_separated():
    low = np.float32(0.3)
    scores = np.array([low, np.nextafter(low, np.float32(1))], np.float32)
    threshold = best_threshold(scores, np.array([0, 1]))
    assert float(scores[0]) < threshold < float(scores[1])


def test_a_label_that_every_chip_has_gets_a_threshold_under_every_score():
    assert best_threshold(np.array([0.4, 0.9]), np.array([1, 1])) == pytest.approx(0.2)
    assert best_threshold(np.array([0.0, 0.9]), np.array([1, 1])) == 0.0


def test_a_hundred_thousand_scores_take_little_time():
    generator = np.random.default_rng(0)
    scores = generator.random(100_000).astype(np.float32)
    threshold = best_threshold(scores, (scores > 0.7).astype(np.uint8))
    assert threshold == pytest.approx(0.7, abs=1e-4)


# --- Cross-fitting ------------------------------------------------------------------------------


@given(CHIPS)
@settings(max_examples=20)
def test_a_cross_fitted_threshold_is_within_the_range_of_the_scores(chips):
    scores, truth = split(chips)
    threshold = cross_fit_threshold(scores, truth)
    assert 0 <= threshold <= scores.max()
    assert threshold == cross_fit_threshold(scores, truth)


def test_one_odd_chip_moves_a_cross_fitted_threshold_less():
    truth = np.array([0] * 20 + [1] * 20)
    scores = np.array([*np.linspace(0.0, 0.4, 20), *np.linspace(0.6, 1.0, 20)])
    odd = np.append(scores, 0.05), np.append(truth, 1)
    assert best_threshold(scores, truth) == pytest.approx(0.5)
    assert cross_fit_threshold(*odd) == pytest.approx(0.5, abs=0.03)


def test_each_chip_is_cross_fitted_with_thresholds_that_it_had_no_part_in():
    scores = np.array([[0.1], [0.2], [0.3], [0.8], [0.9]])
    truth = np.array([[0], [0], [0], [1], [1]])
    options = ThresholdOptions("best")
    fitted = cross_fitted_thresholds(scores, truth, ["a"], options)
    for i in range(5):  # five folds of five chips: each is left out alone
        others = np.arange(5) != i
        expected = choose_thresholds(scores[others], truth[others], ["a"], options)[0]
        assert fitted[i].tolist() == list(expected)


# --- Shrinkage ----------------------------------------------------------------------------------


@given(MANY, BETAS)
def test_a_shrunk_threshold_is_between_its_own_and_the_common_one(chips, beta):
    scores, truth = chips
    shrunk = np.array(shrunk_thresholds(scores, truth, beta))
    assert ((shrunk > 0) & (shrunk < 1)).all()
    blind = truth.sum(axis=0) == 0
    if not truth.any():
        assert shrunk == pytest.approx(prior_threshold(beta))
        return
    pooled = best_threshold(scores.ravel(), truth.ravel(), beta)
    ends = sorted([np.clip(pooled, 1e-7, 1 - 1e-7), prior_threshold(beta)])
    assert ((shrunk[blind] >= ends[0] - 1e-9) & (shrunk[blind] <= ends[1] + 1e-9)).all()
    for i in np.flatnonzero(~blind):
        own = np.clip(best_threshold(scores[:, i], truth[:, i], beta), 1e-7, 1 - 1e-7)
        low, high = min(own, *ends), max(own, *ends)
        assert low - 1e-9 <= shrunk[i] <= high + 1e-9


def test_one_lucky_positive_hardly_moves_a_threshold_and_hundreds_do():
    generator = np.random.default_rng(0)
    truth = np.zeros((2000, 2), np.uint8)
    truth[:1000, 0] = 1
    truth[0, 1] = 1
    scores = np.where(truth == 1, 0.9, 0.05) * generator.uniform(0.9, 1, truth.shape)
    scores[0, 1] = 0.001
    scores[1:, 1] = 0.0005
    many, one = shrunk_thresholds(scores, truth)
    own = best_threshold(scores[:, 0], truth[:, 0])
    assert many == pytest.approx(own, abs=0.01)
    assert best_threshold(scores[:, 1], truth[:, 1]) < 0.001
    assert one > 0.2


def test_with_own_positives_a_threshold_is_midway_in_logits():
    truth = np.zeros((50_000, 2), np.uint8)
    truth[:25_000, 0] = 1
    truth[:OWN_POSITIVES, 1] = 1
    scores = np.where(truth == 1, (0.9, 0.2), (0.1, 0.0))
    own = best_threshold(scores[:, 1], truth[:, 1])
    common = best_threshold(scores.ravel(), truth.ravel())
    _, middle = shrunk_thresholds(scores, truth)
    logits = np.log(np.array([own, common, middle]) / (1 - np.array([own, common, middle])))
    assert logits[2] == pytest.approx(logits[:2].mean(), abs=0.01)


# --- The choice ---------------------------------------------------------------------------------


@given(MANY, st.sampled_from(THRESHOLD_METHODS), BETAS)
def test_every_method_returns_a_threshold_per_label_and_names_the_unproven_ones(
    chips, method, beta
):
    scores, truth = chips
    options = ThresholdOptions(method, beta)
    thresholds, unproven = choose_thresholds(scores, truth, NAMES, options)
    assert len(thresholds) == 3
    assert all(0 <= t <= 1 for t in thresholds)
    expected = [name for name, held in zip(NAMES, truth.T, strict=True) if not held.any()]
    assert list(unproven) == expected
    assert choose_thresholds(scores, truth, NAMES, options) == (thresholds, unproven)


@pytest.mark.parametrize(("beta", "expected"), [(1.0, 0.5), (2.0, 0.2)])
@pytest.mark.parametrize("method", ["best", "cross_fit"])
def test_a_label_without_positives_gets_the_prior_threshold(method, beta, expected):
    scores = np.array([[0.9, 0.2], [0.1, 0.8]])
    options = ThresholdOptions(method, beta)
    thresholds, unproven = choose_thresholds(scores, np.array([[1, 0], [0, 0]]), "ab", options)
    assert thresholds == (0.5, pytest.approx(expected))
    assert unproven == ("b",)


@pytest.mark.parametrize("method", THRESHOLD_METHODS)
@pytest.mark.parametrize("scores", [[np.nan, 0.5], [np.inf, 0.5], [-0.1, 0.5], [1.1, 0.5]])
def test_scores_that_are_not_probabilities_are_refused(method, scores):
    with pytest.raises(ValueError, match="finite numbers"):
        choose_thresholds(
            np.array([scores]).T, np.zeros((2, 1), np.uint8), "a", ThresholdOptions(method)
        )
