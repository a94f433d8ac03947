"""The one way in which Parquet files of rows are written."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage import store
from pipelines.tables.commits import DataFile
from schemas.render import file_schema
from schemas.table import Table

COMPRESSION: dict[str, Any] = {"compression": "zstd", "compression_level": 3}
"""Options of pyarrow's Parquet writers."""


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as one Parquet file with one row group."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=max(1, table.num_rows), **COMPRESSION)
    return buffer.getvalue()


def write_rows(output: str, table: Table, path: str, rows: Sequence[Mapping[str, Any]]) -> DataFile:
    """Write a few rows to a file of a table, which is not committed yet.

    Args:
        path: relative to the table's root, in the folder of the partition.

    Raises:
        StorageError: the file cannot be written.
    """
    content = pa.Table.from_pylist(list(rows), schema=file_schema(table))
    return write_table(output, table.name, path, content)


def write_table(output: str, name: str, path: str, rows: pa.Table) -> DataFile:
    """Write the content of a file of a table, which is not committed yet; see `write_rows`."""
    data = parquet_bytes(rows)
    store.write_bytes(store.join_uri(output, name, path), data)
    return DataFile(path, len(data), rows.num_rows)
