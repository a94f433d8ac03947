"""Bootstrap intervals: how far figures would move if other chips had been measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0

FEWEST_POSITIVES = 5
"""With fewer positive chips there is no interval: their spread says nothing about other chips."""

_BLOCK_WEIGHTS = 1 << 20  # weights in memory at a time: 4 MB, which fits the processor's cache
_NORMAL = 1.959964  # the normal distribution's quantile for LEVEL
_NO_SPREAD = 1e-6
_MOST = 1 - 1e-7  # keeps 1 finite on the scale of `_stretch`

Bools = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float32]
Draws = npt.NDArray[np.float64]  # a figure of each draw; NaN if it is not defined


def bootstrap(
    scores: npt.NDArray[np.floating],
    truth: npt.NDArray[np.integer],
    decisions: Mapping[str, Bools],
    names: Sequence[str],
) -> dict[str, Any]:
    """95 % intervals of the figures that `measuring.measure` returns, as plain data for JSON.

    The Bayesian bootstrap (Rubin 1981): 1,000 times, each chip gets a random weight from the
    exponential distribution, and each figure is computed with these weights. No weight is 0, so
    every draw has the labels of the figure itself; if chips were drawn with replacement, a rare
    label would be missing from many draws, and the mean over labels would be another one.

    An interval is the figure plus and minus 1.96 standard deviations of the draws on a stretched
    scale (`_stretch`), so it always contains its figure; for average precision, Student's
    quantile for the number of positives replaces 1.96. A test measures how often the intervals
    contain the truth: 92 to 98 % for labels with at least 20 positives. The model and its
    thresholds stay the same: the interval does not cover another training or another choice of
    thresholds.

    Args:
        scores: `[n, labels]` in [0, 1].
        truth: `[n, labels]`, 1 where a chip has the label.
        decisions: by name of the rule, the labels that it chose: `bool [n, labels]`.
        names: the labels.

    Returns:
        The keys of `measure`, each F1, F2 and average precision as `[low, high]`, or None below
        FEWEST_POSITIVES positives (of the label, or of all labels together) or if it is not
        defined; and `level`, `resamples` and `seed`.
    """
    figures, draws = resample(scores, truth, decisions, names)
    positives = dict(zip(names, (np.asarray(truth) == 1).sum(axis=0).tolist(), strict=True))
    by_label, draws_by_label = figures.pop("labels"), draws.pop("labels")
    labels = {
        name: _intervals(by_label[name], draws_by_label[name], positives[name]) for name in names
    }
    overall = _intervals(figures, draws, sum(positives.values()))
    return {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, **overall, "labels": labels}


def resample(
    scores: npt.NDArray[np.floating],
    truth: npt.NDArray[np.integer],
    decisions: Mapping[str, Bools],
    names: Sequence[str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of `bootstrap`, and those of its draws: two trees with the keys of
    `measuring.measure`, whose leaves are `[1]` and `[1000]`; NaN if a figure is not defined.

    The weights depend only on the number of chips, so the draws of two models on the same chips
    are paired: their differences are those of the models under the same weights.

    Args: see `bootstrap`.
    """
    held = np.asarray(truth) == 1
    rankings = [_Ranking(s, h) for s, h in zip(np.asarray(scores).T, held.T, strict=True)]
    judged = {where: _Decisions(held, chosen) for where, chosen in decisions.items()}
    blocks = [_measure(weights, rankings, judged, names) for weights in _draws(len(held))]
    figures = _measure(np.ones((len(held), 1), np.float32), rankings, judged, names)
    return figures, _join(blocks)


def difference_interval(
    figures: tuple[Draws, Draws], draws: tuple[Draws, Draws], positives: int, few: bool = False
) -> tuple[float, list[float] | None]:
    """The second figure minus the first, and its 95 % interval from paired draws of `resample`.

    The interval is the difference plus and minus 1.96 standard deviations of the draws'
    differences. If no draw has another difference (both models make no mistake, or the same ones),
    it ends at Wilson's bound for a difference that was not seen in any positive.

    Args:
        few: whether Student's quantile for the number of positives replaces 1.96, as for an
            average precision.

    Returns:
        NaN and None if a figure is not defined; no interval below FEWEST_POSITIVES positives.
    """
    difference = float(figures[1][0] - figures[0][0])
    if math.isnan(difference) or positives < FEWEST_POSITIVES:
        return difference, None
    quantile = _student(positives) if few else _NORMAL
    spread = quantile * float((draws[1] - draws[0]).std())
    if spread < _NO_SPREAD:
        spread = _wilson(0.0, positives, quantile)[1]
    return difference, [max(-1.0, difference - spread), min(1.0, difference + spread)]


def f_beta(hits: Any, predicted: Any, positives: Any, *, beta: float) -> Any:
    """F-beta from true positives, predicted positives and positives, counted or weighted; NaN if
    all are 0.

    (1 + beta^2) hits / (beta^2 positives + predicted), the weighted harmonic mean of precision and
    recall (van Rijsbergen 1979, chapter 7).
    """
    return _ratio((1 + beta**2) * hits, beta**2 * positives + predicted)


class _Ranking:
    """The chips ordered by one label's score: its average precision with any weights.

    Average precision is the mean, over the positives, of the precision among all chips that score
    at least as high; so chips between two positives are summed together.
    """

    def __init__(self, scores: npt.NDArray[np.floating], held: Bools) -> None:
        order = np.argsort(-scores, kind="stable")
        last = np.searchsorted(-scores[order], -scores[held], side="right")  # after equal scores
        ends, self._first = np.unique(np.sort(last), return_index=True)
        self._starts = np.concatenate([[0], ends])[:-1]
        self._chips = order[: ends[-1]] if len(ends) else order[:0]
        self._positives = order[held[order]]

    def average_precision(self, weights: Weights) -> Draws:
        """`[draws]`; NaN without a positive."""
        if not len(self._positives):
            return np.full(weights.shape[1], np.nan)
        above = np.add.reduceat(weights[self._chips], self._starts).cumsum(axis=0)
        hits = np.add.reduceat(weights[self._positives], self._first)
        precision = hits.cumsum(axis=0) / above
        return _ratio((hits * precision).sum(axis=0), hits.sum(axis=0))


class _Decisions:
    """Predicted and true labels: the F measures of any draw."""

    def __init__(self, held: Bools, chosen: Bools) -> None:
        parts = (held & chosen, chosen, held)
        self._by_label = [part.T.astype(np.float32) for part in parts]
        self._by_chip = [part.sum(axis=1).astype(np.float32) for part in parts]

    def measure(self, weights: Weights) -> tuple[dict[str, Draws], Draws]:
        """The figures over all, `[draws]` each, and F1 by label, `[labels, draws]`."""
        by_label = [part @ weights for part in self._by_label]
        together = [part.sum(axis=0) for part in by_label]
        unseen = by_label[2] == 0
        overall: dict[str, Draws] = {}
        for beta in (1, 2):
            of_labels = np.where(unseen, np.nan, f_beta(*by_label, beta=beta))
            of_chips = f_beta(*self._by_chip, beta=beta)
            defined = np.isfinite(of_chips).astype(np.float32)
            overall[f"macro_f{beta}"] = _mean(of_labels)
            overall[f"micro_f{beta}"] = f_beta(*together, beta=beta)
            overall[f"sample_f{beta}"] = _ratio(
                np.nan_to_num(of_chips) @ weights, defined @ weights
            )
        return overall, np.where(unseen, np.nan, f_beta(*by_label, beta=1))


def _draws(chips: int) -> Iterator[Weights]:
    """The weight of each chip, `[n, draws]`, in blocks, 1,000 draws in total."""
    generator = np.random.default_rng(SEED)
    width = min(RESAMPLES, max(1, _BLOCK_WEIGHTS // max(1, chips)))
    for start in range(0, RESAMPLES, width):
        draws = min(width, RESAMPLES - start)
        weights = generator.standard_exponential((draws, chips), np.float32)
        yield np.ascontiguousarray(weights.T)


def _measure(
    weights: Weights,
    rankings: Sequence[_Ranking],
    judged: Mapping[str, _Decisions],
    names: Sequence[str],
) -> dict[str, Any]:
    """The tree of `measuring.measure` with a figure for each draw, `[draws]`, as its leaves."""
    precisions = np.stack([ranking.average_precision(weights) for ranking in rankings])
    measured = {where: decisions.measure(weights) for where, decisions in judged.items()}
    return {
        "mean_average_precision": _mean(precisions),
        **{where: overall for where, (overall, _) in measured.items()},
        "labels": {
            name: {
                "average_precision": precisions[i],
                **{where: {"f1": f1[i]} for where, (_, f1) in measured.items()},
            }
            for i, name in enumerate(names)
        },
    }


def _join(blocks: Sequence[Any]) -> Any:
    """One tree of the draws of all blocks."""
    if not isinstance(blocks[0], dict):
        return np.concatenate(blocks)
    return {key: _join([block[key] for block in blocks]) for key in blocks[0]}


def _intervals(figures: Any, draws: Any, positives: int) -> Any:
    """A tree of `[low, high]` or None from a tree of figures and those of the draws."""
    if positives < FEWEST_POSITIVES:
        return {k: _none(v) for k, v in figures.items()}
    return {
        key: _intervals(value, draws[key], positives)
        if isinstance(value, dict)
        else _interval(
            float(value[0]),
            draws[key],
            positives,
            _student(positives) if key == "average_precision" else _NORMAL,
        )
        for key, value in figures.items()
    }


def _none(figures: Any) -> Any:
    return {k: _none(v) for k, v in figures.items()} if isinstance(figures, dict) else None


def _interval(figure: float, draws: Draws, positives: int, quantile: float) -> list[float] | None:
    """`[low, high]` around a figure; None if it is not defined."""
    if math.isnan(figure):
        return None
    centre, spread = _stretch(figure), quantile * float(_stretch(draws).std())
    if spread < _NO_SPREAD:  # nothing or everything is right: as for a share of the positives
        return _wilson(figure, positives, quantile)
    ends = np.tanh(np.maximum(0, [centre - spread, centre + spread]) / 2) ** 2
    return [min(float(ends[0]), figure), max(float(ends[1]), figure)]


def _stretch(figures: Any) -> Any:
    """Figures in [0, 1] on a scale on which those of draws are nearly normal: Fisher's z of the
    root. It grows like the root near 0 and like the logit near 1."""
    return 2 * np.arctanh(np.sqrt(np.minimum(figures, _MOST)))


def _wilson(share: float, trials: int, quantile: float) -> list[float]:
    """Wilson's score interval (1927) of a share of trials."""
    extra = quantile**2 / trials
    centre = (share + extra / 2) / (1 + extra)
    half = math.sqrt(extra * (share * (1 - share) + extra / 4)) / (1 + extra)
    return [min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))]


def _student(positives: int) -> float:
    """Student's quantile for the variance of this many positives."""
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, positives - 1))


def _mean(figures: Draws) -> Draws:
    """The mean over the labels that a draw defines: `[labels, draws]` to `[draws]`."""
    defined = np.isfinite(figures)
    return _ratio(np.nan_to_num(figures).sum(axis=0), defined.sum(axis=0))


def _ratio(part: Any, whole: Any) -> Draws:
    with np.errstate(invalid="ignore"):
        ratio: Draws = np.divide(part, whole, dtype=np.float64)
    return ratio
