"""The tables of alerts, read and written as a whole."""

import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.alerts.state import digest_of
from pipelines.storage import store
from pipelines.tables import commits, delta_tables, evolution
from pipelines.tables.commits import DataFile
from pipelines.tables.parquet_files import parquet_bytes
from schemas.alert_tables import ALERT_AREAS, ALERT_UPDATES
from schemas.render import arrow_schema
from schemas.table import Table


def rows_of(table: DeltaTable, kind: Table) -> pa.Table:
    """All rows of a table's snapshot, with the columns of this release."""
    schema = arrow_schema(kind)
    return delta_tables.open_dataset(table).to_table(schema.names).cast(schema)


def write(output: str, kind: Table, table: DeltaTable, rows: pa.Table, replace: bool) -> None:
    """Commit rows to a table, in turn; also without rows, since that is a turn, too."""
    files = []
    if rows.num_rows or replace:
        data = parquet_bytes(rows)
        path = f"update-{uuid.uuid4().hex}.parquet"
        store.write_bytes(store.join_uri(output, kind.name, path), data)
        files = [DataFile(path, len(data), rows.num_rows)]
    turn = [commits.next_turn(table)]
    commits.commit_files(table, files, {}, turn, replace, {"maintained": "alerts"})


def write_update(output: str, table: DeltaTable, row: Mapping[str, Any]) -> None:
    """Add a row to `alert_updates`, which stays one file."""
    known = rows_of(table, ALERT_UPDATES)
    new = pa.Table.from_pylist([dict(row)], schema=arrow_schema(ALERT_UPDATES))
    write(output, ALERT_UPDATES, table, pa.concat_tables([known, new]), replace=True)


def replace_areas(output: str, rows: pa.Table) -> None:
    """Replace the rows of `alert_areas`, unless they are the same."""

    def commit() -> None:
        table = evolution.ensure_table(output, ALERT_AREAS)
        if areas_digest(rows_of(table, ALERT_AREAS)) != areas_digest(rows):
            write(output, ALERT_AREAS, table, rows, replace=True)

    commits.commit_in_turn(commit, "replace the areas")


def areas_digest(areas: pa.Table) -> str:
    """sha256 of names and polygons, whatever their order."""
    pairs = zip(areas["name"].to_pylist(), areas["geometry"].to_pylist(), strict=True)
    return digest_of(*(part for pair in sorted(pairs) for part in pair))
