"""The measures of each epoch, and their table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from train.data.examples import Truth
from train.judging.measuring import HALF

MEASURES = ("loss", "accuracy", "f1", "precision", "recall")
"""Measures of both parts; those of validation have the prefix `val_`."""

History = Mapping[str, list[float]]
"""By measure, one value per epoch."""


class Tally:
    """Decisions at 0.5 over the batches of an epoch, and their loss.

    Decisions on all labels are pooled (micro averages).
    """

    def __init__(self) -> None:
        self._counts = np.zeros((2, 2), np.int64)  # by truth, then by decision
        self._loss, self._chips = 0.0, 0

    def add(self, scores: npt.NDArray[np.floating], truth: npt.NDArray[Any], loss: float) -> None:
        """Count a batch.

        Args:
            scores: `[n, labels]` in [0, 1].
            truth: `[n, labels]`, 0 or 1.
            loss: the batch's mean.
        """
        pairs = 2 * (truth > 0).ravel() + (scores >= HALF).ravel()
        self._counts += np.bincount(pairs, minlength=4).reshape(2, 2)
        self._loss += loss * len(scores)
        self._chips += len(scores)

    def measures(self) -> dict[str, float]:
        """Loss, accuracy (share of right decisions), F1, precision and recall; 0 if undefined,
        since curves need a number."""
        (true_negatives, false_positives), (false_negatives, hits) = self._counts.tolist()
        return {
            "loss": self._loss / self._chips,
            "accuracy": (hits + true_negatives) / self._counts.sum().item(),
            "f1": _share(2 * hits, 2 * hits + false_positives + false_negatives),
            "precision": _share(hits, hits + false_positives),
            "recall": _share(hits, hits + false_negatives),
        }


def mean_average_precision(scores: npt.NDArray[np.floating], truth: Truth) -> float:
    """Mean over labels that have positives (macro, as in scikit-learn); 0 if none has."""
    from sklearn.metrics import average_precision_score

    held = truth.any(axis=0)
    return float(average_precision_score(truth[:, held], scores[:, held])) if held.any() else 0.0


def history_csv(history: History) -> str:
    """One row per epoch, one column per measure."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["epoch", *history])
    writer.writerows(
        [epoch, *(f"{value:.6g}" for value in row)]
        for epoch, row in enumerate(zip(*history.values(), strict=True), start=1)
    )
    return table.getvalue()


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
