"""The verdict on a run, reached before its commit and told in one line that alarms can look for."""

from __future__ import annotations

import logging

import pyarrow as pa

from pipelines.drift.checks import Night, judge_night, why_skipped
from pipelines.drift.verdicts import Verdict, skipped
from pipelines.errors import StorageError
from pipelines.reports.nights import nights_before, staged_night
from pipelines.run_log import event
from pipelines.runs.counting import RunCounts
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import StagedUnit
from schemas.tables import HELD, SCORE

JUDGED = "run_judged"
"""The event of which every run of an archive logs one; alarms look for it with verdict="bad"."""

_log = logging.getLogger(__name__)


def watch_run(
    plan: RunPlan, counts: RunCounts, units: list[StagedUnit]
) -> tuple[Verdict, list[Night]]:
    """Hold a staged run against the nights before it. That it cannot be judged, since a table
    cannot be read, is no reason not to publish it.

    Returns:
        The verdict, and the nights that it was reached by.
    """
    if plan.kind != SCORE:  # chips chosen by hand are no night
        return Verdict(None, ()), []
    try:
        before = nights_before(plan.output, plan.run_id, plan.model_digest, plan.drift.nights)
        return _judge(plan, counts, units, before), before
    except (StorageError, OSError, pa.ArrowException) as error:
        _log.exception("run %s cannot be judged", plan.run_id)
        return skipped(f"the nights before cannot be read: {error}"), []


def tell_verdict(plan: RunPlan, verdict: Verdict, status: str) -> None:
    """Log the verdict: a warning where it is bad, an error where the run is held for it."""
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
    if why := why_skipped(counts.scored + counts.quarantined, len(before), plan.drift):
        return skipped(why)  # and the staged files are not read for it
    return judge_night(staged_night(plan, counts, units), before, plan.drift)
