"""From scores to labels: the rule that training, evaluation and scoring share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from schemas.labels import LabelSet

Threshold = float | None
"""The score from which on a chip has a label; None means never."""

SkyRule = Literal["threshold", "argmax"]
"""How sky labels are chosen: each by its own threshold, or the one with the highest score."""

SKY_RULES: tuple[SkyRule, ...] = get_args(SkyRule)


def choose_labels(
    scores: npt.NDArray[np.floating],
    thresholds: Sequence[Threshold] | npt.NDArray[np.floating],
    label_set: LabelSet,
    sky_rule: SkyRule = "threshold",
) -> npt.NDArray[np.bool_]:
    """The labels of each chip, `bool [n, labels]`.

    A chip has a label if its score is at or above the threshold. With `argmax`, sky labels ignore
    their thresholds: a chip gets the one with the highest score (the first if equal) and no other.
    Scores are compared in float64, as in SQL and in the choice of thresholds.

    Args:
        scores: `[n, labels]` in [0, 1].
        thresholds: one for each label, or `[n, labels]`, one for each chip and label; None or NaN
            means never.
    """
    # None becomes NaN, which no score reaches.
    cuts: npt.NDArray[np.float64] = np.array(thresholds, np.float64)
    chosen = scores.astype(np.float64) >= cuts
    if sky_rule == "argmax" and label_set.sky:
        sky = np.asarray(label_set.sky_indices)
        chosen[:, sky] = np.arange(len(sky)) == likeliest_sky(scores, label_set)[:, None]
    return chosen


def likeliest_sky(scores: npt.NDArray[np.floating], label_set: LabelSet) -> npt.NDArray[np.intp]:
    """For each row of `[n, labels]` the index in `label_set.sky` of the sky label with the highest
    score, the first if equal; the label set must have sky labels."""
    likeliest: npt.NDArray[np.intp] = scores[:, label_set.sky_indices].argmax(axis=1)
    return likeliest
