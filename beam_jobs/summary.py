"""What became of a run, in a few lines for whoever started it."""

from __future__ import annotations

from pipelines import storage
from pipelines.planning import RunPlan
from pipelines.records import RunSummary

_TABLES = ("chip_scores", "quarantine", "runs")


def summary_text(plan: RunPlan, summary: RunSummary) -> str:
    """Counts, rate, reasons, labels, and where the tables lie."""
    counts = f"{summary.scored} scored, {summary.quarantined} quarantined, {plan.skipped} skipped"
    left_over = f", {plan.left_over} left to the next run" if plan.left_over else ""
    rate = plan.to_score / summary.score_seconds
    lines = [
        f"run {plan.run_id} of {plan.run_date} published: {counts}{left_over}",
        f"  rate        {rate:,.1f} chips/s over {summary.score_seconds:,.1f} s, "
        f"start of the model included{_in_precision(summary)}",
        f"  quarantined {_listed(summary.reasons)}",
        f"  labels      {_listed(summary.labels)}",
    ]
    tables = [f"  {name:<11} {storage.join_uri(plan.output, name)}" for name in _TABLES]
    return "\n".join([*lines, *tables])


def _in_precision(summary: RunSummary) -> str:
    return f", {summary.precision}" if summary.precision else ""


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
