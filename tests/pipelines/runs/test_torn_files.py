"""What a power cut leaves in staging is found, and planned or scored again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import ObjectDamaged, RunFailed
from pipelines.publishing.publishing import publish_run
from pipelines.runs import attempts, run_plan
from pipelines.runs.run_plan import read_plan, store_plan
from pipelines.runs.staging import read_units, staged_numbers
from pipelines.runs.torn_files import drop_torn_units
from tests.support.staged_runs import CHIPS, empty_tables, make_plan, stage


@pytest.fixture
def plan(tmp_path) -> run_plan.RunPlan:
    """A stored plan whose two units are staged."""
    plan = store_plan(make_plan(empty_tables(tmp_path)), CHIPS.to_reader())
    stage(plan)
    return plan


def tear(path: Path, how: str) -> None:
    """What a file is after a power cut, if its file system names files before it writes them."""
    size = path.stat().st_size
    torn = {"empty": b"", "half": path.read_bytes()[: size // 2], "zeros": bytes(size)}
    path.write_bytes(torn[how])


TORN = pytest.mark.parametrize("how", ["empty", "half", "zeros"])


@TORN
@pytest.mark.parametrize("name", ["plan.json", "manifest.parquet"])
def test_a_torn_plan_is_left_behind_and_the_attempt_is_planned_again(plan, name, how, caplog):
    tear(Path(plan.staging, name), how)
    assert attempts.find_attempt(plan.output, plan.run_id) == (2, None)
    (warning,) = [r.getMessage() for r in caplog.records]
    assert warning.startswith("attempt 1 at run r1 cannot be resumed: ")
    assert warning.endswith(
        f"{name}' is missing or not whole, as after a power cut: the scoring command with the same "
        "--run_id plans the run again"
    )
    again = store_plan(make_plan(plan.output, attempt=2), CHIPS.to_reader())
    assert attempts.find_attempt(plan.output, plan.run_id) == (2, again)


@TORN
@pytest.mark.parametrize(
    "name", ["000001.json", "000001-*.scores.parquet", "000000-*.quarantine.parquet"]
)
def test_a_torn_unit_is_scored_again_and_the_others_are_not(plan, name, how, caplog):
    (path,) = Path(plan.staging, "units").glob(name)
    tear(path, how)
    assert attempts.find_attempt(plan.output, plan.run_id) == (1, plan)
    torn = int(name[:6])
    assert staged_numbers(plan.staging) == [1 - torn]
    assert f"{torn:06d}.json is not whole, as after a power cut" in caplog.text
    with pytest.raises(RunFailed):
        publish_run(plan, [])
    attempts.find_attempt(plan.output, plan.run_id)


def test_whole_units_are_kept(plan):
    assert drop_torn_units(plan.staging) == 0
    assert staged_numbers(plan.staging) == [0, 1]


def test_a_missing_file_of_a_unit_is_as_bad_as_a_torn_one(plan):
    (path,) = Path(plan.staging, "units").glob("000001-*.scores.parquet")
    path.unlink()
    assert drop_torn_units(plan.staging) == 1
    assert staged_numbers(plan.staging) == [0]


@TORN
def test_a_torn_file_that_is_read_all_the_same_is_one_line(plan, how):
    tear(Path(plan.staging, "plan.json"), how)
    with pytest.raises(ObjectDamaged, match="plans the run again"):
        read_plan(plan.output, plan.run_id, 1)
    tear(Path(plan.staging, "units", "000000.json"), how)
    with pytest.raises(ObjectDamaged, match="delete it to score its unit again"):
        read_units(plan.staging, [0])


@TORN
def test_a_torn_reason_is_an_unknown_one(plan, how):
    attempts.write_reason(plan, attempts.REFUSAL_FILE, "too many")
    tear(Path(plan.staging, attempts.REFUSAL_FILE), how)
    assert "unknown" in attempts.read_reason(plan, attempts.REFUSAL_FILE)
    assert attempts.find_attempt(plan.output, plan.run_id) == (2, None)


def test_a_plan_is_on_the_disk_before_its_run_begins(tmp_path, monkeypatch):
    synced: list[str] = []
    monkeypatch.setattr(run_plan, "sync_written", synced.extend)
    plan = store_plan(make_plan(empty_tables(tmp_path)), CHIPS.to_reader())
    assert synced == [plan.manifest, f"{plan.staging}/plan.json"]
