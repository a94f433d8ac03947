"""A run's report: gather its facts, render it, and write it to OUTPUT/reports."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipelines.drift.checks import DriftLimits, Night
from pipelines.errors import StorageError, UsageError
from pipelines.reports.facts import ReportFacts, gather_facts
from pipelines.reports.nights import nights_before
from pipelines.reports.page import render_report
from pipelines.reports.thumbnails import Thumbnail, Wanted, draw_thumbnails
from pipelines.run_log import event
from pipelines.runs import attempts
from pipelines.runs.models import known_model
from pipelines.runs.records import read_record
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.run_rows import RunRows, published_rows, staged_rows
from pipelines.runs.staging import read_units
from pipelines.storage import store
from pipelines.storage.storage_errors import translate_errors
from pipelines.tables.delta_tables import UNREADABLE
from schemas.tables import HELD, SCORE

FOLDER = "reports"
_log = logging.getLogger(__name__)


def report_uri(output: str, run_id: str) -> str:
    """Address of a run's report."""
    return store.join_uri(output, FOLDER, f"{run_id}.html")


def write_report(
    output: str, run_id: str, before: Sequence[Night] | None = None, unproven: bool = False
) -> str:
    """Write a run's report, replacing an earlier one; returns its address.

    Args:
        before: the nights that the run is compared with; looked up by default.
        unproven: whether labels that are not proven are shown.

    Raises:
        UsageError: there is no such run.
        StorageError: a table cannot be read, or the report cannot be written.
    """
    with translate_errors("read the rows of", f"run {run_id}", UNREADABLE):
        record = read_record(output, run_id)
        if record is None:
            raise UsageError(f"no run {run_id!r} in {output!r}")
        if before is None:
            before = _nights_before(output, record)
        rows, trust = _rows(output, record), _trust(output, record)
        facts = gather_facts(record, rows, before, trust, unproven)
    uri = report_uri(output, run_id)
    store.write_bytes(uri, render_report(facts, _draw(facts)).encode())
    return uri


def try_report(plan: RunPlan, before: Sequence[Night]) -> None:
    """Write the report of a finished run; an error is logged and does not fail the run."""
    try:
        uri = write_report(plan.output, plan.run_id, before)
    except Exception as error:
        is_bug = not isinstance(error, StorageError)
        _log.error(
            "run %s: its report could not be written: %s", plan.run_id, error, exc_info=is_bug
        )
        event("report_failed", logging.ERROR, run_id=plan.run_id, reason=str(error))
    else:
        event("report_written", uri=uri)


def _nights_before(output: str, record: dict[str, Any]) -> list[Night]:
    """The nights that a run was compared with, if they are still published: those published before
    it, or before it was held or planned."""
    if record["kind"] != SCORE:
        return []
    drift = json.loads(record["options"]).get("drift", {})
    return nights_before(
        output,
        record["run_id"],
        record["model_digest"],
        drift.get("nights", DriftLimits().nights),
        _held_at(output, record) or record["published_at"] or record["planned_at"],
    )


def _held_at(output: str, record: dict[str, Any]) -> datetime | None:
    """When a run was held; rows of earlier releases do not say it."""
    if record["status"] != HELD or record.get("held_at"):
        return record.get("held_at")
    plan = attempts.find_attempt(output, record["run_id"])[1]
    return attempts.held_at(plan) if plan else None


def _rows(output: str, record: dict[str, Any]) -> RunRows:
    """The rows of a published run, or the staged rows of a held run."""
    if record["status"] == HELD:
        plan = attempts.find_attempt(output, record["run_id"])[1]
        return staged_rows(read_units(plan.staging, range(len(plan.unit_rows))) if plan else [])
    return published_rows(output, record["run_id"])


def _trust(output: str, record: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What is known of the run's labels: by `models`, or by the plan of a run that is held."""
    digests = record["model_digest"], record["thresholds_digest"]
    if found := known_model(output, *digests) or known_model(output, digests[0]):
        return found
    plan = attempts.find_staged(output, record["run_id"]) if record["status"] == HELD else None
    return plan.trust if plan else []


def _draw(facts: ReportFacts) -> dict[str, Thumbnail]:
    chips = {chip.chip_uri: chip for some in facts.rare.values() for chip in some}
    wanted = [Wanted(*chip[1:]) for chip in chips.values()]
    return dict(zip(chips, draw_thumbnails(wanted), strict=True))
