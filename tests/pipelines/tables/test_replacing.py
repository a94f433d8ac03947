"""While a run is being replaced, readers see scores and quarantine of one attempt: the old one."""

from __future__ import annotations

from typing import Any

import pytest

from beam_jobs.query import ask
from pipelines.planning.done import chips_quarantined
from pipelines.publishing.publishing import publish_run
from pipelines.runs import committing
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.run_rows import published_rows
from pipelines.runs.staging import StagedUnit, stage_unit
from pipelines.storage.store import file_stem
from pipelines.tables import publications
from pipelines.tables.delta_tables import open_table
from schemas.tables import QuarantineReason
from tests.support.staged_runs import dying_at, empty_tables, labelled, make_plan

SEEN = """SELECT chip_id, 'scored' AS what FROM chip_scores
UNION ALL SELECT chip_id, reason FROM quarantine ORDER BY chip_id"""


@pytest.fixture
def place(request) -> str:
    """On a disk, unless a test names another fixture."""
    return str(request.getfixturevalue(getattr(request, "param", "tmp_path")))


@pytest.fixture
def output(place) -> str:
    return empty_tables(place)


def stage(plan: RunPlan, quarantined: int) -> list[StagedUnit]:
    """Both units, with that many quarantined chips in the first."""
    return [
        stage_unit([labelled(0, 0, 5 - quarantined, quarantined, True)], plan.staging),
        stage_unit([labelled(1, 5, 3, 0, True)], plan.staging),
    ]


def seen(output: str) -> list[dict[str, Any]]:
    return ask(output, SEEN).to_pylist()


def quarantined_ids(output: str) -> list[str]:
    """The ids of the chips that the next plan skips as quarantined."""
    reasons = [reason.value for reason in QuarantineReason]
    found = chips_quarantined(output, "m", reasons).read_all()["chip_uri"].to_pylist()
    return sorted(file_stem(uri) for uri in found)


def reported_ids(output: str) -> list[str]:
    """The ids of the quarantined chips in the run's report."""
    batches = published_rows(output, "r1").quarantine(["chip_id"])
    return sorted(chip for batch in batches for chip in batch.column("chip_id").to_pylist())


@pytest.mark.parametrize(
    ("place", "quarantined"),
    [("tmp_path", 0), ("tmp_path", 2), ("s3_uri", 2)],
    indirect=["place"],
)
def test_after_a_replacement_died_half_way_the_old_rows_are_visible(
    output, monkeypatch, quarantined
):
    first = make_plan(output)
    publish_run(first, stage(first, 1))
    before = seen(output)
    assert len(before) == 8
    second = make_plan(output, attempt=2, run_date="2026-11-23")
    staged = stage(second, quarantined)
    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_rows", dying_at("chip_scores"))
        with pytest.raises(KeyboardInterrupt):
            publish_run(second, staged)
    assert publications.attempts_of(open_table(output, "quarantine"), "r1") == 2
    assert seen(output) == before
    assert quarantined_ids(output) == [row["chip_id"] for row in before if row["what"] != "scored"]
    assert reported_ids(output) == quarantined_ids(output)
    publish_run(second, staged)
    after = seen(output)
    assert len(after) == 8
    assert (
        sum(row["what"] != "scored" for row in after) == len(quarantined_ids(output)) == quarantined
    )
    assert reported_ids(output) == quarantined_ids(output)


def test_a_third_attempt_after_a_dead_second_shows_the_first_until_it_is_published(
    output, monkeypatch
):
    first = make_plan(output)
    publish_run(first, stage(first, 1))
    before = seen(output)
    for attempt in (2, 3):
        plan = make_plan(output, attempt=attempt)
        staged = stage(plan, attempt)
        with monkeypatch.context() as patch:
            patch.setattr(committing, "commit_rows", dying_at("chip_scores"))
            with pytest.raises(KeyboardInterrupt):
                publish_run(plan, staged)
        assert seen(output) == before
    publish_run(plan, staged)
    assert sum(row["what"] != "scored" for row in seen(output)) == 3


def test_rows_that_were_vacuumed_are_not_an_error(output, tmp_path, monkeypatch):
    """After a vacuum there are no quarantined rows, instead of an error or those of the attempt."""
    first = make_plan(output)
    publish_run(first, stage(first, 1))
    second = make_plan(output, attempt=2)
    staged = stage(second, 2)
    monkeypatch.setattr(committing, "commit_rows", dying_at("chip_scores"))
    with pytest.raises(KeyboardInterrupt):
        publish_run(second, staged)
    (old,) = (tmp_path / "quarantine").glob("**/unit-*-1.parquet")
    old.unlink()
    assert [row["what"] for row in seen(output)] == ["scored"] * 7
