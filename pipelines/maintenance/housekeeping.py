"""Keep the tables quick to open: compact small files, delete dead ones, shorten the log.

Every commit here takes a turn among the publishers (`commits.next_turn`), so none of them is based
on files that were just replaced. Readers keep the files of their snapshot until these are vacuumed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties

from pipelines.tables import commits, delta_tables, publications
from pipelines.tables.commits import commit_in_turn, translate_commit_errors
from pipelines.tables.delta_tables import PublishedFile
from schemas.tables import CHIP_SCORES, RUNS

TARGET_BYTES = 128 * 2**20
"""Size of compacted files."""

FULL_VACUUM_HOURS = 24
"""Files without a commit may belong to a running publisher: younger ones are not deleted."""

_NO_STATISTICS = {"delta.dataSkippingNumIndexedCols": "0"}
_WRITER = WriterProperties(compression="ZSTD", compression_level=3, max_row_group_size=131_072)
_TASKS = 2


@dataclass(frozen=True)
class Compaction:
    """What compacting a table did, or would do.

    Attributes:
        runs: runs that had several small files.
        files_before, files_after: files of these runs.
    """

    runs: int = 0
    files_before: int = 0
    files_after: int = 0


def compact(
    output: str, name: str, preview: bool, leaving: Collection[str] = frozenset()
) -> Compaction:
    """Compact each run's small files, in one commit.

    Rows, and what is published, do not change. Runs that are not in all tables are skipped.

    Args:
        leaving: paths of files to ignore, which a real run (not a preview) would have removed.

    Raises:
        RunFailed: every commit met with a conflict.
        StorageError: the table cannot be read or written.
    """

    def commit() -> Compaction:
        table = delta_tables.open_table(output, name)
        found = small_files(output, table, leaving) if table else {}
        if table is None or not found:
            return Compaction()
        before = sum(len(files) for files in found.values())
        if preview:
            return Compaction(len(found), before, _files_after(found))
        with translate_commit_errors("maintain", table):
            _write_no_statistics(table)
            made = table.optimize.compact(
                partition_filters=[("run_id", "in", sorted(found))],
                target_size=TARGET_BYTES,
                max_concurrent_tasks=_TASKS,
                writer_properties=_WRITER,
                commit_properties=in_turn(table, "compaction"),
            )
        return Compaction(len(found), made["numFilesRemoved"], made["numFilesAdded"])

    return commit_in_turn(commit, f"compact {name}")


def small_files(
    output: str, table: DeltaTable, leaving: Collection[str] = frozenset()
) -> dict[str, list[PublishedFile]]:
    """The files under half of `TARGET_BYTES`, of each run that has several of them in a night."""
    runs = delta_tables.open_table(output, RUNS.name)
    scores = delta_tables.open_table(output, CHIP_SCORES.name)
    by_partition: defaultdict[tuple[str, str], list[PublishedFile]] = defaultdict(list)
    for file in delta_tables.data_files(table):
        if file.size_bytes < TARGET_BYTES // 2 and file.path not in leaving:
            by_partition[file.run_date, file.run_id].append(file)
    found: defaultdict[str, list[PublishedFile]] = defaultdict(list)
    for (_, run_id), files in by_partition.items():
        if len(files) > 1 and runs and scores and _is_settled(run_id, table, scores, runs):
            found[run_id] += files
    return dict(found)


def vacuum(output: str, name: str, hours: int, preview: bool) -> int:
    """Delete files that are in no snapshot of the last hours; returns their number.

    With at least `FULL_VACUUM_HOURS`, files that a dead publisher left without a commit, too.

    Raises:
        StorageError: the table cannot be read, or a file not deleted.
    """
    table = delta_tables.open_table(output, name)
    if table is None:
        return 0
    with translate_commit_errors("maintain", table):
        dead = table.vacuum(
            retention_hours=hours,
            dry_run=preview,
            enforce_retention_duration=False,
            full=hours >= FULL_VACUUM_HOURS,
        )
    return len(dead)


def shorten_log(output: str, name: str) -> None:
    """Write a checkpoint, and delete older log entries that are over 30 days old.

    Raises:
        StorageError: the log cannot be written.
    """
    table = delta_tables.open_table(output, name)
    if table is not None:
        with translate_commit_errors("maintain", table):
            table.create_checkpoint()
            table.cleanup_metadata()


def in_turn(table: DeltaTable, what: str) -> CommitProperties:
    """Properties of a commit that takes its turn among the publishers."""
    return CommitProperties(
        custom_metadata={"maintained": what},
        app_transactions=[Transaction(*commits.next_turn(table))],
    )


def _is_settled(run_id: str, table: DeltaTable, scores: DeltaTable, runs: DeltaTable) -> bool:
    """Whether no attempt at a run is between its commits to `quarantine` and to `runs`. Until then
    the names and times of the files are needed: they show the attempt and its commit."""
    attempt = publications.attempts_of(scores, run_id)
    ahead = publications.attempts_of(table, run_id) > attempt
    return not ahead and publications.attempts_of(runs, run_id) >= attempt > 0


def _files_after(found: dict[str, list[PublishedFile]]) -> int:
    """About how many files will remain: those that a night's rows of a run fill."""
    sizes: defaultdict[tuple[str, str], int] = defaultdict(int)
    for file in chain.from_iterable(found.values()):
        sizes[file.run_date, file.run_id] += file.size_bytes
    return sum(1 + size // TARGET_BYTES for size in sizes.values())


def _write_no_statistics(table: DeltaTable) -> None:
    """Keep compacted files without statistics in the log, like all others (see `DataFile.rows`)."""
    if _NO_STATISTICS.items() - table.metadata().configuration.items():
        table.alter.set_table_properties(_NO_STATISTICS)
