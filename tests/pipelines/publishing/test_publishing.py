"""A run is published once and completely, or not at all."""

import json
import time
from contextlib import nullcontext
from dataclasses import replace

import pytest

from beam_jobs.query import ask
from pipelines.elements import NOTHING_SPENT
from pipelines.errors import RunFailed, StorageError
from pipelines.maintenance.retention import expire
from pipelines.planning.done import scores_version
from pipelines.publishing import publishing
from pipelines.publishing.publishing import finish_record, publish_run
from pipelines.runs import attempts, committing
from pipelines.runs.attempts import REFUSAL_FILE, read_reason
from pipelines.runs.counting import RunCounts, check_quarantine, count_run
from pipelines.runs.records import read_summary
from pipelines.runs.run_plan import read_plan, store_plan
from pipelines.runs.staging import stage_unit
from pipelines.storage import store
from pipelines.tables import publications
from pipelines.tables.commits import PublishConflict, commit_files
from pipelines.tables.delta_tables import open_dataset, open_table
from schemas.labels import PLANET_LABELS
from tests.support.staged_runs import CHIPS, dying_at, empty_tables, labelled, make_plan, stage


@pytest.fixture
def output(tmp_path) -> str:
    return empty_tables(tmp_path)


def rows(output: str, name: str) -> list[dict]:
    return open_dataset(open_table(output, name)).to_table().to_pylist()


def test_a_published_run_has_its_rows_in_three_tables_and_no_staging(output):
    plan = make_plan(output)
    publish_run(plan, stage(plan))

    assert sorted(row["chip_id"] for row in rows(output, "chip_scores")) == list("0123456")
    assert [row["reason"] for row in rows(output, "quarantine")] == ["empty"]
    (record,) = rows(output, "runs")
    assert record["status"] == "published"
    counted = ("listed", "skipped", "left_over", "scored", "quarantined")
    assert [record[name] for name in counted] == [10, 2, 0, 7, 1]
    assert json.loads(record["quarantined_by_reason"]) == {"empty": 1}
    assert (record["run_id"], str(record["run_date"])) == ("r1", "2026-11-22")
    assert record["plan_seconds"] == 2.0
    assert json.loads(record["options"]) == {"chips": "/c"}
    assert store.head_object(plan.manifest) is None


def test_the_summary_is_read_from_the_tables(output):
    plan = make_plan(output)
    publish_run(plan, stage(plan))
    summary = read_summary(plan)
    assert (summary.scored, summary.quarantined, summary.reasons) == (7, 1, {"empty": 1})
    assert set(summary.labels) <= set(PLANET_LABELS.names[8:])
    assert set(summary.labels.values()) == {7}
    assert summary.precision == "float32"


def test_publishing_a_second_time_changes_nothing(output):
    plan = make_plan(output)
    staged = stage(plan)
    publish_run(plan, staged)
    before = {name: rows(output, name) for name in ("chip_scores", "quarantine", "runs")}
    staged = stage(plan)  # a late worker stages once more
    publish_run(plan, staged)
    assert {name: rows(output, name) for name in before} == before


@pytest.mark.parametrize("dies_at", ["chip_scores", "runs"])
def test_a_publisher_that_died_between_its_commits_is_finished_by_the_next(
    output, monkeypatch, dies_at
):
    plan = make_plan(output)
    staged = stage(plan)
    commit = committing.commit_rows
    monkeypatch.setattr(committing, "commit_rows", dying_at(dies_at))
    with pytest.raises(KeyboardInterrupt):
        publish_run(plan, staged)
    visible = publications.is_published(open_table(output, "chip_scores"), "r1")
    assert visible == (dies_at == "runs")
    monkeypatch.setattr(committing, "commit_rows", commit)
    publish_run(plan, staged)
    assert [len(rows(output, name)) for name in ("chip_scores", "quarantine", "runs")] == [7, 1, 1]


def test_a_replacement_leaves_one_set_of_rows(output):
    first = make_plan(output)
    publish_run(first, stage(first))
    second = make_plan(output, attempt=2)
    units = [
        stage_unit([labelled(0, 0, 5, 0, True)], second.staging),
        stage_unit([labelled(1, 5, 3, 0, True)], second.staging),
    ]
    publish_run(second, units)
    assert sorted(row["chip_id"] for row in rows(output, "chip_scores")) == list("01234567")
    assert rows(output, "quarantine") == []
    (record,) = rows(output, "runs")
    assert (record["scored"], record["quarantined"]) == (8, 0)


def test_a_replacement_under_another_date_leaves_one_set_of_rows(output):
    first = make_plan(output)
    publish_run(first, stage(first))
    second = make_plan(output, attempt=2, run_date="2026-11-23")
    publish_run(second, stage(second))
    for name, count in (("chip_scores", 7), ("quarantine", 1), ("runs", 1)):
        dates = [str(row["run_date"]) for row in rows(output, name)]
        assert (name, dates) == (name, ["2026-11-23"] * count)


def test_rows_of_a_publisher_that_died_are_replaced_by_the_next_attempt(output, monkeypatch):
    dead = make_plan(output)
    commit = committing.commit_rows
    monkeypatch.setattr(committing, "commit_rows", dying_at("chip_scores"))
    with pytest.raises(KeyboardInterrupt):
        publish_run(dead, stage(dead))
    monkeypatch.setattr(committing, "commit_rows", commit)

    assert attempts.find_attempt(output, "r1") == (2, None)
    plan = make_plan(output, attempt=2)  # meanwhile the empty chip was repaired
    units = [
        stage_unit([labelled(0, 0, 5, 0, True)], plan.staging),
        stage_unit([labelled(1, 5, 3, 0, True)], plan.staging),
    ]
    publish_run(plan, units)
    assert [len(rows(output, name)) for name in ("chip_scores", "quarantine", "runs")] == [8, 0, 1]
    assert attempts.find_attempt(output, "r1") == (3, None)


def test_a_run_that_no_table_knows_is_at_its_first_attempt(output, tmp_path):
    assert attempts.find_attempt(output, "r1") == (1, None)
    assert attempts.find_attempt(str(tmp_path / "nothing"), "r1") == (1, None)


def test_an_attempt_that_was_begun_is_found_again_until_it_is_refused(output, monkeypatch):
    plan = store_plan(make_plan(output, max_quarantine_ratio=0.0), CHIPS.to_reader())
    assert attempts.find_attempt(output, "r1") == (1, plan)
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "check_quarantine", lambda *_: None)
        patch.setattr(committing, "commit_rows", dying_at("chip_scores"))
        with pytest.raises(KeyboardInterrupt):
            publish_run(plan, stage(plan))
    assert attempts.find_attempt(output, "r1") == (1, plan)
    with pytest.raises(RunFailed, match="were quarantined"):
        publish_run(plan, [])
    assert attempts.find_attempt(output, "r1") == (2, None)
    second = store_plan(make_plan(output, attempt=2), CHIPS.to_reader())
    assert attempts.find_attempt(output, "r1") == (2, second)


def test_of_two_plans_of_one_attempt_the_first_counts(object_store_uri):
    first, second = (make_plan(object_store_uri, token=token) for token in "ab")
    assert store_plan(first, CHIPS.to_reader()) == first
    assert store_plan(second, CHIPS.to_reader()) == first
    assert read_plan(object_store_uri, "r1", 1) == first


def test_the_record_that_a_dead_publisher_left_out_is_written_with_the_time_of_the_commit(
    output, monkeypatch
):
    plan = make_plan(output)
    store_plan(plan, CHIPS.to_reader())
    commit = committing.commit_rows
    monkeypatch.setattr(committing, "commit_rows", dying_at("runs"))
    with pytest.raises(KeyboardInterrupt):
        publish_run(plan, stage(plan))
    monkeypatch.setattr(committing, "commit_rows", commit)
    committed_at = publications.committed_at(open_table(output, "chip_scores"), "r1")

    finish_record(output, "r1")
    (record,) = rows(output, "runs")
    assert (record["scored"], record["quarantined"]) == (7, 1)
    assert record["published_at"] == committed_at
    assert read_plan(output, "r1", 1) is None
    finish_record(output, "r1")
    assert len(rows(output, "runs")) == 1


def test_each_run_has_its_place_in_the_order_of_the_commits(output, monkeypatch):
    """By the table's versions, whatever the clocks say, and also if another process wrote the
    record, or the run was replaced."""
    clock = time.time
    for hours, run_id in enumerate(("a", "b", "c")):
        monkeypatch.setattr(time, "time", lambda behind=hours: clock() - 3600 * behind)
        plan = make_plan(output, run_id, options={"rescore": True})
        store_plan(plan, CHIPS.to_reader())
        commit = committing.commit_rows
        with monkeypatch.context() as patch:
            patch.setattr(committing, "commit_rows", dying_at("runs") if run_id == "b" else commit)
            with pytest.raises(KeyboardInterrupt) if run_id == "b" else nullcontext():
                publish_run(plan, stage(plan))
    finish_record(output, "b")
    versions = {row["run_id"]: row["commit_version"] for row in rows(output, "runs")}
    assert versions["a"] < versions["b"] < versions["c"]
    assert versions["c"] == open_table(output, "chip_scores").version()
    times = {row["run_id"]: row["published_at"] for row in rows(output, "runs")}
    assert times["a"] > times["b"] > times["c"]

    again = make_plan(output, "a", attempt=2, options={"rescore": True})
    publish_run(again, stage(again))
    replaced = {row["run_id"]: row["commit_version"] for row in rows(output, "runs")}
    assert replaced == {**versions, "a": versions["c"] + 1}


def test_a_run_whose_rows_another_tool_has_removed_is_not_published_and_can_be_again(output):
    """A restore takes the rows away, but keeps the transactions."""
    plan = make_plan(output)
    before = open_table(output, "chip_scores").version()
    publish_run(plan, stage(plan))
    open_table(output, "chip_scores").restore(before)

    scores = open_table(output, "chip_scores")
    assert publications.attempts_of(scores, "r1") == 1
    assert not publications.is_published(scores, "r1")
    for name in ("chip_scores", "quarantine", "runs"):
        assert ask(output, f"FROM {name}").num_rows == 0
    assert attempts.find_attempt(output, "r1") == (2, None)
    again = make_plan(output, attempt=2)
    publish_run(again, stage(again))
    assert publications.is_published(open_table(output, "chip_scores"), "r1")
    assert [ask(output, f"FROM {name}").num_rows for name in ("chip_scores", "runs")] == [7, 1]


def test_a_run_without_scores_and_one_whose_nights_are_old_are_published_without_rows(output):
    old = make_plan(output, "old", run_date="2020-01-01")
    publish_run(old, stage(old))
    empty = make_plan(output, "empty", listed=2, unit_rows=())
    publish_run(empty, [])
    expire(output, "2026-01-01", preview=False)
    scores = open_table(output, "chip_scores")
    assert not scores.partitions()
    assert publications.published_run_ids(scores, ["old", "empty", "other"]) == {"old", "empty"}
    assert ask(output, "FROM runs").num_rows == 2


def test_a_replacement_that_died_unpublished_is_not_finished(output):
    first = make_plan(output)
    publish_run(first, stage(first))
    second = make_plan(output, attempt=2)
    store_plan(second, CHIPS.to_reader())
    stage(second)
    before = rows(output, "runs")
    finish_record(output, "r1")
    assert rows(output, "runs") == before
    assert read_plan(output, "r1", 2) == second


def test_staging_that_cannot_be_deleted_does_not_fail_a_published_run(output, monkeypatch):
    def deny(uri):
        raise StorageError(f"cannot delete {uri!r}: denied")

    monkeypatch.setattr(store, "delete_folder", deny)
    plan = make_plan(output)
    publish_run(plan, stage(plan))
    assert len(rows(output, "runs")) == 1


@pytest.mark.parametrize("kept", [None, b"PAR1"])
def test_nothing_is_published_or_deleted_if_a_copy_is_not_there_as_a_whole(
    output, monkeypatch, kept
):
    """A store may say that it has copied an object, and have none, or a part of it."""
    plan = make_plan(output)
    staged = stage(plan)

    def copy_badly(source, target):
        if kept is not None:
            store.write_bytes(target, kept)

    with monkeypatch.context() as patch:
        patch.setattr(store, "copy_object", copy_badly)
        with pytest.raises(StorageError, match="does not have it" if kept is None else "4 bytes"):
            publish_run(plan, staged)
    assert rows(output, "chip_scores") == rows(output, "runs") == []
    publish_run(plan, staged)
    assert len(rows(output, "chip_scores")) == 7


def test_replacing_one_run_leaves_the_others(output):
    for run_id in ("r1", "r2"):
        plan = make_plan(output, run_id, scores_version=scores_version(output))
        publish_run(plan, stage(plan))
    again = make_plan(output, "r2", attempt=2, scores_version=scores_version(output))
    publish_run(again, stage(again))
    found = [row["run_id"] for row in rows(output, "chip_scores")]
    assert (found.count("r1"), found.count("r2")) == (7, 7)


def test_a_run_without_chips_is_published(output):
    plan = make_plan(output, listed=2, unit_rows=())
    publish_run(plan, [])
    assert publications.is_published(open_table(output, "chip_scores"), "r1")
    (record,) = rows(output, "runs")
    assert (record["listed"], record["skipped"], record["scored"]) == (2, 2, 0)


def test_a_unit_whose_record_comes_twice_counts_once(output):
    plan = make_plan(output)
    staged = stage(plan)
    publish_run(plan, [*staged, staged[0]])
    assert len(rows(output, "chip_scores")) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit_rows": (5, 3, 1)}, "1 of 3 units are not staged whole .first: unit 2, planned 1"),
        ({"unit_rows": (5, 4)}, "unit 1, planned 4 chips, staged 3"),
        ({"unit_rows": (5,)}, "unit 1, planned 0 chips, staged 3"),
        ({"listed": 11}, "11 listed is not 2 skipped [+] 0 left over [+] 7 scored [+] 1 quar"),
        (
            {"max_quarantine_ratio": 0.1},
            r"1 of 8 chips were quarantined .empty 1; .*., over .* 0\.1",
        ),
    ],
)
def test_a_run_that_lost_or_doubled_a_chip_or_quarantined_too_many_is_not_published(
    output, changes, message
):
    plan = make_plan(output, **changes)
    staged = stage(plan)
    with pytest.raises(RunFailed, match=message):
        publish_run(plan, staged)
    assert [rows(output, name) for name in ("chip_scores", "quarantine", "runs")] == [[], [], []]
    assert read_reason(plan, REFUSAL_FILE).startswith("run r1: ")
    assert store.head_object(staged[0].quarantine.uri) is not None


def test_a_quarantine_of_exactly_the_ratio_is_published(output):
    plan = make_plan(output, max_quarantine_ratio=1 / 8)
    publish_run(plan, stage(plan))
    assert len(rows(output, "quarantine")) == 1


def test_a_ratio_is_compared_as_people_write_it():
    """0.29 * 100 is 28.999999999999996."""
    plan = make_plan("/o", unit_rows=(100,), max_quarantine_ratio=0.29)
    counts = RunCounts(100, 0, 71, 29, {"empty": 29}, "float32", NOTHING_SPENT)
    check_quarantine(plan, counts, [])
    with pytest.raises(RunFailed, match="30 of 100"):
        check_quarantine(plan, replace(counts, scored=70, quarantined=30), [])


def test_a_run_that_was_not_refused_has_no_refusal(output):
    assert read_reason(make_plan(output), REFUSAL_FILE) == ""


def test_staged_chips_are_those_of_units_with_a_record(output):
    plan = make_plan(output)
    assert publishing.staged_chips(plan) == 0
    stage_unit([labelled(1, 4, 3, 0, True)], plan.staging)
    assert publishing.staged_chips(plan) == 3


def test_counts_add_up_over_units(output):
    plan = make_plan(output)
    counts = count_run(plan, stage(plan))
    assert counts.listed == counts.skipped + counts.scored + counts.quarantined == 10


def test_publishing_waits_its_turn_behind_another_publisher(output, monkeypatch):
    plan = make_plan(output)
    staged = stage(plan)
    conflicts = iter([True, True])

    def commit(table, *args, **kwargs):
        if next(conflicts, False):
            raise PublishConflict("another publisher")
        commit_files(table, *args, **kwargs)

    monkeypatch.setattr(committing, "commit_files", commit)
    publish_run(plan, staged)
    assert len(rows(output, "chip_scores")) == 7


def test_publishing_that_always_conflicts_fails_and_says_so(output, monkeypatch):
    def commit(*args, **kwargs):
        raise PublishConflict("another publisher")

    monkeypatch.setattr(committing, "commit_files", commit)
    plan = make_plan(output)
    with pytest.raises(RunFailed, match="cannot commit run r1 to quarantine: 10 commits met"):
        publish_run(plan, stage(plan))


def test_a_run_can_be_published_to_an_object_store(object_store_uri):
    empty_tables(object_store_uri)
    plan = make_plan(object_store_uri)
    publish_run(plan, stage(plan))
    assert sorted(row["chip_id"] for row in rows(object_store_uri, "chip_scores")) == list(
        "0123456"
    )
    assert len(rows(object_store_uri, "runs")) == 1
