"""A run's row in `runs`: written after its commit or its failure, read for who started it."""

from __future__ import annotations

import json
import logging
import uuid
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines import committing, delta_tables, storage
from pipelines.counting import RunCounts
from pipelines.delta_tables import DataFile
from pipelines.elements import Spent
from pipelines.errors import RunFailed, StorageError
from pipelines.planning import RunPlan
from pipelines.staging import parquet_bytes
from schemas.render import file_schema
from schemas.tables import FAILED, PUBLISHED, RUNS

_TOP_LABELS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSummary:
    """A published run in a few numbers, read from the tables.

    Attributes:
        reasons: quarantined chips by reason.
        labels: the ten most frequent labels and their numbers of chips.
        precision: what the workers computed in; "" where nothing was scored.
    """

    scored: int
    quarantined: int
    reasons: dict[str, int]
    labels: dict[str, int]
    precision: str
    score_seconds: float


def read_summary(plan: RunPlan) -> RunSummary:
    """What was published of a run, from its record and its rows.

    Raises:
        RunFailed: the run is not published.
    """
    records = _rows_of_run(plan, "runs").to_table().to_pylist()
    if not records:
        raise RunFailed(f"run {plan.run_id} is not published")
    labels = _rows_of_run(plan, "chip_scores").to_table(columns=["labels"])["labels"]
    tally = pc.value_counts(pc.list_flatten(labels)).to_pylist()
    counts = Counter({label["values"]: label["counts"] for label in tally})
    return RunSummary(
        scored=records[0]["scored"],
        quarantined=records[0]["quarantined"],
        reasons=json.loads(records[0]["quarantined_by_reason"]),
        labels=dict(counts.most_common(_TOP_LABELS)),
        precision=records[0]["precision"] or "",
        score_seconds=records[0]["score_seconds"],
    )


def publish_record(plan: RunPlan, counts: RunCounts) -> None:
    """Write the run's row and commit it, unless that was done before."""
    if committing.is_done(plan, committing.open_table(plan, RUNS.name)):
        return
    file = _write(plan, _published_row(plan, counts))
    committing.commit_rows(plan, RUNS.name, [file])


def record_failure(plan: RunPlan, reason: str) -> None:
    """Leave a row that says why the run failed, where that can be done.

    A run that is published, if by an earlier attempt, keeps its row. The row stands until the
    next attempt's takes its place.
    """
    try:
        scores = committing.open_table(plan, "chip_scores")
        if delta_tables.is_published(scores, plan.run_id):
            return
        committing.commit_failure(plan, _write(plan, _failed_row(plan, reason)))
    except (StorageError, RunFailed) as error:
        _log.warning("run %s: its failure is not in runs: %s", plan.run_id, error)


def _write(plan: RunPlan, row: dict[str, Any]) -> DataFile:
    """A file that is not committed yet. Two who write the same row write two files, one of which
    is committed."""
    path = f"{committing.partition_path(plan)}/run-{plan.attempt}-{uuid.uuid4().hex[:8]}.parquet"
    data = parquet_bytes(pa.Table.from_pylist([row], schema=file_schema(RUNS)))
    storage.write_bytes(storage.join_uri(plan.output, RUNS.name, path), data)
    return DataFile(path, len(data), 1)


def _published_row(plan: RunPlan, counts: RunCounts) -> dict[str, Any]:
    scores = committing.open_table(plan, "chip_scores")
    published_at = delta_tables.committed_at(scores, plan.run_id) or datetime.now(UTC)
    return {
        **_planned(plan, published_at),
        "status": PUBLISHED,
        "scored": counts.scored,
        "quarantined": counts.quarantined,
        "quarantined_by_reason": json.dumps(counts.reasons),
        "precision": counts.precision or None,
        "bytes_read": counts.spent.bytes_read,
        "stage_seconds": json.dumps(_seconds(counts.spent)),
        "published_at": published_at,
    }


def _failed_row(plan: RunPlan, reason: str) -> dict[str, Any]:
    nothing = {"scored": 0, "quarantined": 0}
    return {**_planned(plan, datetime.now(UTC)), **nothing, "status": FAILED, "reason": reason}


def _planned(plan: RunPlan, ended_at: datetime) -> dict[str, Any]:
    """What is known of a run by its plan, and when it ended."""
    planned_at = datetime.fromtimestamp(plan.planned_at, UTC)
    return {
        "kind": plan.kind,
        "listed": plan.listed,
        "skipped": plan.skipped,
        "left_over": plan.left_over,
        "model_digest": plan.model_digest,
        "thresholds_digest": plan.thresholds_digest,
        "versions": json.dumps(dict(plan.versions)),
        "options": json.dumps(dict(plan.options)),
        "started_at": datetime.fromtimestamp(plan.started_at, UTC),
        "planned_at": planned_at,
        "plan_seconds": plan.planned_at - plan.started_at,
        "score_seconds": (ended_at - planned_at).total_seconds(),
    }


def _seconds(spent: Spent) -> dict[str, float]:
    """Stage to seconds."""
    times = {name: value for name, value in asdict(spent).items() if name.endswith("_ms")}
    return {name.removesuffix("_ms"): round(value / 1000, 3) for name, value in times.items()}


def _rows_of_run(plan: RunPlan, name: str) -> ds.Dataset:
    return delta_tables.open_dataset(committing.open_table(plan, name), [plan.run_id])
