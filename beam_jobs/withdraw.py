"""Take a published run back: `python -m beam_jobs.withdraw --output URI --run_id ID`.

Its rows leave `chip_scores` and `quarantine`, its row in `runs` says `withdrawn`, and the next run
scores its chips again. Older scores of the same chips show again. Twice does no more than once.
"""

from __future__ import annotations

from collections.abc import Sequence

from beam_jobs.command import CommandParser
from beam_jobs.options.run_options import checked_run_id
from beam_jobs.options.store_options import parse_and_configure
from pipelines.commands import run_command
from pipelines.maintenance.withdrawing import withdraw_run
from pipelines.storage.store import absolute_uri


def main(arguments: Sequence[str]) -> int:
    """Withdraw one run.

    Raises:
        UsageError: there is no such run.
        StorageError: a table cannot be read or written.
    """
    parser = CommandParser(prog="python -m beam_jobs.withdraw", description=__doc__ or "")
    parser.add_argument("--output", required=True, metavar="URI", help="where the tables lie")
    parser.add_argument("--run_id", required=True, metavar="ID", help="the run to take back")
    options = parse_and_configure(parser, arguments)
    run_id = checked_run_id(options.run_id)
    if withdraw_run(absolute_uri(options.output), run_id):
        print(f"run {run_id} is withdrawn; the next run scores its chips that no other has scored")
    else:
        print(f"run {run_id} was withdrawn before")
    return 0


if __name__ == "__main__":
    run_command(main)
