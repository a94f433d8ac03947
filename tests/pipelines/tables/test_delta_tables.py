from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from pipelines.errors import StorageError, UsageError
from pipelines.tables.commits import PublishConflict, commit_files, next_transactions
from pipelines.tables.delta_tables import open_dataset, open_table, opening_once
from pipelines.tables.evolution import ensure_table
from pipelines.tables.publications import attempts_of, committed_at, is_published, published_run_ids
from schemas.tables import QUARANTINE, RUNS
from tests.support.published_runs import NIGHT, SCORES, commit_rows, scored, write_rows

pytest_plugins = ["tests.support.object_stores"]


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path / "output")


def open_scores(output: str) -> DeltaTable:
    table = open_table(output, "chip_scores")
    assert table is not None
    return table


def uris(table: DeltaTable) -> list[str]:
    return sorted(open_dataset(table).to_table(["chip_uri"])["chip_uri"].to_pylist())


# --------------------------------------------------------------------------- opening


def test_opening_a_missing_table_returns_none(output: str, tmp_path: Path) -> None:
    assert open_table(output, "chip_scores") is None
    assert open_table(str(tmp_path), "chip_scores") is None


def test_tables_that_are_opened_once_stay_as_they_were_until_the_outermost_end(output: str) -> None:
    other = f"{output}-2"
    commit_rows(output, SCORES, "run-1", [scored("a")])
    with opening_once():
        first = open_scores(output)
        assert open_table(output, "quarantine") is None
        with opening_once():
            assert open_scores(output) is first
        with ThreadPoolExecutor(1) as pool:  # another thread, or another process
            pool.submit(commit_rows, output, SCORES, "run-2", [scored("b")]).result()
            pool.submit(ensure_table, output, QUARANTINE).result()
            pool.submit(commit_rows, other, SCORES, "run-1", [scored("z")]).result()
        assert uris(open_scores(output)) == ["a"]
        assert open_table(output, "quarantine") is None
        assert uris(open_scores(other)) == ["z"]
    assert uris(open_scores(output)) == ["a", "b"]
    assert open_table(output, "quarantine") is not None


def test_a_file_in_the_way_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("not a folder")
    for call in (lambda o: open_table(o, "runs"), lambda o: ensure_table(o, RUNS)):
        with pytest.raises(UsageError, match="must be a folder"):
            call(str(tmp_path / "output"))


def test_a_broken_log_is_reported_in_one_line(output: str) -> None:
    ensure_table(output, RUNS)
    log = Path(output, "runs", "_delta_log", "00000000000000000000.json")
    log.write_text("{ no json")
    with pytest.raises(StorageError, match=r"cannot open .*runs") as failed:
        open_table(output, "runs")
    assert "\n" not in str(failed.value)


def test_a_folder_that_cannot_be_created_is_reported_in_one_line() -> None:
    with pytest.raises(StorageError, match="cannot create '/proc/none/runs': ") as failed:
        ensure_table("/proc/none", RUNS)
    assert "\n" not in str(failed.value)


def test_a_missing_bucket_is_a_usage_error(object_store_uri: str) -> None:
    gone = object_store_uri.replace("test-", "gone-")
    calls: list[Callable[[], object]] = [
        lambda: open_table(gone, "runs"),
        lambda: ensure_table(gone, RUNS),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="no such bucket"):
            call()


# --------------------------------------------------------------------------- committing


def test_a_commit_adds_the_rows_of_its_files_to_the_table(output: str) -> None:
    partition = {"run_date": NIGHT, "run_id": "run-1"}
    table = ensure_table(output, SCORES)
    files = [write_rows(output, SCORES, partition, [scored(name)], name) for name in ("a", "b")]
    write_rows(output, SCORES, partition, [scored("c")], "no-commit-names-this")
    transactions = next_transactions(table, "run-1")
    assert transactions == [("publisher", 1), ("run:run-1", 1)]
    commit_files(table, files, partition, transactions, False, {"listed": "3"})
    for seen in (table, open_scores(output)):
        assert uris(seen) == ["a", "b"]
        assert attempts_of(seen, "run-1") == 1
    rows = open_dataset(table).to_table(["run_date", "run_id"]).to_pylist()
    assert rows == [{"run_date": date(2026, 7, 1), "run_id": "run-1"}] * 2
    assert table.history(1)[0]["listed"] == "3"


def test_tables_can_be_in_object_stores(object_store_uri: str) -> None:
    output = f"{object_store_uri}/out"
    assert open_table(output, "chip_scores") is None
    commit_rows(output, SCORES, "run-1", [scored("a"), scored("b")])
    commit_rows(output, SCORES, "run-2", [])
    commit_rows(output, SCORES, "run-1", [scored("c")], replace=True)
    table = open_scores(output)
    assert uris(table) == ["c"]
    assert attempts_of(table, "run-1") == 2
    assert published_run_ids(table, ["run-1", "run-2", "run-3"]) == {"run-1", "run-2"}
    stale = open_scores(output)
    commit_rows(output, SCORES, "run-3", [])
    with pytest.raises(PublishConflict):
        commit_files(stale, [], {}, next_transactions(stale, "run-4"), False, {})


def test_a_run_without_rows_is_published_too(output: str) -> None:
    commit_rows(output, SCORES, "run-1", [])
    assert is_published(open_scores(output), "run-1")
    assert uris(open_scores(output)) == []


def test_after_a_replacement_the_run_has_one_set_of_rows(output: str) -> None:
    commit_rows(output, SCORES, "run-1", [scored("a"), scored("b")])
    commit_rows(output, SCORES, "run-2", [scored("x")])
    commit_rows(output, SCORES, "run-1", [scored("b"), scored("c")], replace=True)
    assert uris(open_scores(output)) == ["b", "c", "x"]
    assert attempts_of(open_scores(output), "run-1") == 2
    commit_rows(output, SCORES, "run-1", [], replace=True)
    assert uris(open_scores(output)) == ["x"]


def test_a_replacement_replaces_the_runs_rows_of_any_date(output: str) -> None:
    commit_rows(output, SCORES, "run-1", [scored("a")], "2026-07-01")
    commit_rows(output, SCORES, "run-2", [scored("x")], "2026-07-01")
    commit_rows(output, SCORES, "run-1", [scored("b")], "2026-07-02", replace=True)
    assert uris(open_scores(output)) == ["b", "x"]


def test_the_commit_time_of_a_run_is_that_of_its_rows(output: str) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    commit_rows(output, SCORES, "run-1", [scored("a")])
    commit_rows(output, SCORES, "run-2", [])
    found = committed_at(open_scores(output), "run-1")
    assert found is not None
    assert before <= found <= datetime.now(UTC)
    assert committed_at(open_scores(output), "run-2") is None


@pytest.mark.parametrize("name", ["100%25", "back\\slash", "new\nline", "caf\udce9"])
def test_a_folder_name_that_delta_would_misread_is_refused_and_nothing_is_created(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="in the folder's name"):
        ensure_table(str(tmp_path / name), SCORES)
    assert list(tmp_path.iterdir()) == []


def test_of_two_publishers_from_one_snapshot_the_second_is_refused(output: str) -> None:
    ensure_table(output, SCORES)
    first, second = open_scores(output), open_scores(output)
    partition = {"run_date": NIGHT, "run_id": "run-1"}
    file = write_rows(output, SCORES, partition, [scored("a")])
    commit_files(first, [file], partition, next_transactions(first, "run-1"), False, {})
    with pytest.raises(PublishConflict) as conflict:
        commit_files(second, [file], partition, next_transactions(second, "run-1"), False, {})
    assert "\n" not in str(conflict.value)
    assert uris(open_scores(output)) == ["a"]
    # Another run's publisher meets the same conflict, and goes through from a new snapshot.
    with pytest.raises(PublishConflict):
        commit_files(second, [], {}, next_transactions(second, "run-2"), False, {})
    commit_rows(output, SCORES, "run-2", [])
    assert published_run_ids(open_scores(output), ["run-1", "run-2"]) == {"run-1", "run-2"}


def test_many_publishers_at_once_lose_nothing(output: str) -> None:
    ensure_table(output, SCORES)

    def publish_in_turn(run_id: str) -> None:
        while True:
            try:
                return commit_rows(output, SCORES, run_id, [scored(run_id)])
            except PublishConflict:
                continue

    run_ids = [f"run-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(publish_in_turn, run_ids))
    table = open_scores(output)
    assert uris(table) == run_ids
    assert next_transactions(table, "another")[0] == ("publisher", 7)


def test_published_runs_survive_checkpoints_and_log_clean_up(output: str) -> None:
    """delta-rs writes a checkpoint by itself at the 100th commit; clean-up then drops the log."""
    commit_rows(output, SCORES, "first", [])
    table = open_scores(output)
    for number in range(101):
        transactions = next_transactions(table, f"run-{number}")
        commit_files(table, [], {}, transactions, False, {})
    log = Path(output, "chip_scores", "_delta_log")
    checkpoints = sorted(log.glob("*.checkpoint.parquet"))
    assert checkpoints
    for entry in log.glob("*.json"):
        if entry.name < checkpoints[-1].name:
            entry.unlink()
    table = open_scores(output)
    assert attempts_of(table, "first") == 1
    assert is_published(table, "run-0")
    assert not is_published(table, "run-101")
    assert next_transactions(table, "first") == [("publisher", 103), ("run:first", 2)]


def test_published_run_ids_returns_only_published_runs(output: str) -> None:
    commit_rows(output, SCORES, "with-rows", [scored("a")])
    commit_rows(output, SCORES, "without-rows", [])
    asked = ["with-rows", "without-rows", "never"]
    assert published_run_ids(open_scores(output), asked) == {"with-rows", "without-rows"}
    assert published_run_ids(open_scores(output), []) == set()
    assert published_run_ids(None, asked) == set()


# --------------------------------------------------------------------------- reading


def test_a_dataset_of_some_runs_has_only_their_rows(output: str) -> None:
    for run_id in ("run-1", "run-2", "run-3"):
        commit_rows(output, SCORES, run_id, [scored(f"of-{run_id}")])
    some = open_dataset(open_scores(output), {"run-1", "run-3"}).to_table(["chip_uri"])
    assert sorted(some["chip_uri"].to_pylist()) == ["of-run-1", "of-run-3"]
    assert open_dataset(open_scores(output), set()).count_rows() == 0


def test_a_filter_on_the_partition_opens_its_files_only(output: str) -> None:
    commit_rows(output, SCORES, "run-1", [scored("a")], night="2026-07-01")
    commit_rows(output, SCORES, "run-2", [scored("b")], night="2026-07-02")
    night = pads.field("run_date") == date(2026, 7, 2)
    fragments = list(open_dataset(open_scores(output)).get_fragments(night))
    assert [fragment.path for fragment in fragments] == [
        "run_date=2026-07-02/run_id=run-2/unit-1.parquet"
    ]


def test_an_empty_table_reads_as_no_rows_of_its_columns(output: str) -> None:
    rows = open_dataset(ensure_table(output, QUARANTINE)).to_table()
    assert rows.num_rows == 0
    assert rows.schema.names == list(QUARANTINE.column_names)


def test_no_row_is_lost_to_statistics_that_know_only_some_columns(output: str) -> None:
    """deltalake's own dataset compares the other columns with null, and loses every row."""
    partition = {"run_date": NIGHT, "run_id": "run-1"}
    file = write_rows(output, SCORES, partition, [scored("a"), scored("b")])
    statistics = json.dumps(
        {"numRecords": 2, "minValues": {"chip_uri": "a"}, "maxValues": {"chip_uri": "b"}}
    )
    now_ms = int(time.time() * 1000)
    table = ensure_table(output, SCORES)
    table.create_write_transaction(
        [AddAction(file.path, file.size_bytes, partition, now_ms, True, statistics)],
        mode="append",
        schema=table.schema(),
        partition_by=list(partition),
    )
    table = open_scores(output)
    is_jpg = pc.field("media_type") == "jpg"
    assert open_dataset(table).count_rows(filter=is_jpg) == 2
    assert table.to_pyarrow_dataset().count_rows(filter=is_jpg) == 0, "open_dataset may go"


def test_compaction_changes_no_answer(output: str) -> None:
    table = ensure_table(output, SCORES)
    partition = {"run_date": NIGHT, "run_id": "run-1"}
    files = [write_rows(output, SCORES, partition, [scored(name)], name) for name in ("a", "b")]
    commit_files(table, files, partition, next_transactions(table, "run-1"), False, {})
    before = sorted(open_dataset(table).to_table().to_pylist(), key=lambda row: row["chip_uri"])
    assert table.optimize.compact()["numFilesAdded"] == 1
    table = open_scores(output)
    after = sorted(open_dataset(table).to_table().to_pylist(), key=lambda row: row["chip_uri"])
    assert after == before
    connection = duckdb.connect()
    connection.register("chips", open_dataset(table))
    filtered = "SELECT count(*) FROM chips WHERE observed_at IS NULL AND sky_label = 'clear'"
    assert connection.sql(filtered).fetchall() == [(2,)]


def test_a_table_stays_readable_by_deltalake_itself(output: str) -> None:
    commit_rows(output, SCORES, "run-1", [scored("a"), scored("b", "road")])
    rows = DeltaTable(f"{output}/chip_scores").to_pyarrow_table(
        columns=["chip_uri", "labels", "run_date"],
        filters=pc.field("score_road") > 0.5,
    )
    assert rows.to_pylist() == [
        {"chip_uri": "b", "labels": ["clear", "road"], "run_date": date(2026, 7, 1)}
    ]
    assert isinstance(rows, pa.Table)
