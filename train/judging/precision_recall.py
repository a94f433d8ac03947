"""Precision and recall of a label at every threshold."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.judging._arrays import Floats, Integers

MOST_POINTS = 200
"""Points of a curve that are kept, evenly over the range of recall."""


@dataclass(frozen=True)
class Curve:
    """Points of a curve, the lowest threshold first; all `float64 [points]`."""

    thresholds: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]


def precision_recall(truth: Integers, scores: Floats, most: int = MOST_POINTS) -> Curve | None:
    """The curve of one label, at most `most` of its points; None without a positive.

    A point is what precision and recall are if every chip with a score at or above the threshold
    is given the label.
    """
    from sklearn.metrics import precision_recall_curve

    if not np.any(truth):
        return None
    precision, recall, thresholds = precision_recall_curve(
        truth, np.asarray(scores, np.float64), drop_intermediate=True
    )
    count = len(thresholds)  # the curve has one point more, without any chip
    wanted = np.linspace(recall[0], recall[count - 1], min(most, count))
    after = np.searchsorted(-recall[:count], -wanted, side="right")
    kept = np.unique((after - 1).clip(0))  # of equal recall the point with the best precision
    return Curve(thresholds[kept], precision[kept], recall[kept])
