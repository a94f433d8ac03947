"""The time that a run took is that of its engines, without the pauses between them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.elements import NOTHING_SPENT
from pipelines.publishing.publishing import publish_run
from pipelines.runs.counting import count_run
from pipelines.runs.records import read_record
from pipelines.runs.run_plan import RunPlan, store_plan
from pipelines.runs.staging import StagedFile, StagedUnit
from tests.support.staged_runs import CHIPS, empty_tables, make_plan, stage

DAY = 86_400.0


def unit(number: int, rows: int, started_at: float, staged_at: float) -> StagedUnit:
    file = StagedFile("/f", rows, 1)
    return StagedUnit(number, file, None, {}, "float32", NOTHING_SPENT, started_at, staged_at)


def plan(*rows: int) -> RunPlan:
    return make_plan("/o", "r", listed=sum(rows), skipped=0, unit_rows=rows)


def test_the_seconds_of_a_run_are_those_from_each_start_to_its_last_unit() -> None:
    """Started at 100 and killed after two units, resumed a day later for the others."""
    units = [
        unit(0, 5, 100.0, 110.0),
        unit(1, 5, 100.0, 130.0),
        unit(2, 5, 100.0 + DAY, 120.0 + DAY),
        unit(3, 5, 100.0 + DAY, 115.0 + DAY),
    ]
    for order in (units, units[::-1]):
        assert count_run(plan(5, 5, 5, 5), order).score_seconds == pytest.approx(30 + 20)


def test_a_clock_that_is_behind_makes_no_negative_time() -> None:
    units = [unit(0, 5, 100.0, 90.0), unit(1, 5, 200.0, 210.0)]
    assert count_run(plan(5, 5), units).score_seconds == pytest.approx(10)


def test_the_time_is_unknown_without_units_and_if_one_of_an_earlier_release_is_among_them() -> None:
    assert count_run(plan(), []).score_seconds is None
    units = [unit(0, 5, 0.0, 0.0), unit(1, 5, 200.0, 210.0)]
    assert count_run(plan(5, 5), units).score_seconds is None


def test_a_run_that_was_planned_long_before_has_the_seconds_of_its_scoring(tmp_path) -> None:
    """The plan of these tests is from the year 2001."""
    output = empty_tables(tmp_path)
    planned = store_plan(make_plan(output), CHIPS.to_reader())
    units = [replace(each, started_at=100.0, staged_at=104.0) for each in stage(planned)]
    publish_run(planned, units)
    record = read_record(output, planned.run_id)
    assert record is not None
    assert record["score_seconds"] == pytest.approx(4)
