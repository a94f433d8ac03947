from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.tables import delta_tables
from pipelines.tables.commits import PublishConflict, commit_files, next_turn
from pipelines.tables.delta_tables import open_dataset, with_missing
from pipelines.tables.evolution import add_columns, check_table, ensure_table
from pipelines.tables.live_files import data_files
from schemas.labels import LabelSet
from schemas.table import Column, Table
from schemas.tables import QUARANTINE, RUNS, TABLES_BY_NAME, chip_scores
from tests.support.published_runs import (
    NIGHT,
    SCORES,
    commit_rows,
    quarantined_row,
    scored,
    write_rows,
)

pytest_plugins = ["tests.support.object_stores"]


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path / "output")


def opened(output: str, name: str = "chip_scores") -> DeltaTable:
    table = delta_tables.open_table(output, name)
    assert table is not None
    return table


def columns(table: DeltaTable) -> list[str]:
    return [field.name for field in table.schema().fields]


def later(table: Table, *names: str, required: bool = False) -> Table:
    """The table of a later release, with more columns before its partition columns."""
    more = tuple(Column(name, "timestamp", "Later.", required=required) for name in names)
    at = len(table.columns) - len(table.partition_by)
    return replace(table, columns=(*table.columns[:at], *more, *table.columns[at:]))


# --------------------------------------------------------------------------- creating


def test_publishers_add_checkpoints_to_the_log_and_delete_none_of_its_entries(output):
    table = ensure_table(output, RUNS)
    log = Path(output, RUNS.name, "_delta_log")
    for _ in range(21):
        commit_files(table, [], {"run_date": NIGHT, "run_id": "r"}, [], False, {})
        for entry in log.iterdir():
            os.utime(entry, (0, 0))  # older than any retention
    assert len([*log.glob("*.json")]) == 22
    assert [path.name[17:20] for path in sorted(log.glob("*.parquet"))] == ["009", "019"]


def test_a_created_table_is_opened_again_unchanged(output: str) -> None:
    created = ensure_table(output, SCORES)
    assert created.metadata().name == "chip_scores"
    assert created.metadata().partition_columns == ["run_date", "run_id"]
    assert ensure_table(output, SCORES).version() == created.version() == 0


def test_concurrent_creators_all_get_the_same_table(output: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(lambda _: ensure_table(output, SCORES), range(8)))
    assert {table.metadata().id for table in tables} == {opened(output).metadata().id}
    assert opened(output).version() == 0


def test_of_two_concurrent_label_sets_one_is_refused(output: str) -> None:
    def create(label: str) -> str:
        try:
            ensure_table(output, chip_scores(LabelSet((label,))))
        except UsageError:
            return "refused"
        return label

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(create, ["fire", "mine"]))
    winner = outcomes[0]
    assert outcomes == [winner, "refused"]
    assert f"score_{winner}" in [field.name for field in opened(output).schema().fields]


# --------------------------------------------------------------------------- labels


FOREST = LabelSet(("forest", "mine"))


def test_a_label_set_grows_in_one_commit_and_older_rows_have_null(object_store_uri: str) -> None:
    output = f"{object_store_uri}/out"
    commit_rows(output, chip_scores(FOREST), "r1", [scored("a", sky=None, label_set=FOREST)])
    before = opened(output).version()
    grown = LabelSet(("fire", "forest", "mine"))
    commit_rows(output, chip_scores(grown), "r2", [scored("b", sky=None, label_set=grown)])
    table = opened(output)
    assert table.version() == before + 2
    assert table.history(1)[0]["run_id"] == "r2"
    assert table.history(2)[1]["maintained"] == "columns"
    rows = open_dataset(table).to_table().select(["chip_uri", *grown.score_columns])
    assert sorted(map(tuple, (row.values() for row in rows.to_pylist()))) == [
        ("a", None, 0.25, 0.25),
        ("b", 0.25, 0.25, 0.25),
    ]
    new = pa.schema(table.schema().to_arrow()).field("score_fire")
    assert (new.nullable, new.metadata[b"label"]) == (True, b"fire")


def test_labels_that_the_output_had_before_are_accepted_without_a_commit(output: str) -> None:
    ensure_table(output, SCORES)
    for names in (("road",), ("water", "road"), tuple(reversed(SCORES_LABELS))):
        assert ensure_table(output, chip_scores(LabelSet(names))).version() == 0


SCORES_LABELS = [column.label for column in SCORES.columns if column.label]


def test_one_label_goes_while_another_comes_and_both_stay_in_the_table(output: str) -> None:
    ensure_table(output, chip_scores(FOREST))
    ensure_table(output, chip_scores(LabelSet(("forest", "fire"))))
    scores = [name for name in columns(opened(output)) if name.startswith("score_")]
    assert scores == ["score_forest", "score_fire", "score_mine"]


def test_a_label_set_without_a_shared_label_is_refused_and_some_are_named(output: str) -> None:
    ensure_table(output, chip_scores(LabelSet(tuple(f"a{n}" for n in range(9)))))
    with pytest.raises(UsageError) as refused:
        check_table(output, chip_scores(LabelSet(("b", "c"))))
    assert str(refused.value).endswith(
        "chip_scores' has columns for a0, a1, a2, a3, and 5 more, and the artifact has other "
        "labels: b, c: use another OUTPUT"
    )


@pytest.mark.parametrize(
    ("had", "asked", "column"),
    [("mobile-home", "mobile home", "score_mobile_home"), ("Road", "road", "score_Road")],
)
def test_two_labels_cannot_share_a_column(output: str, had: str, asked: str, column: str) -> None:
    ensure_table(output, chip_scores(LabelSet(("forest", had))))
    with pytest.raises(UsageError) as refused:
        ensure_table(output, chip_scores(LabelSet(("forest", asked))))
    assert f"label {had!r} in the column {column}, in which those of {asked!r}" in str(
        refused.value
    )


@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=1).map(sorted), min_size=1, max_size=5))
def test_columns_are_merged_without_loss_whatever_comes_in_which_order(
    schemas: list[list[str]],
) -> None:
    merged: list[pa.Field] = []
    for n, names in enumerate(schemas):
        ours = [pa.field(name, pa.string(), metadata={"n": str(n)}) for name in names]
        before, merged = merged, with_missing(merged, ours)
        assert [field for field in merged if field in before] == before
        assert len({field.name for field in merged}) == len(merged)
    assert {field.name for field in merged} == {name for names in schemas for name in names}


# --------------------------------------------------------------------------- releases


def test_a_later_release_adds_its_nullable_columns_in_one_commit(object_store_uri: str) -> None:
    output = f"{object_store_uri}/out"
    commit_rows(output, QUARANTINE, "r1", [quarantined_row("a", "empty")])
    version = opened(output, "quarantine").version()
    table = ensure_table(output, later(QUARANTINE, "changed_at", "moved_at"))
    assert table.version() == version + 1
    assert columns(table)[-5:] == ["quarantined_at", "changed_at", "moved_at", "run_date", "run_id"]
    assert (table.metadata().name, table.metadata().partition_columns) == (
        "quarantine",
        ["run_date", "run_id"],
    )
    row = open_dataset(table).to_table().to_pylist()[0]
    assert (row["chip_uri"], row["changed_at"], row["moved_at"]) == ("a", None, None)


def test_an_earlier_release_leaves_columns_alone_that_it_does_not_know(output: str) -> None:
    ensure_table(output, later(RUNS, "changed_at"))
    assert ensure_table(output, RUNS).version() == 0
    assert "changed_at" in columns(opened(output, "runs"))


def test_columns_of_this_release_are_null_in_a_table_that_lacks_them(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_rows(output, QUARANTINE, "r1", [quarantined_row("a", "empty")])
    monkeypatch.setitem(TABLES_BY_NAME, "quarantine", later(QUARANTINE, "changed_at"))
    rows = open_dataset(opened(output, "quarantine")).to_table()
    assert rows["changed_at"].to_pylist() == [None]
    assert "changed_at" not in columns(opened(output, "quarantine"))


def test_a_required_column_is_refused_in_either_direction(output: str) -> None:
    newer = later(RUNS, "changed_at", required=True)
    ensure_table(output, newer)
    with pytest.raises(UsageError, match="requires columns that are unknown here: changed_at; ano"):
        check_table(output, RUNS)
    ensure_table(f"{output}-2", RUNS)
    with pytest.raises(UsageError, match="lacks required columns: changed_at; another version"):
        check_table(f"{output}-2", newer)


def test_another_type_is_refused(output: str) -> None:
    ensure_table(output, RUNS)
    changed = [replace(c, type="string") if c.name == "scored" else c for c in RUNS.columns]
    with pytest.raises(UsageError, match=r"of other types: scored \(long there, string here\); "):
        ensure_table(output, replace(RUNS, columns=tuple(changed)))


def test_a_column_that_was_required_may_become_nullable(output: str) -> None:
    ensure_table(output, later(RUNS, "changed_at", required=True))
    table = ensure_table(output, later(RUNS, "changed_at"))
    assert next(f for f in table.schema().fields if f.name == "changed_at").nullable
    assert table.version() == 1


def test_of_two_that_add_columns_at_once_both_succeed(object_store_uri: str) -> None:
    output = f"{object_store_uri}/out"
    ensure_table(output, QUARANTINE)
    names = [f"n{n}" for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: ensure_table(output, later(QUARANTINE, name)), names))
    table = opened(output, "quarantine")
    assert set(names) < set(columns(table))
    assert table.version() == 6


def test_columns_are_not_added_to_an_old_snapshot(output: str) -> None:
    old = ensure_table(output, QUARANTINE)
    commit_rows(output, QUARANTINE, "r1", [quarantined_row("a", "empty")], NIGHT)
    with pytest.raises(PublishConflict):
        add_columns(old, later(QUARANTINE, "changed_at"))
    assert opened(output, "quarantine").version() == 1


# ------------------------------------------------------- tables without partitions

PLAIN = Table("plain", "A table without partitions.", 1, (Column("name", "string", "A name."),))


def test_a_table_without_partitions_gains_columns_and_keeps_its_rows(output: str) -> None:
    table = ensure_table(output, PLAIN)
    file = write_rows(output, PLAIN, {}, [{"name": "a"}])
    commit_files(table, [file], {}, [next_turn(table)], replace=False, metadata={})
    grown = ensure_table(output, later(PLAIN, "seen"))
    assert open_dataset(grown).to_table().to_pylist() == [{"name": "a", "seen": None}]
    assert [(f.run_id, f.rows) for f in data_files(grown)] == [("", 1)]


def test_replacing_the_files_of_a_table_without_partitions_removes_all_others(output: str) -> None:
    table = ensure_table(output, PLAIN)
    for name in ("a", "b"):
        file = write_rows(output, PLAIN, {}, [{"name": name}], name)
        commit_files(table, [file], {}, [next_turn(table)], replace=False, metadata={})
    late = ensure_table(output, PLAIN)
    assert sorted(open_dataset(table).to_table()["name"].to_pylist()) == ["a", "b"]
    file = write_rows(output, PLAIN, {}, [{"name": "c"}], "c")
    commit_files(table, [file], {}, [next_turn(table)], replace=True, metadata={})
    assert open_dataset(table).to_table()["name"].to_pylist() == ["c"]
    with pytest.raises(PublishConflict):
        commit_files(late, [file], {}, [next_turn(late)], replace=True, metadata={})
