"""Keep the tables quick to open: small files made one, dead files deleted, the log shortened.

Every commit here takes a turn among the publishers (`commits.next_turn`), so none of them
works upon files that were just replaced. Readers go on with the files of their snapshot, which
stay until they are vacuumed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties
from deltalake.exceptions import CommitFailedError, DeltaError

from pipelines.tables import commits, delta_tables, publications
from pipelines.tables.commits import COMMIT_TRIES, PublishConflict, commit_in_turn
from pipelines.tables.delta_tables import PublishedFile
from schemas.tables import CHIP_SCORES, RUNS

TARGET_BYTES = 128 * 2**20
"""Size that files are put together to."""

FULL_VACUUM_HOURS = 24
"""Files that no commit names may be a publisher's that is at work: younger ones stay."""

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
    """Put each run's small files together, in one commit.

    Rows, and what is published, stay as they are. Runs that are not in all tables are left alone.

    Args:
        leaving: paths of files that only a preview still finds in the table.

    Raises:
        RunFailed: others committed again and again.
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
        with committing_to(table):
            _write_no_statistics(table)
            made = table.optimize.compact(
                partition_filters=[("run_id", "in", sorted(found))],
                target_size=TARGET_BYTES,
                max_concurrent_tasks=_TASKS,
                writer_properties=_WRITER,
                commit_properties=in_turn(table, "compaction"),
            )
        return Compaction(len(found), made["numFilesRemoved"], made["numFilesAdded"])

    told = f"{name} was not compacted: {COMMIT_TRIES} commits met with conflicts"
    return commit_in_turn(commit, told)


def small_files(
    output: str, table: DeltaTable, leaving: Collection[str] = frozenset()
) -> dict[str, list[PublishedFile]]:
    """The files under half the target's size of each run that has several of them in a night."""
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
    """Delete files that no snapshot of the last hours names; gives their number.

    From `FULL_VACUUM_HOURS` on also what a dead publisher left and no commit ever named.

    Raises:
        StorageError: the table cannot be read, or a file not deleted.
    """
    table = delta_tables.open_table(output, name)
    if table is None:
        return 0
    with committing_to(table):
        dead = table.vacuum(
            retention_hours=hours,
            dry_run=preview,
            enforce_retention_duration=False,
            full=hours >= FULL_VACUUM_HOURS,
        )
    return len(dead)


def shorten_log(output: str, name: str) -> None:
    """Write a checkpoint, and delete the log entries before it that are over 30 days old.

    Raises:
        StorageError: the log cannot be written.
    """
    table = delta_tables.open_table(output, name)
    if table is not None:
        with committing_to(table):
            table.create_checkpoint()
            table.cleanup_metadata()


def in_turn(table: DeltaTable, what: str) -> CommitProperties:
    """Properties of a commit that takes its turn among the publishers."""
    return CommitProperties(
        custom_metadata={"maintained": what},
        app_transactions=[Transaction(*commits.next_turn(table))],
    )


@contextmanager
def committing_to(table: DeltaTable) -> Iterator[None]:
    """Errors of delta-rs as ours.

    Raises:
        PublishConflict: someone committed since the snapshot.
        StorageError: anything else.
    """
    try:
        yield
    except CommitFailedError as error:
        raise PublishConflict(str(error)) from error
    except (DeltaError, OSError) as error:
        raise delta_tables.table_error("maintain", table.table_uri, error) from error


def _is_settled(run_id: str, table: DeltaTable, scores: DeltaTable, runs: DeltaTable) -> bool:
    """Whether no attempt at a run is on its way from `quarantine` to `runs`. Until then names of
    files tell their attempt, and the files when they were committed."""
    attempt = publications.attempts_of(scores, run_id)
    ahead = publications.attempts_of(table, run_id) > attempt
    return not ahead and publications.attempts_of(runs, run_id) >= attempt > 0


def _files_after(found: dict[str, list[PublishedFile]]) -> int:
    """About so many files will be left: those that a night's rows of a run fill."""
    sizes: defaultdict[tuple[str, str], int] = defaultdict(int)
    for file in chain.from_iterable(found.values()):
        sizes[file.run_date, file.run_id] += file.size_bytes
    return sum(1 + size // TARGET_BYTES for size in sizes.values())


def _write_no_statistics(table: DeltaTable) -> None:
    """Compacted files shall have no statistics in the log, like all others: where only some have
    them, deltalake's own `to_pyarrow_dataset` drops rows by those that are missing."""
    if _NO_STATISTICS.items() - table.metadata().configuration.items():
        table.alter.set_table_properties(_NO_STATISTICS)
