"""Connections to DuckDB, for SQL over tables in memory and on disk."""

from __future__ import annotations

import duckdb


def connect(**config: str) -> duckdb.DuckDBPyConnection:
    """A database in memory, with DuckDB's settings by name.

    In a process without a main file (a notebook's, or a forked one), DuckDB 2.0 prints a bar to
    standard output while a query takes more than two seconds.
    """
    connection = duckdb.connect(config=config)
    connection.execute("SET enable_progress_bar = false")
    return connection
