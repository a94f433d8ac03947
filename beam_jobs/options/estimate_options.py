"""The flags of an estimate: what it is made from, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from beam_jobs.options.store_options import address
from pipelines.errors import UsageError
from pipelines.flags import at_least_1, flag

SAMPLE_CHIPS = 512
"""Chips that are scored for an estimate."""


@dataclass(frozen=True)
class EstimateOptions:
    """How an estimate is made; None means that the flag was not given."""

    prices: str | None = flag(
        "With --estimate: a csv with the columns worker_type, price_per_hour, speed or "
        "chips_per_second, and workers.",
        address,
        metavar="FILE",
        default=None,
    )
    sample_chips: int | None = flag(
        f"With --estimate: score this many chips as a sample. Default: {SAMPLE_CHIPS}.",
        at_least_1,
        default=None,
    )
    format: Literal["text", "json"] | None = flag(
        "With --estimate: the format that it is printed in. Default: text.", default=None
    )

    def check_unused(self) -> None:
        """Refuse these flags without --estimate.

        Raises:
            UsageError: one of them was given.
        """
        for name, value in vars(self).items():
            if value is not None:
                raise UsageError(f"--{name} belongs to --estimate, which is not given")
