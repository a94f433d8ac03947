"""How a night compares with the nights before it: three checks, a verdict, and why.

- `psi`: for each label, the population stability index of its scores compared with the nights
  before. Siddiqi, Credit Risk Scorecards (Wiley, 2006), chapter 8: below 0.1 the change is
  negligible, from 0.25 on it is significant.
- `quarantine`: share of quarantined chips, without those of no data, minus that of the nights
  before.
- `volume`: the run's chips divided by those of the most similar night before: 1 within their range.

Small samples differ by chance alone. So each limit is raised by the difference that chance alone
exceeds once in ten thousand times; with more than a few hundred chips of each label this no longer
matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from pipelines.drift.verdicts import Finding, Verdict, skipped
from pipelines.flags import at_least_0, factor, flag, positive, ratio
from pipelines.wording import count_of
from schemas.tables import BAD, GOOD

Counts = npt.NDArray[np.int64]

EDGES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Edges of the bins of scores, narrow at both ends, where most scores of a network are. A bin
includes its lower edge, the last bin both edges."""

BINS = len(EDGES) - 1

_FEWEST_CHIPS = 30  # in the run, and in the nights before
_FEWEST_NIGHTS = 2
_FEWEST_NIGHTS_OF_VOLUME = 3  # the first night has the whole archive and is not typical
_CHANCE_PSI = 37.37
"""If nothing has changed, PSI is about chi-squared with BINS - 1 degrees of freedom, times
1/n + 1/m for n and m chips (Yurdakul and Naranjo, Statistical properties of the population
stability index, Journal of Risk Model Validation 14 (4), 2020); this is its 0.9999 quantile."""

_CHANCE_SHARE = 3.72  # standard deviations; the 0.9999 quantile of the normal distribution
_PRIOR = 0.5  # chips added to each bin: an empty one would make the index infinite


@dataclass(frozen=True)
class DriftLimits:
    """Which nights are bad, and whether a bad one is published. The help of each flag says what
    its field means."""

    psi: float = flag(
        "A night is bad if the population stability index of a label's scores reaches this.",
        positive,
        name="drift_psi",
        default=0.25,
    )
    quarantine: float = flag(
        "A night is bad if its share of quarantined chips, without those of no data, is above "
        "that of earlier nights by more than this.",
        ratio,
        name="drift_quarantine",
        default=0.05,
    )
    volume: float = flag(
        "A night is bad if it has this many times fewer or more chips than any earlier night.",
        factor,
        name="drift_volume",
        metavar="N",
        default=4.0,
    )
    nights: int = flag(
        "Compare with at most this many published runs; 0 skips the check.",
        at_least_0,
        name="drift_nights",
        default=7,
    )
    hold: bool = flag(
        "Do not publish a bad night until an operator runs python -m beam_jobs.publish.",
        name="hold_on_drift",
        default=False,
    )
    empty: bool = flag(
        "Check nights without chips too: for an archive that grows every night.",
        name="drift_empty",
        default=False,
    )


@dataclass(frozen=True)
class Night:
    """A run's chips in numbers.

    Attributes:
        run_id, run_date: the run.
        scored, quarantined: chips.
        no_data: quarantined chips in which there is nothing to see. They are no fault.
        scores: for each label its scored chips by bin of score, `int64 [BINS]`.
        labels: for each label the chips that carry it.
    """

    run_id: str
    run_date: str
    scored: int
    quarantined: int
    scores: Mapping[str, Counts]
    labels: Mapping[str, int]
    no_data: int = 0

    @property
    def chips(self) -> int:
        """Chips that the run had to score."""
        return self.scored + self.quarantined

    @property
    def faulty(self) -> int:
        """Quarantined chips with a fault."""
        return self.quarantined - self.no_data

    @property
    def with_data(self) -> int:
        """Chips of which the faulty ones are a share."""
        return self.scored + self.faulty


def count_scores(scores: npt.NDArray[np.float32]) -> Counts:
    """Scores `[n]` in [0, 1] by bin, `int64 [BINS]`."""
    inner = np.array(EDGES[1:-1], np.float32)
    return np.bincount(np.searchsorted(inner, scores, side="right"), minlength=BINS)


def stability_index(now: Counts, before: Counts) -> float:
    """Population stability index of two counts by bin: 0 for equal shares, symmetric.

    The sum over the bins of (p - q) ln(p / q), p and q the shares (Lewis, An Introduction to
    Credit Scoring, 1992; as a divergence, Jeffreys 1946).
    """
    # The same share is added on both sides, so that what is equal stays so.
    added = _PRIOR / max(1, min(now.sum(), before.sum()))
    p, q = _shares(now, added), _shares(before, added)
    return float(((p - q) * np.log(p / q)).sum())


def judge_night(night: Night, before: Sequence[Night], limits: DriftLimits) -> Verdict:
    """Compare a night with the nights before it that the same model scored.

    Args:
        before: the nights to compare with, in any order.
    """
    if why := why_skipped(night.chips, len(before), limits):
        return skipped(why)
    findings = (
        *_judge_scores(night, before, limits),
        _judge_quarantine(night, before, limits),
        _judge_volume(night, before, limits),
    )
    if all(finding.value is None for finding in findings):
        return Verdict(None, findings)
    return Verdict(BAD if any(finding.bad for finding in findings) else GOOD, findings)


def why_skipped(chips: int, nights_before: int, limits: DriftLimits) -> str:
    """Why a run of `chips` chips is not compared with `nights_before` nights; "" if it is."""
    if not chips and not limits.empty:
        return "there was nothing to score"
    if nights_before < _FEWEST_NIGHTS:
        return f"needs {_FEWEST_NIGHTS} earlier runs of this model, found {nights_before}"
    return ""


def _judge_scores(
    night: Night, before: Sequence[Night], limits: DriftLimits
) -> tuple[Finding, ...]:
    scored_before = sum(each.scored for each in before)
    if few := _too_few(night.scored, scored_before, "scored"):
        return (Finding("psi", note=few),)
    chance = _CHANCE_PSI * (1 / night.scored + 1 / scored_before)
    limit = max(limits.psi, chance)
    found, none = [], np.zeros(BINS, np.int64)
    for label, now in night.scores.items():
        then = sum((each.scores.get(label, none) for each in before), none)
        value = stability_index(now, then)
        found.append(Finding("psi", value, limit, value >= limit, label))
    return tuple(found)


def _judge_quarantine(night: Night, before: Sequence[Night], limits: DriftLimits) -> Finding:
    chips_before = sum(each.with_data for each in before)
    if few := _too_few(night.with_data, chips_before, "processed"):
        return Finding("quarantine", note=few)
    share_before = sum(each.faulty for each in before) / chips_before
    most = min(1.0, share_before + limits.quarantine)
    limit = limits.quarantine + _CHANCE_SHARE * math.sqrt(most * (1 - most) / night.with_data)
    value = night.faulty / night.with_data - share_before
    return Finding("quarantine", value, limit, value > limit)


def _judge_volume(night: Night, before: Sequence[Night], limits: DriftLimits) -> Finding:
    sizes = [each.chips for each in before]
    if len(sizes) < _FEWEST_NIGHTS_OF_VOLUME:
        found = f"needs {_FEWEST_NIGHTS_OF_VOLUME} earlier runs, found {len(sizes)}"
        return Finding("volume", note=found)
    if median(sizes) < _FEWEST_CHIPS:
        usual = count_of(int(median(sizes)), "chip")
        return Finding("volume", note=f"earlier runs had only {usual}")
    nearest = min(max(night.chips, min(sizes)), max(sizes))  # within their range: the night itself
    ratio = night.chips / nearest
    limit = limits.volume if ratio >= 1 else 1 / limits.volume
    return Finding("volume", ratio, limit, ratio > limit if ratio >= 1 else ratio < limit)


def _too_few(now: int, before: int, done: str) -> str:
    if min(now, before) >= _FEWEST_CHIPS:
        return ""
    return f"needs {_FEWEST_CHIPS} chips each: {now:,} {done} now, {before:,} before"


def _shares(counts: Counts, added: float) -> npt.NDArray[np.float64]:
    """Shares by bin, a little added to each."""
    shares = counts / max(1, counts.sum()) + added
    whole: npt.NDArray[np.float64] = shares / shares.sum()
    return whole
