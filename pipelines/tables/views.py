"""The tables and views of an OUTPUT in a DuckDB connection: published rows only."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable

from pipelines.tables import delta_tables, publications
from pipelines.tables.replacing import quarantined_rows
from schemas.label_sql import duckdb_text, for_labels
from schemas.labels import PLANET_LABELS
from schemas.render import arrow_schema, label_columns
from schemas.statements import statements
from schemas.table import Table
from schemas.tables import CHIP_SCORES, PUBLISHED, QUARANTINE, RUNS, SHOWN

_RUNS_AT_ONCE = 16

VIEWS = statements("views")
"""The views on top of the tables: name to the SELECT that makes it, each after those it reads."""


@delta_tables.opening_once()
def read_tables(output: str, sql: str) -> dict[str, Any]:
    """The published rows of each table that questions see, by name, for DuckDB.

    A table that neither the SQL nor a view in it names is not read, and is empty; so is one that
    does not exist.

    Raises:
        StorageError: a table cannot be read.
    """
    named = _with_views(sql)
    scores = delta_tables.open_table(output, CHIP_SCORES.name)
    return {
        table.name: _published_rows(output, table, scores, is_read=table.name in named)
        for table in SHOWN
    }


def register(
    connection: duckdb.DuckDBPyConnection, relations: Mapping[str, Any], columns: Mapping[str, str]
) -> None:
    """Make tables known to a connection, and create the views.

    Args:
        relations: `read_tables`; a view's name among them replaces the view.
        columns: each label and the column of its scores.
    """
    connection.execute("SET TimeZone = 'UTC'")
    # A name in the SQL must not find a Python variable.
    connection.execute("SET python_enable_replacements = false")
    for name, rows in relations.items():
        connection.register(name, rows)
    for name, text in VIEWS.items():
        if name not in relations:
            connection.execute(f"CREATE VIEW {name} AS {for_labels(text, columns, duckdb_text)}")


def labels_of(relations: Mapping[str, Any]) -> dict[str, str]:
    """Each label with the column of its scores."""
    return label_columns(relations[CHIP_SCORES.name].schema)


def _published_rows(output: str, table: Table, scores: DeltaTable | None, is_read: bool) -> Any:
    """The rows of a table that belong to published runs."""
    if table is CHIP_SCORES:
        found = scores
    else:
        found = delta_tables.open_table(output, table.name) if is_read else None
    if found is None:
        return arrow_schema(table.for_labels(PLANET_LABELS)).empty_table()
    if table is RUNS:
        return _rows_of_runs(found, scores)
    return (
        quarantined_rows(found, scores) if table is QUARANTINE else delta_tables.open_dataset(found)
    )


def published_runs(output: str) -> pa.Table:
    """The rows of `runs`, as questions see them.

    Raises:
        StorageError: a table cannot be read.
    """
    rows = read_tables(output, RUNS.name)[RUNS.name]
    return rows if isinstance(rows, pa.Table) else rows.to_table()


def newest_runs(output: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Columns of the rows of published runs, in the order of `publications.newest_first`. A few
    files at a time are read, since each run has a file of its own.

    Args:
        columns: those that the table does not have are left out.

    Raises:
        StorageError: a table cannot be read.
    """
    runs = delta_tables.open_table(output, RUNS.name)
    scores = delta_tables.open_table(output, CHIP_SCORES.name)
    if runs is None or scores is None:
        return
    nights = {part["run_id"]: part["run_date"] for part in runs.partitions()}
    published = publications.published_run_ids(scores, nights)
    newest = iter(publications.newest_first(scores, {run: nights[run] for run in published}))
    while some := [*islice(newest, _RUNS_AT_ONCE)]:
        rows = delta_tables.open_dataset(runs, some)
        known = ["run_id", *(name for name in columns if name in rows.schema.names)]
        found = rows.to_table(known, pads.field("status") == PUBLISHED).to_pylist()
        yield from sorted(found, key=lambda row: some.index(row["run_id"]))


def _rows_of_runs(runs: DeltaTable, scores: DeltaTable | None) -> pads.Dataset:
    """The runs, one row each. A row whose status differs from what `chip_scores` shows is left out:
    its publisher or the withdrawal has not updated it yet. Each run has a file of its own, so only
    the columns that are asked for are read."""
    run_ids = {partition["run_id"] for partition in runs.partitions()}
    published = publications.published_run_ids(scores, run_ids)
    is_published = pads.field("run_id").isin(pa.array(published, pa.string()))
    rows = delta_tables.open_dataset(runs)
    return rows.filter(is_published == (pads.field("status") == PUBLISHED))


def _with_views(sql: str) -> str:
    """The SQL with that of the views in it: it contains the name of each table that is read."""
    text = sql.lower()
    for name, view in reversed(VIEWS.items()):  # a view is after those that it reads
        text += f"\n{view}" if name in text else ""
    return text
