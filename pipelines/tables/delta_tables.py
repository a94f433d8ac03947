"""The Delta tables below an OUTPUT: opened and read.

Workers write Parquet files. A file belongs to a table once a commit names it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import lru_cache
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import DeltaTable, Field
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from pipelines.errors import StorageError, UsageError
from pipelines.storage.retries import with_retries
from pipelines.storage.storage_errors import without_secrets
from pipelines.storage.store import absolute_uri, delta_options, is_remote, join_uri
from pipelines.tables import live_files
from pipelines.tables.datasets import FileDataset
from schemas.render import arrow_schema
from schemas.tables import TABLES_BY_NAME

_MISREAD = re.compile(r"[%\\\x00-\x1f\ud800-\udfff]")
"""What delta-rs reads as something else in a local path: %20 as a space, a backslash as /. The last
are bytes that are not UTF-8, which it does not read at all."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
F = TypeVar("F", pa.Field, Field)

UNREADABLE = (OSError, pa.ArrowException)
"""What reading rows raises if a file of a table is missing or damaged."""

_opened: ContextVar[dict[str, DeltaTable | None] | None] = ContextVar("opened", default=None)

_PARQUET = pads.ParquetFileFormat(
    default_fragment_scan_options=pads.ParquetFragmentScanOptions(
        pre_buffer=True, page_checksum_verification=True
    )
)


@contextmanager
def opening_once() -> Iterator[None]:
    """Within it, each table is opened once: later calls of `open_table` return the same snapshot.
    Only for work that writes nothing, and decides nothing by what others commit meanwhile."""
    if _opened.get() is not None:
        yield
        return
    token = _opened.set({})
    try:
        yield
    finally:
        _opened.reset(token)


def open_table(output: str, name: str) -> DeltaTable | None:
    """The newest snapshot of a table below OUTPUT, or that which was opened before within
    `opening_once`; None if there is no such table.

    Raises:
        StorageError: it cannot be read, or is not a valid table.
        UsageError: the bucket does not exist, OUTPUT is a file, or delta-rs would misread its
            name.
    """
    opened = _opened.get()
    uri = join_uri(output, name)
    if opened is None:
        return _open(output, uri)
    if uri not in opened:
        opened[uri] = _open(output, uri)
    return opened[uri]


def _open(output: str, uri: str) -> DeltaTable | None:
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


def open_dataset(table: DeltaTable, run_ids: Collection[str] | None = None) -> pads.Dataset:
    """The rows of a snapshot, or of some runs in it, for pyarrow and DuckDB, filters pushed down.

    A column that a file lacks is null. The checksum of each page that is read is compared. Files
    are skipped by their partition only. deltalake's own `to_pyarrow_dataset` also skips by the
    log's statistics, and compares with null if a file has none for a column: rows are lost.
    """
    # No file matches: this is for the schema and the connection, and for deltalake's refusal of
    # tables whose protocol it cannot read.
    no_run: list[Any] | None = (
        [("run_id", "in", [])] if table.metadata().partition_columns else None
    )
    frame = table.to_pyarrow_dataset(filesystem=_local_files(table), file_pruning_predicate=no_run)
    fragments = [
        _PARQUET.make_fragment(path, frame.filesystem, _partition_filter(**partition))
        for partition, path in live_files.added(table, ["path"])
        if run_ids is None or partition["run_id"] in run_ids
    ]
    schema = _with_known_columns(frame.schema, table)
    return FileDataset(fragments, schema, _PARQUET, frame.filesystem)


def file_columns(table: DeltaTable) -> pa.Schema:
    """The columns of a table's files: this release's, and those that only other releases know."""
    columns = _with_known_columns(pa.schema(table.schema().to_arrow()), table)
    partition = table.metadata().partition_columns
    return pa.schema([field for field in columns if field.name not in partition])


def with_columns(rows: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Rows of a file, or of a dataset, with the columns of a schema; what they lack is null."""
    columns = [
        rows.column(field.name) if field.name in rows.schema.names else _nulls(rows, field)
        for field in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)


def _nulls(rows: pa.Table | pa.RecordBatch, field: pa.Field) -> pa.Array:
    return pa.nulls(rows.num_rows, field.type)


def _with_known_columns(schema: pa.Schema, table: DeltaTable) -> pa.Schema:
    """The schema with this release's columns, which are null in tables that do not have them yet.
    Readers must not need the right to write."""
    name = table.table_uri.rstrip("/").rpartition("/")[2]
    known = arrow_schema(TABLES_BY_NAME[name]) if name in TABLES_BY_NAME else ()
    wanted = [field for field in known if field.nullable]
    return pa.schema(with_missing(list(schema), wanted), metadata=schema.metadata)


def _local_files(table: DeltaTable) -> SubTreeFileSystem | None:
    """Arrow's own files for a local table. With delta-rs' Python files, Arrow's threads still need
    the interpreter when it has shut down: one process in four aborts at its end."""
    uri = table.table_uri
    if is_remote(uri):
        return None
    return SubTreeFileSystem(absolute_uri(uri), LocalFileSystem())


@lru_cache(maxsize=4096)
def _partition_filter(run_date: date | None = None, run_id: str = "") -> pc.Expression | None:
    if run_date is None:
        return None
    return (pc.field("run_date") == run_date) & (pc.field("run_id") == run_id)


def with_missing(theirs: Sequence[F], ours: Sequence[F]) -> list[F]:
    """Fields of two schemas, each name once: where both have it, the first one's. What only the
    second has comes after the field that is before it there."""
    names, merged = {field.name for field in theirs}, list(theirs)
    for n, field in enumerate(ours):
        if field.name not in names:
            before = ours[n - 1].name if n else ""
            at = next((k + 1 for k, each in enumerate(merged) if each.name == before), 0)
            merged.insert(at, field)
    return merged


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
