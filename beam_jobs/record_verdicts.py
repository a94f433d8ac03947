"""Record what officers found when they checked alerts.

The csv has a row for each verdict: `alert_id` or `site_id`, `verdict` (true, false or unclear),
`who`, `when` (a date or a time, UTC) and `note`, as `export_alerts --to FILE.csv` prepares them.
Rows without a verdict are skipped, and so are those that were recorded before. A verdict about a
site is about all its alerts. The view `newest_verdicts` has the newest verdict of each alert, and
briefs say how often officers found a label right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.store_options import OUTPUT, address
from pipelines.commands import CommandLine, run_command
from pipelines.flags import flag
from pipelines.storage.store import configure
from pipelines.verdicts import record_verdicts
from pipelines.wording import count_of


@dataclass(frozen=True, kw_only=True)
class VerdictOptions(ReaderOptions):
    """The options of the command."""

    output: str = OUTPUT()
    file: str = flag(
        "A csv in UTF-8, with commas or semicolons: alert_id or site_id, verdict (true, false, "
        "unclear), who, when, note.",
        address,
        metavar="FILE",
    )


LINE = CommandLine("beam_jobs.record_verdicts", VerdictOptions, __doc__ or "")


def main(arguments: Sequence[str]) -> int:
    """Record the verdicts of one file; returns the exit code.

    Raises:
        UsageError: there are no alerts; the file cannot be read; a row is wrong or about an unknown
            alert: nothing is recorded then.
        RunFailed: every attempt to commit conflicted with another writer.
        StorageError: a table cannot be read or written.
    """
    options = LINE.parse(arguments)
    configure(options.stores)
    done = options.reading(options.output, lambda: record_verdicts(options.output, options.file))
    alerts = count_of(done.alerts, "alert")
    print(f"{count_of(done.verdicts, 'verdict')} recorded, about {alerts}")
    if done.known:
        print(f"{count_of(done.known, 'verdict')} skipped: recorded before")
    return 0


if __name__ == "__main__":
    run_command(main)
