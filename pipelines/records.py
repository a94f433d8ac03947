"""A run's row in `runs`: written after its commit, read for whoever started it."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines import committing, delta_tables, storage
from pipelines.counting import RunCounts
from pipelines.delta_tables import DataFile
from pipelines.errors import RunFailed
from pipelines.planning import RunPlan
from pipelines.staging import parquet_bytes
from schemas.render import file_schema
from schemas.tables import PUBLISHED, RUNS

_TOP_LABELS = 10


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
    if committing.is_done(plan, committing.open_table(plan, "runs")):
        return
    # Two who publish the same attempt write two files, one of which is committed.
    path = f"{committing.partition_path(plan)}/run-{plan.attempt}-{uuid.uuid4().hex[:8]}.parquet"
    data = parquet_bytes(_record(plan, counts))
    storage.write_bytes(storage.join_uri(plan.output, "runs", path), data)
    committing.commit_rows(plan, "runs", [DataFile(path, len(data), 1)])


def _record(plan: RunPlan, counts: RunCounts) -> pa.Table:
    scores = committing.open_table(plan, "chip_scores")
    published_at = delta_tables.committed_at(scores, plan.run_id) or datetime.now(UTC)
    planned_at = datetime.fromtimestamp(plan.planned_at, UTC)
    row = {
        "kind": plan.kind,
        "status": PUBLISHED,
        "listed": counts.listed,
        "skipped": counts.skipped,
        "scored": counts.scored,
        "quarantined": counts.quarantined,
        "quarantined_by_reason": json.dumps(counts.reasons),
        "model_digest": plan.model_digest,
        "thresholds_digest": plan.thresholds_digest,
        "precision": counts.precision or None,
        "versions": json.dumps(dict(plan.versions)),
        "options": json.dumps(dict(plan.options)),
        "started_at": datetime.fromtimestamp(plan.started_at, UTC),
        "planned_at": planned_at,
        "published_at": published_at,
        "plan_seconds": plan.planned_at - plan.started_at,
        "score_seconds": (published_at - planned_at).total_seconds(),
    }
    return pa.Table.from_pylist([row], schema=file_schema(RUNS))


def _rows_of_run(plan: RunPlan, name: str) -> ds.Dataset:
    return delta_tables.open_dataset(committing.open_table(plan, name), [plan.run_id])
