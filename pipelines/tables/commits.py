"""Commits to the Delta tables, one at a time without a lock.

All publishers count up one application transaction, `publisher`: of two commits that start from the
same snapshot, the second is refused.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from pipelines.errors import RunFailed, StorageError
from pipelines.storage.storage_errors import is_temporary
from pipelines.tables.delta_tables import UNREADABLE, one_line, open_table, table_error
from pipelines.tables.durability import sync_files, sync_log
from pipelines.tables.publications import attempts_of, run_transaction, withdrawal_transaction
from pipelines.tables.transactions import transaction_version

T = TypeVar("T")

PUBLISHER = "publisher"
"""The application id that every publisher counts up."""

COMMIT_TRIES = 10
"""How often a commit is tried if others commit at the same time."""

_LONGEST_WAIT_S = 1.0


class PublishConflict(Exception):
    """Another publisher committed first: open the table again, check what is published, retry."""


@dataclass(frozen=True)
class DataFile:
    """A Parquet file below a table's root.

    Attributes:
        path: relative to the root, in the hive folder of its partition.
        size_bytes: size of the object.
        rows: number of rows. No other statistics are logged: if only some columns have them,
            deltalake's own `to_pyarrow_dataset` silently drops rows by the others.
        night: run date of its rows, YYYY-MM-DD, if it is not the run's own.
    """

    path: str
    size_bytes: int
    rows: int
    night: str = ""


def commit_files(
    table: DeltaTable,
    files: Sequence[DataFile],
    partition: Mapping[str, str],
    transactions: Iterable[tuple[str, int]],
    replace: bool,
    metadata: Mapping[str, str],
    only_night: bool = False,
) -> None:
    """Add files to one partition of a table, in one commit, and update `table`.

    Without files the commit still records the transactions. With `replace`, the same commit removes
    the run's earlier files, whatever their date; those of a table without partitions, all of them.

    Args:
        table: the snapshot that the commit is based on.
        files: existing files, of the partition or of that of their own night.
        partition: every partition column to its value; nothing for a table without partitions.
        transactions: (application id, version), see `next_transactions`.
        replace: whether the new files replace the run's old ones.
        metadata: a description of the commit, for the table's history.
        only_night: replace only the run's files of the partition's night.

    Raises:
        PublishConflict: one of these application ids was committed since the snapshot, or the
            store's answer was lost.
        StorageError: the log cannot be written.
    """
    properties = CommitProperties(
        custom_metadata=dict(metadata),
        app_transactions=[Transaction(app_id, version) for app_id, version in transactions],
    )
    now_ms = int(time.time() * 1000)
    replaced = partition if only_night else {k: v for k, v in partition.items() if k == "run_id"}
    own = [(name, "=", value) for name, value in replaced.items()] or None
    sync_files(table, [file.path for file in files])
    with translate_commit_errors("commit to", table, retries=True):
        table.create_write_transaction(
            [_add_action(file, partition, now_ms) for file in files],
            mode="overwrite" if replace else "append",
            schema=table.schema(),
            partition_by=list(partition),
            partition_filters=own if replace else None,
            commit_properties=properties,
        )
        table.update_incremental()
    sync_log(table)


@contextmanager
def translate_commit_errors(verb: str, table: DeltaTable, retries: bool = False) -> Iterator[None]:
    """Translate errors of delta-rs.

    Args:
        verb: what failed, as in "cannot VERB TABLE: ...".
        retries: whether the caller checks and retries after a lost answer, too: the commit may
            have succeeded.

    Raises:
        PublishConflict: another commit was made since the snapshot, or the answer was lost.
        StorageError: anything else.
    """
    try:
        yield
    except CommitFailedError as error:
        raise PublishConflict(one_line(error)) from error
    except (DeltaError, OSError) as error:
        if retries and is_temporary(error):
            raise PublishConflict(one_line(error)) from error
        raise table_error(verb, table.table_uri, error) from error


@contextmanager
def conflict_if_replaced(output: str, tables: Mapping[str, DeltaTable | None]) -> Iterator[None]:
    """Let a failed read of snapshots be a conflict if others have committed since: they may have
    replaced the files, and deleted them.

    Raises:
        PublishConflict: the newest snapshots must be read instead.
    """
    try:
        yield
    except (StorageError, *UNREADABLE) as error:
        for name, table in tables.items():
            newest = open_table(output, name)
            if table and newest and newest.version() > table.version():
                raise PublishConflict(str(error)) from error
        raise


def _add_action(file: DataFile, partition: Mapping[str, str], now_ms: int) -> AddAction:
    """The log entry that adds a file to a table."""
    values = {**partition, **({"run_date": file.night} if file.night else {})}
    stats = json.dumps({"numRecords": file.rows})
    return AddAction(file.path, file.size_bytes, values, now_ms, True, stats)


def commit_in_turn(commit: Callable[[], T], purpose: str) -> T:
    """Call a commit until it does not conflict with another one.

    Args:
        commit: opens the table, checks whether there is still something to do, and commits; it
            raises PublishConflict if another process was faster.
        purpose: what the commit is for, as in "cannot PURPOSE".

    Returns:
        What `commit` returns.

    Raises:
        RunFailed: `COMMIT_TRIES` commits met with conflicts.
    """
    for number in range(1, COMMIT_TRIES + 1):
        try:
            return commit()
        except PublishConflict:  # wait at random: else the same processes would conflict again
            if number < COMMIT_TRIES:
                time.sleep(random.uniform(0, min(_LONGEST_WAIT_S, 0.02 * 2**number)))
    raise RunFailed(f"cannot {purpose}: {COMMIT_TRIES} commits met with conflicts")


def next_turn(table: DeltaTable) -> tuple[str, int]:
    """The transaction of every publication, and of every commit that removes files: of two from the
    same snapshot, the second is refused. delta-rs itself would accept both."""
    return (PUBLISHER, (transaction_version(table, PUBLISHER) or 0) + 1)


def next_transactions(
    table: DeltaTable, run_id: str, attempt: int | None = None
) -> list[tuple[str, int]]:
    """The application transactions of this snapshot's next publication.

    Args:
        attempt: number of the run's publication; by default one more than the table has seen.
    """
    attempt = attempt or attempts_of(table, run_id) + 1
    return [next_turn(table), (run_transaction(run_id), attempt)]


def withdraw_rows(
    table: DeltaTable, run_id: str, attempt: int, left: Sequence[DataFile], night: str
) -> None:
    """Remove a run's rows from a table in one commit, and update `table`.

    Args:
        attempt: the publication that is withdrawn.
        left: files that replace the run's rows.
        night: the run date of these files.

    Raises:
        PublishConflict: another commit was made since the snapshot.
        StorageError: the log cannot be written.
    """
    transactions = [next_turn(table), (withdrawal_transaction(run_id), attempt)]
    partition = {"run_date": night, "run_id": run_id}
    metadata = {"run_id": run_id, "withdrawn": str(attempt)}
    commit_files(table, left, partition, transactions, True, metadata)
