"""Losses of multi-label classification, each a mean over chips and labels.

All take `float32 [n, labels]`: targets in [0, 1] and scores in [0, 1]. Scores are kept 1e-7 off
both ends before their logarithm, as Keras does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Loss = Literal["bce", "focal", "asymmetric", "categorical"]
LOSSES: tuple[Loss, ...] = ("bce", "focal", "asymmetric")
"""Losses that may be chosen; categorical goes with a softmax, and with nothing else."""

Weighting = Literal["none", "sqrt", "balanced"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)

_EPSILON = 1e-7
_MOST_WEIGHT = 50.0
"""The most that a positive weighs: without a bound a label of three chips outweighs the rest."""

FOCAL_GAMMA = 2.0
"""Lin et al. 2017, table 1b: their best."""
ASYMMETRIC_GAMMAS = (0.0, 4.0)
ASYMMETRIC_MARGIN = 0.05
"""Ridnik et al. 2021, section 4: their setting for MS-COCO (gamma+ 0, gamma- 4, m 0.05)."""


def positive_weights(
    truth: npt.NDArray[np.integer[Any]], weighting: Weighting
) -> npt.NDArray[np.float32]:
    """What a positive of each label weighs against a negative: `float32 [labels]`, 1 to 50.

    `balanced` is negatives a positive (King and Zeng 2001), so that both sides of a label weigh
    the same; `sqrt` its square root, which lifts rare labels with less harm to precision. Labels
    that most chips have keep 1.

    Args:
        truth: `[n, labels]`, 1 where the label holds.
    """
    positives = truth.sum(axis=0)
    ratio = (len(truth) - positives) / np.maximum(positives, 1)
    weights = {"none": np.ones_like(ratio), "sqrt": np.sqrt(ratio), "balanced": ratio}[weighting]
    return np.asarray(np.clip(weights, 1.0, _MOST_WEIGHT), np.float32)


def make_loss(name: Loss, weights: Sequence[float] | npt.NDArray[np.float32]) -> Callable[..., Any]:
    """The loss of (targets, scores), a scalar; positives of a label count with its weight.

    `categorical` is the cross-entropy of labels of which a chip has exactly one: a sum over
    labels, and a mean over chips.
    """
    import tensorflow as tf

    factors = tf.constant(weights, tf.float32)
    terms = _TERMS[name]

    def loss(targets: Any, scores: Any) -> Any:
        clipped = tf.clip_by_value(tf.cast(scores, tf.float32), _EPSILON, 1 - _EPSILON)
        positive, negative = terms(clipped)
        if name == "categorical":
            return -tf.reduce_mean(tf.reduce_sum(targets * factors * positive, axis=1))
        return -tf.reduce_mean(targets * factors * positive + (1 - targets) * negative)

    return loss


def _cross_entropy(scores: Any) -> tuple[Any, Any]:
    """Binary cross-entropy: log-likelihood of a positive and of a negative."""
    import tensorflow as tf

    return tf.math.log(scores), tf.math.log(1 - scores)


def _focal(scores: Any) -> tuple[Any, Any]:
    """Focal loss (Lin et al. 2017): what is decided already counts little."""
    import tensorflow as tf

    return (
        (1 - scores) ** FOCAL_GAMMA * tf.math.log(scores),
        scores**FOCAL_GAMMA * tf.math.log(1 - scores),
    )


def _asymmetric(scores: Any) -> tuple[Any, Any]:
    """Asymmetric loss (Ridnik et al. 2021): easy negatives count little, the easiest nothing."""
    import tensorflow as tf

    for_positives, for_negatives = ASYMMETRIC_GAMMAS
    shifted = tf.maximum(scores - ASYMMETRIC_MARGIN, 0.0)
    return (
        (1 - scores) ** for_positives * tf.math.log(scores),
        shifted**for_negatives * tf.math.log(1 - shifted),
    )


_TERMS: Mapping[Loss, Callable[[Any], tuple[Any, Any]]] = {
    "bce": _cross_entropy,
    "categorical": _cross_entropy,
    "focal": _focal,
    "asymmetric": _asymmetric,
}
