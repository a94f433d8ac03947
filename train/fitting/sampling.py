"""Which chips an epoch shows, and in what order: each once, or those with rare labels repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.flags import flag, ratio
from train.data.examples import Truth
from train.fitting.losses import LOSSES, Loss, Weighting

RARE_SHARE = 0.03
"""A label is rare if a smaller share of the chips has it: seven of the Planet labels."""


@dataclass(frozen=True)
class Imbalance:
    """What is done about labels that few chips have."""

    loss: Loss = flag("The loss; bce is binary cross-entropy.", choices=LOSSES, default="bce")
    label_weights: Weighting = flag("The weight of a positive in the loss.", default="none")
    repeat_rare: float = flag(
        "Repeat chips of labels that fewer than this share of the chips have (Gupta et al. "
        "2019). Default: 0, no repeats.",
        ratio,
        default=0.0,
    )
    upsample: tuple[str, ...] = flag(
        "Repeat the chips of these labels until each has as many as the median label, as the "
        "study (Thisted 2020) did for blow_down.",
        metavar="LABEL",
        default=(),
    )


def repeat_factors(truth: Truth, share: float) -> npt.NDArray[np.float64]:
    """How often each chip is shown per epoch: `float64 [n]`, at least 1.

    Repeat factor sampling (Gupta, Dollar and Girshick 2019, LVIS, section 5): a label of
    frequency f below the share t asks for sqrt(t / f); a chip gets the largest factor of its
    labels.
    """
    frequency = np.maximum(truth.mean(axis=0), 1 / max(1, len(truth)))
    asked = np.maximum(1.0, np.sqrt(share / frequency))
    return np.asarray(np.where(truth > 0, asked, 1.0).max(axis=1, initial=1.0))


def upsample_factors(
    truth: Truth, names: Sequence[str], upsample: Sequence[str]
) -> npt.NDArray[np.float64]:
    """How often each chip is shown so that a label is as frequent as the median one: `[n]`."""
    counts: Mapping[str, int] = dict(zip(names, truth.sum(axis=0).tolist(), strict=True))
    median = float(np.median(list(counts.values())))
    factors = np.ones(len(truth))
    for name in upsample:
        asked = max(1.0, median / max(1, counts[name]))
        factors = np.where(
            truth[:, list(names).index(name)] > 0, np.maximum(factors, asked), factors
        )
    return factors


def rare_chips(truth: Truth) -> npt.NDArray[np.bool_]:
    """Whether each chip has a rare label: `bool [n]`."""
    rare = truth.mean(axis=0) < RARE_SHARE
    return np.asarray((truth[:, rare] > 0).any(axis=1))


def epoch_order(factors: npt.NDArray[np.float64], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Indices of the chips of an epoch in random order, as a function of seed and epoch.

    Each chip appears floor or ceiling of its factor times, by systematic sampling: the total
    is the same in every epoch, so that a schedule in steps fits.
    """
    random = np.random.default_rng([seed, epoch])
    total = round(float(factors.sum()))
    ends = np.cumsum(factors) * (total / factors.sum())
    chosen = np.searchsorted(ends, np.arange(total) + random.random(), side="right")
    return random.permutation(np.minimum(chosen, len(factors) - 1))
