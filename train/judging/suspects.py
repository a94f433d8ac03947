"""Labels that are probably wrong, ranked as confident learning does for sets with several labels.

Sources: Northcutt, Jiang and Chuang 2021, Confident learning (self-confidence, and which labels
count as errors); Thyagarajan et al. 2022, Identifying incorrect annotations in multi-label
classification data (each label judged as a class of two, and the pooled quality of an example). A
test holds this module to the package cleanlab, which has the authors' code: docs/decisions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.data.examples import Truth
from train.judging._arrays import Floats

MOST = 10_000
"""The most suspects that are listed: what people can look at, with some to spare."""

FORGETTING = 0.8
"""Weight of the next lower quality in the moving average (Thyagarajan et al. 2022, section 3)."""

Quality = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Suspects:
    """Labels of chips, the most suspicious first.

    Attributes:
        rows, columns: `[suspects]`, the chip and the label of each.
        quality: `[suspects]` in [0, 1], how much the model believes in what is given.
        likely: `[suspects]`, whether confident learning counts it as an error.
        errors: number of likely errors of each label, over all chips: `[labels]`.
    """

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    quality: Quality
    likely: npt.NDArray[np.bool_]
    errors: npt.NDArray[np.intp]


def find_suspects(scores: Floats, truth: Truth, most: int = MOST) -> Suspects:
    """Rank every pair of a chip and a label by `label_quality`, the lowest first.

    Args:
        scores: `[n, labels]` in [0, 1], best from a model that was not trained on these chips.
        truth: `[n, labels]`, 1 where a chip is said to have the label.
        most: how many to return.
    """
    quality = label_quality(scores, truth)
    likely = likely_errors(scores, truth)
    count = min(most, quality.size)
    flat = quality.ravel()
    lowest = np.sort(np.argpartition(flat, count - 1)[:count]) if count else np.arange(0)
    order = lowest[np.argsort(flat[lowest], kind="stable")]
    rows, columns = np.unravel_index(order, quality.shape)
    return Suspects(rows, columns, flat[order], likely.ravel()[order], likely.sum(axis=0))


def label_quality(scores: Floats, truth: Truth) -> Quality:
    """The self-confidence of each given label, `[n, labels]` in [0, 1]: the score where the chip
    has the label, 1 minus the score where it has not."""
    exact = np.asarray(scores, np.float64)
    return np.where(np.asarray(truth) == 1, exact, 1 - exact)


def likely_errors(scores: Floats, truth: Truth) -> npt.NDArray[np.bool_]:
    """What confident learning counts as an error, `bool [n, labels]`.

    The model is confident that a chip has a label if its score is at least the mean score of the
    chips that are said to have it, and that it has not if its score is at most the mean score of
    the others. A given label is an error if the model is confident of the opposite, and its score
    is on that side of 0.5, too. A label that all chips or no chips have has none.
    """
    exact, held = np.asarray(scores, np.float64), np.asarray(truth) == 1
    with np.errstate(invalid="ignore", divide="ignore"):
        with_it = np.where(held, exact, 0).sum(axis=0) / held.sum(axis=0)
        without = np.where(held, 0, exact).sum(axis=0) / (~held).sum(axis=0)
    says_yes = (exact >= with_it) & (exact > 0.5)  # comparisons with NaN are false
    says_no = (exact <= without) & (exact < 0.5)
    errors: npt.NDArray[np.bool_] = np.where(held, says_no, says_yes)
    return errors


def pool_quality(quality: Quality) -> Quality:
    """One quality for each chip, `[n]` in [0, 1]: the exponential moving average of the qualities
    of its labels from the highest to the lowest, in which the lowest weighs most."""
    ordered = -np.sort(-quality, axis=1)
    pooled = ordered[:, 0]
    for column in ordered.T[1:]:
        pooled = FORGETTING * column + (1 - FORGETTING) * pooled
    return pooled
