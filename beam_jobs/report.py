"""Write the report of a run again.

A run writes its report by itself, to `OUTPUT/reports/<run_id>.html`. This command writes it if that
failed, or if the run has changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.run_names import OneRunOptions
from pipelines.commands import CommandLine, run_command
from pipelines.flags import common_flag
from pipelines.reports.reporting import write_report
from pipelines.storage.store import configure


@dataclass(frozen=True, kw_only=True)
class ReportOptions(OneRunOptions, ReaderOptions):
    """The options of the command."""

    unproven: bool = common_flag(
        "Also show labels that are not proven, for lack of labelled chips.", default=False
    )


LINE = CommandLine("beam_jobs.report", ReportOptions, __doc__ or "")


def main(arguments: Sequence[str]) -> int:
    """Write one report and print its address.

    Raises:
        UsageError: there is no such run.
        StorageError: a table cannot be read, or the report cannot be written.
    """
    options = LINE.parse(arguments)
    configure(options.stores)
    uri = options.reading(
        options.output,
        lambda: write_report(options.output, options.run_id, unproven=options.unproven),
    )
    print(uri)
    return 0


if __name__ == "__main__":
    run_command(main)
