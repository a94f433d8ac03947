"""GoogleSQL's own analyzer, which BigQuery is built on, takes every statement."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import schemas
from schemas.external_tables import DATASET, EXTERNAL_TABLES, view_ddl
from schemas.label_sql import bigquery_text, for_labels
from schemas.labels import PLANET_LABELS
from schemas.render import arrow_schema, bigquery_columns
from schemas.statements import statements
from schemas.tables import SHOWN
from schemas.tables import TABLES as ALL_TABLES

ROOT = Path(__file__).parents[2]
ANALYZER = Path(os.environ.get("GOOGLESQL_ANALYZER") or ROOT / "build" / "googlesql")
TABLES = {
    EXTERNAL_TABLES[table.name]: bigquery_columns(arrow_schema(table))
    for table in (table.for_labels(PLANET_LABELS) for table in SHOWN)
}
VIEWS = {**statements("bigquery/published"), **statements("bigquery/views")}

pytestmark = pytest.mark.skipif(
    not ANALYZER.is_file(), reason="no GoogleSQL analyzer: `make googlesql` builds it"
)


def analyzed(*given: str) -> list[dict[str, Any]]:
    """The analyzer's results for the views, then for other statements."""
    script = [*(view_ddl(name, select) for name, select in VIEWS.items()), *given]
    question = {
        "dataset": DATASET,
        "connection": "PROJECT.REGION.CONNECTION",
        "tables": {name: list(columns.items()) for name, columns in TABLES.items()},
        "statements": script,
    }
    done = subprocess.run(
        [ANALYZER], input=json.dumps(question), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def columns_of(answer: dict[str, Any]) -> dict[str, str]:
    assert "error" not in answer
    return dict(answer["columns"])


def test_every_view_has_the_columns_of_the_tables() -> None:
    views = dict(zip(VIEWS, map(columns_of, analyzed()), strict=True))
    scores = TABLES["chip_scores"]
    more = {"place": "STRING", "seen_at": "TIMESTAMP", "seen_at_source": "STRING"}
    more |= {"observed": "BOOL", "first_scored_at": "TIMESTAMP", "footprint": "BYTES"}
    no_look = {"lon_min", "lat_min", "lon_max", "lat_max", "geometry", "bbox"}
    no_look |= {"place", "observed", "first_scored_at", "footprint"}
    look = {name: kind for name, kind in (scores | more).items() if name not in no_look}
    drawn = {"geometry": "GEOGRAPHY"}
    assert views["latest_chip_scores"] == scores | drawn
    assert views["observations"] == scores | drawn | more
    assert views["looks"] == {"place_id": "STRING", **look}
    assert views["quarantine"] == TABLES["all_quarantine"]
    assert views["open_quarantine"] == views["quarantine"] | drawn
    assert views["runs"] == TABLES["all_runs"]
    assert views["threats"] == {"label": "STRING"}
    assert views["models"] == TABLES["all_models"]
    assert views["label_trust"]["proven"] == "BOOL"


def test_every_question_is_answered() -> None:
    for found in analyzed(*statements("bigquery/questions").values())[len(VIEWS) :]:
        assert columns_of(found)


def test_questions_about_labels_of_any_name_are_answered() -> None:
    labels = {'it\'s "a\\b"\n': "score_road", "forêt": "score_water"}
    texts = {**statements("bigquery/views"), **statements("bigquery/questions")}
    made = [for_labels(text, labels, bigquery_text) for text in texts.values()]
    for found in analyzed(*made)[len(VIEWS) :]:
        assert columns_of(found)


def test_every_table_is_created() -> None:
    folder = Path(schemas.__file__).parent / "sql" / "bigquery"
    ddl = [path.read_text("utf-8") for path in sorted(folder.rglob("*.sql"))]
    ddl = [text for text in ddl if "CREATE " in text]
    assert len(ddl) == len(ALL_TABLES) + 2 * len(EXTERNAL_TABLES)
    assert analyzed(*ddl)[len(VIEWS) :] == [{"columns": None}] * len(ddl)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT no_such FROM forest_chips.runs", "Unrecognized name: no_such"),
        ("SELECT * FROM runs", "Table not found: runs"),
        ("SELECT list_contains(labels, 'road') FROM forest_chips.chip_scores", "not found"),
        ("SELECT chip_uri + 1 FROM forest_chips.chip_scores", "No matching signature"),
    ],
)
def test_the_analyzer_refuses_what_bigquery_would_refuse(sql: str, message: str) -> None:
    assert message in analyzed(sql)[-1]["error"]
