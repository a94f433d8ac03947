"""Statements for other label sets: every place that names a label's column is changed."""

from __future__ import annotations

import re

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.label_sql import bigquery_text, duckdb_text, for_labels, with_unproven
from schemas.labels import PLANET_LABELS
from schemas.statements import statements, without_header

ALL = {
    f"{folder}/{name}": without_header(sql)
    for folder in ("views", "questions", "bigquery/views", "bigquery/questions")
    for name, sql in statements(folder).items()
}
PLANET = dict(zip(PLANET_LABELS.names, PLANET_LABELS.score_columns, strict=True))


@pytest.mark.parametrize("name", ALL)
def test_no_column_of_planets_is_left(name: str) -> None:
    made = for_labels(ALL[name], {"my mine": "score_my_mine"}, duckdb_text)
    assert set(re.findall(r"\bscore_(?!published_at)\w+", made)) <= {"score_my_mine"}
    assert ("score_my_mine" in made) == ("score_road" in ALL[name] or "score_agri" in ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_without_the_filter_nothing_is_left_out(name: str) -> None:
    made = with_unproven(ALL[name])
    assert not re.search(r"proven IS DISTINCT", made)
    assert (made != ALL[name]) == ("proven IS DISTINCT FROM FALSE" in ALL[name])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_label_becomes_a_literal_of_the_same_text(label: str) -> None:
    assert duckdb.sql(f"SELECT {duckdb_text(label)}").fetchall() == [(label,)]


def test_bigquerys_literals_are_escaped() -> None:
    assert bigquery_text('it\'s "a\\b"\n') == '"it\'s \\"a\\\\b\\"\\n"'
