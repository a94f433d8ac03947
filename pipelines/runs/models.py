"""The rows of `models`: written once for each model and its thresholds, before their first run."""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipelines.runs import committing
from pipelines.runs.run_plan import RunPlan
from pipelines.tables import commits, delta_tables, evolution
from pipelines.tables.parquet_files import write_rows
from schemas.tables import MODELS


def publish_model(plan: RunPlan) -> None:
    """Write what a run's plan says about its model's labels, unless the table has it.

    Several publishers may do so at once: one commit wins, and the others find its rows. Plans of
    earlier releases say nothing, so nothing is written.

    Raises:
        RunFailed: every try met with a conflict.
        StorageError: the table cannot be read or written.
    """
    if not plan.trust:
        return

    def commit() -> None:
        table = evolution.ensure_table(plan.output, MODELS)
        digests = {name: getattr(plan, name) for name in ("model_digest", "thresholds_digest")}
        there = {row["thresholds_digest"] for row in model_rows(table, plan.model_digest)}
        rows = [{**digests, **row} for row in plan.trust]
        rows = [row for row in rows if row["thresholds_digest"] not in there]
        if not rows:
            return
        partition = {"run_date": plan.run_date, "run_id": plan.run_id}
        path = f"{committing.partition_path(plan)}/model-{uuid.uuid4().hex[:8]}.parquet"
        file = write_rows(plan.output, MODELS, path, rows)
        turn = [commits.next_turn(table)]
        commits.commit_files(table, [file], partition, turn, replace=False, metadata=partition)

    commits.commit_in_turn(commit, f"commit the model of run {plan.run_id} to {MODELS.name}")


def known_model(
    output: str, model_digest: str, thresholds_digest: str | None = None
) -> list[dict[str, Any]]:
    """What `models` says about a model, at some thresholds or at any; no rows if there is no such
    table.

    Raises:
        StorageError: the table cannot be read.
    """
    table = delta_tables.open_table(output, MODELS.name)
    return model_rows(table, model_digest, thresholds_digest) if table else []


def model_rows(
    table: DeltaTable, model_digest: str, thresholds_digest: str | None = None
) -> list[dict[str, Any]]:
    """The rows of a model in a snapshot of `models`, at some thresholds or at any."""
    wanted = ds.field("model_digest") == model_digest
    if thresholds_digest is not None:
        wanted &= ds.field("thresholds_digest") == thresholds_digest
    found: list[dict[str, Any]] = (
        delta_tables.open_dataset(table).to_table(filter=wanted).to_pylist()
    )
    return found
