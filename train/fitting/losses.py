"""Losses of multi-label classification, each a mean over chips and labels.

All take `float32 [n, labels]`: targets in [0, 1] and scores in [0, 1]. Scores are clipped 1e-7
from both ends before the logarithm, as Keras does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Loss = Literal["bce", "focal", "asymmetric", "categorical"]
LOSSES: tuple[Loss, ...] = ("bce", "focal", "asymmetric")
"""Losses that may be chosen; categorical is for networks that end in a softmax only."""

Weighting = Literal["none", "sqrt", "balanced"]

_EPSILON = 1e-7
_MOST_WEIGHT = 50.0
"""The largest weight of a positive: without it, a label with three chips would dominate."""

FOCAL_GAMMA = 2.0
"""Lin et al. 2017, table 1b: their best setting."""
ASYMMETRIC_GAMMAS = (0.0, 4.0)
ASYMMETRIC_MARGIN = 0.05
"""Ridnik et al. 2021, section 4: their setting for MS-COCO (gamma+ 0, gamma- 4, m 0.05)."""


def positive_weights(
    truth: npt.NDArray[np.integer[Any]], weighting: Weighting
) -> npt.NDArray[np.float32]:
    """The weight of a positive of each label relative to a negative: `float32 [labels]`, 1 to 50.

    `balanced` is the number of negatives per positive (King and Zeng 2001), so that both have the
    same total weight; `sqrt` is its square root, which raises rare labels and costs less
    precision. Labels that most chips have keep 1.

    Args:
        truth: `[n, labels]`, 1 where a chip has the label.
    """
    positives = truth.sum(axis=0)
    ratio = (len(truth) - positives) / np.maximum(positives, 1)
    weights = {"none": np.ones_like(ratio), "sqrt": np.sqrt(ratio), "balanced": ratio}[weighting]
    return np.asarray(np.clip(weights, 1.0, _MOST_WEIGHT), np.float32)


def make_loss(name: Loss, weights: Sequence[float] | npt.NDArray[np.float32]) -> Callable[..., Any]:
    """The loss of (targets, scores), a scalar; positives of a label are multiplied by its
    weight. `categorical` is the cross-entropy for labels of which a chip has exactly one: a sum
    over labels, and a mean over chips.
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
    """Focal loss (Lin et al. 2017): confident decisions count little."""
    import tensorflow as tf

    return (
        (1 - scores) ** FOCAL_GAMMA * tf.math.log(scores),
        scores**FOCAL_GAMMA * tf.math.log(1 - scores),
    )


def _asymmetric(scores: Any) -> tuple[Any, Any]:
    """Asymmetric loss (Ridnik et al. 2021): easy negatives count little, the easiest not."""
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
