"""Chips that fail as they failed before."""

import pyarrow as pa
import pytest

from pipelines.runs.repeated_failures import failed_again
from pipelines.runs.staging import StagedFile, StagedUnit
from pipelines.tables.parquet_files import parquet_bytes
from schemas.render import file_schema
from schemas.tables import QUARANTINE
from tests.support.published_runs import NIGHT, commit_rows, publish, quarantined_row
from tests.support.staged_runs import make_plan


@pytest.fixture
def output(tmp_path) -> str:
    return str(tmp_path)


def staged(tmp_path, *rows) -> StagedUnit:
    table = pa.Table.from_pylist(list(rows), file_schema(QUARANTINE))
    file = tmp_path / "staged.parquet"
    file.write_bytes(parquet_bytes(table))
    reasons = {row["reason"]: 1 for row in rows}
    return StagedUnit(0, None, StagedFile(str(file), len(rows), 1), reasons, "float32")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (
            quarantined_row("a", "unreadable", etag="1"),
            quarantined_row("a", "unreadable", etag="1"),
            1,
        ),
        (
            quarantined_row("a", "unreadable", etag="1"),
            quarantined_row("a", "out_of_memory", etag="1"),
            1,
        ),
        (
            quarantined_row("a", "unreadable", etag=None),
            quarantined_row("a", "unreadable", etag=None),
            1,
        ),
        (
            quarantined_row("a", "unreadable", etag="1"),
            quarantined_row("a", "unreadable", etag="2"),
            0,
        ),
        (quarantined_row("a", "unreadable", etag="1"), quarantined_row("a", "empty", etag="1"), 0),
        (quarantined_row("a", "empty", etag="1"), quarantined_row("a", "unreadable", etag="1"), 0),
        (
            quarantined_row("b", "unreadable", etag="1"),
            quarantined_row("a", "unreadable", etag="1"),
            0,
        ),
    ],
)
def test_the_same_version_must_have_failed_for_temporary_reasons(
    output, tmp_path, before, now, expected
):
    publish(output, "early", [], [before])
    plan = make_plan(output, model_digest="model-1")
    assert failed_again(plan, [staged(tmp_path, now)]) == expected


def test_each_chip_counts_once_however_often_it_failed(output, tmp_path):
    row = quarantined_row("a", "unreadable", etag="1")
    publish(output, "early", [], [row])
    publish(output, "later", [], [row])
    plan = make_plan(output, model_digest="model-1")
    assert failed_again(plan, [staged(tmp_path, row)]) == 1


def test_another_model_and_a_run_that_is_not_published_do_not_count(output, tmp_path):
    row = quarantined_row("a", "unreadable", etag="1")
    publish(output, "early", [], [row])
    commit_rows(output, QUARANTINE, "dead", [{**row, "chip_uri": "b"}], NIGHT)
    unit = staged(tmp_path, row, {**row, "chip_uri": "b"})
    assert failed_again(make_plan(output, model_digest="model-2"), [unit]) == 0
    assert failed_again(make_plan(output, model_digest="model-1"), [unit]) == 1
