"""The flags of an estimate: what it is made with and how it is told."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from beam_jobs.options.flag_types import at_least_1
from beam_jobs.options.prices import THIS_MACHINE, WorkerType, read_prices
from pipelines.errors import UsageError
from pipelines.storage import store

_SAMPLE_CHIPS = 512


@dataclass(frozen=True)
class EstimateOptions:
    """How an estimate is made.

    Attributes:
        prices: the worker types to tell of.
        sample_chips: chips to score.
        format: text or json.
    """

    prices: tuple[WorkerType, ...]
    sample_chips: int
    format: str


def add_estimate_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("--estimate", action="store_true", help="tell what the run would take; writes nothing")
    prices = "csv of worker_type, price_per_hour, speed or chips_per_second, workers"
    add("--prices", metavar="FILE", help=f"with --estimate: {prices}")
    sample = f"with --estimate: chips to try; default: {_SAMPLE_CHIPS}"
    add("--sample_chips", type=at_least_1, metavar="N", help=sample)
    add("--format", choices=("text", "json"), help="of the estimate; default: text")


def estimate_options(given: argparse.Namespace) -> EstimateOptions | None:
    """What was asked for; None where a run is meant.

    Raises:
        UsageError: a flag that belongs to --estimate without it, or an unfit price table.
    """
    if not given.estimate:
        for name in ("prices", "sample_chips", "format"):
            if getattr(given, name) is not None:
                raise UsageError(f"--{name} belongs to --estimate, which is not given")
        return None
    prices = read_prices(store.absolute_uri(given.prices)) if given.prices else (THIS_MACHINE,)
    sample = given.sample_chips or _SAMPLE_CHIPS
    return EstimateOptions(prices, sample, given.format or "text")
