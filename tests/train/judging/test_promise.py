"""A threshold's promise of a precision on new chips is true in at least 95 of 100 choices."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import bdtrc, expit
from scipy.stats import binomtest

from schemas.decisions import choose_labels
from schemas.labels import LabelSet
from train.judging.measuring import measure
from train.judging.promise import (
    describe_promises,
    fewest_chips,
    find_promised_cut,
    keeps_promise,
    promise_lines,
    reported,
)
from train.judging.thresholds import ThresholdOptions, choose_thresholds, cross_fitted_thresholds

PRECISION = 0.9
SPLITS = 200
MOST_BROKEN = SPLITS // 20
GRID = np.linspace(0, 1, 100_001)

Chance = Callable[[np.ndarray], np.ndarray]
"""From scores, uniform in [0, 1], to the probability that a chip has the label."""

WORLDS: dict[str, Chance] = {
    "a good model": lambda scores: expit(24 * (scores - 0.5)),
    "just below the promise, however high the cut": lambda s: np.where(s > 0.3, 0.895, 0.02),
    "the highest scores are the worst": lambda s: np.select(
        [s > 0.97, s > 0.9, s > 0.85], [0.7, 0.98, 0.3], 0.02
    ),
    "the precision falls and rises again": lambda s: np.select(
        [s > 0.97, s > 0.92, s > 0.8, s > 0.6], [0.86, 0.97, 0.85, 0.95], 0.1
    ),
}


def true_precision(chance: Chance, threshold: float) -> float:
    """Of all chips that there could be, of those at or over a threshold."""
    return float(chance(GRID[threshold <= GRID]).mean())


def draw(chance: Chance, chips: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth of a validation part."""
    generator = np.random.default_rng(seed)
    scores = generator.random(chips)
    return scores, (generator.random(chips) < chance(scores)).astype(np.uint8)


def broken(choose: Callable[..., float | None], chance: Chance, chips: int) -> int:
    """In how many of 200 splits the chosen threshold has a lower precision than promised."""
    found = [choose(*draw(chance, chips, seed)) for seed in range(SPLITS)]
    return sum(t is not None and true_precision(chance, t) < PRECISION for t in found)


def promised(scores: np.ndarray, truth: np.ndarray) -> float | None:
    cut = find_promised_cut(scores, truth, PRECISION)
    return cut.threshold if cut else None


def lowest(scores: np.ndarray, truth: np.ndarray, good: Callable[..., np.ndarray]) -> float | None:
    """The lowest cut that is good by itself, of all."""
    order = np.argsort(-scores)
    cuts = np.flatnonzero(good(truth[order].cumsum(dtype=np.int64), np.arange(len(scores)) + 1))
    return float(scores[order][cuts[-1]]) if len(cuts) else None


def observed(scores: np.ndarray, truth: np.ndarray) -> float | None:
    """By the precision on the validation chips themselves."""
    return lowest(scores, truth, lambda correct, chosen: correct / chosen >= PRECISION)


def uncorrected(scores: np.ndarray, truth: np.ndarray) -> float | None:
    """By a test of each cut, as if it were the only one."""

    def good(correct: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return bdtrc(correct - 1, chosen, PRECISION) <= 0.05

    return lowest(scores, truth, good)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("chips", [300, 2000])
def test_the_promise_is_true_in_at_least_95_percent_of_200_splits(world, chips):
    assert broken(promised, WORLDS[world], chips) <= MOST_BROKEN


def test_without_a_correction_for_choosing_the_cut_it_is_not():
    worlds = list(WORLDS.values())
    assert broken(observed, worlds[0], 2000) > 5 * MOST_BROKEN
    assert broken(uncorrected, worlds[1], 2000) > 2 * MOST_BROKEN


def test_equal_scores_are_cut_together_and_the_promise_stays_true():
    def rounded(scores: np.ndarray, truth: np.ndarray) -> float | None:
        return promised(scores.round(1), truth)

    def chance(scores: np.ndarray) -> np.ndarray:
        return WORLDS["a good model"](scores.round(1))

    found = [rounded(*draw(chance, 1000, seed)) for seed in range(SPLITS)]
    cuts = {round(cut, 2) for cut in found if cut is not None}
    assert cuts <= {0.45, 0.55, 0.65, 0.75, 0.85}
    # Scores that are rounded to at least 0.6 are those from 0.55 on.
    precision = {cut: chance(GRID[cut < GRID]).mean() for cut in cuts}
    assert sum(cut is not None and precision[round(cut, 2)] < 0.9 for cut in found) <= MOST_BROKEN


def test_a_good_model_is_promised_at_a_cut_with_nearly_the_best_recall():
    chance = WORLDS["a good model"]
    tail = chance(GRID)[::-1].cumsum()[::-1] / np.arange(len(GRID), 0, -1)
    ideal = GRID[np.flatnonzero(tail >= PRECISION)[0]]
    recall = [chance(GRID[t <= GRID]).sum() for t in (ideal, promised(*draw(chance, 4000, 1)))]
    assert 0.93 < recall[1] / recall[0] < 1


def test_the_promise_holds_for_32_bit_scores_as_for_64_bit_ones():
    scores, truth = draw(WORLDS["a good model"], 1000, 3)
    both = [promised(values, truth) for values in (scores.astype(np.float32), scores)]
    assert both[0] == pytest.approx(both[1], abs=1e-6)


CHIPS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float32, n, elements=st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9, 1.0])),
        arrays.arrays(np.uint8, n, elements=st.integers(0, 1)),
    )
)


@settings(max_examples=60, deadline=None)
@given(chips=CHIPS, precision=st.sampled_from([0.2, 0.5, 0.8]))
def test_a_cut_is_what_testing_one_cut_after_the_other_finds(chips, precision):
    """The oracle: exact tests by scipy from each start on, a lower cut at a time."""
    scores, truth = chips
    starts = [fewest_chips(precision, len(scores))]
    while starts[-1] * 4 <= len(scores):
        starts.append(starts[-1] * 4)
    best = None
    for start in starts:
        cuts = sorted(set(scores.tolist()))  # ascending: each has fewer chips than the one before
        first = [cut for cut in cuts if (scores >= cut).sum() <= start]
        for cut in reversed(cuts[: cuts.index(first[0]) + 1] if first else []):
            over = truth[scores >= cut]
            test = binomtest(int(over.sum()), len(over), precision, alternative="greater")
            if test.pvalue > 0.05 / len(starts):
                break
            best = cut if best is None else min(best, cut)
    found = find_promised_cut(scores, truth, precision)
    assert (found is None) == (best is None)
    if found:
        assert set(scores[scores >= found.threshold]) == set(scores[scores >= np.float32(best)])
        assert found.chosen == (scores >= found.threshold).sum()
        assert found.correct == truth[scores >= found.threshold].sum()


def test_the_fewest_chips_are_all_correct_and_one_less_is_not_enough():
    assert [fewest_chips(p, 20) for p in (0.8, 0.9, 0.95)] == [14, 29, 59]  # 0.9 ** 29 < 0.05
    assert fewest_chips(0.9, 2000) == 39  # three starts
    for chips, kept in ((29, True), (28, False)):
        scores, truth = np.linspace(0.5, 1, chips), np.ones(chips, np.uint8)
        assert (find_promised_cut(scores, truth, 0.9) is not None) is kept


def test_one_wrong_chip_among_the_highest_scores_does_not_end_it():
    scores = np.linspace(1, 0, 1000)
    truth = (scores > 0.6).astype(np.uint8)
    truth[3] = 0
    cut = find_promised_cut(scores, truth, 0.9)
    assert cut is not None
    assert cut.chosen > cut.correct > 380


# ------------------------------------------------------------------------ the thresholds of labels

LABELS = LabelSet(("road", "water", "clear", "cloudy"), sky=("clear", "cloudy"))


def four_labels(chips: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Road can be promised, water cannot, the others need not."""
    parts = [draw(WORLDS["a good model"], chips, seed) for seed in range(4)]
    scores, truth = (np.stack(columns, axis=1) for columns in zip(*parts, strict=True))
    truth[:, 1] = 1 - truth[:, 1]
    return scores.astype(np.float32), truth


@pytest.mark.parametrize("method", ["best", "cross_fit", "shrunk"])
def test_a_promise_changes_the_thresholds_of_its_labels_alone(method):
    scores, truth = four_labels()
    plain, _ = choose_thresholds(scores, truth, LABELS.names, ThresholdOptions(method))
    asked = ThresholdOptions(method, promises={"road": 0.9, "water": 0.9})
    thresholds, unproven = choose_thresholds(scores, truth, LABELS.names, asked)
    assert thresholds[2:] == plain[2:]
    assert thresholds[0] == find_promised_cut(scores[:, 0], truth[:, 0], 0.9).threshold
    assert thresholds[1] is None
    assert unproven == ()
    nothing = np.zeros_like(truth)
    thresholds, unproven = choose_thresholds(scores, nothing, LABELS.names, asked)
    assert thresholds[:2] == (None, None)
    assert unproven == ("clear", "cloudy")  # never is no guess
    fitted = cross_fitted_thresholds(scores, truth, LABELS.names, asked)
    assert np.isnan(fitted[:, 1]).all()
    assert np.isfinite(fitted[:, [0, 2, 3]]).all()


def test_a_label_without_a_threshold_is_never_chosen_and_measured_as_such():
    scores, truth = four_labels()
    thresholds = (0.5, None, 0.5, 0.5)
    chosen = choose_labels(scores, thresholds, LABELS)
    assert chosen[:, 0].any()
    assert not chosen[:, 1].any()
    row = measure(scores, truth, LABELS, thresholds)["labels"]["water"]
    assert row["threshold"] is None
    assert row["at_threshold"]["predicted"] == 0
    assert row["at_threshold"]["precision"] is None
    assert (row["at_threshold"]["recall"], row["at_threshold"]["f1"]) == (0, 0)
    assert row["at_half"]["predicted"] > 0


def test_an_artifact_records_what_was_promised_and_what_could_not_be():
    scores, truth = four_labels()
    promises = {"road": 0.9, "water": 0.8}
    asked = ThresholdOptions(promises=promises)
    thresholds, _ = choose_thresholds(scores, truth, LABELS.names, asked)
    found = describe_promises(scores, truth, LABELS.names, thresholds, promises)
    cut = find_promised_cut(scores[:, 0], truth[:, 0], 0.9)
    same = {"confidence": 0.95}
    assert found == {
        "road": same | {"precision": 0.9, "kept": True}
        | {"chosen": cut.chosen, "correct": cut.correct},
        "water": same | {"precision": 0.8, "kept": False, "chosen": 0, "correct": 0},
    }  # fmt: skip
    kept, never = promise_lines(found)
    assert kept.endswith(f"over the threshold): road 0.9 ({cut.correct} of {cut.chosen})")
    assert never.endswith("so the label is never reported: water 0.8")
    assert promise_lines({}) == []


@pytest.mark.parametrize(("wrong", "kept"), [(0, True), (1, True), (3, False)])
def test_one_cut_is_tested_by_itself(wrong, kept):
    scores, truth = np.full(60, 0.7), np.ones(60, np.uint8)
    truth[:wrong] = 0
    by_scipy = binomtest(60 - wrong, 60, 0.9, alternative="greater").pvalue <= 0.05
    assert keeps_promise(scores, truth, 0.7, 0.9) is kept is bool(by_scipy)
    assert not keeps_promise(scores, truth, 0.8, 0.9)


@pytest.mark.parametrize("score", [0.25, 0.7])
def test_a_cut_is_between_two_neighbouring_numbers_of_32_bits(score):
    low = np.float32(score)
    for _ in range(2):  # a number of 32 bits in the middle would be rounded up once, and down once
        high = np.nextafter(low, np.float32(1))
        over = np.linspace(0.8, 1, 199, dtype=np.float32)
        scores = np.concatenate([over, [high], np.full(200, low)])
        found = find_promised_cut(scores, np.repeat([1, 0], 200), PRECISION)
        assert float(low) < found.threshold < float(high)
        assert reported(scores, found.threshold).sum() == found.chosen == found.correct == 200
        low = high
