"""The verdict on a run: reached before its commit, and logged as one event for alarms."""

from __future__ import annotations

import logging

import pyarrow as pa

from pipelines.drift.checks import Night, judge_night, why_skipped
from pipelines.drift.verdicts import Verdict, skipped
from pipelines.errors import StorageError
from pipelines.reports.nights import nights_before, staged_night
from pipelines.run_log import event
from pipelines.runs import attempts
from pipelines.runs.counting import RunCounts
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import StagedUnit
from schemas.tables import HELD, SCORE

JUDGED = "run_judged"
"""Every run over an archive logs one such event; alarms match it with verdict="bad"."""

_log = logging.getLogger(__name__)


def watch_run(
    plan: RunPlan, counts: RunCounts, units: list[StagedUnit]
) -> tuple[Verdict, list[Night]]:
    """Compare a staged run with the nights before. If a table cannot be read, the run is not
    judged, and can still be published.

    Returns:
        The verdict, and the nights that the run was compared with.
    """
    if plan.kind != SCORE:  # a list of chips is not a night
        return Verdict(None, ()), []
    try:
        before = nights_before(
            plan.output,
            plan.run_id,
            plan.model_digest,
            plan.drift.nights,
            attempts.held_at(plan),  # publishing it later does not compare it with later nights
        )
        return _judge(plan, counts, units, before), before
    except (StorageError, OSError, pa.ArrowException) as error:
        _log.exception("run %s cannot be judged", plan.run_id)
        return skipped(f"the nights before cannot be read: {error}"), []


def log_verdict(plan: RunPlan, verdict: Verdict, status: str) -> None:
    """Log the verdict: a warning if it is bad, an error if the run is held for it."""
    severity = logging.WARNING if verdict.bad else logging.INFO
    event(
        JUDGED,
        logging.ERROR if status == HELD else severity,
        verdict=verdict.verdict,
        run_id=plan.run_id,
        status=status,
        findings=verdict.texts,
    )


def _judge(
    plan: RunPlan, counts: RunCounts, units: list[StagedUnit], before: list[Night]
) -> Verdict:
    if why := why_skipped(counts.scored + counts.rejected, len(before), plan.drift):
        return skipped(why)  # the staged files need not be read
    return judge_night(staged_night(plan, counts, units), before, plan.drift)
