"""A run that died is resumed with its first options, and only missing units are scored."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from beam_jobs import score_chips
from beam_jobs.engine import launch
from pipelines import batch_scoring, metrics
from pipelines.commands import exit_code
from pipelines.publishing import publishing
from pipelines.runs import committing, records, run_plan, staging
from pipelines.scoring import scoring
from pipelines.tables import delta_tables
from tests.support.quick_scoring import QuickClassifier
from tests.support.samples import jpg_bytes, make_artifact, write_chips


@pytest.fixture
def score(artifact, tmp_path, capsys, monkeypatch):
    """Runs the command here, four chips per unit; returns exit code, output and error."""
    write_chips(tmp_path / "chips", 10)
    monkeypatch.setattr(run_plan, "UNIT_CHIPS", 4)
    monkeypatch.setattr(scoring.SharedModel, "_load", lambda self: QuickClassifier())

    def run(**changes):
        flags = {
            "chips": tmp_path / "chips",
            "artifact": artifact,
            "output": tmp_path / "out",
            "run_id": "night",
            **changes,
        }
        arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        code = exit_code(score_chips.main, arguments)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def died(score, monkeypatch, capsys):
    """A run on whose last unit the worker died: units 0 and 1, four chips each, are staged."""
    stage_unit = staging.stage_unit

    def stage_or_die(batches, folder, *started):
        if batches[0].unit == 2:
            raise RuntimeError("the power went")
        return stage_unit(batches, folder, *started)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "stage_unit", stage_or_die)
        with pytest.raises(RuntimeError, match="the power went"):
            score(run_date="2026-11-21")
    capsys.readouterr()
    return score


def rows(tmp_path: Path, name: str) -> list[dict]:
    table = delta_tables.open_table(str(tmp_path / "out"), name)
    assert table is not None
    return delta_tables.open_dataset(table).to_table().to_pylist()


def test_a_dead_run_resumes_with_its_manifest_and_scores_the_missing_units(died, tmp_path):
    assert rows(tmp_path, "chip_scores") == []
    (tmp_path / "chips" / "later.jpg").write_bytes(jpg_bytes())
    before = metrics.chips_counted()
    code, out, err = died()
    assert (code, err) == (0, "")
    assert out.startswith("run night: 10 chips listed, 10 to score, 2 of 3 units staged before\n")
    assert metrics.chips_counted() - before == 2
    found = rows(tmp_path, "chip_scores")
    assert sorted(row["chip_id"] for row in found) == [f"chip_{n:05d}" for n in range(10)]
    # Begun on another day than it ended: its night is the one that it was begun for.
    assert {str(row["run_date"]) for row in found} == {"2026-11-21"}
    (record,) = rows(tmp_path, "runs")
    assert (record["listed"], record["scored"], record["skipped"]) == (10, 10, 0)
    assert not list((tmp_path / "out" / "_staging").iterdir())

    code, out, _ = died(run_id="next")
    assert "1 scored, 0 quarantined, 10 skipped" in out


@pytest.mark.parametrize(
    ("name", "staged"),
    [("plan.json", ""), ("manifest-*.parquet", ""), ("units/000001-*.parquet", ", 1 of 3 units")],
)
def test_a_run_whose_files_a_power_cut_has_torn_is_finished(died, tmp_path, name, staged, caplog):
    (path,) = (tmp_path / "out" / "_staging" / "night.1").glob(name)
    path.write_bytes(bytes(path.stat().st_size))
    code, out, _ = died()
    assert code == 0
    assert out.startswith(f"run night: 10 chips listed, 10 to score{staged}")
    assert " not whole, as after a power cut" in caplog.text
    found = rows(tmp_path, "chip_scores")
    assert sorted(row["chip_id"] for row in found) == [f"chip_{n:05d}" for n in range(10)]


def test_a_completely_staged_run_is_published_without_a_graph(score, tmp_path, monkeypatch):
    def die(plan, units):
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "publish_run", die)
        with pytest.raises(RuntimeError, match="the power went"):
            score()
    monkeypatch.setattr(batch_scoring, "ScoreArchive", None)
    code, out, _ = score()
    assert code == 0
    assert "3 of 3 units staged before" in out
    assert len(rows(tmp_path, "chip_scores")) == 10


def test_a_run_is_not_resumed_with_other_values_than_it_was_begun_with(died, tmp_path, artifact):
    make_artifact(tmp_path / "other_model", seed=5)
    shutil.copytree(artifact, tmp_path / "thresholds")
    make_artifact(tmp_path / "thresholds", thresholds=[0.25] * 17)
    wrong = {
        "chips": {"chips": tmp_path},
        "model_digest": {"artifact": tmp_path / "other_model"},
        "thresholds_digest": {"artifact": tmp_path / "thresholds"},
        "run_date": {"run_date": "2026-11-22"},
        "media_type": {"media_type": "jpg"},
        "precision": {"precision": "float32"},
    }
    for name, change in wrong.items():
        code, _, err = died(**change)
        assert (name, code) == (name, 2)
        assert f"error: run night was begun with {name} " in err
        assert "or choose another --run_id" in err
        assert len(err.strip().splitlines()) == 1
    assert staging.staged_numbers(str(tmp_path / "out" / "_staging" / "night.1")) == [0, 1]


def test_options_that_change_no_row_may_change(died, tmp_path, artifact):
    shutil.copytree(artifact, tmp_path / "moved")
    code, _, err = died(artifact=tmp_path / "moved", batch_size=3, max_quarantine_ratio=0.5)
    assert (code, err) == (0, "")
    (record,) = rows(tmp_path, "runs")
    assert json.loads(record["options"])["max_quarantine_ratio"] == 0.5


def test_staged_files_of_a_dead_run_are_deleted_after_the_given_days(died, tmp_path):
    dead = tmp_path / "out" / "_staging" / "night.1"
    then = time.time() - 3.5 * 86_400
    for path in (path for path in dead.rglob("*") if path.is_file()):
        os.utime(path, (then, then))
    assert died(run_id="a", keep_staging_days=4)[0] == 0
    assert dead.exists()
    assert died(run_id="b", keep_staging_days=3)[0] == 0
    assert not dead.exists()


def test_a_start_succeeds_if_another_start_has_published_its_files(score, tmp_path, monkeypatch):
    """Another start of the run publishes it, and drops its staging, while this one still scores."""
    stage_unit = staging.stage_unit

    def stage_while_another_publishes(batches, folder, *started):
        unit = stage_unit(batches, folder, *started)
        if unit.number == 2:
            plan = run_plan.read_plan(str(tmp_path / "out"), "night", 1)
            assert plan is not None
            publishing.publish_run(plan, [])
            raise RuntimeError("my files are gone")
        return unit

    monkeypatch.setattr(staging, "stage_unit", stage_while_another_publishes)
    code, out, _ = score()
    assert code == 0
    assert "10 scored" in out
    assert len(rows(tmp_path, "chip_scores")) == 10
    assert len(rows(tmp_path, "runs")) == 1


@pytest.fixture
def stop_at(monkeypatch):
    """Stops the command as a signal does, before a run is committed to a table; its worker hangs.
    The interruption is raised where the main thread waits: a real signal could end pytest."""
    commit, stopped, ended = committing.commit_rows, threading.Event(), threading.Event()

    def run_until_stopped(work, _is_fatal):
        with_result = Future()
        thread = threading.Thread(target=lambda: with_result.set_result(work()), daemon=True)
        thread.start()
        while not with_result.done():
            if stopped.wait(0.01):
                stopped.clear()
                raise KeyboardInterrupt
        return with_result.result()

    def prepare(table):
        stops = iter([True])

        def commit_or_hang(plan, name, *more):
            if name == table and next(stops, False):
                stopped.set()
                ended.wait()
                raise RuntimeError("the process has ended")
            commit(plan, name, *more)

        monkeypatch.setattr(committing, "commit_rows", commit_or_hang)

    monkeypatch.setattr(launch, "run_interruptibly", run_until_stopped)
    yield prepare
    ended.set()


def test_a_run_that_is_stopped_when_readers_see_it_already_is_finished_and_says_so(
    score, stop_at, tmp_path
):
    stop_at("runs")
    code, out, err = score()
    assert code == 0
    assert "run night was stopped, but it is published\n" in err
    assert "published: 10 scored, 0 quarantined, 0 skipped" in out
    record = records.read_record(str(tmp_path / "out"), "night")
    assert (record["status"], record["scored"]) == ("published", 10)


def test_a_run_that_is_stopped_before_readers_see_it_ends_as_interrupted(score, stop_at):
    stop_at("chip_scores")
    code, out, err = score()
    assert code == 130
    assert "published" not in out + err
    assert score()[0] == 0
