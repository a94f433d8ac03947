"""The tables are described once, completely, and their closed lists are closed."""

from __future__ import annotations

import pickle
import re
from itertools import pairwise
from typing import get_args

import pytest

from pipelines.errors import ChipRejected
from schemas.alert_tables import ALERT_TABLES
from schemas.chip_columns import BOUNDS, CHIP_COLUMNS, CHIP_NAMES
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.place_tables import CHIP_PLACES, PLACES
from schemas.table import ColumnType, Table
from schemas.tables import (
    COMMIT_ORDER,
    EXPIRED_CHIPS,
    MODELS,
    QUARANTINE,
    RUNS,
    TABLES,
    QuarantineReason,
    chip_scores,
)
from schemas.verdict_table import VERDICTS

EACH_TABLE = [table.for_labels(PLANET_LABELS) for table in TABLES]
each_table = pytest.mark.parametrize("table", EACH_TABLE, ids=lambda table: table.name)


@each_table
def test_every_column_has_a_valid_name_a_known_type_and_a_description(table: Table) -> None:
    assert table.description.endswith(".")
    for column in table.columns:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", column.name)
        assert column.type in get_args(ColumnType)
        assert column.description.endswith("."), column.name


@each_table
def test_every_number_and_time_has_a_unit(table: Table) -> None:
    plain = ("string", "bool", "list<string>")
    without = {c.name for c in table.columns if not c.unit and c.type not in plain}
    assert without == set()


@each_table
def test_no_column_is_named_twice_whatever_the_case(table: Table) -> None:
    names = [name.lower() for name in table.column_names]
    assert len(set(names)) == len(names)


@each_table
def test_the_partition_columns_come_last_and_are_in_no_file(table: Table) -> None:
    count = len(table.partition_by)
    assert table.column_names[len(table.columns) - count :] == table.partition_by
    assert table.file_columns == table.columns[: len(table.columns) - count]


def test_published_tables_are_partitioned_by_night_and_run() -> None:
    for table in COMMIT_ORDER:
        assert table.partition_by == ("run_date", "run_id")
        assert all(c.required for c in table.columns if c.name in table.partition_by)


@each_table
def test_every_table_of_chips_has_all_columns_of_the_manifest(table: Table) -> None:
    if table not in (RUNS, MODELS, EXPIRED_CHIPS, PLACES, CHIP_PLACES, VERDICTS, *ALERT_TABLES):
        named = [column for column in table.columns if column.name in CHIP_NAMES]
        assert tuple(named) == CHIP_COLUMNS


def test_a_geometry_comes_after_the_bounds_and_has_its_bbox_next_to_it() -> None:
    for table in (chip_scores(PLANET_LABELS), QUARANTINE):
        at = table.column_names.index("lat_max")
        assert table.column_names[at + 1 : at + 3] == ("geometry", "bbox")


def test_bounds_are_adjacent_in_the_order_west_south_east_north() -> None:
    names = [column.name for column in CHIP_COLUMNS]
    places = [names.index(name) for name in BOUNDS]
    assert all(after == before + 1 for before, after in pairwise(places))
    edges = [CHIP_COLUMNS[place].description.split()[0] for place in places]
    assert edges == ["Western", "Southern", "Eastern", "Northern"]


def test_there_is_one_score_column_for_each_label_in_label_order() -> None:
    labels = LabelSet(("mobile-home", "sea", "Tanks"))
    scores = [c for c in chip_scores(labels).columns if c.name.startswith("score_")]
    assert [(c.name, c.label) for c in scores] == [
        ("score_mobile_home", "mobile-home"),
        ("score_sea", "sea"),
        ("score_Tanks", "Tanks"),
    ]
    assert {(c.type, c.required) for c in scores} == {("float32", False)}
    assert "'mobile-home'" in scores[0].description


def test_no_score_column_can_have_the_name_of_another_column() -> None:
    fixed = set(chip_scores(LabelSet(("x",))).column_names) - {"score_x"}
    assert not any(name.startswith("score_") for name in fixed)


def test_a_reason_equals_its_text_and_is_found_by_it() -> None:
    assert QuarantineReason("too_large") is QuarantineReason.TOO_LARGE
    assert QuarantineReason.TOO_LARGE == "too_large"
    assert f"{QuarantineReason.TOO_LARGE}" == "too_large"
    with pytest.raises(ValueError, match="bored"):
        QuarantineReason("bored")


def test_only_reasons_outside_the_chip_and_the_model_are_temporary() -> None:
    temporary = {reason for reason in QuarantineReason if not reason.permanent}
    assert temporary == {QuarantineReason.UNREADABLE, QuarantineReason.OUT_OF_MEMORY}


def test_the_description_of_the_reason_column_explains_every_reason() -> None:
    (column,) = (c for c in QUARANTINE.columns if c.name == "reason")
    for reason in QuarantineReason:
        assert f"{reason.value}: {reason.description}" in column.description


def test_reasons_and_rejections_can_be_pickled() -> None:
    for reason in QuarantineReason:
        assert pickle.loads(pickle.dumps(reason)) is reason
    rejected = pickle.loads(pickle.dumps(ChipRejected(QuarantineReason.EMPTY, "no bytes")))
    assert (rejected.reason, rejected.message) == (QuarantineReason.EMPTY, "no bytes")
    assert str(rejected) == "empty: no bytes"
