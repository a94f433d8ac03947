"""A run is withdrawn completely, and a completely staged run can be published later."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from beam_jobs import publish as publish_command
from beam_jobs import report as report_command
from beam_jobs import withdraw as withdraw_command
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.maintenance import withdrawing
from pipelines.maintenance.withdrawing import withdraw_run
from pipelines.planning.done import chips_done
from pipelines.publishing.publishing import publish_run
from pipelines.runs import attempts, committing, run_plan
from pipelines.runs.run_plan import RunPlan, store_plan
from pipelines.runs.staging import stage_unit
from pipelines.tables import commits, publications
from pipelines.tables.commits import PublishConflict
from pipelines.tables.delta_tables import open_table
from schemas.tables import COMMIT_ORDER, RUNS
from tests.support.published_runs import (
    SCORES,
    at,
    commit_rows,
    publish,
    quarantined_row,
    run_row,
    scored,
)
from tests.support.staged_runs import CHIPS, dying_at, empty_tables, labelled, make_plan, stage

pytest_plugins = ["tests.support.object_stores"]
_EVERYTHING = """
SELECT 'scores' AS place, run_id, chip_id AS what FROM chip_scores
UNION ALL SELECT 'quarantine', run_id, chip_id FROM quarantine
UNION ALL SELECT 'runs', run_id, status FROM runs
ORDER BY ALL
"""


@pytest.fixture(params=["local", "gs", "s3"])
def output(request, tmp_path) -> str:
    """Tables of each kind, with two published runs that share the chip `b`."""
    place = str(tmp_path)
    if request.param != "local":
        place = f"{request.getfixturevalue(f'{request.param}_uri')}/tables"
    publish(place, "one", [scored("a"), scored("b")], [quarantined_row("c", "empty", etag="1")],
            published_at=at(1))  # fmt: skip
    publish(place, "two", [scored("b", etag="2")], published_at=at(2))
    return place


@pytest.fixture
def local(tmp_path) -> str:
    return empty_tables(tmp_path)


def seen(output: str) -> list[tuple[str, str, str]]:
    """All that readers see: place, run, and chip or status."""
    return [tuple(row.values()) for row in ask(output, _EVERYTHING).to_pylist()]


NAMES = [table.name for table in COMMIT_ORDER]
OF_TWO = [("runs", "two", "published"), ("scores", "two", "b")]
WITHOUT_ONE = sorted([*OF_TWO, ("runs", "one", "withdrawn")])


def run(command, output: str, capsys, run_id: str = "one", *flags: str) -> tuple[int, str, str]:
    code = exit_code(command.main, ["--output", output, "--run_id", run_id, *flags])
    return code, *capsys.readouterr()


def test_withdrawing_a_run_keeps_the_others_and_its_row_says_withdrawn(output, capsys):
    code, out, err = run(withdraw_command, output, capsys)
    assert (code, err) == (0, "")
    assert (
        out == "run one is withdrawn; the next run scores its chips that no other run has scored\n"
    )
    assert seen(output) == WITHOUT_ONE
    assert chips_done(output, "model-1").read_all().to_pylist() == [{"chip_uri": "b", "etag": "2"}]

    versions = [open_table(output, name).version() for name in NAMES]
    assert run(withdraw_command, output, capsys) == (0, "run one was withdrawn before\n", "")
    assert [open_table(output, name).version() for name in NAMES] == versions


def test_a_run_may_be_published_again_after_it_was_withdrawn(output):
    withdraw_run(output, "one")
    publish(output, "one", [scored("a")], published_at=at(3))
    assert ("scores", "one", "a") in seen(output)
    assert publications.is_published(open_table(output, "chip_scores"), "one")
    assert withdraw_run(output, "one")
    assert not withdraw_run(output, "one")
    assert ("scores", "one", "a") not in seen(output)


@pytest.mark.parametrize("dies_at", ["quarantine", "runs"])
def test_a_withdrawal_is_visible_as_a_whole_even_if_it_died_half_way(
    tmp_path, monkeypatch, dies_at
):
    output = str(tmp_path)
    publish(output, "one", [scored("a")], [quarantined_row("c", "empty")], published_at=at(1))
    withdraw_from = withdrawing._withdraw_from

    def dying(output, table, *args):
        if table.name == dies_at:
            raise KeyboardInterrupt
        return withdraw_from(output, table, *args)

    with monkeypatch.context() as patch:
        patch.setattr(withdrawing, "_withdraw_from", dying)
        with pytest.raises(KeyboardInterrupt):
            withdraw_run(output, "one")
    assert seen(output) == []
    assert not withdraw_run(output, "one")
    assert seen(output) == [("runs", "one", "withdrawn")]


def test_a_withdrawal_waits_its_turn_behind_a_publisher(tmp_path, monkeypatch):
    output = str(tmp_path)
    publish(output, "one", [scored("a")], published_at=at(1))
    withdraw_from, conflicts = commits.withdraw_rows, iter([True, True])

    def conflicting(*args):
        if next(conflicts, False):
            raise PublishConflict("another publisher")
        withdraw_from(*args)

    monkeypatch.setattr(commits, "withdraw_rows", conflicting)
    assert withdraw_run(output, "one")
    assert seen(output) == [("runs", "one", "withdrawn")]


def test_quarantined_rows_of_a_dead_replacement_are_kept_for_its_next_start(local, monkeypatch):
    first = make_plan(local)
    publish_run(first, stage(first))
    second = store_plan(make_plan(local, attempt=2, options={"rescore": True}), CHIPS.to_reader())
    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_rows", dying_at("chip_scores"))
        with pytest.raises(KeyboardInterrupt):
            publish_run(second, stage(second))
    withdraw_run(local, "r1")
    assert seen(local) == [("runs", "r1", "withdrawn")]
    publish_run(second, [])
    assert [row[0] for row in seen(local)] == ["quarantine", "runs", *["scores"] * 7]


def test_a_run_that_does_not_exist_cannot_be_withdrawn(local, capsys):
    code, _, err = run(withdraw_command, local, capsys, "never")
    assert (code, err) == (2, f"error: no run 'never' is published in '{local}'\n")


def planned(output: str, **changes) -> RunPlan:
    return store_plan(make_plan(output, artifact="/model", **changes), CHIPS.to_reader())


def test_a_completely_staged_dead_run_is_published(local, capsys):
    stage(planned(local))
    code, out, err = run(publish_command, local, capsys, "r1")
    assert (code, err) == (0, "")
    assert out.startswith("run r1 of 2026-11-22 published: 7 scored, 1 quarantined, 2 skipped\n")
    assert len(seen(local)) == 9
    assert run(publish_command, local, capsys, "r1") == (0, "run r1 is published already\n", "")


def test_a_run_that_lacks_units_is_not_published_and_can_still_be_resumed(local, capsys):
    plan = planned(local)
    stage_unit([labelled(0, 0, 4, 1, True)], plan.staging)
    code, _, err = run(publish_command, local, capsys, "r1")
    assert code == 1
    assert err == (
        "error: run r1: 1 of 2 units are not staged (first: unit 1); nothing was published; to "
        "score them: python -m beam_jobs.score_chips --chips /c --artifact /model "
        f"--output {local} --run_id r1\n"
    )
    assert attempts.find_attempt(local, "r1") == (1, plan)


def test_a_run_that_lost_a_chip_is_not_published(local, capsys):
    stage(planned(local, listed=11))
    code, _, err = run(publish_command, local, capsys, "r1")
    assert code == 1
    assert "11 listed is not 2 skipped + 0 left over + 7 scored + 1 quarantined" in err
    assert seen(local) == []


def test_a_run_refused_for_its_quarantine_is_published_with_a_higher_limit(local, capsys):
    stage(planned(local, max_quarantine_ratio=0.1))
    assert run(publish_command, local, capsys, "r1")[0] == 1
    assert run(publish_command, local, capsys, "r1", "--max_quarantine_ratio", "0.2")[0] == 0
    assert len(seen(local)) == 9


def died_before_its_record(output: str, monkeypatch, ratio: float = 0.1) -> RunPlan:
    """A run that was refused for its quarantine, then published all the same by a publisher that
    died between the commit to `chip_scores` and the row in `runs`."""
    plan = planned(output, max_quarantine_ratio=ratio)
    stage(plan)
    refused = exit_code(publish_command.main, ["--output", output, "--run_id", "r1"])
    assert refused == 1
    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_rows", dying_at("runs"))
        with pytest.raises(KeyboardInterrupt):
            publish_run(replace(plan, max_quarantine_ratio=1.0), [])
    assert not [row for row in seen(output) if row[0] == "runs"]
    return plan


def test_a_run_that_readers_see_is_finished_whatever_its_quarantine(local, capsys, monkeypatch):
    plan = died_before_its_record(local, monkeypatch)
    capsys.readouterr()
    assert run(publish_command, local, capsys, "r1") == (0, "run r1 is published already\n", "")
    assert ("runs", "r1", "published") in seen(local)
    assert len(seen(local)) == 9
    assert run_plan.read_plan(local, "r1", plan.attempt) is None


def test_a_run_that_readers_see_is_withdrawn_whatever_its_quarantine(local, capsys, monkeypatch):
    died_before_its_record(local, monkeypatch)
    assert withdraw_run(local, "r1")
    assert seen(local) == [("runs", "r1", "withdrawn")]


@pytest.mark.parametrize("lost", ["*", "units/000001*"])
def test_a_run_that_readers_see_is_withdrawn_even_if_its_staging_is_lost(
    local, capsys, monkeypatch, lost
):
    plan = died_before_its_record(local, monkeypatch)
    capsys.readouterr()
    for path in [*Path(plan.staging).glob(lost)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, _, err = run(publish_command, local, capsys, "r1")
    assert "nothing was published" not in err
    assert code == (0 if lost == "*" else 1)
    if code:
        assert "its rows are published, but its row in runs cannot be written: withdraw it" in err
    assert withdraw_run(local, "r1")
    assert seen(local) == []
    assert not withdraw_run(local, "r1")


def test_publishing_without_anything_staged_is_a_usage_error(local, capsys):
    code, _, err = run(publish_command, local, capsys, "r1")
    assert (code, err) == (2, f"error: nothing is staged for run 'r1' in '{local}'\n")


@pytest.mark.parametrize("table", NAMES)
@pytest.mark.parametrize("is_missing", [True, False], ids=["missing", "damaged"])
def test_a_run_with_a_missing_or_damaged_file_is_withdrawn(tmp_path, capsys, table, is_missing):
    output = str(tmp_path)
    publish(output, "one", [scored("a")], [quarantined_row("c", "empty")], published_at=at(1))
    publish(output, "two", [scored("b", etag="2")], published_at=at(2))
    (path,) = Path(output, table).glob("*/run_id=one/*.parquet")
    path.unlink() if is_missing else path.write_bytes(path.read_bytes()[:-20])
    if table != "quarantine":
        code, _, err = run(report_command, output, capsys)
        assert (code, err.count("\n")) == (1, 1)
        assert err.startswith(
            f"error: {table}/run_date=2026-07-01/run_id=one/unit-1.parquet of run"
        )
    assert run(withdraw_command, output, capsys)[0] == 0
    withdrawn = [] if table == "runs" else [("runs", "one", "withdrawn")]
    assert seen(output) == sorted([*OF_TWO, *withdrawn])


def test_a_damaged_run_that_was_relabelled_is_not_withdrawn_alone(tmp_path, capsys):
    output = str(tmp_path)
    publish(output, "one", [scored("a")], published_at=at(1))
    commit_rows(output, SCORES, "new", [scored("a", "road")])
    options = json.dumps({"relabelled_runs": ["one"]})
    commit_rows(output, RUNS, "new", [run_row(at(2), kind="relabel", options=options)])
    (path,) = Path(output, "chip_scores").glob("*/run_id=one/*.parquet")
    path.unlink()
    code, _, err = run(withdraw_command, output, capsys)
    assert code == 2
    assert "were relabelled by run new" in err
