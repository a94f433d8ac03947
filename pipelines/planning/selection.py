"""Which of the listed chips are left to do: a join of ten million rows, in DuckDB, in seconds.

Only addresses and versions are joined; what else a manifest holds is made for the chips that are
left, in order, batch after batch. What does not fit into memory goes to a scratch folder, which
DuckDB makes when it needs it and removes (docs/decisions/duckdb.md).
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.planning.sidecar import Sidecar, check_named, joined
from pipelines.planning.user_tables import UTC, sql_type
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST

MEMORY_LIMIT = "1.5GB"
"""What DuckDB may hold beside the listing."""

MOST_THREADS = 4
"""Each thread that sorts holds blocks of its own: with 64 of them the limit is too little."""

STEM = r"""regexp_extract({uri}, '([^/]+?)(?:\.[^./]+)?/*\z', 1)"""
"""SQL for `storage.file_stem` of an address; the property test compares them."""

_MANIFEST = file_schema(CHIP_MANIFEST)
_BATCH_ROWS = 100_000
_SHARD_ORDER = "coalesce(shard_uri, chip_uri), offset_bytes, chip_uri"
"""Chips of a shard lie together, as they lie in it, so that they are read as one stream."""

_NEWEST = "modified_at DESC NULLS LAST, chip_uri"


@dataclass(frozen=True)
class Selection:
    """The chips that a run is to score.

    Attributes:
        listed: chips found, each counted once.
        to_score: chips to score.
        left_over: chips that are left to the next run.
        chips: the chips to score in the CHIP_MANIFEST schema, each once, in order of address; can
            be read once.
    """

    listed: int
    to_score: int
    left_over: int
    chips: pa.RecordBatchReader

    @property
    def skipped(self) -> int:
        """Chips that need not be scored."""
        return self.listed - self.to_score - self.left_over

    @classmethod
    def of_table(cls, chips: pa.Table, listed: int) -> Selection:
        """A selection that was made otherwise, with nothing left over."""
        return cls(listed, chips.num_rows, 0, chips.to_reader())


def select_chips(
    chips: pa.Table,
    done: pa.RecordBatchReader,
    max_chips: int | None = None,
    sidecar: Sidecar | None = None,
) -> Selection:
    """Choose the chips to score.

    Args:
        chips: what an archive holds, as `archive.list_chips` gives it. Of a chip that stands in
            it twice the newest version counts.
        done: columns chip_uri and etag of what this model need not see again.
        max_chips: the newest so many are chosen: those whose objects were written last.
        sidecar: what else is known of chips; goes before what a manifest says.

    Raises:
        UsageError: the sidecar names none of the chips.
        StorageError: what is done cannot be read, or the scratch folder not be written; reading the
            chips that were chosen may raise it, too.
    """
    with _told():
        return _select(chips, done, max_chips, sidecar)


def _select(
    chips: pa.Table, done: pa.RecordBatchReader, max_chips: int | None, sidecar: Sidecar | None
) -> Selection:
    connection = _connect()
    connection.register("listing", chips)
    connection.register("done", done)
    source, listed = _each_once(connection, chips.num_rows)
    found = _create(connection, "fresh", f"{source} ANTI JOIN done USING (chip_uri, etag)")
    table, chosen = "fresh", found
    if max_chips is not None and found > max_chips:
        chosen = _create(connection, "newest", f"fresh ORDER BY {_NEWEST} LIMIT {max_chips}")
        table = "newest"
    columns = _columns(chips.schema)
    rows = f"SELECT {columns} FROM {table}"
    if sidecar:
        check_named(connection, sidecar, f"SELECT {columns} FROM listing")
        rows = joined(sidecar, rows)
    order = _SHARD_ORDER if "shard_uri" in chips.column_names else "chip_uri"
    ordered = connection.sql(f"SELECT * FROM ({rows}) ORDER BY {order}")
    batches = _cast(ordered.to_arrow_reader(_BATCH_ROWS))
    reader = pa.RecordBatchReader.from_batches(_MANIFEST, batches)
    return Selection(listed, chosen, found - chosen, reader)


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    scratch = Path(tempfile.gettempdir(), f"forest-chips-plan-{uuid.uuid4().hex}")
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    connection.execute(f"SET threads = {min(MOST_THREADS, os.cpu_count() or 1)}")
    connection.execute("SET temp_directory = $folder", {"folder": str(scratch)})
    connection.execute("SET preserve_insertion_order = false")  # what comes out is ordered
    connection.execute(UTC)
    return connection


def _each_once(connection: duckdb.DuckDBPyConnection, rows: int) -> tuple[str, int]:
    """The listing with each chip once, and how many there are. Addresses of as many hashes as rows
    all differ, which costs a tenth of comparing them."""
    distinct = connection.sql("SELECT count(DISTINCT hash(chip_uri)) FROM listing")
    if distinct.fetchall()[0][0] == rows:
        return "listing", rows
    newest = "ORDER BY chip_uri, modified_at DESC NULLS LAST, etag"
    once = f"(SELECT DISTINCT ON (chip_uri) * FROM listing {newest})"
    return "once", _create(connection, "once", once)


def _create(connection: duckdb.DuckDBPyConnection, name: str, source: str) -> int:
    """Make a table; gives the number of its rows."""
    made = connection.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM {source}").fetchall()
    return int(made[0][0])


def _columns(given: pa.Schema) -> str:
    return ", ".join(f'{_source(field, given)} AS "{field.name}"' for field in _MANIFEST)


def _source(field: pa.Field, given: pa.Schema) -> str:
    """What stands in a column of the manifest: a chip without an id has its file's stem."""
    known = field.name in given.names
    if field.name == "chip_id":
        in_shard = "offset_bytes IS NOT NULL AND shard_uri IS NOT NULL"
        member = f"CASE WHEN {in_shard} THEN chip_uri[len(shard_uri) + 2:] ELSE chip_uri END"
        has_shards = {"shard_uri", "offset_bytes"}.issubset(given.names)
        stem = STEM.format(uri=member if has_shards else "chip_uri")
        return f"coalesce(chip_id, {stem})" if known else stem
    return f'"{field.name}"' if known else f"NULL::{sql_type(field.type)}"


def _cast(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    with _told():
        for batch in batches:
            yield batch.cast(_MANIFEST)


@contextmanager
def _told() -> Iterator[None]:
    """DuckDB's errors, and Arrow's within them, are pages long."""
    try:
        yield
    except _NO_FAULT_OF_THE_SQL as error:
        detail = str(error).partition("\n")[0].partition(". Detail:")[0]
        raise StorageError(f"the chips to score cannot be found out: {detail}") from error


_NO_FAULT_OF_THE_SQL = (
    *(duckdb.IOException, duckdb.OutOfMemoryException, duckdb.InvalidInputException),
    *(pa.ArrowException, OSError),
)
