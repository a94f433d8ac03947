"""Withdraw a published run.

Its rows are removed from `chip_scores` and `quarantine`, its row in `runs` says `withdrawn`, and
the next run scores its chips again. Older scores of the same chips become visible again. A second
call changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beam_jobs.options.run_names import OneRunOptions
from pipelines.commands import CommandLine, run_command
from pipelines.flags import common_flag
from pipelines.maintenance.withdrawing import withdraw_run
from pipelines.storage.store import configure
from pipelines.storage.store_flags import StoreOptions


@dataclass(frozen=True, kw_only=True)
class WithdrawOptions(OneRunOptions, StoreOptions):
    """The options of the command."""

    reason: str | None = common_flag(
        "Why the run is withdrawn, for its row in runs and its report.",
        metavar="TEXT",
        default=None,
    )


LINE = CommandLine("beam_jobs.withdraw", WithdrawOptions, __doc__ or "")


def main(arguments: Sequence[str]) -> int:
    """Withdraw one run.

    Raises:
        UsageError: there is no such run.
        StorageError: a table cannot be read or written.
    """
    options = LINE.parse(arguments)
    configure(options.stores)
    run = f"run {options.run_id}"
    if withdraw_run(options.output, options.run_id, options.reason or ""):
        print(f"{run} is withdrawn; the next run scores its chips that no other run has scored")
    else:
        print(f"{run} was withdrawn before")
    return 0


if __name__ == "__main__":
    run_command(main)
