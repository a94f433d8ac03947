"""The flags of the verdict on a night: from where on it is bad, and what becomes of it."""

from __future__ import annotations

import argparse

from beam_jobs.options.flag_types import at_least_0, factor, positive, ratio
from pipelines.drift.checks import DriftLimits


def add_drift_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags, with the limits' own defaults."""
    limits, default, add = DriftLimits(), "; default: %(default)s", parser.add_argument
    psi = "a night is bad from this population stability index of a label's scores on" + default
    add("--drift_psi", type=positive, default=limits.psi, metavar="X", help=psi)
    share = "or over this share of quarantined chips above that of the nights before" + default
    add("--drift_quarantine", type=ratio, default=limits.quarantine, metavar="R", help=share)
    volume = "or with this many times fewer or more chips than any night before" + default
    add("--drift_volume", type=factor, default=limits.volume, metavar="N", help=volume)
    nights = "published runs to compare with, at most; 0 judges nothing" + default
    add("--drift_nights", type=at_least_0, default=limits.nights, metavar="N", help=nights)
    empty = "judge nights of no chips, too: the archive grows every night, and one without is bad"
    add("--drift_empty", action="store_true", help=empty)
    hold = "a bad night is not published, but waits for python -m beam_jobs.publish"
    add("--hold_on_drift", action="store_true", help=hold)


def drift_limits(given: argparse.Namespace) -> DriftLimits:
    """The limits that were asked for by the flags."""
    return DriftLimits(
        psi=given.drift_psi,
        quarantine=given.drift_quarantine,
        volume=given.drift_volume,
        nights=given.drift_nights,
        hold=given.hold_on_drift,
        empty=given.drift_empty,
    )
