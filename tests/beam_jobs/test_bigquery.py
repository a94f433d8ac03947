"""BigQuery's statements mean the same as DuckDB's: strictly parsed, run on the same rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

import schemas
from beam_jobs import bigquery, query
from pipelines.commands import exit_code
from pipelines.places.updating import update_places
from pipelines.storage import store
from pipelines.tables import commits, delta_tables, evolution
from schemas.dialects import to_bigquery
from schemas.external_tables import (
    DATASET,
    EXTERNAL_TABLES,
    delta_table_ddl,
    list_path,
    view_ddl,
)
from schemas.labels import LabelSet
from schemas.statements import statements
from schemas.tables import QUARANTINE, RUNS, TABLES_BY_NAME
from schemas.verdict_table import VERDICTS
from tests.support.alert_rows import add_rows, alert, verdict, write_alerts
from tests.support.object_stores import S3Server
from tests.support.published_runs import (
    SCORES,
    at,
    commit_rows,
    publish,
    quarantined_row,
    run_row,
    scored,
)
from tests.support.releases import local_release
from tests.support.trusted import trust

STATEMENTS = sorted((Path(schemas.__file__).parent / "sql" / "bigquery").rglob("*.sql"))
VIEWS = {**statements("bigquery/published"), **statements("bigquery/views")}
QUESTIONS = statements("bigquery/questions")
BOX = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.99, "lat_max": -2.99}
OF_BIGQUERY_ALONE = re.compile(r"WITH CONNECTION `[^`]+`|WITH PARTITION COLUMNS (\([^)]+\))")
"""The clauses of an external table that sqlglot does not know."""


def parsed(sql: str) -> exp.Expr:
    """The one statement, completely parsed: a `Command` is one that sqlglot did not parse."""
    (tree,) = sqlglot.parse(sql, dialect="bigquery", error_level=sqlglot.ErrorLevel.RAISE)
    assert tree is not None
    assert not isinstance(tree, exp.Command)
    return tree


def as_duckdb(sql: str) -> str:
    return parsed(sql).sql("duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)


# --------------------------------------------------------------------------- every statement


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_sqlglot_reads_every_statement_strictly(path: Path) -> None:
    sql = path.read_text("utf-8")
    parsed(OF_BIGQUERY_ALONE.sub("", sql))
    for columns in OF_BIGQUERY_ALONE.findall(sql):
        if columns:
            assert [c.name for c in parsed(f"CREATE TABLE t {columns}").find_all(exp.ColumnDef)]


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_described_in_their_dataset(name: str) -> None:
    tree = parsed(view_ddl(name, VIEWS[name], "another"))
    assert {table.db for table in tree.find_all(exp.Table)} - {""} == {"another"}
    (description,) = tree.find_all(exp.Property)
    assert VIEWS[name].startswith(f"-- {description.args['value'].name}\n")


def test_a_view_is_created_after_those_that_it_reads() -> None:
    known = set(EXTERNAL_TABLES.values())
    for name, select in VIEWS.items():
        tree = parsed(select)
        own = {cte.alias for cte in tree.find_all(exp.CTE)}
        assert {table.name for table in tree.find_all(exp.Table)} <= known | own
        known.add(name)


def test_a_table_of_another_dataset_keeps_its_name() -> None:
    made = to_bigquery("SELECT a FROM chips JOIN runs USING (a)", "d", {"runs"})
    assert " ".join(made.split()) == "SELECT a FROM chips JOIN d.runs USING (a)"


def test_what_bigquery_cannot_express_is_not_rendered() -> None:
    with pytest.raises(sqlglot.errors.SqlglotError):
        to_bigquery("SELECT a FROM runs INTERSECT ALL SELECT a FROM chips", "d", {"runs"})


# --------------------------------------------------------------------------- the same answers


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three nights with every case that a question distinguishes."""
    output = str(tmp_path_factory.mktemp("archive"))
    trust(output, {"road": 12, "slash_burn": 3, "conventional_mine": None, "habitation": 2})
    june = [
        scored("cut", "primary", etag="1", observed_at=at(1, month=6)),
        scored("box-june", "agriculture", observed_at=at(2, month=6), **BOX),
        scored("cloud", sky="cloudy"),
        scored("twice", "road", "habitation"),
        scored("no sky", "water", sky=None),
    ]
    publish(output, "run-1", june, [quarantined_row("q1", "empty")], published_at=at(1, 3))
    july = [
        scored("cut", "road", "slash_burn", etag="2", sky="haze", scored_at=at(2)),
        scored("box-july", "conventional_mine", sky="partly_cloudy", scored_at=at(2), **BOX),
        scored("cloud", sky="cloudy", etag="2", scored_at=at(2)),
        scored("twice", "road", score_road=0.625, scored_at=at(2)),
        scored("hidden", "road", sky="cloudy", scored_at=at(2), score_road=1.0),
    ]
    broken = [
        quarantined_row("q1", "truncated"),
        quarantined_row("q2", "truncated"),
        quarantined_row("q3", "empty"),
    ]
    publish(output, "run-2", july, broken, "2026-07-02", published_at=at(2, 3))
    again = [scored("twice", "selective_logging", scored_at=at(2, 1))]
    publish(output, "run-3", again, [], "2026-07-02")
    relabelled = [{**july[0], "labels": ["haze", "road"]}, {**july[3], "labels": ["clear"]}]
    commit_rows(output, SCORES, "new-labels", relabelled, "2026-07-02")
    commit_rows(output, RUNS, "new-labels", [run_row(at(2, 5), kind="relabel")], "2026-07-02")
    publish(
        output, "nothing", [], [quarantined_row("q4", "empty")], "2026-07-02", published_at=at(2, 4)
    )
    commit_rows(output, QUARANTINE, "dying", [quarantined_row("q5", "empty")], "2026-07-02")
    commit_rows(output, RUNS, "failed", [run_row(at(2), status="failed")], "2026-07-02")
    publish(output, "taken-back", [scored("cut", "blooming", etag="3")])
    commit_rows(output, RUNS, "taken-back", [run_row(at(3), scored=1)])
    scores = delta_tables.open_table(output, "chip_scores")
    assert scores is not None
    commits.withdraw_rows(scores, "taken-back", 1, [], "2026-07-01")
    update_places(output)
    judged = [alert(0), alert(1), alert(2)]
    write_alerts(output, judged)
    said = [verdict(judged[0], "true"), verdict(judged[1], "false", judged_at=at(8))]
    add_rows(output, VERDICTS, [*said, verdict(judged[0], "unclear", judged_at=at(8))])
    return output


@pytest.fixture(scope="module")
def in_bigquery(archive: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with as_in_bigquery(archive) as connection:
        yield connection


@contextmanager
def as_in_bigquery(output: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """The external tables and the views, turned back into DuckDB's dialect."""
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; CREATE SCHEMA {DATASET}")
        connection.execute("CREATE MACRO st_geogfromwkb(wkb) AS ST_GeomFromWKB(wkb)")
        for name, external in EXTERNAL_TABLES.items():
            table = evolution.ensure_table(output, TABLES_BY_NAME[name])
            connection.register(f"rows_of_{name}", delta_tables.open_dataset(table).to_table())
            connection.execute(f"CREATE VIEW {DATASET}.{external} AS FROM rows_of_{name}")
        for name, select in VIEWS.items():
            connection.execute(f"CREATE VIEW {DATASET}.{name} AS {as_duckdb(select)}")
        yield connection


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.sql(sql).to_arrow_table().to_pylist()
    return rows


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_the_same_answer(
    archive: str, in_bigquery: duckdb.DuckDBPyConnection, question: str
) -> None:
    expected = query.ask(archive, query.QUESTIONS[question]).to_pylist()
    assert expected
    assert answer(in_bigquery, as_duckdb(QUESTIONS[question])) == expected


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_same_rows(
    archive: str, in_bigquery: duckdb.DuckDBPyConnection, view: str
) -> None:
    expected = query.ask(archive, f"FROM {view} ORDER BY ALL").to_pylist()
    assert expected
    assert answer(in_bigquery, f"FROM {DATASET}.{view} ORDER BY ALL") == expected


def test_rows_of_unpublished_runs_are_in_the_external_tables_and_in_no_view(
    in_bigquery: duckdb.DuckDBPyConnection,
) -> None:
    hidden = {"all_quarantine": "dying", "all_runs": "taken-back"}
    for table, run_id in hidden.items():
        where = f"WHERE run_id = '{run_id}'"
        assert answer(in_bigquery, f"SELECT run_id FROM {DATASET}.{table} {where}")
        view = table.removeprefix("all_")
        assert not answer(in_bigquery, f"SELECT run_id FROM {DATASET}.{view} {where}")


def test_bigquery_shows_quarantine_of_a_run_without_scores_once_it_is_in_runs(
    tmp_path: Path,
) -> None:
    """BigQuery does not see the transactions that mark a run without rows as published."""
    output, shown = str(tmp_path), "SELECT chip_uri FROM {}quarantine"
    publish(output, "run-1", [scored("a")], published_at=at(2))
    publish(output, "run-2", [], [quarantined_row("b", "empty")])
    assert query.ask(output, shown.format("")).to_pylist() == [{"chip_uri": "b"}]
    with as_in_bigquery(output) as connection:
        assert answer(connection, shown.format(f"{DATASET}.")) == []
    commit_rows(output, RUNS, "run-2", [run_row(at(2))])
    with as_in_bigquery(output) as connection:
        assert answer(connection, shown.format(f"{DATASET}.")) == [{"chip_uri": "b"}]


def test_all_questions_and_views_exist() -> None:
    assert QUESTIONS.keys() == query.QUESTIONS.keys()
    assert VIEWS.keys() == query.VIEWS.keys() | {"models", "quarantine", "runs"}


def test_tables_of_an_earlier_release_get_what_the_views_need(
    tmp_path: Path, s3_uri: str, s3_server: S3Server
) -> None:
    release = local_release(tmp_path, s3_server)
    tables = bigquery.open_tables(release.output)
    columns = {name: {f.name for f in table.schema().fields} for name, table in tables.items()}
    assert {"modified_at", "observed_at_source"} <= columns["chip_scores"]
    assert "threats" in columns["runs"]
    assert "proven" in columns["models"]
    with as_in_bigquery(release.output) as connection:
        assert answer(connection, f"FROM {DATASET}.observations")


def test_the_command_works_on_tables_of_an_earlier_release(
    tmp_path: Path,
    s3_uri: str,
    s3_server: S3Server,
    gs_uri: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A question only reads; the lists and the DDL add what is missing, and copy no row."""
    local = Path(local_release(tmp_path, s3_server).output)
    for path in local.rglob("*"):
        if path.is_file() and "_staging" not in path.parts:
            store.write_bytes(f"{gs_uri}/{path.relative_to(local)}", path.read_bytes())

    def objects() -> set[str]:
        return {uri for part in store.list_objects(gs_uri) for uri in part["uri"].to_pylist()}

    before = objects()
    for question in QUESTIONS:
        assert ask("--output", gs_uri, "--question", question) == 0
    assert objects() == before
    assert ask("--output", gs_uri, "--file_lists") == 0
    assert "  modified_at TIMESTAMP" in capsys.readouterr().out
    new = {uri.removeprefix(gs_uri).split("/")[-2] for uri in objects() - before}
    assert new == {"_bigquery", "_delta_log"}
    assert ask("--output", gs_uri, "--connection", "my-project.eu.forest") == 0


# --------------------------------------------------------------------------- lists of files


def test_the_file_lists_have_exactly_the_rows_of_the_tables_unlike_a_wildcard(archive: str) -> None:
    """A wildcard also finds files that were withdrawn, or are not committed yet."""
    tables = bigquery.open_tables(archive)
    bigquery.write_file_lists(archive, tables)
    for name, table in tables.items():
        listed = Path(archive, list_path(name)).read_text("utf-8").splitlines()
        rows = "SELECT * FROM read_parquet({}, hive_partitioning=true) ORDER BY ALL"
        by_list = duckdb.sql(rows.format(listed)).to_arrow_table()
        expected = delta_tables.open_dataset(table).to_table()
        assert by_list.num_rows == expected.num_rows
        if "run_id" in by_list.column_names:
            assert set(by_list["run_id"].to_pylist()) == set(expected["run_id"].to_pylist())
    found = {str(path) for path in Path(archive, "chip_scores").glob("run_date=*/*/*.parquet")}
    assert {path for path in found if "taken-back" in path} == found - {
        *Path(archive, list_path("chip_scores")).read_text("utf-8").splitlines()
    }


def test_a_table_without_files_is_a_file_without_rows(tmp_path: Path) -> None:
    output = str(tmp_path)
    publish(output, "run-1", [scored("a")], published_at=at(2))
    bigquery.write_file_lists(output, bigquery.open_tables(output))
    for name in ("places", "chip_places"):
        (address,) = Path(output, list_path(name)).read_text("utf-8").splitlines()
        empty = duckdb.sql(f"FROM read_parquet('{address}')").to_arrow_table()
        assert (empty.num_rows, "place_id" in empty.column_names) == (0, True)


def ask(*arguments: str) -> int:
    try:
        return exit_code(bigquery.main, arguments)
    except SystemExit as left:  # argparse's own way
        return int(left.code or 0)


def test_the_command_writes_lists_and_prints_the_ddl_over_them(
    gs_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = f"{gs_uri}/forest"
    publish(output, "run-1", [scored("a")], [quarantined_row("b", "empty")], published_at=at(2))
    assert ask("--output", output, "--file_lists", "--dataset", "mine") == 0
    text = store.read_bytes(f"{output}/_bigquery/chip_scores.txt").decode()
    (line,) = text.splitlines()
    assert line.startswith(f"{output}/chip_scores/run_date=2026-07-01/run_id=run-1/")
    assert store.head_object(line)
    printed = capsys.readouterr().out
    assert DATASET not in printed
    assert "mine.all_quarantine" in printed
    listed = parsed(OF_BIGQUERY_ALONE.sub("", printed.partition(";")[0]))
    options = {p.name: p.args["value"] for p in listed.find_all(exp.Property) if "value" in p.args}
    assert options["uris"].sql() == f"ARRAY('{output}/_bigquery/quarantine.txt')"


def test_the_command_prints_the_ddl_over_the_delta_tables(
    gs_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(gs_uri, "run-1", [scored("a")], [], published_at=at(2))
    assert ask("--output", gs_uri, "--connection", "my-project.eu.forest") == 0
    printed = capsys.readouterr().out
    for name in EXTERNAL_TABLES:
        assert delta_table_ddl(name, gs_uri, "my-project.eu.forest") in printed
    created = re.findall(r"^CREATE OR REPLACE (?:EXTERNAL TABLE|VIEW) (\S+)", printed, re.M)
    assert created == [f"{DATASET}.{name}" for name in (*EXTERNAL_TABLES.values(), *VIEWS)]
    assert store.head_object(f"{gs_uri}/{list_path('runs')}") is None


@pytest.mark.parametrize("question", QUESTIONS)
def test_views_and_questions_are_made_for_the_labels_of_the_tables(
    gs_uri: str, capsys: pytest.CaptureFixture[str], question: str
) -> None:
    labels = LabelSet(("gold mine", "it's burnt"))
    chips = [scored("a", "gold mine", sky=None, label_set=labels)]
    publish(gs_uri, "run-1", chips, published_at=at(2), label_set=labels)
    assert ask("--output", gs_uri, "--connection", "my-project.eu.forest") == 0
    (threats,) = re.findall(r"VIEW \S+\.threats\n.*?;\n", capsys.readouterr().out, re.S)
    assert 'threat.label IN ("gold mine", "it\'s burnt")' in threats
    assert ask("--output", gs_uri, "--question", question, "--dataset", "mine") == 0
    sql = capsys.readouterr().out
    assert {table.db for table in parsed(sql).find_all(exp.Table)} - {""} == {"mine"}
    known = {"score_gold_mine", "score_it_s_burnt"}
    assert {c.name for c in parsed(sql).find_all(exp.Column) if c.name[:6] == "score_"} <= known


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--connection", "p.eu.c"], "--output"),
        (["--output", "gs://b/o"], "either --connection or --file_lists"),
        (["--output", "gs://b/o", "--file_lists", "--question", "never_observed"], "or --question"),
        (["--output", "gs://b/o", "--connection", "c"], "PROJECT.REGION.NAME"),
        (["--output", "gs://b/o", "--file_lists", "--dataset", "a.b"], "letters, digits"),
        (["--output", "s3://b/o", "--file_lists"], "gs:// only"),
        (["--output", "here", "--file_lists"], "gs:// only"),
    ],
)
def test_a_usage_error_is_reported_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(*arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message in printed.err


def test_an_output_without_tables_is_reported(
    gs_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask("--output", f"{gs_uri}/none", "--file_lists") == 2
    assert "publish a run there first" in capsys.readouterr().err
