"""Nights of one unit, planned, staged and published by hand, for tests of drift and reports."""

from __future__ import annotations

from typing import Any

from pipelines.drift.checks import DriftLimits
from pipelines.publishing.publishing import publish_run
from pipelines.runs.run_plan import RunPlan, store_plan
from pipelines.runs.staging import stage_unit
from pipelines.tables import delta_tables
from tests.support.staged_runs import CHIPS, labelled, make_plan

HOLD = DriftLimits(hold=True)


def planned(output: str, run_id: str, scored: int = 100, bad: int = 0, **changes: Any) -> RunPlan:
    """The stored plan of a night of one unit."""
    scores = delta_tables.open_table(output, "chip_scores")
    plan = make_plan(
        output,
        run_id,
        listed=scored + bad,
        skipped=0,
        unit_rows=(scored + bad,) if scored + bad else (),
        scores_version=scores.version(),
        **changes,
    )
    return store_plan(plan, CHIPS.to_reader())


def night(
    output: str, run_id: str, scored: int = 100, bad: int = 0, highest: float = 1.0, **changes: Any
) -> RunPlan:
    """A night, staged and published; its scores go from 0 up to the highest."""
    plan = planned(output, run_id, scored, bad, **changes)
    units = [stage_unit([labelled(0, 0, scored, bad, True, highest)], plan.staging)]
    publish_run(plan, units if scored + bad else [])
    return plan


def three_nights(output: str) -> None:
    """Publish three similar nights."""
    for number in range(3):
        night(output, f"n{number}")
