"""Bootstrap intervals: how far figures would move if other chips had been measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0

_BLOCK_COUNTS = 1 << 20  # counts in memory at a time: 4 MB, which fits the processor's cache

Bools = npt.NDArray[np.bool_]
DrawnCounts = npt.NDArray[np.float32]  # whole numbers: exact to 2**24, and fast to multiply
Draws = npt.NDArray[np.float64]  # a figure of each draw; NaN if the draw does not define it


def bootstrap(
    scores: npt.NDArray[np.floating],
    truth: npt.NDArray[np.integer],
    decisions: Mapping[str, Bools],
    names: Sequence[str],
) -> dict[str, Any]:
    """95 % intervals of the figures that `measuring.measure` returns, as plain data for JSON.

    The percentile bootstrap (Efron and Tibshirani 1993, chapter 13): n chips are drawn
    with replacement, 1,000 times; each figure is computed on each draw, and its 2.5th and 97.5th
    percentiles are the interval. The model and its thresholds stay the same: the interval
    does not cover another training or another choice of thresholds. A figure that a draw does not
    define, such as the F1 of a label without a positive in it, is left out of that draw.

    Args:
        scores: `[n, labels]` in [0, 1].
        truth: `[n, labels]`, 1 where a chip has the label.
        decisions: by name of the rule, the labels that it chose: `bool [n, labels]`.
        names: the labels.

    Returns:
        The keys of `measure`, each F1, F2 and average precision as `[low, high]`, or None if
        no draw defines it; and `level`, `resamples` and `seed`.
    """
    held = np.asarray(truth) == 1
    rankings = [_Ranking(s, h) for s, h in zip(np.asarray(scores).T, held.T, strict=True)]
    judged = {where: _Decisions(held, chosen) for where, chosen in decisions.items()}
    blocks = [_measure(counts, rankings, judged, names) for counts in _draws(len(held))]
    return {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, **_intervals(blocks)}


def f_beta(hits: Any, predicted: Any, positives: Any, *, beta: float) -> Any:
    """F-beta from counts: true positives, predicted positives, positives; NaN if all are 0.

    (1 + beta^2) hits / (beta^2 positives + predicted), the weighted harmonic mean of precision and
    recall (van Rijsbergen 1979, chapter 7).
    """
    return _ratio((1 + beta**2) * hits, beta**2 * positives + predicted)


class _Ranking:
    """The chips ordered by one label's score: its average precision on any draw.

    Average precision is the mean, over the positives drawn, of the precision among all chips
    that score at least as high; so chips between two positives are summed together.
    """

    def __init__(self, scores: npt.NDArray[np.floating], held: Bools) -> None:
        order = np.argsort(-scores, kind="stable")
        last = np.searchsorted(-scores[order], -scores[held], side="right")  # after equal scores
        ends, self._first = np.unique(np.sort(last), return_index=True)
        self._starts = np.concatenate([[0], ends])[:-1]
        self._chips = order[: ends[-1]] if len(ends) else order[:0]
        self._positives = order[held[order]]

    def average_precision(self, counts: DrawnCounts) -> Draws:
        """`[draws]`; NaN if no positive was drawn."""
        if not len(self._positives):
            return np.full(counts.shape[1], np.nan)
        drawn = np.add.reduceat(counts[self._chips], self._starts).cumsum(axis=0)
        hits = np.add.reduceat(counts[self._positives], self._first)
        precision = hits.cumsum(axis=0) / np.maximum(drawn, 1)
        return _ratio((hits * precision).sum(axis=0), hits.sum(axis=0))


class _Decisions:
    """Predicted and true labels: the F measures of any draw."""

    def __init__(self, held: Bools, chosen: Bools) -> None:
        parts = (held & chosen, chosen, held)
        self._by_label = [part.T.astype(np.float32) for part in parts]
        self._by_chip = [part.sum(axis=1).astype(np.float32) for part in parts]

    def measure(self, counts: DrawnCounts) -> tuple[dict[str, Draws], Draws]:
        """The figures over all, `[draws]` each, and F1 by label, `[labels, draws]`."""
        by_label = [part @ counts for part in self._by_label]
        together = [part.sum(axis=0) for part in by_label]
        unseen = by_label[2] == 0
        overall: dict[str, Draws] = {}
        for beta in (1, 2):
            of_labels = np.where(unseen, np.nan, f_beta(*by_label, beta=beta))
            of_chips = f_beta(*self._by_chip, beta=beta)
            defined = np.isfinite(of_chips).astype(np.float32)
            overall[f"macro_f{beta}"] = _mean(of_labels)
            overall[f"micro_f{beta}"] = f_beta(*together, beta=beta)
            overall[f"sample_f{beta}"] = _ratio(np.nan_to_num(of_chips) @ counts, defined @ counts)
        return overall, np.where(unseen, np.nan, f_beta(*by_label, beta=1))


def _draws(chips: int) -> Iterator[DrawnCounts]:
    """How often each chip is drawn, `[n, draws]`, in blocks, 1,000 draws in total."""
    generator = np.random.default_rng(SEED)
    width = min(RESAMPLES, max(1, _BLOCK_COUNTS // max(1, chips)))
    for start in range(0, RESAMPLES, width):
        drawn = [
            np.bincount(generator.integers(0, chips, chips), minlength=chips)
            for _ in range(start, min(start + width, RESAMPLES))
        ]
        yield np.stack(drawn, axis=1).astype(np.float32)


def _measure(
    counts: DrawnCounts,
    rankings: Sequence[_Ranking],
    judged: Mapping[str, _Decisions],
    names: Sequence[str],
) -> dict[str, Any]:
    """The tree of `measuring.measure` with a figure for each draw, `[draws]`, as its leaves."""
    precisions = np.stack([ranking.average_precision(counts) for ranking in rankings])
    measured = {where: decisions.measure(counts) for where, decisions in judged.items()}
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


def _intervals(blocks: Sequence[Any]) -> Any:
    """One tree of `[low, high]` from trees of the draws of each block."""
    if isinstance(blocks[0], dict):
        return {key: _intervals([block[key] for block in blocks]) for key in blocks[0]}
    drawn = np.concatenate(blocks)
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return None
    outside = 50 * (1 - LEVEL)
    return [float(end) for end in np.percentile(defined, (outside, 100 - outside))]


def _mean(figures: Draws) -> Draws:
    """The mean over the labels that a draw defines: `[labels, draws]` to `[draws]`."""
    defined = np.isfinite(figures)
    return _ratio(np.nan_to_num(figures).sum(axis=0), defined.sum(axis=0))


def _ratio(part: Any, whole: Any) -> Draws:
    with np.errstate(invalid="ignore"):
        ratio: Draws = np.divide(part, whole, dtype=np.float64)
    return ratio
