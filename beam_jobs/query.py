"""Ask the tables a question in SQL.

The SQL is DuckDB's. It sees `chip_scores`, `quarantine` and `runs` (published rows only) and the
views of `schemas/sql/views`: `latest_chip_scores`, `observations`, `open_quarantine` and `threats`.
All of them exist, with their types, before anything is published. `--question` asks one of
`schemas/sql/questions`.

The whole answer is printed, or nothing.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable

from beam_jobs.answers import FORMATS
from beam_jobs.options.store_options import OUTPUT, StoreOptions
from pipelines.commands import CommandLine, run_command
from pipelines.errors import StorageError, UsageError
from pipelines.flags import common_flag
from pipelines.storage.store import configure, is_remote, list_objects
from pipelines.tables import delta_tables, publications
from pipelines.tables.replacing import quarantined_rows
from schemas.labels import PLANET_LABELS
from schemas.render import arrow_schema
from schemas.statements import statements, summary_of
from schemas.table import Table
from schemas.tables import CHIP_SCORES, PUBLISHED, READ_ORDER, RUNS

QUESTIONS = statements("questions")
"""The questions that are built in: name to SQL."""

VIEWS = statements("views")
"""The views on top of the tables: name to the SELECT that makes it."""


@dataclass(frozen=True, kw_only=True)
class QueryOptions(StoreOptions):
    """The options of the command."""

    sql: str | None = common_flag(
        "One SELECT, in DuckDB's SQL.", metavar="SQL", positional=True, default=None
    )
    output: str = OUTPUT(default="", group="common")
    question: str | None = common_flag(
        "A question that is built in.", choices=tuple(QUESTIONS), default=None
    )
    format: str = common_flag(
        "The format of the answer.", choices=tuple(sorted(FORMATS)), default="table"
    )
    list_questions: bool = common_flag("List the questions that are built in.", default=False)


LINE = CommandLine(
    "beam_jobs.query",
    QueryOptions,
    __doc__ or "",
    epilog="""examples:
  python -m beam_jobs.query --output out "SELECT sky_label, count(*) FROM chip_scores GROUP BY 1"
  python -m beam_jobs.query --output gs://bucket/out --question alerts_last_night --format csv
  python -m beam_jobs.query --list_questions
""",
)


def main(arguments: Sequence[str]) -> int:
    """Print the answer to one question.

    Raises:
        UsageError: the SQL is wrong, or OUTPUT does not exist.
        StorageError: the tables cannot be read.
    """
    options = _parse(arguments)
    if options.list_questions:
        _print("".join(f"{name}: {summary_of(text)}\n" for name, text in QUESTIONS.items()))
        return 0
    sql = QUESTIONS[options.question] if options.question else options.sql or ""
    _print(FORMATS[options.format](ask(options.output, sql)))
    return 0


def ask(output: str, sql: str) -> pa.Table:
    """The answer of an OUTPUT's tables to one SELECT.

    Raises:
        UsageError: not one SELECT, or an invalid one; or OUTPUT does not exist.
        StorageError: the tables cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="query-") as scratch:
        # A large answer spills to disk: by default, into the working directory.
        connection = duckdb.connect(":memory:", config={"temp_directory": scratch})
        try:
            _check_statement(connection, sql)
            _register(connection, output, sql)
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise _query_error(error) from error
        finally:
            connection.close()


def _parse(arguments: Sequence[str]) -> QueryOptions:
    options = LINE.parse(arguments)
    configure(options.stores)
    if not options.list_questions:
        if not options.output:
            raise UsageError("--output is missing: the folder or prefix with the tables")
        if (options.sql is None) == (options.question is None):
            raise UsageError("give one SELECT or one --question")
    return options


def _check_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """This command only reads: a statement that writes or attaches is a mistake."""
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)  # MULTI: a PIVOT
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in reading:
        raise UsageError("the SQL must be one SELECT")


def _register(connection: duckdb.DuckDBPyConnection, output: str, sql: str) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    # A name in the SQL must not find a Python variable.
    connection.execute("SET python_enable_replacements = false")
    for name, rows in _relations(output, _named_in(sql)).items():
        connection.register(name, rows)
    for name, text in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {text}")


def _relations(output: str, named: str) -> dict[str, Any]:
    """The tables of a run, in `READ_ORDER`. A table that the SQL does not name is not read, and is
    registered empty."""
    scores = delta_tables.open_table(output, CHIP_SCORES.name)
    if scores is None:
        _check_exists(output)
    return {
        table.name: _published_rows(output, table, scores, is_read=table.name in named)
        for table in READ_ORDER
    }


def _published_rows(output: str, table: Table, scores: DeltaTable | None, is_read: bool) -> Any:
    """The rows of a table that belong to published runs."""
    if table is CHIP_SCORES:
        found = scores
    else:
        found = delta_tables.open_table(output, table.name) if is_read else None
    if found is None:
        return arrow_schema(table.for_labels(PLANET_LABELS)).empty_table()
    if table is CHIP_SCORES:
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


def _print(text: str) -> None:
    """Write to standard output, in UTF-8, with the line ends of the text."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`); Python would report that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    run_command(main)
