"""A run's plan and manifest, stored and read."""

import io
from bisect import bisect_left, bisect_right
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.planning.selection import select_chips
from pipelines.reading.transforms import UnitAddress, read_unit
from pipelines.runs import run_plan
from pipelines.runs.run_plan import RunPlan, unit_rows
from tests.support.planned_chips import chips_of, versions


def planned(pairs):
    return select_chips(chips_of(pairs), versions([])).chips


@pytest.fixture
def plan(tmp_path) -> RunPlan:
    return RunPlan(
        run_id="r1",
        run_date="2026-11-22",
        output=str(tmp_path),
        artifact="/a",
        model_digest="m",
        thresholds_digest="t",
        listed=5000,
        skipped=0,
        unit_rows=unit_rows(5000),
        max_quarantine_ratio=0.2,
        attempt=1,
        options={"chips": "/c"},
        versions={"numpy": "2"},
        started_at=1.5,
        planned_at=2.5,
    )


def test_each_unit_of_a_stored_manifest_has_its_own_rows(plan):
    pairs = [(f"{i:05d}", "1") for i in range(5000)]
    run_plan.store_plan(plan, planned(pairs))
    assert plan.unit_rows == (4096, 904)
    units = [read_unit(UnitAddress(number, plan.manifest)) for number in range(2)]
    found = pa.concat_tables(unit.chips for unit in units)["chip_id"].to_pylist()
    assert found == [uri for uri, _ in pairs]
    assert [unit.chips.num_rows for unit in units] == [4096, 904]


def test_a_plan_is_read_back_from_json_unchanged(plan):
    assert RunPlan.from_json(plan.to_json()) == plan


@given(st.integers(0, 3 * run_plan.UNIT_CHIPS))
def test_units_contain_all_chips_and_none_is_empty(chips):
    rows = unit_rows(chips)
    assert sum(rows) == chips
    assert all(0 < count <= run_plan.UNIT_CHIPS for count in rows)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 20))
def test_a_unit_has_windows_of_one_scene_unless_its_scenes_are_small(scenes, size):
    rows = unit_rows(sum(scenes), size, scenes)
    assert sum(rows) == sum(scenes)
    assert all(0 < count <= size for count in rows)
    ends = np.cumsum(scenes).tolist()
    for start, stop in pairwise([0, *np.cumsum(rows).tolist()]):
        first, last = bisect_right(ends, start), bisect_left(ends, stop)
        assert first == last or all(8 * count <= size for count in scenes[first : last + 1])


@given(st.lists(st.integers(1, 9), max_size=9))
def test_units_are_complete_whatever_the_batch_sizes(sizes):
    ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    table = pa.table({"n": pa.array(range(ends[-1]), pa.int64())})
    batches = [table.slice(a, b - a).to_batches()[0] for a, b in pairwise(ends)]
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_plan, "UNIT_CHIPS", 4)
        expected = unit_rows(ends[-1])
        chips = pa.RecordBatchReader.from_batches(table.schema, batches)
        run_plan.write_manifest(file, chips, expected)
    written = pq.ParquetFile(file)
    rows = [written.metadata.row_group(i).num_rows for i in range(written.num_row_groups)]
    assert tuple(rows) == expected
    assert written.read().equals(table)
