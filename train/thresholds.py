"""A threshold for each label: the exact maximiser of F1 on the validation part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

UNPROVEN_THRESHOLD = 0.5
"""The threshold of a label of which validation has no positive: nothing speaks for another."""


def best_thresholds(
    scores: npt.NDArray[np.floating], truth: npt.NDArray[np.integer], names: Sequence[str]
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Each label's best threshold, and the names of the labels for which nothing proves one.

    Args:
        scores: `[n, labels]` in [0, 1].
        truth: `[n, labels]`, 1 where the label holds.
        names: the labels.

    Raises:
        ValueError: scores that are not finite numbers in [0, 1].
    """
    unproven = [not column.any() for column in truth.T]
    thresholds = tuple(
        UNPROVEN_THRESHOLD if blind else best_threshold(scores[:, i], truth[:, i])
        for i, blind in enumerate(unproven)
    )
    return thresholds, tuple(n for n, blind in zip(names, unproven, strict=True) if blind)


def best_threshold(scores: npt.NDArray[np.floating], truth: npt.NDArray[np.integer]) -> float:
    """The threshold with the highest F1 under the rule `score >= threshold`.

    Every distinct way to cut the scores is tried: midway between neighbouring distinct scores,
    and midway between 0 and the lowest. Among cuts of equal F1 the one in the widest gap wins,
    since it moves least when scores do; among those the lowest, for its recall. Scores are
    compared in float64, where a value midway between two float32 exists.

    Args:
        scores: `[n]` in [0, 1].
        truth: `[n]`, 1 where the label holds; at least one does.

    Raises:
        ValueError: scores that are not finite numbers in [0, 1], or no positive.
    """
    values = np.asarray(scores, np.float64)
    if not (np.isfinite(values) & (values >= 0) & (values <= 1)).all():
        raise ValueError("scores must be finite numbers in [0, 1]")
    if not np.any(truth):
        raise ValueError("without a positive, F1 is no measure of a threshold")
    distinct, group = np.unique(values, return_inverse=True)
    positives = np.bincount(group, weights=np.asarray(truth, np.float64))
    held = np.bincount(group)
    below = np.concatenate([[0.0], distinct[:-1]])
    hits = positives[::-1].cumsum()[::-1]  # true positives when the cut is just under a value
    chosen = held[::-1].cumsum()[::-1]
    f1 = 2 * hits / (positives.sum() + chosen)
    gaps = np.where(f1 == f1.max(), distinct - below, -1.0)
    best = int(gaps.argmax())  # the first, so the lowest, of equals
    return float(below[best] + (distinct[best] - below[best]) / 2)
