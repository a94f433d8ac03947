"""The Delta tables below an OUTPUT: opened, created, committed to; what is published and what not.

Workers put Parquet files; a file is in a table once a commit names it. The commit to
`chip_scores` is what publishes a run. Two facts ride in each such commit, as Delta's application
transactions, which survive checkpoints and the clean-up of old log files, and so does a third:

- `publisher`: one sequence for all publishers. Two that start from the same snapshot conflict,
  so publishing goes one after the other without a lock.
- `run:<run_id>`: the run's attempts, 1 for its first publication, 2 for a replacement. It is
  there for a run without a single row, too.
- `withdrawn:<run_id>`: the last attempt that was taken back.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.storage.retries import insist
from pipelines.storage.storage_errors import is_passing, without_secrets
from pipelines.storage.store import absolute_uri, delta_options, is_remote, join_uri
from schemas.render import delta_schema
from schemas.tables import Table

T = TypeVar("T")

PUBLISHER = "publisher"
"""The application id that every publisher counts up."""

_MISREAD = re.compile(r"[%\\\x00-\x1f]")
"""What delta-rs reads as something else in a local path: %20 as a space, a backslash as /."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


COMMIT_TRIES = 10
"""How often a commit is tried that others are in the way of."""

_TOLD_COLUMNS = 4
_LONGEST_WAIT_S = 1.0


class PublishConflict(Exception):
    """Another publisher committed first: open the table anew, look what is published, try again."""


@dataclass(frozen=True)
class DataFile:
    """A Parquet file that lies below the table's root.

    Attributes:
        path: relative to the root, in the hive folder of its partition.
        size_bytes: size of the object.
        rows: number of rows. No other statistics go to the log: where only some columns have
            them, deltalake's own `to_pyarrow_dataset` silently drops rows by the others.
        night: run date of its rows, YYYY-MM-DD, where that is not the run's own.
    """

    path: str
    size_bytes: int
    rows: int
    night: str = ""


class PublishedFile(NamedTuple):
    """A file that a snapshot of a table names, its path relative to the table's root."""

    run_date: str
    run_id: str
    path: str
    size_bytes: int
    rows: int


def open_table(output: str, name: str) -> DeltaTable | None:
    """The newest snapshot of a table below OUTPUT, None where there is no such table.

    Raises:
        StorageError: the place cannot be read, or what lies there is no sound table.
        UsageError: the bucket does not exist, OUTPUT is a file, or has a name that delta-rs
            takes for another.
    """
    uri = join_uri(output, name)
    if not is_remote(uri) and (odd := _MISREAD.search(uri)):
        raise UsageError(f"tables cannot lie in {output!r}: {odd[0]!r} in the folder's name")
    try:
        if not is_remote(uri):
            os.listdir(join_uri(uri, "_delta_log"))  # delta-rs calls a locked folder a missing one
        return insist(lambda: DeltaTable(uri, storage_options=delta_options(uri)))
    except (TableNotFoundError, FileNotFoundError):
        return None
    except NotADirectoryError as error:
        raise UsageError(f"{output!r} must be a folder, and has a file in the way") from error
    except (DeltaError, OSError) as error:
        raise table_error("open", uri, error) from error


def ensure_table(output: str, table: Table) -> DeltaTable:
    """Open a table, created first where it is missing; two creators at once are fine.

    Raises:
        UsageError: it is there with other columns (OUTPUT holds another label set), or the
            bucket does not exist.
        StorageError: it can be neither opened nor created.
    """
    found = open_table(output, table.name)
    if found is None:
        _create(output, table)
        found = open_table(output, table.name)
    if found is None:
        raise StorageError(f"created {join_uri(output, table.name)!r}, but it is not there")
    _check_columns(output, table, found)
    return found


def check_table(output: str, table: Table) -> None:
    """Refuse a table that is there with other columns; nothing is written.

    Raises:
        UsageError: it is (OUTPUT holds another label set), or the bucket does not exist.
        StorageError: it cannot be opened.
    """
    found = open_table(output, table.name)
    if found is not None:
        _check_columns(output, table, found)


def add_actions(files: Iterable[DataFile], partition: Mapping[str, str]) -> list[AddAction]:
    """The log entries that bring files into a table."""
    now_ms = int(time.time() * 1000)
    return [_add_action(file, partition, now_ms) for file in files]


def _add_action(file: DataFile, partition: Mapping[str, str], now_ms: int) -> AddAction:
    values = {**partition, "run_date": file.night or partition["run_date"]}
    stats = json.dumps({"numRecords": file.rows})
    return AddAction(file.path, file.size_bytes, values, now_ms, True, stats)


def commit_files(
    table: DeltaTable,
    files: Sequence[DataFile],
    partition: Mapping[str, str],
    transactions: Iterable[tuple[str, int]],
    replace: bool,
    metadata: Mapping[str, str],
) -> None:
    """Bring files into one partition of a table, in one commit; then bring `table` up to date.

    Without files the commit still records the transactions. With `replace` the run's earlier
    files leave the table in the same commit, under whatever date they were published.

    Args:
        table: the snapshot that the commit builds upon.
        files: they must lie there already; all of them belong to the partition, or to that of
            their own night.
        partition: every partition column to its value.
        transactions: (application id, version), see `next_transactions`.
        replace: whether the new files take the place of the run's old ones.
        metadata: what the commit is, for people who read the table's history.

    Raises:
        PublishConflict: someone committed one of these application ids since the snapshot, or the
            store's answer was lost.
        StorageError: the log cannot be written.
    """
    properties = CommitProperties(
        custom_metadata=dict(metadata),
        app_transactions=[Transaction(app_id, version) for app_id, version in transactions],
    )
    try:
        table.create_write_transaction(
            add_actions(files, partition),
            mode="overwrite" if replace else "append",
            schema=table.schema(),
            partition_by=list(partition),
            partition_filters=[("run_id", "=", partition["run_id"])] if replace else None,
            commit_properties=properties,
        )
        table.update_incremental()
    except CommitFailedError as error:
        raise PublishConflict(_one_line(error)) from error
    except (DeltaError, OSError) as error:
        if is_passing(error):  # the commit may have landed all the same
            raise PublishConflict(_one_line(error)) from error
        raise table_error("commit to", table.table_uri, error) from error


def _commit_tries() -> Iterator[int]:
    """Numbers of the tries at a commit. Between two of them it waits for a random time, longer and
    longer: others are in the way, and would be again."""
    for number in range(COMMIT_TRIES):
        if number:
            time.sleep(random.uniform(0, min(_LONGEST_WAIT_S, 0.02 * 2**number)))
        yield number


def commit_in_turn(commit: Callable[[], T], told: str) -> T:
    """Make a commit after whoever is committing at the same moment.

    Args:
        commit: opens the table anew each time, looks whether there is still something to do, and
            commits; it raises PublishConflict where somebody was faster.
        told: what the error says if somebody always was.

    Returns:
        What `commit` gives.

    Raises:
        RunFailed: others were faster again and again.
    """
    for _ in _commit_tries():
        try:
            return commit()
        except PublishConflict:
            continue
    raise RunFailed(told)


def next_turn(table: DeltaTable) -> tuple[str, int]:
    """What every commit that takes files out of a table must carry, and every publication: of two
    upon the same snapshot the second is refused. delta-rs itself would let both land."""
    return (PUBLISHER, int(table.transaction_version(PUBLISHER) or 0) + 1)


def next_transactions(
    table: DeltaTable, run_id: str, attempt: int | None = None
) -> list[tuple[str, int]]:
    """The application transactions with which this snapshot's next publication is committed.

    Args:
        attempt: number of the run's publication; by default one more than the table has seen.
    """
    attempt = attempt or attempts_of(table, run_id) + 1
    return [next_turn(table), (_run(run_id), attempt)]


def attempts_of(table: DeltaTable, run_id: str) -> int:
    """The run's last attempt that was committed to this table, 0 for none. A publisher that died
    between two tables leaves a gap in the later ones, since the next attempt has a new number."""
    return int(table.transaction_version(_run(run_id)) or 0)


def withdrawn_attempt(table: DeltaTable, run_id: str) -> int:
    """The run's last attempt whose rows were taken out of this table again, 0 for none."""
    return int(table.transaction_version(_withdrawal(run_id)) or 0)


def take_back(
    table: DeltaTable, run_id: str, attempt: int, left: Sequence[DataFile], night: str
) -> None:
    """Take a run's rows out of a table in one commit; then bring `table` up to date.

    Args:
        attempt: the publication that is taken back.
        left: files that take the place of the run's rows.
        night: the run date of these files.

    Raises:
        PublishConflict: someone committed since the snapshot.
        StorageError: the log cannot be written.
    """
    transactions = [next_turn(table), (_withdrawal(run_id), attempt)]
    partition = {"run_date": night, "run_id": run_id}
    metadata = {"run_id": run_id, "withdrawn": str(attempt)}
    commit_files(table, left, partition, transactions, True, metadata)


def runs_since(table: DeltaTable, version: int) -> set[str]:
    """The runs that were committed to this table after one of its versions."""
    newer = table.version() - version
    entries = insist(lambda: table.history(newer)) if newer > 0 else []
    return {entry["run_id"] for entry in entries if "run_id" in entry}


def snapshot_of_attempt(table: DeltaTable, run_id: str, attempt: int) -> DeltaTable | None:
    """The newest snapshot in which no later attempt at a run is committed; None where the log does
    not go back so far.

    Raises:
        StorageError: the log cannot be read.
    """
    uri = table.table_uri
    try:
        for entry in insist(table.history):
            if entry.get("run_id") == run_id and entry["version"]:
                earlier = _open_at(uri, entry["version"] - 1)
                if attempts_of(earlier, run_id) <= attempt:
                    return earlier
    except DeltaError as error:
        if not is_passing(error):
            return None
        raise table_error("open", uri, error) from error
    return None


def _open_at(uri: str, version: int) -> DeltaTable:
    return insist(lambda: DeltaTable(uri, version=version, storage_options=delta_options(uri)))


def committed_at(table: DeltaTable, run_id: str) -> datetime | None:
    """When a run's rows were committed to this table; None where it has no rows there."""
    actions = pa.table(table.get_add_actions()).select(["partition", "modification_time"])
    times_ms = [
        action["modification_time"]
        for action in actions.to_pylist()
        if action["partition"]["run_id"] == run_id
    ]
    return datetime.fromtimestamp(max(times_ms) / 1000, UTC) if times_ms else None


def is_published(scores: DeltaTable, run_id: str) -> bool:
    """Whether a run is published in this snapshot of `chip_scores`."""
    return attempts_of(scores, run_id) > withdrawn_attempt(scores, run_id)


def published_run_ids(scores: DeltaTable | None, candidates: Iterable[str]) -> set[str]:
    """Those of the runs that are published; none where there is no `chip_scores` yet."""
    if scores is None:
        return set()
    # Only a publication brings rows, and one look at all partitions is cheaper than one a run.
    with_rows = {partition["run_id"] for partition in scores.partitions()}
    return {run for run in set(candidates) if run in with_rows or is_published(scores, run)}


def data_files(table: DeltaTable) -> list[PublishedFile]:
    """The files of a snapshot, by night, run and path."""
    names = ["partition", "path", "size_bytes", "num_records"]
    actions = pa.table(table.get_add_actions()).select(names).to_pylist()
    return sorted(
        PublishedFile(str(partition["run_date"]), partition["run_id"], *file)
        for partition, *file in (action.values() for action in actions)
    )


def open_dataset(table: DeltaTable, run_ids: Collection[str] | None = None) -> pads.Dataset:
    """The rows of a snapshot, or of some runs in it, for pyarrow and DuckDB, filters pushed down.

    Files are skipped by their partition only. deltalake's own `to_pyarrow_dataset` also skips by
    the log's statistics, and compares with null where a file has none for a column: rows vanish.
    """
    # No file can match: this gives the schema and the connection, and refuses what the table's
    # protocol says cannot be read this way.
    frame = table.to_pyarrow_dataset(
        filesystem=_local_files(table), file_pruning_predicate=[("run_id", "in", [])]
    )
    actions = pa.table(table.get_add_actions()).select(["path", "partition"]).to_pylist()
    fragments = [
        frame.format.make_fragment(
            action["path"], frame.filesystem, _partition_filter(**action["partition"])
        )
        for action in actions
        if run_ids is None or action["partition"]["run_id"] in run_ids
    ]
    return pads.FileSystemDataset(fragments, frame.schema, frame.format, frame.filesystem)


def _local_files(table: DeltaTable) -> SubTreeFileSystem | None:
    """Arrow's own files for a local table. Through delta-rs' Python files Arrow's threads still
    want the interpreter when it is gone: one process in four aborts at its end."""
    uri = table.table_uri
    if is_remote(uri):
        return None
    return SubTreeFileSystem(absolute_uri(uri), LocalFileSystem())


@lru_cache(maxsize=4096)
def _partition_filter(run_date: date, run_id: str) -> pc.Expression:
    return (pc.field("run_date") == run_date) & (pc.field("run_id") == run_id)


def _run(run_id: str) -> str:
    return f"run:{run_id}"


def _withdrawal(run_id: str) -> str:
    return f"withdrawn:{run_id}"


def _create(output: str, table: Table) -> None:
    uri = join_uri(output, table.name)
    try:
        insist(lambda: _create_at(uri, table))
    except CommitFailedError:
        pass  # another creator was faster: the table is there
    except (DeltaError, OSError) as error:
        raise table_error("create", uri, error) from error


def _create_at(uri: str, table: Table) -> None:
    DeltaTable.create(
        uri,
        schema=delta_schema(table),
        mode="ignore",
        partition_by=list(table.partition_by),
        name=table.name,
        description=table.description,
        storage_options=delta_options(uri),
        # A retry would land as a second creation on top of the first, columns and all.
        commit_properties=CommitProperties(max_commit_retries=0),
    )


def _check_columns(output: str, table: Table, found: DeltaTable) -> None:
    ours, theirs = _columns(delta_schema(table)), _columns(pa.schema(found.schema().to_arrow()))
    if ours == theirs:
        return
    differences = [
        f"{name} ({theirs.get(name, 'missing')} there, {ours.get(name, 'missing')} here)"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    told, more = differences[:_TOLD_COLUMNS], len(differences) - _TOLD_COLUMNS
    told += [f"and {more} more"] if more > 0 else []
    raise UsageError(
        f"{join_uri(output, table.name)!r} has other columns: {', '.join(told)}; "
        "one OUTPUT holds one label set: use another OUTPUT"
    )


def _columns(schema: pa.Schema) -> dict[str, str]:
    """Column to what must agree: its type, and the label that its scores belong to."""
    labels = {f.name: (f.metadata or {}).get(b"label", b"").decode() for f in schema}
    types = {f.name: str(f.type).split("<")[0] for f in schema}
    return {
        name: f"{types[name]} of {label!r}" if label else types[name]
        for name, label in labels.items()
    }


def table_error(verb: str, uri: str, error: Exception) -> StorageError | UsageError:
    """What delta-rs says of a table, as an error of ours."""
    if "NoSuchBucket" in str(error):
        return UsageError(f"cannot {verb} {uri!r}: there is no such bucket")
    return StorageError(f"cannot {verb} {uri!r}: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    """delta-rs draws its errors as a coloured tree of many lines."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = without_secrets(_COLOURS.sub("", str(error))).replace("↳", ":")
    return " ".join(text.split()).replace(" :", ":")[:300]
