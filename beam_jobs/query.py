"""Ask the tables a question in SQL.

The SQL is DuckDB's. It sees the published rows of `chip_scores`, `quarantine` and `runs`, the
tables `models`, `places` and `chip_places`, those of `update_alerts` (`alerts`, `sites`,
`alert_changes`, `alert_areas`, `alert_updates`), and the views of `schemas/sql/views`:
`latest_chip_scores`, `observations`, `looks`, `open_quarantine`, `last_night`, `threats` and
`label_trust`. All of them exist, with their types, before anything is published. `--question` asks
one of `schemas/sql/questions`, made for the labels of OUTPUT.

The whole answer is printed, or nothing. What a question leaves out is said on standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from beam_jobs.answers import FORMATS, as_raw_csv
from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.store_options import OUTPUT
from beam_jobs.questions import (
    QUESTIONS,
    is_about_dates,
    is_about_places,
    leave_out,
    not_looked_at,
    question_sql,
    unknown_trust,
    why_not,
)
from beam_jobs.sessions import open_session
from pipelines.commands import CommandLine, run_command
from pipelines.errors import UsageError
from pipelines.flags import common_flag, not_empty
from pipelines.printing import write_answer
from pipelines.storage.store import configure
from pipelines.tables.views import VIEWS as VIEWS
from schemas.statements import summary_of


@dataclass(frozen=True, kw_only=True)
class QueryOptions(ReaderOptions):
    """The options of the command."""

    sql: str | None = common_flag(
        "One SELECT, in DuckDB's SQL.", metavar="SQL", positional=True, default=None
    )
    output: str = OUTPUT(default="", group="common")
    question: str | None = common_flag(
        "A question that is built in.", choices=tuple(QUESTIONS), default=None
    )
    threats: str = common_flag(
        "The labels that count as threats, with commas between them. Default: those of the last "
        "score_chips --threats, or Planet's.",
        not_empty,
        metavar="LABELS",
        default="",
    )
    unproven: bool = common_flag(
        "Also answer about labels that are not proven, for lack of labelled chips.", default=False
    )
    format: str = common_flag(
        "The format of the answer.", choices=tuple(sorted(FORMATS)), default="table"
    )
    attach: tuple[str, ...] = common_flag(
        "A local file that the SQL may read, as in \"SELECT * FROM 'areas.csv'\"; all others are "
        "closed to it. May be given several times.",
        not_empty,
        metavar="FILE",
        repeated=True,
        default=(),
    )
    raw: bool = common_flag(
        "Write texts to csv as they are, those too that a spreadsheet runs as formulas.",
        default=False,
    )
    list_questions: bool = common_flag(
        "List the questions that are built in; with --output, those that it cannot answer.",
        default=False,
    )


_LISTING = "FROM threats, chip_places"
"""What is read to say which questions can be asked."""

_WITHOUT_PLACES = """
  SELECT DISTINCT chip_uri, etag FROM chip_scores
  WHERE lon_min IS NOT NULL AND NOT EXISTS
    (SELECT 1 FROM chip_places WHERE chip_places.footprint = chip_scores.geometry)
"""
_DATED_LATE = """
  SELECT count(*) FROM chip_scores WHERE coalesce(observed_at, modified_at) > scored_at
"""
_FUTURE = "SELECT count(*) FROM observations WHERE observed AND seen_at > first_scored_at"

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
        StorageError: the tables cannot be read, or the answer cannot be written.
    """
    options = _parse(arguments)
    form = as_raw_csv if options.raw else FORMATS[options.format]
    if options.list_questions:
        listed = options.reading(options.output, lambda: _listed(options))
        write_answer("".join(f"{name}: {text}\n" for name, text in listed.items()))
        return 0
    answer, notes = options.reading(options.output, lambda: _answer(options))
    write_answer(form(answer))
    for note in notes:
        print(note, file=sys.stderr)
    return 0


def _answer(options: QueryOptions) -> tuple[pa.Table, list[str]]:
    output, threats = options.output, options.threats
    if options.question:
        return ask_question(output, options.question, threats, options.unproven)
    return ask(output, options.sql or "", threats, options.attach), []


def ask(output: str, sql: str, threats: str = "", attached: Sequence[str] = ()) -> pa.Table:
    """The answer of an OUTPUT's tables to one SELECT.

    Args:
        threats: the labels that the view `threats` has, with commas between them; "" for its own.
        attached: local files that the SQL may read.

    Raises:
        UsageError: not one SELECT, or an invalid one; a threat that is not a label; or OUTPUT does
            not exist.
        StorageError: the tables cannot be read.
    """
    with open_session(output, sql, threats, attached) as (connection, _):
        return connection.sql(sql).to_arrow_table()


def ask_question(
    output: str, name: str, threats: str = "", unproven: bool = False
) -> tuple[pa.Table, list[str]]:
    """The answer to a question that is built in, and notes on what it leaves out.

    Args:
        threats: see `ask`.
        unproven: whether labels that are not proven are in the answer.

    Raises:
        UsageError: this OUTPUT cannot answer it, or does not exist.
        StorageError: the tables cannot be read.
    """
    with open_session(output, QUESTIONS[name], threats) as (connection, columns):
        if reason := _why_not(name, connection, columns):
            raise UsageError(f"--question {name} cannot be asked of {output!r}: {reason}")
        answer = connection.sql(question_sql(name, columns, unproven)).to_arrow_table()
        no_looks = _no_looks(connection, name)
    answer, notes = (answer, []) if unproven else leave_out(answer)
    return answer, [*notes, *no_looks, *unknown_trust(answer)]


def _listed(options: QueryOptions) -> dict[str, str]:
    """Each question with its first line, or with why OUTPUT cannot answer it."""
    summaries = {name: summary_of(text) for name, text in QUESTIONS.items()}
    if not options.output:
        return summaries
    with open_session(options.output, _LISTING, options.threats) as (connection, columns):
        reasons = {name: _why_not(name, connection, columns) for name in QUESTIONS}
    return {
        name: f"cannot be asked here: {reasons[name]}" if reasons[name] else text
        for name, text in summaries.items()
    }


def _why_not(name: str, connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str]) -> str:
    threats = [label for (label,) in connection.sql("FROM threats").fetchall()]

    def has(rows: str) -> bool:
        return bool(connection.sql(f"SELECT 1 {rows} LIMIT 1").fetchall())

    def has_sky() -> bool:
        """By its rows, if it has any: only label sets without sky labels leave sky_label null."""
        return has("FROM chip_scores WHERE sky_label IS NOT NULL") or not has("FROM chip_scores")

    def needs_places() -> bool:
        return not has("FROM chip_places") and has("FROM chip_scores WHERE lon_min IS NOT NULL")

    return why_not(name, [*columns], threats, has_sky, needs_places)


def _no_looks(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """Notes on the pictures that a question leaves out, because they are no looks. Few
    are, so the rows of `chip_scores` are asked first: the view observations is slow."""
    if not is_about_dates(name):
        return []
    without_places = 0
    if is_about_places(name):
        count = f"SELECT count(*) FROM ({_WITHOUT_PLACES})"
        ((without_places,),) = connection.sql(count).fetchall()
    ((dated_late,),) = connection.sql(_DATED_LATE).fetchall()
    ((future,),) = connection.sql(_FUTURE).fetchall() if dated_late else ((0,),)
    return not_looked_at(without_places, future)


def _parse(arguments: Sequence[str]) -> QueryOptions:
    options = LINE.parse(arguments)
    configure(options.stores)
    if not options.list_questions:
        if not options.output:
            raise UsageError("--output is missing: the folder or prefix with the tables")
        if (options.sql is None) == (options.question is None):
            raise UsageError("give one SELECT or one --question")
        if options.raw and options.format != "csv":
            raise UsageError("--raw goes with --format csv")
        if options.attach and options.question is not None:
            raise UsageError("--attach goes with a SELECT; a question reads the tables only")
        if options.unproven and options.question is None:
            raise UsageError("--unproven goes with --question; a SELECT sees every label")
    return options


if __name__ == "__main__":
    run_command(main)
