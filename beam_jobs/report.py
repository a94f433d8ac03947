"""Write a run's report anew: `python -m beam_jobs.report --output URI --run_id ID`.

A run writes its report by itself, to OUTPUT/reports/<run_id>.html. This writes one where that went
wrong, or shows what has become of the run since.
"""

from __future__ import annotations

from collections.abc import Sequence

from beam_jobs.command import CommandParser
from beam_jobs.options.run_options import checked_run_id
from pipelines.commands import run_command
from pipelines.reports.reporting import write_report
from pipelines.storage.store import absolute_uri


def main(arguments: Sequence[str]) -> int:
    """Write one report and say where it lies.

    Raises:
        UsageError: there is no such run.
        StorageError: a table cannot be read, or the report cannot be written.
    """
    parser = CommandParser(prog="python -m beam_jobs.report", description=__doc__ or "")
    parser.add_argument("--output", required=True, metavar="URI", help="where the tables lie")
    parser.add_argument("--run_id", required=True, metavar="ID", help="the run to report on")
    options = parser.parse_args(arguments)
    print(write_report(absolute_uri(options.output), checked_run_id(options.run_id)))
    return 0


if __name__ == "__main__":
    run_command(main)
