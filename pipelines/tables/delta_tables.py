"""The Delta tables below an OUTPUT: opened, created, read.

Workers write Parquet files. A file belongs to a table once a commit names it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from datetime import date
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from pipelines.errors import StorageError, UsageError
from pipelines.storage.retries import with_retries
from pipelines.storage.storage_errors import without_secrets
from pipelines.storage.store import absolute_uri, delta_options, is_remote, join_uri
from schemas.render import delta_schema
from schemas.table import Table

_MISREAD = re.compile(r"[%\\\x00-\x1f]")
"""What delta-rs reads as something else in a local path: %20 as a space, a backslash as /."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_SHOWN_COLUMNS = 4


def open_table(output: str, name: str) -> DeltaTable | None:
    """The newest snapshot of a table below OUTPUT, None if there is no such table.

    Raises:
        StorageError: it cannot be read, or is not a valid table.
        UsageError: the bucket does not exist, OUTPUT is a file, or delta-rs would misread its
            name.
    """
    uri = join_uri(output, name)
    if not is_remote(uri) and (odd := _MISREAD.search(uri)):
        raise UsageError(f"no tables can be in {output!r}: {odd[0]!r} in the folder's name")
    try:
        if not is_remote(uri):
            os.listdir(join_uri(uri, "_delta_log"))  # delta-rs calls a locked folder a missing one
        return with_retries(lambda: DeltaTable(uri, storage_options=delta_options(uri)))
    except (TableNotFoundError, FileNotFoundError):
        return None
    except NotADirectoryError as error:
        raise UsageError(f"{output!r} must be a folder, but a file is in the way") from error
    except (DeltaError, OSError) as error:
        raise table_error("open", uri, error) from error


def ensure_table(output: str, table: Table) -> DeltaTable:
    """Open a table, and create it first if it is missing; two processes may create it at once.

    Raises:
        UsageError: it exists with other columns (OUTPUT has another label set), or the bucket
            does not exist.
        StorageError: it can be neither opened nor created.
    """
    found = open_table(output, table.name)
    if found is None:
        _create(output, table)
        found = open_table(output, table.name)
    if found is None:
        raise StorageError(f"created {join_uri(output, table.name)!r}, but it does not exist")
    _check_columns(output, table, found)
    return found


def check_table(output: str, table: Table) -> None:
    """Refuse a table that exists with other columns; nothing is written.

    Raises:
        UsageError: it does (OUTPUT has another label set), or the bucket does not exist.
        StorageError: it cannot be opened.
    """
    found = open_table(output, table.name)
    if found is not None:
        _check_columns(output, table, found)


class PublishedFile(NamedTuple):
    """A file of a snapshot of a table, with its path relative to the table's root."""

    run_date: str
    run_id: str
    path: str
    size_bytes: int
    rows: int


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
    the log's statistics, and compares with null if a file has none for a column: rows are lost.
    """
    # No file matches: this is for the schema and the connection, and for deltalake's refusal of
    # tables whose protocol it cannot read.
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
    """Arrow's own files for a local table. With delta-rs' Python files, Arrow's threads still need
    the interpreter when it has shut down: one process in four aborts at its end."""
    uri = table.table_uri
    if is_remote(uri):
        return None
    return SubTreeFileSystem(absolute_uri(uri), LocalFileSystem())


@lru_cache(maxsize=4096)
def _partition_filter(run_date: date, run_id: str) -> pc.Expression:
    return (pc.field("run_date") == run_date) & (pc.field("run_id") == run_id)


def _create(output: str, table: Table) -> None:
    uri = join_uri(output, table.name)
    try:
        with_retries(lambda: _create_at(uri, table))
    except CommitFailedError:
        pass  # another process was faster: the table exists
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
        # A retry would create the table a second time, and replace the columns of the first.
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
    shown, more = differences[:_SHOWN_COLUMNS], len(differences) - _SHOWN_COLUMNS
    shown += [f"and {more} more"] if more > 0 else []
    scores = [name for name in ours.keys() ^ theirs.keys() if name.startswith("score_")]
    why = "one OUTPUT holds one label set" if scores else "another version wrote it (CHANGELOG.md)"
    raise UsageError(
        f"{join_uri(output, table.name)!r} has other columns: {', '.join(shown)}; {why}: use "
        "another OUTPUT"
    )


def _columns(schema: pa.Schema) -> dict[str, str]:
    """Column to what must be equal: its type, and the label of its scores."""
    labels = {f.name: (f.metadata or {}).get(b"label", b"").decode() for f in schema}
    types = {f.name: str(f.type).split("<")[0] for f in schema}
    return {
        name: f"{types[name]} of {label!r}" if label else types[name]
        for name, label in labels.items()
    }


def table_error(verb: str, uri: str, error: Exception) -> StorageError | UsageError:
    """An error of delta-rs about a table as one of this project."""
    if "NoSuchBucket" in str(error):
        return UsageError(f"cannot {verb} {uri!r}: there is no such bucket")
    return StorageError(f"cannot {verb} {uri!r}: {one_line(error)}")


def one_line(error: Exception) -> str:
    """The message of an error; delta-rs prints a coloured tree of many lines."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = without_secrets(_COLOURS.sub("", str(error))).replace("↳", ":")
    return " ".join(text.split()).replace(" :", ":")[:300]
