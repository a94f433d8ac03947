"""Compact the tables, and delete old files and old nights.

With --keep_days, rows of older nights are removed from `chip_scores` and `quarantine`; their chips
are not scored again, and `runs` keeps its rows. Then the small files of each run are merged, rows
of earlier releases get their footprints, files that are no longer needed are deleted, and the logs
of the tables are shortened. Readers see the same rows all the time, and a run may be in progress.
Staging of published runs, and old indexes of tars and headers of scenes, are deleted too.

With --check, nothing is changed: files of the tables that are missing or damaged are listed, with
their run and what to do. The exit code is 1 if there are some.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.store_options import OUTPUT
from pipelines.commands import EXIT_FAILED, CommandLine, run_command
from pipelines.errors import UsageError, as_usage_error
from pipelines.flags import common_flag, days, flag, hours
from pipelines.maintenance.compaction import compact, runs_with_footprints
from pipelines.maintenance.housekeeping import clean_up, drop_finished_staging
from pipelines.maintenance.retention import expire
from pipelines.scenes import header_cache
from pipelines.storage.store import configure
from pipelines.tables import delta_tables
from pipelines.tables.damage import find_damage
from pipelines.tars import index_cache
from pipelines.version_cache import KEPT_DAYS, drop_old
from pipelines.wording import count_of
from schemas.tables import CHIP_SCORES, TABLES


@dataclass(frozen=True, kw_only=True)
class MaintainOptions(ReaderOptions):
    """The options of the command."""

    output: str = OUTPUT()
    keep_days: int | None = common_flag(
        "Remove rows of nights (run_date) that are older than N days. Default: keep them.",
        days,
        default=None,
    )
    vacuum_hours: int = flag(
        "Delete files that left the tables at least this many hours ago.",
        hours,
        metavar="H",
        default=168,
    )
    preview: bool = common_flag("Print what would be done, and do nothing.", default=False)
    check: bool = common_flag(
        "Only list the files of all tables that are missing or have another size than when they "
        "were committed; exit code 1 if there are some.",
        default=False,
    )
    deep: bool = common_flag(
        "With --check: read all files, too, and compare their checksums.", default=False
    )


_INDEXES = (
    (index_cache.FOLDER, "indexes", "tar"),
    (header_cache.FOLDER, "headers", "scene"),
)
"""Folders of what was read from objects, what that is, and what the objects are."""

LINE = CommandLine("beam_jobs.maintain", MaintainOptions, __doc__ or "")


def main(arguments: Sequence[str]) -> int:
    """Maintain the tables of one OUTPUT; returns the exit code.

    Raises:
        UsageError: there are no tables.
        RunFailed: every attempt to commit conflicted with another writer.
        StorageError: a table cannot be read or written.
    """
    options = LINE.parse(arguments)
    configure(options.stores)
    if options.check and (options.preview or options.keep_days is not None):
        raise UsageError("--check changes nothing: give it without --preview and --keep_days")
    if options.deep and not options.check:
        raise UsageError("--deep goes with --check")
    _check_there(options.output)
    if options.check:
        return _list_damage(options.output, options.deep)
    options.reading(options.output, lambda: _maintain(options))
    return 0


def _list_damage(output: str, deep: bool) -> int:
    """Print each damaged file, with what to do; returns the exit code."""
    damage = find_damage(output, deep)
    for each in damage:
        print(f"{each}: {each.advice}")
    looked = "sizes and contents" if deep else "sizes"
    print(f"{looked} of all files checked: {count_of(len(damage), 'damaged file')}")
    return EXIT_FAILED if damage else 0


def _maintain(options: MaintainOptions) -> None:
    output, preview = options.output, options.preview
    leaving: Mapping[str, frozenset[str]] = {}
    if options.keep_days is not None:
        leaving = _expire(output, options.keep_days, preview)
    placed = runs_with_footprints(output)
    for name in (table.name for table in TABLES if table.compacted):
        _tidy(options, name, leaving.get(name, frozenset()), placed)
    _drop_finished_staging(output, preview)
    _drop_old_indexes(output, preview)


def _check_there(output: str) -> None:
    with as_usage_error("--output"):
        found = delta_tables.open_table(output, CHIP_SCORES.name)
    if found is None:
        raise UsageError(f"--output {output!r} has no table chip_scores: nothing to maintain")


def _expire(output: str, days: int, preview: bool) -> Mapping[str, frozenset[str]]:
    """Remove old nights; returns the paths of their files by table."""
    before = str(datetime.now(UTC).date() - timedelta(days=days))
    expiry = expire(output, before, preview)
    rows = ", ".join(f"{number:,} of {name}" for name, number in expiry.rows.items())
    removed = f"{expiry.nights:,} {_are(preview, expiry.nights)} removed"
    print(f"nights before {before}: {removed}, rows: {rows}")
    return expiry.paths


def _tidy(
    options: MaintainOptions, name: str, leaving: frozenset[str], placed: Collection[str]
) -> None:
    output, hours, preview = options.output, options.vacuum_hours, options.preview
    compaction = compact(output, name, preview, leaving, placed)
    dead = clean_up(output, name, hours, preview)
    if preview and not hours:  # this command would also delete what it removes
        dead += len(leaving) + compaction.files_before + compaction.rewritten
    small, runs = count_of(compaction.files_before, "small file"), count_of(compaction.runs, "run")
    made = f"{_are(preview, compaction.files_before)} compacted to {compaction.files_after:,}"
    if old := compaction.rewritten:
        given = f"{count_of(old, 'file')} of earlier releases {_are(preview, old)} rewritten"
        made += f"; {given} with footprints"
    deleted = f"{count_of(dead, 'dead file')} {_are(preview, dead)} deleted"
    print(f"{name}: {small} of {runs} {made}; {deleted}", flush=True)


def _drop_finished_staging(output: str, preview: bool) -> None:
    if dropped := drop_finished_staging(output, preview):
        folders = count_of(dropped, "staging folder")
        print(f"{folders} of published runs {_are(preview, dropped)} deleted", flush=True)


def _drop_old_indexes(output: str, preview: bool) -> None:
    older_than = datetime.now(UTC) - timedelta(days=KEPT_DAYS)
    for folder, what, object_name in _INDEXES:
        if dropped := drop_old(output, folder, older_than, preview):
            text = f"{what} of {count_of(dropped, object_name)}, over {KEPT_DAYS} days old,"
            print(f"{text} {_are(preview, 2)} deleted", flush=True)


def _are(preview: bool, number: int) -> str:
    if preview:
        return "would be"
    return "was" if number == 1 else "were"


if __name__ == "__main__":
    run_command(main)
