"""The files of a night's run, written again as large ones whose row groups are compact areas.

Rows are brought into map order by DuckDB, which uses the disk for what exceeds its memory.
"""

import tempfile
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines import databases
from pipelines.errors import StorageError
from pipelines.storage import store
from pipelines.tables import delta_tables
from pipelines.tables.commits import DataFile
from pipelines.tables.geometry import bounds_of, curve_positions, with_geometry
from pipelines.tables.live_files import PublishedFile
from pipelines.tables.parquet_files import group_sizes, is_geoparquet, open_writer
from schemas.chip_columns import BOUNDS, GEOMETRY

TARGET_BYTES = 128 * 2**20
"""Size of compacted files."""

GROUPS_IN_A_NIGHT = 112
"""Row groups of a night, at least: an area of 1 % of it then touches a few of them."""

SMALLEST_GROUP, LARGEST_GROUP = 40, 8192
"""Rows in a row group of a large file whose chips have positions."""

_STEM = "compacted-"  # of the names of files that need no second look
_POSITION = "position_on_curve"
_BATCH_ROWS = 65_536
_READ_THREADS = 16
_MEMORY = "1.5GB"  # of DuckDB


def are_small(files: Sequence[PublishedFile]) -> bool:
    """Whether several files of a night are under half of `TARGET_BYTES`."""
    return sum(file.size_bytes < TARGET_BYTES // 2 for file in files) > 1


def files_after(files: Iterable[PublishedFile]) -> int:
    """How many files a night's files become."""
    return 1 + sum(file.size_bytes for file in files) // TARGET_BYTES


def without_footprints(table: DeltaTable, files: Collection[PublishedFile]) -> list[PublishedFile]:
    """Those of some files with rows that are not GeoParquet, by their footers.

    Raises:
        StorageError: a file cannot be read.
    """

    def is_old(file: PublishedFile) -> bool:
        name = file.path.rpartition("/")[2]
        if name.startswith(_STEM) or not file.rows:
            return False
        with store.open_file(_address(table, file.path)) as opened:
            return not is_geoparquet(pq.read_metadata(opened))

    with ThreadPoolExecutor(_READ_THREADS) as pool:
        olds = pool.map(is_old, files)
        return [file for file, old in zip(files, olds, strict=True) if old]


def write_night(table: DeltaTable, files: Sequence[PublishedFile]) -> list[DataFile]:
    """Write the rows of all files of a night's run to new files, which are not committed yet.

    Raises:
        StorageError: a file cannot be read or written, or a row is lost.
    """
    rows, columns = _rows(table, files[0]), delta_tables.file_columns(table)
    expected = sum(file.rows for file in files)
    with tempfile.TemporaryDirectory(prefix="compact-") as scratch:
        if GEOMETRY.name in columns.names:
            sizes = _group_sizes(rows, expected)
            tables = _in_map_order(rows, columns, scratch)
        else:
            sizes = group_sizes(0, expected, LARGEST_GROUP)
            tables = (delta_tables.with_columns(batch, columns) for batch in rows.to_batches())
        groups = _regroup(tables, sizes)
        parts = _divided(sizes, files_after(files))
        written = [_write_file(table, files[0], columns, groups, len(part)) for part in parts]
    if sum(file.rows for file in written) != expected or next(groups, None) is not None:
        raise StorageError(f"{table.table_uri!r}: the number of rows has changed in compaction")
    return written


def _rows(table: DeltaTable, file: PublishedFile) -> ds.Dataset:
    """The rows of the night and the run of a file."""
    night = pa.scalar(file.run_date).cast(pa.date32())
    rows: ds.Dataset = delta_tables.open_dataset(table, [file.run_id])
    return rows.filter(ds.field("run_date") == night)


def _group_sizes(rows: ds.Dataset, count: int) -> list[int]:
    has_place = ds.field(GEOMETRY.name).is_valid() | ds.field(BOUNDS[0]).is_valid()
    placed = min(rows.count_rows(filter=has_place), count)
    size = min(max(placed // GROUPS_IN_A_NIGHT, SMALLEST_GROUP), LARGEST_GROUP)
    return group_sizes(placed, count - placed, size)


def _in_map_order(rows: ds.Dataset, columns: pa.Schema, scratch: str) -> Iterator[pa.Table]:
    """The rows with their footprints, in map order."""
    schema = columns.append(pa.field(_POSITION, pa.int64()))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows.to_batches(batch_size=_BATCH_ROWS, columns=columns.names):
            placed = with_geometry(delta_tables.with_columns(batch, columns))
            positions = pa.array(curve_positions(bounds_of(placed)))
            yield from placed.append_column(schema.field(_POSITION), positions).to_batches()

    connection = databases.connect(temp_directory=scratch, memory_limit=_MEMORY)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("placed", pa.RecordBatchReader.from_batches(schema, batches()))
        ordered = connection.sql(f"FROM placed ORDER BY {_POSITION}, chip_uri")
        for batch in ordered.to_arrow_reader(_BATCH_ROWS):
            yield delta_tables.with_columns(batch, columns)
    except duckdb.Error as error:
        raise StorageError(f"cannot bring rows into map order: {str(error)[:300]}") from error
    finally:
        connection.close()


def _regroup(tables: Iterable[pa.Table], sizes: Sequence[int]) -> Iterator[pa.Table]:
    """The same rows in tables of these sizes; what is left over comes last."""
    wanted = iter(sizes)
    size, held = next(wanted, 0), pa.table({})
    for table in tables:
        held = pa.concat_tables([held, table]) if held.num_rows else table
        while size and held.num_rows >= size:
            yield held.slice(0, size)
            held, size = held.slice(size), next(wanted, 0)
    if held.num_rows:
        yield held


def _divided(sizes: list[int], parts: int) -> list[list[int]]:
    """The groups of each file; one file if there are no groups."""
    ends = [len(sizes) * n // parts for n in range(parts + 1)]
    divided = [sizes[start:end] for start, end in pairwise(ends)]
    return [part for part in divided if part] or [[]]


def _write_file(
    table: DeltaTable, like: PublishedFile, columns: pa.Schema, groups: Iterator[pa.Table], n: int
) -> DataFile:
    """Write the next n groups to a file in the folder of another one."""
    path = f"{like.path.rpartition('/')[0]}/{_STEM}{uuid.uuid4().hex[:12]}.parquet"
    uri, rows = _address(table, path), 0
    with store.create_file(uri) as file, open_writer(file, columns) as writer:
        for _, group in zip(range(n), groups, strict=False):
            writer.write_table(group, row_group_size=group.num_rows)
            rows += group.num_rows
    return DataFile(path, store.written_bytes(uri), rows)


def _address(table: DeltaTable, path: str) -> str:
    return store.join_uri(store.absolute_uri(table.table_uri), path)
