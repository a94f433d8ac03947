"""Statistics of a labels csv: how often labels occur, alone and together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.labels import LabelSet
from train.data.examples import truth_of

LabelCounts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelStatistics:
    """Counts over the rows of a labels csv.

    Attributes:
        label_set: the labels, in the order of all arrays below.
        rows: number of rows.
        together: `int64 [labels, labels]`, rows with both labels; on the diagonal, with one.
        labels_a_chip: number of rows with 0, 1, 2, ... labels.
        label_sets: each set of labels that occurs, in label order, and its rows; the most
            frequent first.
    """

    label_set: LabelSet
    rows: int
    together: LabelCounts
    labels_a_chip: tuple[int, ...]
    label_sets: tuple[tuple[tuple[str, ...], int], ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows with each label, in label order."""
        return dict(zip(self.label_set.names, self.together.diagonal().tolist(), strict=True))

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """`float64 [labels, labels]`: of the rows with the first label, the share that also has
        the second; NaN if no row has the first."""
        with np.errstate(invalid="ignore"):
            found: npt.NDArray[np.float64] = self.together / self.together.diagonal()[:, None]
        return found


def count_labels(tags: Sequence[frozenset[str]], label_set: LabelSet) -> LabelStatistics:
    """Count the labels of rows, alone and together."""
    truth = truth_of(tags, label_set).astype(np.int64)
    ordered = (tuple(name for name in label_set.names if name in held) for held in tags)
    sets = Counter(ordered).items()
    return LabelStatistics(
        label_set=label_set,
        rows=len(tags),
        together=truth.T @ truth,
        labels_a_chip=tuple(np.bincount(truth.sum(axis=1)).tolist()),
        label_sets=tuple(sorted(sets, key=lambda pair: (-pair[1], pair[0]))),
    )
