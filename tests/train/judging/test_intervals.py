"""Bootstrap intervals agree with drawing the chips again and measuring them one draw at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score, f1_score

from train.judging import intervals
from train.judging.intervals import bootstrap, f_beta

NAMES = ("a", "b", "c")


def draw_again(chips: int, draws: int) -> list[np.ndarray]:
    """The chips of each draw, as indices that may repeat."""
    generator = np.random.default_rng(intervals.SEED)
    counts = [
        np.bincount(generator.integers(0, chips, chips), minlength=chips) for _ in range(draws)
    ]
    return [np.repeat(np.arange(chips), count) for count in counts]


def ends(values: list[float]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return pytest.approx(list(np.percentile(known, [2.5, 97.5])), abs=1e-6) if known else None


@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(
            arrays.arrays(np.float32, (n, 3), elements=st.sampled_from([0.0, 0.2, 0.5, 0.5, 0.9])),
            arrays.arrays(np.uint8, (n, 3), elements=st.integers(0, 1)),
        )
    )
)
@settings(max_examples=25)
def test_every_interval_is_that_of_measuring_each_draw_with_scikit_learn(chips):
    scores, truth = chips
    chosen = scores >= 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "RESAMPLES", 7)
        patch.setattr(intervals, "_BLOCK_COUNTS", 3 * len(scores))  # blocks of 3, 3 and 1 draws
        found = bootstrap(scores, truth, {"at_half": chosen}, NAMES)
    draws = draw_again(len(scores), 7)
    by_label = [
        {
            "average_precision": [
                average_precision_score(truth[d, i], scores[d, i]) if truth[d, i].any() else None
                for d in draws
            ],
            "f1": [
                f1_score(truth[d, i], chosen[d, i]) if truth[d, i].any() else None for d in draws
            ],
        }
        for i in range(3)
    ]
    for name, expected in zip(NAMES, by_label, strict=True):
        assert found["labels"][name]["average_precision"] == ends(expected["average_precision"])
        assert found["labels"][name]["at_half"]["f1"] == ends(expected["f1"])
    assert found["mean_average_precision"] == ends(means(by_label, "average_precision"))
    assert found["at_half"]["macro_f1"] == ends(means(by_label, "f1"))
    micro = [f1_score(truth[d].ravel(), chosen[d].ravel(), zero_division=np.nan) for d in draws]
    assert found["at_half"]["micro_f1"] == ends([None if np.isnan(m) else m for m in micro])
    samples = [
        [f1_score(t, c) for t, c in zip(truth[d], chosen[d], strict=True) if (t | c).any()]
        for d in draws
    ]
    assert found["at_half"]["sample_f1"] == ends([np.mean(s) if s else None for s in samples])


def means(by_label: list[dict[str, list[float | None]]], key: str) -> list[float | None]:
    """The mean over labels for each draw."""
    of_draws = zip(*(row[key] for row in by_label), strict=True)
    known = [[value for value in values if value is not None] for values in of_draws]
    return [float(np.mean(values)) if values else None for values in known]


def test_an_interval_contains_its_figure_and_narrows_with_more_chips():
    widths = []
    for chips in (50, 5000):
        generator = np.random.default_rng(1)
        truth = (generator.random((chips, 3)) < 0.4).astype(np.uint8)
        scores = np.clip(0.3 * truth + 0.7 * generator.random(truth.shape), 0, 1)
        chosen = scores >= 0.5
        low, high = bootstrap(scores, truth, {"x": chosen}, NAMES)["x"]["micro_f1"]
        assert low < f1_score(truth.ravel(), chosen.ravel()) < high
        widths.append(high - low)
    assert widths[0] == pytest.approx(10 * widths[1], rel=0.3)


def test_a_label_that_no_chip_has_has_no_interval():
    scores = np.full((4, 2), 0.6)
    truth = np.array([[1, 0]] * 4)
    found = bootstrap(scores, truth, {"x": scores >= 0.5}, ("seen", "unseen"))
    assert found["labels"]["unseen"] == {"average_precision": None, "x": {"f1": None}}
    assert found["labels"]["seen"]["x"]["f1"] == [1.0, 1.0]


def test_the_same_chips_give_the_same_intervals():
    generator = np.random.default_rng(2)
    truth = generator.integers(0, 2, (30, 3))
    scores = generator.random((30, 3))
    first, second = (bootstrap(scores, truth, {"x": scores >= 0.5}, NAMES) for _ in range(2))
    assert first == second


def test_f_beta_is_undefined_without_counts_and_weighs_recall_by_beta():
    assert np.isnan(f_beta(0, 0, 0, beta=1))
    precision, recall = 3 / 4, 3 / 12
    for beta in (0.5, 1, 2):
        expected = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
        assert f_beta(3, 4, 12, beta=beta) == pytest.approx(expected)
