"""Thresholds that promise a precision on new chips.

Learn then test (Angelopoulos, Bates, Candes, Jordan and Lei 2021, "Learn then Test: Calibrating
Predictive Algorithms to Achieve Risk Control"): each cut of the scores is a hypothesis, "the
precision is below the promise", which an exact binomial test (that of Clopper and Pearson 1934)
may reject on validation chips. Testing many cuts and taking the best would find one by luck, so
they are tested in a fixed sequence with several starts: from each start cuts are lowered one by one
until a test fails, and each start has an equal share of the 5 % of error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.decisions import Threshold
from train.judging._arrays import Floats, Integers

CONFIDENCE = 0.95
"""With which a promise is true, for each label on its own."""

_START_FACTOR = 4  # between the numbers of chips over the cuts of two starts


@dataclass(frozen=True)
class PromisedCut:
    """A cut that promises a precision.

    Attributes:
        threshold: midway between the lowest score over the cut and the highest below it.
        chosen: validation chips over the cut.
        correct: those of them that have the label.
    """

    threshold: float
    chosen: int
    correct: int


def fewest_chips(precision: float, chips: int) -> int:
    """The fewest validation chips over a cut that can promise a precision, if all of them have the
    label; of `chips` validation chips in all. More than `chips` if these are too few."""
    return _sequences(precision, chips)[1][0]


def find_promised_cut(scores: Floats, truth: Integers, precision: float) -> PromisedCut | None:
    """The lowest cut, so that with the highest recall, at which new chips will have at least this
    precision, with 95 % confidence; None if there is none.

    The confidence is that of the choice: of 100 validation parts, drawn like new chips and scored
    by a model that has not seen them, at most 5 lead to a cut with a lower precision on new chips.
    Nothing is assumed of the scores at the starts. Between starts it is assumed that the precision
    of chips over a cut, once it is below the promise, stays below as the cut is lowered.

    The sequence depends on the number of chips over a cut, never on their labels: with k chips over
    it, the number that have the label is binomial, whatever the k. It starts where k correct chips
    would be enough, and at 4, 16, 64 ... times as many: with a single start, one wrong chip among
    the highest scores would end it.

    Args:
        scores: `[n]` in [0, 1].
        truth: `[n]`, 1 where a chip has the label.
        precision: in (0, 1).
    """
    from scipy.special import bdtrc  # of a binomial: the probability of more than k successes

    values = np.asarray(scores, np.float64)
    order = np.argsort(-values, kind="stable")
    ranked, hits = values[order], np.asarray(truth)[order].astype(np.int64).cumsum()
    # A cut is after the last of equal scores; `sizes` are the chips over each cut, ascending.
    sizes = np.append(np.flatnonzero(ranked[:-1] > ranked[1:]) + 1, len(ranked))
    level, starts = _sequences(precision, len(ranked))
    correct = hits[sizes - 1]
    rejected = np.asarray(bdtrc(correct - 1, sizes, precision)) <= level
    ends = [_last_rejected(rejected, int(np.searchsorted(sizes, s, "right")) - 1) for s in starts]
    if (best := max(ends)) < 0:
        return None
    chosen = int(sizes[best])
    below = ranked[chosen] if chosen < len(ranked) else 0.0
    threshold = below + (ranked[chosen - 1] - below) / 2
    return PromisedCut(float(threshold), chosen, int(correct[best]))


def keeps_promise(scores: Floats, truth: Integers, threshold: float, precision: float) -> bool:
    """Whether chips over one cut, which these very chips did not choose, promise a precision.

    Args:
        scores, truth: see `find_promised_cut`.
    """
    from scipy.special import bdtrc

    over = reported(scores, threshold)
    correct, chosen = int(np.asarray(truth)[over].sum()), int(over.sum())
    return bool(bdtrc(correct - 1, chosen, precision) <= 1 - CONFIDENCE)


def describe_promises(
    scores: Floats,
    truth: Integers,
    names: Sequence[str],
    thresholds: Sequence[Threshold],
    promises: Mapping[str, float],
) -> dict[str, dict[str, Any]]:
    """What an artifact records of its promises, by label, as plain data for JSON: `precision`;
    `confidence`; `kept`, whether the threshold promises it; `chosen` and `correct`, the validation
    chips at or over the threshold and those of them that have the label, 0 if not kept.

    Args:
        scores: `[n, labels]` of the validation chips.
        truth: the same, 1 where a chip has the label.
        thresholds: of `choose_thresholds`.
        promises: label to precision.
    """
    found = {}
    for label, precision in promises.items():
        i = list(names).index(label)
        over = reported(scores[:, i], thresholds[i])
        found[label] = {
            "precision": precision,
            "confidence": CONFIDENCE,
            "kept": thresholds[i] is not None,
            "chosen": int(over.sum()),
            "correct": int(truth[over, i].sum()),
        }
    return found


def reported(scores: Floats, threshold: Threshold) -> npt.NDArray[np.bool_]:
    """Which of one label's scores `[n]` are at or over its threshold."""
    if threshold is None:
        return np.zeros(len(scores), np.bool_)
    return np.asarray(scores, np.float64) >= threshold


def promise_lines(promises: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Promises as lines for people: those that are kept, and the labels that are never reported."""
    kept = [
        f"{name} {found['precision']:g} ({found['correct']} of {found['chosen']})"
        for name, found in promises.items()
        if found["kept"]
    ]
    never = [f"{n} {found['precision']:g}" for n, found in promises.items() if not found["kept"]]
    lines = []
    if kept:
        lines.append(
            f"Precision promised on new chips with {CONFIDENCE:.0%} confidence (correct validation "
            f"chips over the threshold): {', '.join(kept)}"
        )
    if never:
        lines.append(
            f"Precision that cannot be promised, so the label is never reported: {', '.join(never)}"
        )
    return lines


def _sequences(precision: float, chips: int) -> tuple[float, list[int]]:
    """The level of each test, and at how many chips over the cut each sequence starts."""
    count = 1
    while True:
        level = (1 - CONFIDENCE) / count
        starts = [math.ceil(math.log(level) / math.log(precision))]
        while starts[-1] * _START_FACTOR <= chips:
            starts.append(starts[-1] * _START_FACTOR)
        if len(starts) <= count:
            return level, starts
        count += 1


def _last_rejected(rejected: npt.NDArray[np.bool_], start: int) -> int:
    """The last index of the run of True values that begins at `start`; -1 if there is none."""
    if start < 0:
        return -1
    failed = np.flatnonzero(~rejected[start:])
    length = int(failed[0]) if len(failed) else len(rejected) - start
    return start + length - 1 if length else -1
