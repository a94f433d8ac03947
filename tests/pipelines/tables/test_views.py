"""The rows of `runs` as questions and reports see them."""

from __future__ import annotations

import pytest

from pipelines.tables.commits import commit_files, next_transactions
from pipelines.tables.evolution import ensure_table
from pipelines.tables.publications import committed_transaction
from pipelines.tables.views import newest_runs
from schemas.tables import RUNS
from tests.support.published_runs import (
    SCORES,
    at,
    commit_rows,
    publish,
    run_row,
    scored,
    write_rows,
)


def publish_in_order(output: str, run_id: str, night: str, hour: int) -> None:
    """A run whose commit notes its place, as this release does it."""
    table, partition = ensure_table(output, SCORES), {"run_date": night, "run_id": run_id}
    files = [write_rows(output, SCORES, partition, [scored(f"{run_id}.jpg")])]
    place = (committed_transaction(run_id), table.version() + 1)
    commit_files(
        table, files, partition, [*next_transactions(table, run_id), place], False, partition
    )
    commit_rows(output, RUNS, run_id, [run_row(at(1, hour))], night)


@pytest.fixture
def output(tmp_path) -> str:
    """Three runs of an earlier release, two of them of one night, then twenty of this one, of ever
    earlier nights and clocks; a failed run, and one whose publisher has died before its scores."""
    output = str(tmp_path)
    old = [("old-3", "2026-06-02"), ("old-2", "2026-06-02"), ("old-1", "2026-06-01")]
    for run_id, night in old:
        publish(output, run_id, [scored(f"{run_id}.jpg")], (), night, at(1, 23))
    for number in range(20):
        publish_in_order(output, f"new-{number}", f"2026-05-{28 - number}", 22 - number)
    commit_rows(output, RUNS, "failed", [run_row(at(1), status="failed")], "2026-07-02")
    commit_rows(output, RUNS, "dead", [run_row(at(1))], "2026-07-02")
    return output


def test_the_newest_runs_are_in_the_order_of_their_commits_whatever_nights_and_clocks_say(output):
    expected = [*(f"new-{number}" for number in range(19, -1, -1)), "old-3", "old-2", "old-1"]
    assert [run["run_id"] for run in newest_runs(output, ["kind"])] == expected


def test_a_column_that_no_table_has_is_left_out_and_others_have_their_values(output):
    first = next(newest_runs(output, ["published_at", "of a later release"]))
    assert first == {"run_id": "new-19", "published_at": at(1, 3)}


def test_without_tables_there_are_no_runs(tmp_path):
    assert [*newest_runs(str(tmp_path), ["kind"])] == []
