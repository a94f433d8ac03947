"""Maintenance: tables are quick to open, old nights are removed, and readers see no gap."""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pytest

from beam_jobs import maintain
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.maintenance import compaction, housekeeping, retention
from pipelines.maintenance.withdrawing import withdraw_run
from pipelines.planning.done import chips_done
from pipelines.publishing import publishing
from pipelines.publishing.publishing import publish_run
from pipelines.runs import committing, run_plan
from pipelines.runs.staging import stage_unit
from pipelines.storage import store
from pipelines.tables import commits, delta_tables, live_files, publications
from pipelines.tables.commits import PublishConflict, commit_files, next_transactions
from pipelines.tables.delta_tables import open_table
from schemas.tables import RUNS
from tests.support.published_runs import (
    SCORES,
    at,
    commit_rows,
    publish,
    quarantined_row,
    run_row,
    scored,
    write_rows,
)
from tests.support.relabelling import LOW, Relabel
from tests.support.staged_runs import CHIPS, dying_at, labelled, make_plan, stage

pytest_plugins = ["tests.support.object_stores"]

OLD, RECENT = "2026-07-01", str(datetime.now(UTC).date())
_VIEWS = ("chip_scores", "latest_chip_scores", "observations", "open_quarantine", "runs")


@pytest.fixture
def output(tmp_path) -> str:
    """An old night and a recent one, of three files each, with quarantine."""
    place = str(tmp_path / "out")
    publish_files(place, "old", "abc", OLD, at(1), [quarantined_row("x", "empty", etag="1")])
    publish_files(place, "recent", "def", RECENT, at(2), [quarantined_row("y", "unreadable")])
    return place


def publish_files(output, run_id, uris, night, published_at, quarantine=(), **more) -> None:
    """A run with one file per chip."""
    publish(output, run_id, [], quarantine, night)
    table = open_table(output, "chip_scores")
    part = {"run_date": night, "run_id": run_id}
    files = [write_rows(output, SCORES, part, [scored(u, "road", **more)], u) for u in uris]
    commit_files(table, files, part, [("filled", table.version())], False, part)
    if published_at:
        commit_rows(output, RUNS, run_id, [run_row(published_at, scored=len(uris))], night)


def run(output: str, capsys, *flags: str) -> tuple[int, str, str]:
    code = exit_code(maintain.main, ["--output", output, *flags])
    return code, *capsys.readouterr()


def seen(output: str) -> dict[str, list[dict]]:
    """All rows that readers see, however they are stored."""
    return {
        view: sorted(ask(output, f"FROM {view}").to_pylist(), key=lambda row: str(row))
        for view in _VIEWS
    }


def files(output: str, name: str = "chip_scores") -> list[str]:
    return sorted(
        str(p) for p in Path(output, name).rglob("*.parquet") if "_delta_log" not in str(p)
    )


def named(output: str, name: str = "chip_scores") -> int:
    return len(live_files.data_files(open_table(output, name)))


def done(output: str) -> set[tuple[str, str]]:
    return {tuple(c.values()) for c in chips_done(output, "model-1").read_all().to_pylist()}


# ---------------------------------------------------------------------------------- compaction


def test_compaction_merges_files_and_changes_no_row(output, capsys):
    before, chips = seen(output), done(output)
    code, out, err = run(output, capsys)
    assert (code, err) == (0, "")
    assert "chip_scores: 6 small files of 2 runs were compacted to 2; 0 dead files" in out
    assert named(output) == 2
    assert seen(output) == before
    assert done(output) == chips
    assert "chip_scores: 0 small files of 0 runs" in run(output, capsys)[1]


def test_published_runs_survive_compaction_vacuum_and_log_clean_up(output, capsys):
    withdraw_run(output, "recent")
    before = seen(output)
    at_once = {"delta.logRetentionDuration": "interval 0 seconds"}
    open_table(output, "chip_scores").alter.set_table_properties(at_once)
    assert run(output, capsys, "--vacuum_hours", "0")[0] == 0
    log = Path(output, "chip_scores", "_delta_log")
    assert len(list(log.glob("*.json"))) <= 1
    assert list(log.glob("*.checkpoint.parquet"))
    scores = open_table(output, "chip_scores")
    assert publications.is_published(scores, "old")
    assert not publications.is_published(scores, "recent")
    assert scores.transaction_version(commits.PUBLISHER) > 2
    assert seen(output) == before
    assert len(files(output)) == 1
    publish_files(output, "recent", "de", RECENT, at(3))
    assert {row["chip_uri"] for row in seen(output)["chip_scores"]} == set("abcde")


def test_old_indexes_of_tars_are_deleted(output, capsys):
    old, young = (Path(output, "_tar_index", name, "members") for name in ("old", "young"))
    for path in (old, young):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    long_ago = time.time() - 31 * 86_400
    os.utime(old, (long_ago, long_ago))
    expected = "indexes of 1 tar, over 30 days old, {} deleted"
    assert expected.format("would be") in run(output, capsys, "--preview")[1]
    assert old.exists()
    assert expected.format("were") in run(output, capsys)[1]
    assert (old.exists(), young.exists()) == (False, True)
    assert "indexes" not in run(output, capsys)[1]


def test_staging_is_deleted_if_its_run_is_published_and_kept_if_not(output, capsys):
    left = Path(output) / "_staging"
    for name in ("old.1", "recent.2", "dead.1", "notes"):
        (left / name).mkdir(parents=True)
        (left / name / "units.json").write_text("{}")
    said = "1 staging folder of published runs {} deleted"
    assert said.format("would be") in run(output, capsys, "--preview")[1]
    assert said.format("was") in run(output, capsys)[1]
    assert {path.name for path in left.iterdir()} == {"recent.2", "dead.1", "notes"}
    assert "staging" not in run(output, capsys)[1]


def test_compacted_runs_are_withdrawn_and_replaced_completely(output, capsys):
    run(output, capsys)
    table = open_table(output, "chip_scores")
    part = {"run_date": RECENT, "run_id": "old"}
    new = [write_rows(output, SCORES, part, [scored("a", "water")], "new")]
    commit_files(table, new, part, next_transactions(table, "old"), True, part)
    assert [r["chip_uri"] for r in seen(output)["chip_scores"] if r["run_id"] == "old"] == ["a"]
    assert withdraw_run(output, "recent")
    assert [r["chip_uri"] for r in seen(output)["chip_scores"]] == ["a"]


def test_no_commit_removes_files_that_compaction_has_just_replaced(output, capsys):
    """delta-rs alone would accept both commits, and a withdrawn run's rows would stay."""
    stale = open_table(output, "chip_scores")
    run(output, capsys)
    with pytest.raises(PublishConflict):
        commits.withdraw_rows(stale, "recent", 1, [], "")
    assert withdraw_run(output, "recent")
    assert {row["run_id"] for row in seen(output)["chip_scores"]} == {"old"}


def test_compaction_that_conflicts_with_a_publisher_tries_again(output, capsys, monkeypatch):
    open_newest, others = delta_tables.open_table, iter([lambda: withdraw_run(output, "recent")])

    def open_then_commit(place, name):
        table = open_newest(place, name)
        if name == "chip_scores" and (commit := next(others, None)):
            commit()
        return table

    monkeypatch.setattr(delta_tables, "open_table", open_then_commit)
    found = compaction.compact(output, "chip_scores", preview=False)
    assert (found.runs, found.files_before, found.files_after) == (1, 3, 1)
    assert {row["run_id"] for row in seen(output)["chip_scores"]} == {"old"}


def test_vacuum_that_conflicts_with_another_commit_tries_again(output, capsys, monkeypatch):
    """What vacuum does is a commit, too; two at once ended in a traceback."""
    run(output, capsys)  # compacts, so that there are dead files
    open_newest, others = delta_tables.open_table, iter([lambda: withdraw_run(output, "recent")])

    def open_then_commit(place, name):
        table = open_newest(place, name)
        if name == "chip_scores" and (commit := next(others, None)):
            commit()
        return table

    monkeypatch.setattr(delta_tables, "open_table", open_then_commit)
    assert housekeeping.clean_up(output, "chip_scores", 0, preview=False) > 0
    assert len(files(output)) == named(output) == 1


def test_a_publisher_whose_snapshot_is_older_than_a_compaction_publishes(output, capsys):
    plan = make_plan(output, "new")
    units = stage(plan)
    commit, raced = committing.commit_files, []

    def commit_after_compaction(table, *args, **kwargs):
        if not raced:
            raced.append(run(output, capsys))
        commit(table, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(committing, "commit_files", commit_after_compaction)
        publish_run(plan, units)
    assert raced[0][0] == 0
    assert named(output) == 4
    assert len(seen(output)["chip_scores"]) == 13


def test_a_run_without_its_row_is_not_compacted_so_that_its_commit_time_is_kept(
    output, capsys, monkeypatch
):
    plan = run_plan.store_plan(make_plan(output, "new"), CHIPS.to_reader())
    units = stage(plan)
    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_rows", dying_at("runs"))
        with pytest.raises(KeyboardInterrupt):
            publish_run(plan, units)
    committed = publications.committed_at(open_table(output, "chip_scores"), "new")
    run(output, capsys)
    assert named(output) == 4
    publishing.finish_record(output, "new")
    published_at = ask(output, "SELECT published_at FROM runs WHERE run_id = 'new'").to_pylist()
    assert published_at == [{"published_at": committed}]
    run(output, capsys)
    assert named(output) == 3


def test_a_run_that_is_being_replaced_is_not_compacted(output, capsys, monkeypatch):
    def staged(plan):
        units = ([labelled(0, 0, 4, 1, True)], [labelled(1, 5, 2, 1, True)])
        return [stage_unit(unit, plan.staging) for unit in units]

    first, second = make_plan(output, "new"), make_plan(output, "new", attempt=2)
    publish_run(first, staged(first))
    before, units = seen(output), staged(second)
    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_rows", dying_at("chip_scores"))
        with pytest.raises(KeyboardInterrupt):
            publish_run(second, units)
    assert "quarantine: 0 small files" in run(output, capsys)[1]
    assert seen(output) == before
    publish_run(second, units)
    assert "quarantine: 2 small files of 1 run were" in run(output, capsys)[1]


def test_compacted_files_have_no_statistics_and_other_readers_lose_no_row(output, capsys):
    run(output, capsys)
    publish_files(output, "third", "gh", RECENT, at(3))
    rows = open_table(output, "chip_scores").to_pyarrow_dataset()
    assert rows.to_table(filter=pc.field("chip_uri") == "g").num_rows == 1
    assert rows.to_table(filter=pc.field("score_road") > 0.5).num_rows == 8


# ------------------------------------------------------------------------------------- vacuum


def test_vacuum_deletes_files_that_are_in_no_snapshot_of_the_last_hours(output, capsys):
    run(output, capsys, "--vacuum_hours", "24")
    assert len(files(output)) == 8
    assert "6 dead files were deleted" in run(output, capsys, "--vacuum_hours", "0")[1]
    assert len(files(output)) == 2
    assert len(seen(output)["chip_scores"]) == 6


def test_files_without_a_commit_are_deleted_only_when_they_are_old(output, capsys):
    """New ones may belong to a running publisher."""
    folder = Path(output, "chip_scores", f"run_date={RECENT}", "run_id=dead")
    folder.mkdir()
    young, old = folder / "unit-0.parquet", folder / "unit-1.parquet"
    for file in (young, old):
        file.write_bytes(b"half")
    then = time.time() - 25 * 3600
    os.utime(old, (then, then))
    run(output, capsys, "--vacuum_hours", "0")
    assert (young.exists(), old.exists()) == (True, True)
    run(output, capsys, "--vacuum_hours", "24")
    assert (young.exists(), old.exists()) == (True, False)


# ---------------------------------------------------------------------------------- retention


def test_old_nights_are_removed_and_their_chips_are_not_scored_again(output, capsys):
    chips, before = done(output), seen(output)
    code, out, err = run(output, capsys, "--keep_days", "30")
    assert (code, err) == (0, "")
    assert "1 was removed, rows: 3 of chip_scores, 1 of quarantine" in out
    after = seen(output)
    assert {row["run_id"] for row in after["chip_scores"]} == {"recent"}
    assert {row["chip_uri"] for row in after["open_quarantine"]} == {"y"}
    assert after["runs"] == before["runs"]
    assert done(output) == chips == {(uri, "1") for uri in "abcdefx"}
    assert "0 were removed" in run(output, capsys, "--keep_days", "30")[1]
    assert done(output) == chips


def test_nothing_is_removed_if_the_store_has_not_kept_which_chips_are_done(
    output, capsys, monkeypatch
):
    """The write succeeds by its answer, and then the store says that there is no such object."""
    chips, before, head_object = done(output), seen(output), store.head_object

    def forgetful(uri):
        return None if "/expired_chips/" in uri else head_object(uri)

    with monkeypatch.context() as patch:
        patch.setattr(store, "head_object", forgetful)
        code, out, err = run(output, capsys, "--keep_days", "30")
    assert (code, out) == (1, "")
    assert "was written, but the store does not have it" in err
    assert (done(output), seen(output)) == (chips, before)
    assert run(output, capsys, "--keep_days", "30")[0] == 0
    assert done(output) == chips


def test_an_expired_run_that_is_withdrawn_is_scored_again(output, capsys):
    run(output, capsys, "--keep_days", "30")
    assert withdraw_run(output, "old")
    assert done(output) == {(uri, "1") for uri in "def"}
    assert {r["run_id"]: r["status"] for r in seen(output)["runs"]} == {
        "old": "withdrawn",
        "recent": "published",
    }


def test_only_the_old_nights_of_a_relabelling_are_removed(output, capsys, tmp_path):
    relabel = Relabel(tmp_path, capsys, output)
    assert relabel(LOW, "--run_id", "new")[0] == 0
    chips = done(output)
    run(output, capsys, "--keep_days", "30")
    assert {(r["run_id"], r["chip_uri"]) for r in seen(output)["chip_scores"]} == {
        (run_id, uri) for run_id in ("recent", "new") for uri in "def"
    }
    assert done(output) == chips
    assert withdraw_run(output, "new")
    assert withdraw_run(output, "old")
    assert done(output) == {(uri, "1") for uri in "def"}


def test_old_nights_that_another_maintain_removes_and_deletes_meanwhile_are_no_error(
    output, capsys, monkeypatch
):
    remember = retention._remember

    def slow(*args):
        monkeypatch.setattr(retention, "_remember", remember)
        assert run(output, capsys, "--keep_days", "30", "--vacuum_hours", "0")[0] == 0
        remember(*args)

    monkeypatch.setattr(retention, "_remember", slow)
    assert run(output, capsys, "--keep_days", "30", "--vacuum_hours", "0")[0] == 0
    expired = delta_tables.open_dataset(open_table(output, "expired_chips")).to_table()
    assert sorted(expired["chip_uri"].to_pylist()) == ["a", "b", "c", "x"]


@pytest.mark.parametrize("dies_at", ["remember", "chip_scores", "quarantine"])
def test_retention_that_died_has_lost_nothing_and_can_be_run_again(
    output, capsys, monkeypatch, dies_at
):
    chips = done(output)
    remove, commit = retention._remove, retention._commit

    def dying_remove(table, old, before):
        if table.table_uri.rstrip("/").endswith(dies_at):
            raise KeyboardInterrupt
        remove(table, old, before)

    def dying_commit(*args):
        if dies_at == "remember":
            raise KeyboardInterrupt
        commit(*args)

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_remove", dying_remove)
        patch.setattr(retention, "_commit", dying_commit)
        assert run(output, capsys, "--keep_days", "30")[0] == 130
    assert done(output) == chips
    assert run(output, capsys, "--keep_days", "30")[0] == 0
    assert done(output) == chips
    assert {row["run_id"] for row in seen(output)["chip_scores"]} == {"recent"}


def test_a_run_that_is_being_replaced_is_not_removed(output, capsys, monkeypatch):
    remember, raced = retention._remember, []

    def remember_then_replace(place, tables, old):
        remember(place, tables, old)
        if not raced:
            raced.append(True)
            part, table = {"run_date": RECENT, "run_id": "old"}, open_table(output, "chip_scores")
            new = [write_rows(output, SCORES, part, [scored("new")], "new")]
            commit_files(table, new, part, next_transactions(table, "old"), True, part)

    monkeypatch.setattr(retention, "_remember", remember_then_replace)
    assert run(output, capsys, "--keep_days", "30")[0] == 0
    assert {row["chip_uri"] for row in seen(output)["chip_scores"]} == set("def") | {"new"}


# ------------------------------------------------------------------------------- the command


def test_readers_see_the_same_rows_all_the_time(output, capsys):
    expected = ask(output, "SELECT count(*), min(chip_uri) FROM latest_chip_scores").to_pylist()
    answers, ended = [], threading.Event()

    def read() -> None:
        sql = "SELECT count(*), min(chip_uri) FROM latest_chip_scores"
        while not ended.is_set():
            try:
                answers.append(ask(output, sql).to_pylist())
            except Exception as error:  # any error: the reader has seen it
                answers.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        _split(output)
        run(output, capsys)
    ended.set()
    reader.join()
    assert len(answers) > 5
    assert all(answer == expected for answer in answers)


def _split(output: str) -> None:
    """Make small files of a compacted run again."""
    table = open_table(output, "chip_scores")
    part = {"run_date": RECENT, "run_id": "recent"}
    new = [write_rows(output, SCORES, part, [scored(u)], f"{u}{table.version()}") for u in "def"]
    commit_files(table, new, part, [commits.next_turn(table)], True, part)


@pytest.mark.parametrize("hours", ["0", "1", "24"])
@pytest.mark.parametrize("keep", [(), ("--keep_days", "30")])
def test_a_preview_prints_the_same_and_does_nothing(output, capsys, keep, hours):
    publish_files(output, "replaced", "gh", RECENT, at(3))
    part, table = {"run_date": RECENT, "run_id": "replaced"}, open_table(output, "chip_scores")
    new = [write_rows(output, SCORES, part, [scored("g")], "new")]  # two files are dead already
    commit_files(table, new, part, next_transactions(table, "replaced"), True, part)
    before = {path: os.stat(path).st_mtime_ns for path in map(str, Path(output).rglob("*"))}
    flags = (*keep, "--vacuum_hours", hours)
    code, previewed, _ = run(output, capsys, *flags, "--preview")
    assert code == 0
    assert {p: os.stat(p).st_mtime_ns for p in map(str, Path(output).rglob("*"))} == before
    printed = run(output, capsys, *flags)[1]
    assert re.sub("(was|were) (removed|compacted|deleted)", r"would be \2", printed) == previewed
    files_dead = {"0": 8, "1": 0, "24": 0}[hours]
    assert f" {files_dead} dead files would be" in previewed.split("quarantine: ")[0]


def test_an_output_without_tables_is_a_usage_error(tmp_path, capsys):
    code, _, err = run(str(tmp_path), capsys)
    assert code == 2
    assert "has no table chip_scores: nothing to maintain" in err


def test_tables_in_object_stores_are_maintained_too(object_store_uri, capsys):
    output = f"{object_store_uri}/tables"
    publish_files(output, "old", "abc", OLD, at(1))
    publish_files(output, "recent", "def", RECENT, at(2))
    chips = done(output)
    code, out, err = run(output, capsys, "--keep_days", "30", "--vacuum_hours", "0")
    assert (code, err) == (0, "")
    assert "chip_scores: 3 small files of 1 run were compacted to 1; 6 dead files" in out
    assert {row["chip_uri"] for row in seen(output)["chip_scores"]} == set("def")
    assert done(output) == chips
