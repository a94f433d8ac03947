"""The one way in which Parquet files of rows are written.

A file of a table of chips is GeoParquet: it has the footprints of its rows, and its rows are in the
order of a curve over the Earth (`geometry.map_order`), so a row group is a compact area.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage import store
from pipelines.tables.commits import DataFile
from pipelines.tables.file_checksums import ChecksumWriter
from pipelines.tables.geometry import GEO_METADATA, arrange
from schemas.chip_columns import GEOMETRY
from schemas.render import file_schema
from schemas.table import Table

FILES_NAME, FILES_VERSION = "forest-chips-files", 2
"""What a run's record says about its files: since version 2 they have footprints."""

GROUP_ROWS = 512
"""Rows in a row group of a file whose chips have positions."""

LARGEST_GROUP_ROWS = 131_072
"""Rows in a row group at most."""


def open_writer(file: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of a table's rows; of GeoParquet if the schema has `geometry`. Each page has a
    checksum, and so has the file.

    Only texts are encoded with dictionaries: scores and positions hardly repeat.
    """
    if GEOMETRY.name in schema.names:
        schema = schema.with_metadata({**(schema.metadata or {}), b"geo": GEO_METADATA})
    return ChecksumWriter(
        file,
        schema,
        compression="zstd",
        compression_level=3,
        write_page_checksum=True,
        use_dictionary=[path for field in schema for path in _texts(field)],
    )


def is_geoparquet(footer: pq.FileMetaData) -> bool:
    """Whether a file has the footer of GeoParquet."""
    return b"geo" in (footer.metadata or {})


def _texts(field: pa.Field) -> list[str]:
    """The paths of the texts in a column, as Parquet names them."""
    if pa.types.is_string(field.type):
        return [field.name]
    if pa.types.is_list(field.type) and pa.types.is_string(field.type.value_type):
        return [f"{field.name}.list.element"]
    return []


def parquet_bytes(rows: pa.Table) -> bytes:
    """Rows as one Parquet file."""
    buffer = io.BytesIO()
    with open_writer(buffer, rows.schema) as writer:
        write_arranged(writer, rows)
    return buffer.getvalue()


def write_arranged(writer: pq.ParquetWriter, rows: pa.Table) -> None:
    """Write rows in map order, so that each row group is a compact area; rows of a table of chips
    get their footprints. Rows of a table without footprints are one row group."""
    placed = 0
    if GEOMETRY.name in rows.column_names:
        rows, placed = arrange(rows)
    start = 0
    for size in group_sizes(placed, rows.num_rows - placed, GROUP_ROWS):
        writer.write_table(rows.slice(start, size), row_group_size=size)
        start += size


def group_sizes(placed: int, others: int, size: int) -> list[int]:
    """Rows of each row group, for rows with a position followed by rows without.

    A row group without a single geometry is not valid GeoParquet for some readers, so the rows
    without a position share the last row group of those that have one, unless there are too many.

    >>> group_sizes(1100, 50, 512)
    [366, 367, 417]
    >>> group_sizes(0, 3, 512)
    [3]
    """
    groups = -(-placed // size)
    ends = [placed * n // groups for n in range(groups + 1)] if groups else []
    sizes = [end - start for start, end in pairwise(ends)]
    if sizes and others <= LARGEST_GROUP_ROWS:
        sizes[-1] += others
        return sizes
    full, rest = divmod(others, LARGEST_GROUP_ROWS)
    return [*sizes, *[LARGEST_GROUP_ROWS] * full, *([rest] if rest else [])]


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
