"""A run's row in `runs`: written after its commit or its failure, read for the summary."""

from __future__ import annotations

import json
import logging
import uuid
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc

from pipelines.drift.verdicts import Verdict, findings_json, read_findings
from pipelines.elements import Spent
from pipelines.errors import RunFailed, StorageError
from pipelines.runs import attempts, committing
from pipelines.runs.counting import RunCounts
from pipelines.runs.run_plan import RunPlan
from pipelines.tables import delta_tables, publications
from pipelines.tables.commits import DataFile
from pipelines.tables.parquet_files import write_rows
from schemas.tables import FAILED, HELD, PUBLISHED, RUNS

_TOP_LABELS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSummary:
    """A published run in a few numbers, read from the tables.

    Attributes:
        no_data: windows of scenes without enough data; None if the run scored chips.
        reasons: quarantined chips by reason.
        labels: the ten most frequent labels, with their numbers of chips.
        precision, engine: what the workers used; "" if nothing was scored.
        verdict: how the run compares with the nights before.
    """

    scored: int
    quarantined: int
    no_data: int | None
    reasons: dict[str, int]
    labels: dict[str, int]
    precision: str
    engine: str
    score_seconds: float
    verdict: Verdict


def read_summary(plan: RunPlan) -> RunSummary:
    """A published run's summary, from its record and its rows.

    Raises:
        RunFailed: the run is not published.
    """
    record = read_record(plan.output, plan.run_id)
    if record is None:
        raise RunFailed(f"run {plan.run_id} is not published")
    scores = committing.require_table(plan, "chip_scores")
    labels = delta_tables.open_dataset(scores, [plan.run_id]).to_table(columns=["labels"])["labels"]
    tally = pc.value_counts(pc.list_flatten(labels)).to_pylist()
    counts = Counter({label["values"]: label["counts"] for label in tally})
    return RunSummary(
        scored=record["scored"],
        quarantined=record["quarantined"],
        no_data=record.get("no_data"),
        reasons=json.loads(record["quarantined_by_reason"]),
        labels=dict(counts.most_common(_TOP_LABELS)),
        precision=record["precision"] or "",
        engine=record.get("engine") or "",
        score_seconds=record["score_seconds"],
        verdict=verdict_of(record),
    )


def read_record(output: str, run_id: str) -> dict[str, Any] | None:
    """A run's row in `runs`; None if it has none."""
    runs = delta_tables.open_table(output, RUNS.name)
    if runs is None:
        return None
    found = delta_tables.open_dataset(runs, [run_id]).to_table().to_pylist()
    return found[0] if found else None


def verdict_of(record: dict[str, Any]) -> Verdict:
    """The verdict in a run's row."""
    return Verdict(record["verdict"], read_findings(record["findings"]))


def publish_record(plan: RunPlan, counts: RunCounts, verdict: Verdict) -> None:
    """Write the run's row and commit it, unless that was done before."""
    runs = committing.require_table(plan, RUNS.name)
    if committing.is_done(plan, runs):
        return
    scores = committing.require_table(plan, "chip_scores")
    published_at = publications.committed_at(scores, plan.run_id) or datetime.now(UTC)
    row = _counted(plan, counts, verdict, published_at)
    row |= {"commit_version": publications.commit_version(scores, plan.run_id)}
    file = _write(plan, {**row, "status": PUBLISHED, "published_at": published_at})
    committing.commit_rows(plan, RUNS.name, [file], runs)


def record_hold(plan: RunPlan, counts: RunCounts, verdict: Verdict) -> None:
    """Write a row that says why the run is held. If an earlier attempt is published, its row
    stays."""
    now = datetime.now(UTC)
    row = {**_counted(plan, counts, verdict, now), "status": HELD, "held_at": now}
    _note(plan, {**row, "reason": "; ".join(verdict.texts)})


def record_failure(plan: RunPlan, reason: str) -> None:
    """Write a row that says why the run failed; only a warning if that is impossible.

    If an earlier attempt is published, its row stays. The next attempt's row replaces this one. A
    refusal is reported by the last step, its retries and the launcher; the first row is kept.
    """
    try:
        if not _is_refusal_recorded(plan):
            row = {**_planned(plan, datetime.now(UTC)), "scored": 0, "quarantined": 0}
            _note(plan, {**row, "status": FAILED, "reason": reason})
    except (StorageError, RunFailed) as error:
        _log.warning("run %s: its failure is not in runs: %s", plan.run_id, error)


def _is_refusal_recorded(plan: RunPlan) -> bool:
    record = (
        read_record(plan.output, plan.run_id)
        if attempts.read_reason(plan, attempts.REFUSAL_FILE)
        else None
    )
    planned_at = datetime.fromtimestamp(plan.planned_at, UTC)
    return record is not None and (record["status"], record["planned_at"]) == (FAILED, planned_at)


def _note(plan: RunPlan, row: dict[str, Any]) -> None:
    scores = committing.require_table(plan, "chip_scores")
    if not publications.is_published(scores, plan.run_id):
        committing.commit_note(plan, _write(plan, row))


def _write(plan: RunPlan, row: dict[str, Any]) -> DataFile:
    """A file that is not committed yet. If two processes write the same row, one file of the two
    is committed."""
    path = f"{committing.partition_path(plan)}/run-{plan.attempt}-{uuid.uuid4().hex[:8]}.parquet"
    return write_rows(plan.output, RUNS, path, [row])


def _counted(
    plan: RunPlan, counts: RunCounts, verdict: Verdict, ended_at: datetime
) -> dict[str, Any]:
    """The columns of a run whose units are staged."""
    seconds = {} if counts.score_seconds is None else {"score_seconds": counts.score_seconds}
    return {
        **_planned(plan, ended_at),
        **seconds,
        "verdict": verdict.verdict,
        "findings": findings_json(verdict.findings) if verdict.findings else None,
        "scored": counts.scored,
        "quarantined": counts.quarantined,
        "no_data": counts.no_data_windows,
        "quarantined_by_reason": json.dumps(counts.reasons),
        "held_at": attempts.held_at(plan),
        "precision": counts.precision or None,
        "engine": counts.engine or None,
        "bytes_read": counts.spent.bytes_read,
        "stage_seconds": json.dumps(_seconds(counts.spent)),
    }


def _planned(plan: RunPlan, ended_at: datetime) -> dict[str, Any]:
    """The columns that a run's plan and its end decide."""
    planned_at = datetime.fromtimestamp(plan.planned_at, UTC)
    return {
        "kind": plan.kind,
        "listed": plan.listed,
        "skipped": plan.skipped,
        "left_over": plan.left_over,
        "model_digest": plan.model_digest,
        "thresholds_digest": plan.thresholds_digest,
        "threats": [*plan.threats] or None,
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
