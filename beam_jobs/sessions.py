"""A DuckDB connection that sees the tables and views of an OUTPUT."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from beam_jobs.options.label_names import named_labels
from pipelines import databases
from pipelines.errors import StorageError, UsageError
from pipelines.storage.store import absolute_uri, is_remote, list_objects
from pipelines.tables import views
from schemas.tables import CHIP_SCORES


@contextmanager
def open_session(
    output: str, sql: str, threats: str, attached: Sequence[str] = ()
) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, str]]]:
    """A connection that sees the tables that the SQL names; and each label with the column of its
    scores.

    Args:
        sql: one SELECT, which is checked and not run.
        threats: the labels that the view `threats` has, with commas between them; "" for its own.
        attached: local files that the SQL may read; all others are closed to it.

    Raises:
        UsageError: an attached file does not exist; the SQL is not one SELECT; a threat is not a
            label; there is no OUTPUT.
        StorageError: the tables cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="query-") as scratch:
        # A large answer spills to disk: by default, into the working directory.
        connection = databases.connect(temp_directory=scratch)
        try:
            _close_off(connection, attached)
            _check_statement(connection, sql)
            yield connection, _register(connection, output, sql, threats)
        except duckdb.Error as error:
            raise _query_error(error) from error
        finally:
            connection.close()


def _close_off(connection: duckdb.DuckDBPyConnection, attached: Sequence[str]) -> None:
    """Let SQL read no files but these, and load no extension."""
    paths = [absolute_uri(path) for path in attached]
    for path in paths:
        if is_remote(path) or not os.path.isfile(path):
            raise UsageError(f"--attach {path!r}: there is no such file on this machine")
    names = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    connection.execute(f"SET allowed_paths = [{names}]")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_external_access = false")


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
    relations = views.read_tables(output, sql)
    if isinstance(relations[CHIP_SCORES.name], pa.Table):  # empty: there is none
        _check_exists(output)
    columns = views.labels_of(relations)
    named = named_labels(threats, [*columns], "--threats")
    relations |= {"threats": pa.table({"label": pa.array(named)})} if named else {}
    views.register(connection, relations, columns)
    return columns


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
    if isinstance(error, duckdb.PermissionException):
        return UsageError(f"{text[:500]}: name the files that the SQL may read with --attach")
    if "reading the stream registered as" in text:
        return StorageError(f"cannot read the tables: {text[:500]}")
    return UsageError(text[:500])
