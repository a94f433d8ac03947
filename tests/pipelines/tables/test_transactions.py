"""The transactions of a snapshot, read in one go, are those that delta-rs reads one by one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pipelines.tables.commits import commit_files
from pipelines.tables.delta_tables import open_table
from pipelines.tables.evolution import ensure_table
from pipelines.tables.transactions import transaction_version
from schemas.tables import RUNS
from tests.support.season.bottle import OUTPUT, Bottle
from tests.support.season.commands import stand_ins

pytest_plugins = ["tests.support.object_stores"]

APPS = [f"run:{number}" for number in range(5)]


@pytest.fixture
def bottle() -> Iterator[Bottle]:
    with Bottle() as bottle, stand_ins(bottle.env()):
        yield bottle


def commit(table: DeltaTable, *apps: tuple[str, int]) -> None:
    """A commit with these transactions, and without files."""
    partition = {"run_date": "2026-07-01", "run_id": "r"}
    commit_files(table, [], partition, apps, replace=False, metadata={})


def check_same(table: DeltaTable) -> None:
    for app in [*APPS, "none"]:
        assert transaction_version(table, app) == table.transaction_version(app)


@pytest.mark.parametrize("seed", range(3))
def test_every_snapshot_has_the_transactions_that_delta_rs_finds(tmp_path, seed):
    draw = random.Random(seed)
    table = ensure_table(str(tmp_path), RUNS)
    check_same(table)
    for number in range(25):
        commit(table, *((app, number) for app in draw.sample(APPS, draw.randrange(1, 4))))
        check_same(table)
        if draw.random() < 0.2:
            table.create_checkpoint()
    for version in range(table.version() + 1):
        check_same(DeltaTable(table.table_uri, version=version))


def test_stores_give_the_same_as_a_disk(object_store_uri):
    table = ensure_table(object_store_uri, RUNS)
    for number in range(12):  # there is a checkpoint after the tenth
        commit(table, (APPS[number % 5], number))
    check_same(table)


def test_an_older_snapshot_keeps_its_transactions_and_an_updated_one_has_the_new(tmp_path):
    table = ensure_table(str(tmp_path), RUNS)
    commit(table, ("run:0", 1))
    older = open_table(str(tmp_path), RUNS.name)
    commit(table, ("run:0", 2))
    assert older is not None
    assert transaction_version(older, "run:0") == 1
    older.update_incremental()
    assert transaction_version(older, "run:0") == 2


def test_fifty_runs_need_no_more_requests_than_one_and_each_file_is_read_once(bottle):
    table = ensure_table(OUTPUT, RUNS)
    for number in range(5):
        commit(table, *((f"run:{run}", number) for run in range(50)))
    requests = []
    for runs in (1, 50):
        snapshot = open_table(OUTPUT, RUNS.name)
        bottle.begin()
        assert {transaction_version(snapshot, f"run:{run}") for run in range(runs)} == {4}
        requests.append(len(bottle.journal()))
    assert requests[0] == requests[1] + 6  # the table's creation, and five commits


def test_a_log_with_a_checkpoint_in_parts_is_left_to_delta_rs(tmp_path):
    table = ensure_table(str(tmp_path), RUNS)
    commit(table, ("run:0", 7))
    table.create_checkpoint()
    log = Path(tmp_path, RUNS.name, "_delta_log")
    whole = log / f"{1:020}.checkpoint.parquet"
    whole.rename(log / f"{1:020}.checkpoint.{1:010}.{1:010}.parquet")
    (log / "_last_checkpoint").write_text(json.dumps({"version": 1, "size": 3, "parts": 1}))
    for commit_file in log.glob("*.json"):
        commit_file.unlink()
    again = open_table(str(tmp_path), RUNS.name)
    assert again is not None
    assert transaction_version(again, "run:0") == 7
