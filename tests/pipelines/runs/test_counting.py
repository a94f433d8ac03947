"""A run's chips add up, and its time is that of its engines, without the pauses between them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pipelines.elements import NOTHING_SPENT
from pipelines.errors import RunFailed
from pipelines.publishing.publishing import publish_run
from pipelines.reports.reporting import report_uri
from pipelines.runs.counting import check_quarantine, count_run
from pipelines.runs.records import read_record
from pipelines.runs.run_plan import RunPlan, store_plan
from pipelines.runs.staging import StagedFile, StagedUnit, stage_unit
from pipelines.storage import store
from tests.support.staged_runs import CHIPS, empty_tables, labelled, make_plan, stage

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


def of_windows(**changes) -> RunPlan:
    planned = make_plan("/o", listed=12, skipped=2, left_over=1, unit_rows=(9,))
    return replace(planned, options={"cut_px": 256}, **changes)


REJECTED = StagedUnit(
    *(0, StagedFile("/s", 4, 1), StagedFile("/q", 5, 1)),
    *({"no_data": 3, "truncated": 2}, "float32"),
)


def test_windows_without_data_are_counted_apart_from_quarantined_ones() -> None:
    counts = count_run(of_windows(), [REJECTED])
    assert (counts.scored, counts.quarantined, counts.no_data_windows) == (4, 2, 3)
    assert counts.listed == 2 + 1 + counts.scored + counts.quarantined + counts.no_data_windows
    assert (counts.reasons, counts.rejected, counts.no_data) == ({"truncated": 2}, 5, 3)

    chips = count_run(replace(of_windows(), options={}), [REJECTED])
    assert (chips.quarantined, chips.no_data_windows) == (5, None)
    assert chips.reasons["no_data"] == chips.no_data == 3


def test_windows_without_data_do_not_count_against_the_ratio_of_quarantined_chips() -> None:
    planned = of_windows(max_quarantine_ratio=0.34)
    check_quarantine(planned, count_run(planned, [REJECTED]), [])  # 2 of 6 with data
    planned = replace(planned, output="/none", max_quarantine_ratio=0.33)
    with pytest.raises(RunFailed, match="2 of 9 chips were quarantined"):
        check_quarantine(planned, count_run(planned, [REJECTED]), [])


def test_a_sum_of_windows_that_is_wrong_names_those_without_data() -> None:
    with pytest.raises(RunFailed, match=r"2 quarantined \+ 3 no data"):
        count_run(of_windows(left_over=2), [REJECTED])


def test_a_run_of_windows_is_recorded_and_reported_with_its_windows_without_data(tmp_path) -> None:
    output = empty_tables(tmp_path)
    planned = store_plan(make_plan(output, options={"cut_px": 256}), CHIPS.to_reader())
    batch = labelled(0, 0, 3, 2, True)
    at = batch.quarantine.schema.get_field_index("reason")
    no_data = batch.quarantine.set_column(at, batch.quarantine.schema.field(at), [["no_data"] * 2])
    units = [
        stage_unit([replace(batch, quarantine=no_data)], planned.staging),
        stage_unit([labelled(1, 4, 3, 0, True)], planned.staging),
    ]
    publish_run(planned, units)
    record = read_record(output, planned.run_id)
    assert record is not None
    assert {name: record[name] for name in ("listed", "skipped", "scored")} == {
        "listed": 10,
        "skipped": 2,
        "scored": 6,
    }
    assert (record["quarantined"], record["no_data"]) == (0, 2)
    page = store.read_bytes(report_uri(output, planned.run_id)).decode()
    assert re.search(r"no data.{0,200}>2<|>2<.{0,200}no data", page, re.DOTALL)


def test_a_run_that_was_planned_long_before_has_the_seconds_of_its_scoring(tmp_path) -> None:
    """The plan of these tests is from the year 2001."""
    output = empty_tables(tmp_path)
    planned = store_plan(make_plan(output), CHIPS.to_reader())
    units = [replace(each, started_at=100.0, staged_at=104.0) for each in stage(planned)]
    publish_run(planned, units)
    record = read_record(output, planned.run_id)
    assert record is not None
    assert record["score_seconds"] == pytest.approx(4)
