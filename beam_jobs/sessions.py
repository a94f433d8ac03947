"""A DuckDB connection that sees the tables and views of an OUTPUT."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable

from beam_jobs.options.label_names import named_labels
from pipelines.errors import StorageError, UsageError
from pipelines.storage.store import is_remote, list_objects
from pipelines.tables import delta_tables, publications
from pipelines.tables.replacing import quarantined_rows
from schemas.label_sql import duckdb_text, for_labels
from schemas.labels import PLANET_LABELS
from schemas.render import arrow_schema, label_columns
from schemas.statements import statements
from schemas.table import Table
from schemas.tables import CHIP_SCORES, MODELS, PUBLISHED, RUNS, SHOWN

VIEWS = statements("views")
"""The views on top of the tables: name to the SELECT that makes it."""


@contextmanager
def open_session(
    output: str, sql: str, threats: str
) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, str]]]:
    """A connection that sees the tables that the SQL names; and each label with the column of its
    scores.

    Args:
        sql: one SELECT, which is checked and not run.
        threats: the labels that the view `threats` has, with commas between them; "" for its own.

    Raises:
        UsageError: the SQL is not one SELECT; a threat is not a label; there is no OUTPUT.
        StorageError: the tables cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="query-") as scratch:
        # A large answer spills to disk: by default, into the working directory.
        connection = duckdb.connect(":memory:", config={"temp_directory": scratch})
        try:
            _check_statement(connection, sql)
            yield connection, _register(connection, output, sql, threats)
        except duckdb.Error as error:
            raise _query_error(error) from error
        finally:
            connection.close()


def _check_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """This command only reads: a statement that writes or attaches is a mistake."""
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)  # MULTI: a PIVOT
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in reading:
        raise UsageError("the SQL must be one SELECT")


def _register(
    connection: duckdb.DuckDBPyConnection, output: str, sql: str, threats: str
) -> dict[str, str]:
    """Register tables and views; returns each label with the column of its scores."""
    connection.execute("SET TimeZone = 'UTC'")
    # A name in the SQL must not find a Python variable.
    connection.execute("SET python_enable_replacements = false")
    relations = _relations(output, _named_in(sql))
    columns = label_columns(relations[CHIP_SCORES.name].schema)
    named = named_labels(threats, [*columns], "--threats")
    relations |= {"threats": pa.table({"label": pa.array(named)})} if named else {}
    for name, rows in relations.items():
        connection.register(name, rows)
    for name, text in VIEWS.items():
        if name not in relations:
            connection.execute(f"CREATE VIEW {name} AS {for_labels(text, columns, duckdb_text)}")
    return columns


def _relations(output: str, named: str) -> dict[str, Any]:
    """The tables in the order of `SHOWN`. A table that the SQL does not name is not read, and is
    registered empty."""
    scores = delta_tables.open_table(output, CHIP_SCORES.name)
    if scores is None:
        _check_exists(output)
    return {
        table.name: _published_rows(output, table, scores, is_read=table.name in named)
        for table in SHOWN
    }


def _published_rows(output: str, table: Table, scores: DeltaTable | None, is_read: bool) -> Any:
    """The rows of a table that belong to published runs."""
    if table is CHIP_SCORES:
        found = scores
    else:
        found = delta_tables.open_table(output, table.name) if is_read else None
    if found is None:
        return arrow_schema(table.for_labels(PLANET_LABELS)).empty_table()
    if table in (CHIP_SCORES, MODELS):
        return delta_tables.open_dataset(found)
    return _rows_of_runs(found, scores) if table is RUNS else quarantined_rows(found, scores)


def _rows_of_runs(runs: DeltaTable, scores: DeltaTable | None) -> pa.Table:
    """The runs, one row each. A row whose status differs from what `chip_scores` shows is left out:
    its publisher or the withdrawal has not updated it yet."""
    run_ids = {partition["run_id"] for partition in runs.partitions()}
    published = publications.published_run_ids(scores, run_ids)
    is_published = pads.field("run_id").isin(pa.array(published, pa.string()))
    rows = delta_tables.open_dataset(runs)
    return rows.to_table(filter=is_published == (pads.field("status") == PUBLISHED))


def _named_in(sql: str) -> str:
    """The SQL with that of the views in it: it contains the name of each table that is read."""
    text = sql.lower()
    return "\n".join([text, *(view for name, view in VIEWS.items() if name in text)])


def _check_exists(output: str) -> None:
    """Refuse an OUTPUT that does not exist. One without tables has an answer without rows."""
    if is_remote(output):
        is_bucket = output.count("/") == 2
        exists = any(part.num_rows for part in list_objects(output)) or is_bucket
    else:
        exists = os.path.isdir(output)
    if not exists:
        raise UsageError(f"there is no OUTPUT at {output!r}")


def _query_error(error: duckdb.Error) -> UsageError | StorageError:
    text = str(error).split("\n\nLINE ")[0]
    if "reading the stream registered as" in text:
        return StorageError(f"cannot read the tables: {text[:500]}")
    return UsageError(text[:500])
