"""The listed chips that are left to score: a join of ten million rows, in DuckDB, in seconds.

Only addresses and versions are joined; the other columns are made for the chips that are left, in
order, batch by batch. Rows that do not fit into memory go to a scratch folder, which DuckDB creates
when needed and removes (docs/decisions/duckdb.md).
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL

from pipelines import databases
from pipelines.errors import StorageError
from pipelines.planning.done import LostChips
from pipelines.planning.sidecar import Sidecar, check_named, joined
from pipelines.planning.user_tables import UTC, sql_type
from pipelines.scenes.scene_windows import BLOCK_ORDER
from pipelines.tables.geometry import curve_positions
from schemas.chip_columns import BOUNDS
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST

MEMORY_LIMIT = "1.5GB"
"""Memory that DuckDB may use in addition to the listing."""

MOST_THREADS = 4
"""Each sorting thread needs memory of its own: for 64 threads the limit is too low."""

STEM = r"""regexp_extract({uri}, '([^/]+?)(?:\.[^./]+)?/*\z', 1)"""
"""SQL for `store.file_stem` of an address; a property test compares the two."""

_MANIFEST = file_schema(CHIP_MANIFEST)
_BATCH_ROWS = 100_000
_READING_ORDER = (
    f"coalesce(shard_uri, scene_uri, chip_uri), offset_bytes, {BLOCK_ORDER}, y_px, x_px, chip_uri"
)
"""The chips of a shard stay together, in the shard's order, so that they are read as one stream;
the windows of a scene in the order of its blocks, each of which is then read once."""

_NEWEST = "modified_at DESC NULLS LAST"


@dataclass(frozen=True)
class Selection:
    """The chips that a run will score.

    Attributes:
        listed: number of chips found, each counted once.
        to_score: number of chips to score.
        left_over: number of chips that are left for the next run.
        chips: the chips to score in the CHIP_MANIFEST schema, each once; can be read only once.
            Chips with positions come first, in map order, so that a unit is a compact area; the
            others in order of address, those of a shard in the shard's order, and windows in the
            order of their scene's blocks.
        scene_chips: number of chosen windows of each scene, in order; () if the chips are others.
        again: how many of the chips to score may be among those that were lost.
    """

    listed: int
    to_score: int
    left_over: int
    chips: pa.RecordBatchReader
    scene_chips: tuple[int, ...] = ()
    again: int = 0

    @property
    def skipped(self) -> int:
        """Number of chips that need not be scored."""
        return self.listed - self.to_score - self.left_over


def select_chips(
    chips: pa.Table,
    done: pa.RecordBatchReader,
    max_chips: int | None = None,
    sidecar: Sidecar | None = None,
    lost: LostChips | None = None,
) -> Selection:
    """Choose the chips to score.

    Args:
        chips: the chips of an archive, from `archive.list_chips`. If a chip occurs twice, its
            newest version counts.
        done: columns chip_uri and etag of the chips that this model has done.
        max_chips: choose at most this many, those whose objects were written last.
        sidecar: further columns; they take precedence over those of a manifest.
        lost: chips that are missing in `done`, because their rows are in damaged files.

    Raises:
        UsageError: the sidecar names none of the chips.
        StorageError: `done` cannot be read, or the scratch folder cannot be written; reading
            `Selection.chips` may raise it, too.
    """
    with _translating_duckdb_errors():
        return _select(chips, done, max_chips, sidecar, lost)


def _select(
    chips: pa.Table,
    done: pa.RecordBatchReader,
    max_chips: int | None,
    sidecar: Sidecar | None,
    lost: LostChips | None,
) -> Selection:
    connection = _connect()
    connection.register("listing", chips)
    connection.register("done", done)
    source, listed = _each_once(connection, chips.num_rows)
    found = _create(connection, "fresh", f"{source} ANTI JOIN done USING (chip_uri, etag)")
    table, chosen = "fresh", found
    in_blocks = BLOCK_ORDER in chips.column_names
    if max_chips is not None and found > max_chips:
        order = f"{_NEWEST}, {f'scene_uri, {BLOCK_ORDER}' if in_blocks else 'chip_uri'}"
        chosen = _create(connection, "newest", f"fresh ORDER BY {order} LIMIT {max_chips}")
        table = "newest"
    counts = _scene_chips(connection, table) if "scene_uri" in chips.column_names else ()
    again = _count_again(connection, table, chips.schema, lost) if lost else 0
    columns = _columns(chips.schema)
    rows = (
        f"SELECT {columns}, {BLOCK_ORDER if in_blocks else f'NULL AS {BLOCK_ORDER}'} FROM {table}"
    )
    if sidecar:
        check_named(connection, sidecar, f"SELECT {columns} FROM listing")
        rows = joined(sidecar, rows)
    order = "chip_uri"
    if {"shard_uri", "scene_uri"}.intersection(chips.column_names):
        order = _READING_ORDER
    elif sidecar or BOUNDS[0] in chips.column_names:
        order = _map_order(connection)
    ordered = connection.sql(f"SELECT * EXCLUDE ({BLOCK_ORDER}) FROM ({rows}) ORDER BY {order}")
    batches = _cast(ordered.to_arrow_reader(_BATCH_ROWS))
    reader = pa.RecordBatchReader.from_batches(_MANIFEST, batches)
    return Selection(listed, chosen, found - chosen, reader, counts, again)


def _scene_chips(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, ...]:
    """Number of windows of each scene; () if some of the chips are no windows."""
    found = connection.sql(
        f"SELECT scene_uri, count(*) FROM {table} GROUP BY scene_uri ORDER BY scene_uri"
    ).fetchall()
    return tuple(count for _, count in found) if all(uri for uri, _ in found) else ()


def _count_again(
    connection: duckdb.DuckDBPyConnection, table: str, given: pa.Schema, lost: LostChips
) -> int:
    """How many chips may be among the lost ones: they were not written since."""
    old = "true"
    if "modified_at" in given.names:
        old = "modified_at IS NULL OR modified_at <= $until"
    until = {"until": lost.until} if old != "true" else {}
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table} WHERE {old}", until).fetchall()
    return min(int(count), lost.number)


def _map_order(connection: duckdb.DuckDBPyConnection) -> str:
    """SQL for the order of chips along a curve over the Earth; those without a position last."""

    def position(west: Any, south: Any, east: Any, north: Any) -> pa.Array:
        edges = [edge.to_numpy(zero_copy_only=False) for edge in (west, south, east, north)]
        return pa.array(curve_positions(np.stack(edges, 1)))

    connection.create_function(
        "position_on_curve",
        position,
        ["DOUBLE"] * len(BOUNDS),
        "BIGINT",
        type=ARROW,
        null_handling=SPECIAL,
    )
    return f"position_on_curve({', '.join(BOUNDS)}), chip_uri"


def _connect() -> duckdb.DuckDBPyConnection:
    connection = databases.connect()
    scratch = Path(tempfile.gettempdir(), f"forest-chips-plan-{uuid.uuid4().hex}")
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    connection.execute(f"SET threads = {min(MOST_THREADS, os.cpu_count() or 1)}")
    connection.execute("SET temp_directory = $folder", {"folder": str(scratch)})
    connection.execute("SET preserve_insertion_order = false")  # what comes out is ordered
    connection.execute(UTC)
    return connection


def _each_once(connection: duckdb.DuckDBPyConnection, rows: int) -> tuple[str, int]:
    """The listing with each chip once, and the number of chips. As many hashes as rows means that
    all addresses differ: counting hashes costs a tenth of comparing addresses."""
    distinct = connection.sql("SELECT count(DISTINCT hash(chip_uri)) FROM listing")
    if distinct.fetchall()[0][0] == rows:
        return "listing", rows
    newest = "ORDER BY chip_uri, modified_at DESC NULLS LAST, etag"
    once = f"(SELECT DISTINCT ON (chip_uri) * FROM listing {newest})"
    return "once", _create(connection, "once", once)


def _create(connection: duckdb.DuckDBPyConnection, name: str, source: str) -> int:
    """Create a table; returns the number of its rows."""
    made = connection.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM {source}").fetchall()
    return int(made[0][0])


def _columns(given: pa.Schema) -> str:
    return ", ".join(f'{_source(field, given)} AS "{field.name}"' for field in _MANIFEST)


def _source(field: pa.Field, given: pa.Schema) -> str:
    """SQL for a column of the manifest; a chip without an id gets the stem of its file name."""
    known = field.name in given.names
    if field.name == "chip_id":
        in_shard = "offset_bytes IS NOT NULL AND shard_uri IS NOT NULL"
        member = f"CASE WHEN {in_shard} THEN chip_uri[len(shard_uri) + 2:] ELSE chip_uri END"
        has_shards = {"shard_uri", "offset_bytes"}.issubset(given.names)
        stem = STEM.format(uri=member if has_shards else "chip_uri")
        return f"coalesce(chip_id, {stem})" if known else stem
    return f'"{field.name}"' if known else f"NULL::{sql_type(field.type)}"


def _cast(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    with _translating_duckdb_errors():
        for batch in batches:
            yield batch.cast(_MANIFEST)


@contextmanager
def _translating_duckdb_errors() -> Iterator[None]:
    """Raise StorageError with the first line of DuckDB's error, which may be pages long."""
    try:
        yield
    except _RUNTIME_ERRORS as error:
        detail = str(error).partition("\n")[0].partition(". Detail:")[0]
        raise StorageError(f"cannot find the chips to score: {detail}") from error


_RUNTIME_ERRORS = (
    *(duckdb.IOException, duckdb.OutOfMemoryException, duckdb.InvalidInputException),
    *(pa.ArrowException, OSError),
)
