"""Differences of models are those of scikit-learn's figures under the same weights, and their
intervals contain the truth."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from train.judging import intervals
from train.judging.comparing import (
    Difference,
    Judged,
    compare_models,
    disagreements,
    order_by_disagreement,
)

LABELS = ("a", "b", "c")


def say(truth: np.ndarray, noise: float, seed: int) -> Judged:
    """Scores that are the better the less noise there is, cut at 0.5."""
    drawn = np.random.default_rng(seed).normal(0, noise, truth.shape)
    scores = (1 / (1 + np.exp(-(4.0 * truth - 2 + drawn)))).astype(np.float32)
    return Judged(scores, scores >= 0.5)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    shares = (0.5, 0.2, 0.02)
    return (np.random.default_rng(3).random((150, 3)) < shares).astype(np.uint8)


def test_a_difference_and_its_interval_are_those_of_scikit_learn_under_the_same_weights(truth):
    first, second = say(truth, 3, 1), say(truth, 2, 2)
    found = compare_models({"x": first, "y": second}, truth, LABELS)["y"]
    by_key = {(each.figure, each.label): each for each in found}
    weights = np.random.default_rng(intervals.SEED).standard_exponential((1000, 150), np.float32)

    def precision(judged, i, w=None):
        return average_precision_score(truth[:, i], judged.scores[:, i], sample_weight=w)

    def f1(judged, i, w=None):
        return f1_score(truth[:, i], judged.chosen[:, i], sample_weight=w)

    for figure, measure in (("AP", precision), ("F1", f1)):
        each = by_key[figure, "b"]
        assert each.values == pytest.approx((measure(first, 1), measure(second, 1)), abs=1e-6)
        assert each.difference == pytest.approx(each.values[1] - each.values[0])
        draws = [measure(second, 1, w) - measure(first, 1, w) for w in weights[:400]]
        half = (each.interval[1] - each.interval[0]) / 2
        assert half == pytest.approx(1.96 * np.std(draws), rel=0.12)
        assert sum(each.interval) / 2 == pytest.approx(each.difference)
    means = [np.mean([precision(judged, i) for i in range(3)]) for judged in (first, second)]
    assert by_key["mAP", None].values == pytest.approx(means, abs=1e-6)
    micro = [f1_score(truth, judged.chosen, average="micro") for judged in (first, second)]
    assert by_key["micro F1", None].values == pytest.approx(micro, abs=1e-6)


def test_pairing_makes_the_interval_of_two_alike_models_narrower_than_theirs(truth):
    first = say(truth, 3, 1)
    scores = np.where(np.arange(150)[:, None] % 25, first.scores, 1 - first.scores)
    second = Judged(scores, scores >= 0.5)
    mean = compare_models({"x": first, "y": second}, truth, LABELS)["y"][0]
    drawn = intervals.resample(first.scores, truth, {"at_threshold": first.chosen}, LABELS)[1]
    alone = 2 * 1.96 * drawn["mean_average_precision"].std()
    assert mean.interval[1] - mean.interval[0] < 0.8 * alone


def test_labels_with_few_positives_have_no_interval_and_those_without_no_difference(truth):
    few = truth.copy()
    few[:, 1] = np.arange(150) < 4
    few[:, 2] = 0
    found = compare_models({"x": say(few, 3, 1), "y": say(few, 3, 2)}, few, LABELS)["y"]
    by_key = {(each.figure, each.label): each for each in found}
    assert by_key["AP", "b"].difference is not None
    assert by_key["AP", "b"].interval is None
    assert by_key["F1", "c"].values == (None, None)
    assert by_key["F1", "c"].difference is None
    assert not by_key["F1", "c"].is_clear


def test_models_without_any_mistake_may_still_differ_on_other_chips(truth):
    perfect = Judged(truth.astype(np.float32), truth == 1)
    found = compare_models({"x": perfect, "y": perfect}, truth, LABELS)["y"]
    f1 = next(each for each in found if (each.figure, each.label) == ("F1", "b"))
    positives = int(truth[:, 1].sum())
    bound = 1.96**2 / (positives + 1.96**2)
    assert f1.difference == 0
    assert f1.interval == pytest.approx((-bound, bound), rel=1e-3)


def test_the_interval_contains_the_true_difference_nearly_as_often_as_it_says():
    def draw(chips: int, seed: int) -> tuple[np.ndarray, Judged, Judged]:
        held = (np.random.default_rng(seed).random((chips, 1)) < 0.3).astype(np.uint8)
        return held, say(held, 3, seed + 10_000), say(held, 2.5, seed + 20_000)

    held, *both = draw(200_000, 1)
    small, large = (average_precision_score(held, judged.scores) for judged in both)
    true_f1 = [f1_score(held, judged.chosen) for judged in both]
    true = {"AP": large - small, "F1": true_f1[1] - true_f1[0]}
    covered = {"AP": 0, "F1": 0}
    for seed in range(150):
        held, first, second = draw(200, seed)
        for each in compare_models({"x": first, "y": second}, held, ("a",))["y"]:
            if each.figure in covered:
                low, high = each.interval
                covered[each.figure] += low <= true[each.figure] <= high
    assert all(0.88 * 150 <= count <= 149 for count in covered.values()), covered


def test_chips_are_ordered_by_the_decisions_that_differ_then_by_their_scores():
    scores = np.array([[0.9, 0.9], [0.9, 0.1], [0.6, 0.2], [0.9, 0.9]], np.float32)
    others = np.array([[0.9, 0.9], [0.1, 0.1], [0.4, 0.2], [0.1, 0.2]], np.float32)
    judged = {
        name: Judged(s, s >= 0.5) for name, s in (("x", scores), ("y", others), ("z", others))
    }
    assert order_by_disagreement(judged) == [3, 1, 2]
    apart, spread = disagreements(judged)
    assert apart.tolist() == [[False, False], [True, False], [True, False], [True, True]]
    assert spread[3] == pytest.approx([0.8, 0.7])


def test_one_chip_with_more_labels_that_differ_is_before_one_with_scores_further_apart():
    scores = np.array([[0.51, 0.51, 0.5], [0.9, 0.9, 0.9]], np.float32)
    others = np.array([[0.49, 0.49, 0.5], [0.0, 0.5, 0.5]], np.float32)
    models = {"x": scores, "y": scores, "z": others}
    judged = {name: Judged(s, s >= 0.5) for name, s in models.items()}
    assert order_by_disagreement(judged) == [0, 1]


@pytest.mark.parametrize(
    ("interval", "clear"),
    [(None, False), ((0.0, 0.2), False), ((-0.2, 0.0), False), ((0.1, 0.2), True)],
)
def test_a_difference_is_clear_if_zero_is_outside_its_interval(interval, clear):
    assert Difference("mAP", None, 9, (0.5, 0.6), 0.1, interval).is_clear is clear
