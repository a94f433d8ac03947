"""Which label is chosen wrongly where which other one is there, or is missed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.data.examples import Truth
from train.judging.measuring import Chosen

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CoConfusion:
    """Counts of chips, for each label (row) that is chosen wrongly and each other one (column).

    Attributes:
        wrong: chips that are given the row's label and do not have it, `[labels]`.
        other_true: of these, the chips that have the column's label, `[labels, labels]`.
        other_missed: of these, the chips that have it and are not given it, `[labels, labels]`.
    """

    wrong: Counts
    other_true: Counts
    other_missed: Counts


def count_confusions(truth: Truth, chosen: Chosen) -> CoConfusion:
    """Count them.

    Args:
        truth: `[n, labels]`, 1 where a chip has the label.
        chosen: `bool [n, labels]`, what the model gives it.
    """
    held = np.asarray(truth) == 1
    wrong = (chosen & ~held).astype(np.float64)  # products of floats are far faster, and exact
    missed = held & ~chosen
    return CoConfusion(
        wrong=wrong.sum(axis=0).astype(np.int64),
        other_true=(wrong.T @ held).astype(np.int64),
        other_missed=(wrong.T @ missed).astype(np.int64),
    )
