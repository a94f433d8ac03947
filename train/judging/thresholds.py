"""A threshold for each label, chosen on the validation part so that it suits other chips, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from schemas.decisions import Threshold
from train.judging._arrays import EDGE, Floats, Integers
from train.judging.promise import find_promised_cut

ThresholdMethod = Literal["best", "cross_fit", "shrunk"]
THRESHOLD_METHODS: tuple[ThresholdMethod, ...] = get_args(ThresholdMethod)

FOLDS = 5
"""Folds of the validation part: a threshold is judged on chips that did not choose it."""

OWN_POSITIVES = 20
"""At this many positives, a label's own threshold and that of all labels have the same weight."""

POOLED_POSITIVES = 100
"""At this many positives of all labels, their threshold and `prior_threshold` weigh the same."""

_REPEATS = 4  # of the cross-fit, each with other folds, so that chance matters less


@dataclass(frozen=True)
class ThresholdOptions:
    """How to choose thresholds.

    Attributes:
        method: `best`: the exact maximiser; `cross_fit`: the median of the maximisers of folds;
            `shrunk`: the maximiser shrunk towards one threshold of all labels.
        beta: of the F measure; recall weighs beta times as much as precision.
        seed: of the folds.
        promises: label to the precision that its threshold must promise, whatever the method.
    """

    method: ThresholdMethod = "shrunk"
    beta: float = 1.0
    seed: int = 0
    promises: Mapping[str, float] = field(default_factory=dict, kw_only=True)


def choose_thresholds(
    scores: Floats, truth: Integers, names: Sequence[str], options: ThresholdOptions
) -> tuple[tuple[Threshold, ...], tuple[str, ...]]:
    """Each label's threshold, and the names of the labels without a positive, whose threshold is
    unproven: with `shrunk` it is that of all labels, otherwise `prior_threshold`. The threshold of
    a label that cannot keep its promise is None: it is never reported.

    Args:
        scores: `[n, labels]` in [0, 1].
        truth: `[n, labels]`, 1 where a chip has the label.
        names: the labels.

    Raises:
        ValueError: scores are not finite numbers in [0, 1].
    """
    _check(scores)
    thresholds: list[Threshold]
    if options.method == "shrunk":
        thresholds = [*shrunk_thresholds(scores, truth, options.beta)]
    else:
        pairs = zip(scores.T, truth.T, strict=True)
        thresholds = [_own_threshold(column, held, options) for column, held in pairs]
    for label, precision in options.promises.items():
        i = list(names).index(label)
        cut = find_promised_cut(scores[:, i], truth[:, i], precision)
        thresholds[i] = cut.threshold if cut else None
    unproven = [
        name
        for name, held, threshold in zip(names, truth.T, thresholds, strict=True)
        if not held.any() and threshold is not None
    ]
    return tuple(thresholds), tuple(unproven)


def prior_threshold(beta: float) -> float:
    """The threshold without any evidence: 1 / (1 + beta^2), 0.5 for F1.

    One more chip that has the label with probability p raises F-beta if
    p > F / (1 + beta^2) (for F1: Lipton, Elkan and Naryanaswamy 2014), and F is at most
    1.
    """
    return 1 / (1 + beta**2)


def best_threshold(scores: Floats, truth: Integers, beta: float = 1.0) -> float:
    """The threshold with the highest F-beta under the rule `score >= threshold`.

    Every distinct way to cut the scores is tried: midway between neighbouring distinct scores,
    and midway between 0 and the lowest. Among cuts of equal F-beta the one in the widest gap
    wins, since it moves least when scores do; among those the lowest, for its recall. Scores are
    compared in float64, where a value midway between two float32 exists.

    Args:
        scores: `[n]` in [0, 1].
        truth: `[n]`, 1 where a chip has the label; at least one has it.

    Raises:
        ValueError: scores that are not finite numbers in [0, 1], or no positive.
    """
    values = _check(scores)
    if not np.any(truth):
        raise ValueError("without a positive, F-beta is no measure of a threshold")
    distinct, group = np.unique(values, return_inverse=True)
    positives = np.bincount(group, weights=np.asarray(truth, np.float64))
    held = np.bincount(group)
    below = np.concatenate([[0.0], distinct[:-1]])
    hits = positives[::-1].cumsum()[::-1]  # true positives when the cut is just under a value
    chosen = held[::-1].cumsum()[::-1]
    f_beta = (1 + beta**2) * hits / (beta**2 * positives.sum() + chosen)
    gaps = np.where(f_beta == f_beta.max(), distinct - below, -1.0)
    best = int(gaps.argmax())  # the first, so the lowest, of equals
    return float(below[best] + (distinct[best] - below[best]) / 2)


def cross_fit_threshold(scores: Floats, truth: Integers, beta: float = 1.0, seed: int = 0) -> float:
    """The median of the best thresholds of overlapping parts of the chips.

    The chips are cut at random into 5 folds, each with its share of the positives, 4 times. The
    best threshold of every 4 folds with a positive is found; the result is the median of these
    at most 20: a bagged maximiser (Breiman 1996), which a single chip moves less.

    Args and Raises: see `best_threshold`.
    """
    found = [
        best_threshold(scores[~fold], truth[~fold], beta)
        for fold in _folds(np.asarray(truth), seed, _REPEATS)
        if truth[~fold].any()
    ]
    return float(np.median(found)) if found else best_threshold(scores, truth, beta)


def shrunk_thresholds(scores: Floats, truth: Integers, beta: float = 1.0) -> list[float]:
    """Each label's best threshold, moved towards a common one: the fewer positives, the closer.

    The weights are those of the empirical Bayes estimate of one mean among many (Efron and
    Morris 1975) under two assumptions: the logit of a label's best threshold scatters about its
    true value with a variance of s / n for n positives, and the true values of the labels
    scatter about a common one with a variance of t. Then the label's own threshold has the
    weight n / (n + s / t), in logits. The common one is the maximiser of F-beta over the
    decisions of all labels together; it is moved in the same way towards `prior_threshold`.

    Both ratios s / t were chosen by trial on chips that had no part in the choice (VGG16 on real
    and drawn Planet chips and on UC Merced, 15 to 600 validation chips; docs/training.md has
    the figures): results differ little between half and twice `OWN_POSITIVES`.

    Args:
        scores: `[n, labels]` in [0, 1].
        truth: `[n, labels]`, 1 where a chip has the label.

    Returns:
        A threshold in (0, 1) for each label.

    Raises:
        ValueError: scores are not finite numbers in [0, 1].
    """
    positives = np.asarray(truth).sum(axis=0)
    common = _logit(prior_threshold(beta))
    if total := int(positives.sum()):
        pooled = _logit(best_threshold(scores.ravel(), truth.ravel(), beta))
        common += total / (total + POOLED_POSITIVES) * (pooled - common)
    logits = np.full(len(positives), common)
    for i in np.flatnonzero(positives):
        own = _logit(best_threshold(scores[:, i], truth[:, i], beta))
        logits[i] += positives[i] / (positives[i] + OWN_POSITIVES) * (own - common)
    return [float(value) for value in 1 / (1 + np.exp(-logits))]


def cross_fitted_thresholds(
    scores: Floats, truth: Integers, names: Sequence[str], options: ThresholdOptions
) -> npt.NDArray[np.float64]:
    """For each chip the thresholds that the other folds' chips choose, `float64 [n, labels]`.

    Measured at these, the validation part shows how good the method is on chips that were not
    used for the choice. NaN: never.
    """
    thresholds = np.empty(scores.shape, np.float64)
    for fold in _folds(np.zeros(len(scores), np.uint8), options.seed, repeats=1):
        chosen, _ = choose_thresholds(scores[~fold], truth[~fold], names, options)
        thresholds[fold] = np.array(chosen, np.float64)
    return thresholds


def _check(scores: Floats) -> npt.NDArray[np.float64]:
    values = np.asarray(scores, np.float64)
    if not (np.isfinite(values) & (values >= 0) & (values <= 1)).all():
        raise ValueError("scores must be finite numbers in [0, 1]")
    return values


def _own_threshold(scores: Floats, truth: Integers, options: ThresholdOptions) -> float:
    if not truth.any():
        return prior_threshold(options.beta)
    if options.method == "best":
        return best_threshold(scores, truth, options.beta)
    return cross_fit_threshold(scores, truth, options.beta, options.seed)


def _folds(truth: Integers, seed: int, repeats: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Masks `bool [n]` of random folds, each with its share of the positives."""
    generator = np.random.default_rng(seed)
    for _ in range(repeats):
        fold = np.empty(len(truth), np.int64)
        for value in (0, 1):
            drawn = generator.permutation(np.flatnonzero(truth == value))
            fold[drawn] = np.arange(len(drawn)) % FOLDS
        yield from (fold == number for number in range(FOLDS))


def _logit(value: float) -> float:
    inside = min(max(value, EDGE), 1 - EDGE)
    return float(np.log(inside / (1 - inside)))
