"""The rows of a model are written once, with its first run."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beam_jobs.query import ask
from pipelines.publishing.publishing import publish_run
from pipelines.runs import committing
from pipelines.runs.models import known_model, publish_model
from pipelines.runs.run_plan import RunPlan
from pipelines.tables.delta_tables import open_table
from pipelines.tables.publications import is_published
from schemas.tables import MODELS
from schemas.trust import TRUST_COLUMNS
from tests.support.published_runs import commit_rows
from tests.support.staged_runs import dying_at, empty_tables, make_plan, stage

pytest_plugins = ["tests.support.object_stores"]

COLUMNS = MODELS.columns
NOTHING = dict.fromkeys(column.name for column in TRUST_COLUMNS)
TRUST = [
    {**NOTHING, "label": "road", "threshold": 0.25, "positives": 12, "proven": True},
    {**NOTHING, "label": "mine", "threshold": 0.5, "positives": 0, "proven": False},
]

AGAIN = {"rescore": True}
"""Options of a run that may score the chips of another."""


@pytest.fixture
def output(tmp_path: Path) -> str:
    return empty_tables(tmp_path)


def labels(output: str) -> list[tuple[Any, ...]]:
    names = ("run_id", "thresholds_digest", "label", "positives", "proven")
    return [tuple(row[name] for name in names) for row in known_model(output, "m")]


def test_a_published_run_writes_its_model_once(output: str) -> None:
    for run_id in ("r1", "r2"):
        plan = make_plan(output, run_id, trust=TRUST, options=AGAIN)
        publish_run(RunPlan.from_json(plan.to_json()), stage(plan))
    assert labels(output) == [("r1", "t", "road", 12, True), ("r1", "t", "mine", 0, False)]
    other = make_plan(output, "r3", trust=TRUST[:1], thresholds_digest="u", options=AGAIN)
    publish_run(other, stage(other))
    assert sorted(labels(output))[2:] == [("r3", "u", "road", 12, True)]


def test_a_table_in_which_every_threshold_is_a_number_takes_one_that_is_null(
    tmp_path: Path,
) -> None:
    """Such as the tables of earlier releases."""
    output = str(tmp_path / "out")
    required = tuple(replace(c, required=True) if c.name == "threshold" else c for c in COLUMNS)
    old = replace(MODELS, columns=required)
    rows = [{"model_digest": "m", "thresholds_digest": "t", **row} for row in TRUST]
    commit_rows(output, old, "r0", rows, "2026-07-01")
    assert not open_table(output, "models").schema().fields[3].nullable
    assert [row["threshold"] for row in known_model(output, "m")] == [0.25, 0.5]

    never = [{**NOTHING, "label": "mine", "threshold": None}]
    publish_model(make_plan(output, "r1", trust=never, thresholds_digest="u"))
    found = ask(output, "SELECT run_id, label, threshold FROM models ORDER BY run_id, label")
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("r0", "mine", 0.5),
        ("r0", "road", 0.25),
        ("r1", "mine", None),
    ]
    compared = ask(output, "SELECT 0.9 >= threshold AS given FROM models WHERE run_id = 'r1'")
    assert compared.to_pylist() == [{"given": None}]
    field = open_table(output, "models").schema().fields[3]
    assert (field.name, field.nullable) == ("threshold", True)


def test_a_plan_of_an_earlier_release_writes_nothing(output: str) -> None:
    plan = make_plan(output)
    publish_run(plan, stage(plan))
    assert labels(output) == []
    assert open_table(output, "models") is None


def test_a_run_is_never_visible_before_its_model(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(output, trust=TRUST)
    staged = stage(plan)
    commit = committing.commit_rows
    monkeypatch.setattr(committing, "commit_rows", dying_at("chip_scores"))
    with pytest.raises(KeyboardInterrupt):
        publish_run(plan, staged)
    assert not is_published(open_table(output, "chip_scores"), "r1")
    assert len(labels(output)) == 2
    monkeypatch.setattr(committing, "commit_rows", commit)
    publish_run(plan, staged)
    assert len(labels(output)) == 2


def test_of_publishers_at_the_same_time_one_writes_the_model(object_store_uri: str) -> None:
    output = f"{object_store_uri}/out"
    plans = [make_plan(output, f"r{n}", trust=TRUST) for n in range(6)]
    threads = [threading.Thread(target=publish_model, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [label for _, _, label, *_ in labels(output)] == ["road", "mine"]
