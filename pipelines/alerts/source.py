"""A DuckDB connection with bounded memory, and the rows of Delta tables in it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from deltalake import DeltaTable

from pipelines import databases
from pipelines.storage.store import absolute_uri, is_remote, join_uri
from pipelines.tables import delta_tables, live_files
from schemas.label_sql import duckdb_text

MEMORY = "1500MB"
"""What DuckDB may use; more than that spills to disk."""

_MOST_FILES = 2000  # of a table that DuckDB reads itself: it opens all of them at the start
_NOT_PLAIN = "*?[="  # globs, and what looks like a partition, in a path


@contextmanager
def open_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with bounded memory, which spills to a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="alerts-") as scratch:
        connection = databases.connect(temp_directory=scratch, memory_limit=MEMORY)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute("SET python_enable_replacements = false")
            # Footprints are compared byte by byte, and reading them as geometries takes longer.
            connection.execute("SET enable_geoparquet_conversion = false")
            yield connection
        finally:
            connection.close()


def register(connection: duckdb.DuckDBPyConnection, table: DeltaTable, name: str) -> None:
    """Make a view of a table's rows. DuckDB reads local files itself: it decodes only the rows
    that a join needs."""
    rows = delta_tables.open_dataset(table)
    files = [file.path for file in live_files.data_files(table)]
    root = absolute_uri(table.table_uri)
    plain = not is_remote(root) and not any(c in root for c in _NOT_PLAIN)
    if not plain or not 0 < len(files) <= _MOST_FILES:
        connection.register(name, rows)
        return
    paths = ", ".join(duckdb_text(join_uri(root, path)) for path in files)
    connection.execute(
        f"""CREATE VIEW {name}_there AS SELECT * FROM read_parquet([{paths}],
        union_by_name = true, hive_partitioning = true, hive_types_autocast = false)"""
    )
    connection.register(f"{name}_empty", rows.schema.empty_table())
    there, types = (
        {row[0]: row[1] for row in connection.sql(f"DESCRIBE {each}").fetchall()}
        for each in (f"{name}_there", f"{name}_empty")
    )
    columns = [
        f"CAST({_quoted(column) if column in there else 'NULL'} AS {kind}) AS {_quoted(column)}"
        for column, kind in types.items()
    ]
    connection.execute(f"CREATE VIEW {name} AS SELECT {', '.join(columns)} FROM {name}_there")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
