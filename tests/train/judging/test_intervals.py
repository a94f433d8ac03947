"""Intervals agree with measuring one draw at a time, contain their figure, and cover the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score

from train.judging import intervals
from train.judging.intervals import bootstrap, f_beta

NAMES = ("a", "b", "c")


def weights_of(chips: int, draws: int) -> np.ndarray:
    """The weights of each draw, `[draws, n]`."""
    return np.random.default_rng(intervals.SEED).standard_exponential((draws, chips), np.float32)


def ends(figure: float | None, values: list[float | None], positives: int, quantile: float):
    """The interval of a figure from those of the draws."""
    if figure is None or np.isnan(figure) or positives < 5:
        return None
    z = 2 * np.arctanh(np.sqrt(np.minimum(values, 1 - 1e-7)))
    if z.std() < 1e-5:
        return pytest.approx(wilson(figure, positives, quantile), abs=1e-5)
    centre = 2 * np.arctanh(np.sqrt(min(figure, 1 - 1e-7)))
    both = np.clip(centre + np.array([-1, 1]) * quantile * z.std(), 0, None)
    return pytest.approx(list(np.tanh(both / 2) ** 2), abs=1e-3)


def wilson(share: float, trials: int, quantile: float) -> tuple[float, float]:
    """The shares whose test at this quantile does not reject the observed one, by bisection."""

    def limit(far: float) -> float:
        near = share
        for _ in range(60):
            middle = (near + far) / 2
            distance = abs(share - middle) / np.sqrt(middle * (1 - middle) / trials)
            near, far = (middle, far) if distance <= quantile else (near, middle)
        return near

    return (limit(0.0) if share > 0 else 0.0, limit(1.0) if share < 1 else 1.0)


@given(
    st.integers(6, 14).flatmap(
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
        patch.setattr(intervals, "_BLOCK_WEIGHTS", 3 * len(scores))  # blocks of 3, 3 and 1 draws
        found = bootstrap(scores, truth, {"at_half": chosen}, NAMES)
    draws = [np.ones(len(scores)), *weights_of(len(scores), 7)]  # the figure itself first
    positives = truth.sum(axis=0).tolist()
    precisions, f1s = [], []
    for i, name in enumerate(NAMES):
        if not positives[i]:
            assert found["labels"][name] == {"average_precision": None, "at_half": {"f1": None}}
            continue
        figure, *values = (
            average_precision_score(truth[:, i], scores[:, i], sample_weight=w) for w in draws
        )
        student = stats.t.ppf(0.975, positives[i] - 1)
        assert found["labels"][name]["average_precision"] == ends(
            figure, values, positives[i], student
        )
        precisions.append([figure, *values])
        figure, *values = (f1_score(truth[:, i], chosen[:, i], sample_weight=w) for w in draws)
        assert found["labels"][name]["at_half"]["f1"] == ends(figure, values, positives[i], 1.96)
        f1s.append([figure, *values])
    every = sum(positives)
    if every:
        for key, rows in (("mean_average_precision", precisions), ("macro_f1", f1s)):
            figure, *values = np.mean(rows, axis=0)
            both = found if key in found else found["at_half"]
            assert both[key] == ends(figure, values, every, 1.96)
    figure, *values = (
        f1_score(truth.ravel(), chosen.ravel(), sample_weight=np.repeat(w, 3), zero_division=np.nan)
        for w in draws
    )
    assert found["at_half"]["micro_f1"] == ends(figure, values, every, 1.96)
    rows = [n for n in range(len(truth)) if (truth[n] | chosen[n]).any()]
    if rows:
        of_chips = [f1_score(truth[n], chosen[n]) for n in rows]
        figure, *values = (np.average(of_chips, weights=w[rows]) for w in draws)
        assert found["at_half"]["sample_f1"] == ends(figure, values, every, 1.96)


def draw_chips(generator: np.random.Generator, chips: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of chips: labels that occur together, rare and frequent, and scores that
    find some of them well and some hardly."""
    together = generator.standard_normal((chips, 1))
    latent = 0.6 * together + 0.8 * generator.standard_normal((chips, len(SHARES)))
    truth = (latent > -stats.norm.ppf(SHARES)).astype(np.uint8)
    return truth, generator.normal(SKILLS * truth + 0.3 * together, 1)


SHARES = np.array([0.4, 0.2, 0.1, 0.08])
SKILLS = np.array([1.5, 2.5, 0.8, 3.0])


def figures_of(truth: np.ndarray, scores: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    figures = {f"ap{i}": average_precision_score(truth[:, i], scores[:, i]) for i in range(4)}
    figures |= {f"f1{i}": f1_score(truth[:, i], chosen[:, i]) for i in range(4)}
    figures["mean_average_precision"] = np.mean([figures[f"ap{i}"] for i in range(4)])
    figures["macro_f1"] = np.mean([figures[f"f1{i}"] for i in range(4)])
    figures["micro_f1"] = f1_score(truth.ravel(), chosen.ravel())
    return figures


def test_the_intervals_contain_the_truth_in_92_to_98_of_100_cases(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 200)
    generator = np.random.default_rng(5)
    truth, scores = draw_chips(generator, 300_000)
    right = figures_of(truth, scores, scores >= SKILLS / 2)
    inside: dict[str, list[bool]] = {name: [] for name in right}
    for _ in range(400):
        truth, scores = draw_chips(generator, 300)
        chosen = scores >= SKILLS / 2
        found = bootstrap(scores, truth, {"x": chosen}, list("0123"))
        asked = {key: found["x"][key] for key in ("macro_f1", "micro_f1")}
        asked["mean_average_precision"] = found["mean_average_precision"]
        for i, positives in enumerate(truth.sum(axis=0)):
            if positives >= 20:
                asked[f"ap{i}"] = found["labels"][str(i)]["average_precision"]
                asked[f"f1{i}"] = found["labels"][str(i)]["x"]["f1"]
        for name, (low, high) in asked.items():
            inside[name].append(low <= right[name] <= high)
    cover = {name: np.mean(cases) for name, cases in inside.items()}
    assert all(0.92 <= share <= 0.98 for share in cover.values()), cover
    assert min(len(cases) for cases in inside.values()) > 200


@given(
    st.integers(0, 2**32 - 1),
    st.integers(5, 60),
    st.sampled_from([0.01, 0.05, 0.3, 0.9]),
    st.sampled_from([0.0, 1.0, 6.0]),
)
@settings(max_examples=40, deadline=None)
def test_an_interval_contains_its_figure(seed, chips, share, skill):
    generator = np.random.default_rng(seed)
    truth = (generator.random((chips, 4)) < share).astype(np.uint8)
    scores = generator.normal(skill * truth, 1)
    chosen = scores >= skill / 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "RESAMPLES", 20)
        found = bootstrap(scores, truth, {"x": chosen}, list("0123"))
    seen = [i for i in range(4) if truth[:, i].any()]
    precisions = {i: average_precision_score(truth[:, i], scores[:, i]) for i in seen}
    if truth.sum() < 5:
        assert found["mean_average_precision"] is None
        return
    low, high = found["mean_average_precision"]
    assert low - 1e-6 <= np.mean(list(precisions.values())) <= high + 1e-6
    for i, precision in precisions.items():
        both = found["labels"][str(i)]["average_precision"]
        assert (both is None) == (truth[:, i].sum() < 5)
        assert both is None or 0 <= both[0] <= precision + 1e-6 <= both[1] + 2e-6 <= 1 + 2e-6


def test_an_interval_narrows_with_more_chips():
    widths = []
    for chips in (50, 5000):
        generator = np.random.default_rng(1)
        truth = (generator.random((chips, 3)) < 0.4).astype(np.uint8)
        scores = np.clip(0.3 * truth + 0.7 * generator.random(truth.shape), 0, 1)
        low, high = bootstrap(scores, truth, {"x": scores >= 0.5}, NAMES)["x"]["micro_f1"]
        widths.append(high - low)
    assert widths[0] == pytest.approx(10 * widths[1], rel=0.3)


def test_a_label_below_five_positives_has_no_interval_and_a_perfect_one_is_not_certain():
    truth = np.array([[1, 1, 0]] * 4 + [[1, 0, 0]] * 16 + [[0, 0, 0]] * 20)
    scores = np.where(truth, 0.9, 0.1)
    found = bootstrap(scores, truth, {"x": scores >= 0.5}, ("seen", "rare", "unseen"))
    for name in ("rare", "unseen"):
        assert found["labels"][name] == {"average_precision": None, "x": {"f1": None}}
    assert found["labels"]["seen"]["x"]["f1"] == pytest.approx([20 / (20 + 1.96**2), 1.0], abs=1e-4)


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
