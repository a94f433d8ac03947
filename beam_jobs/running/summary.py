"""What became of a run, in a few lines for whoever started it."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.commands import EXIT_BAD_NIGHT
from pipelines.drift.verdicts import Verdict
from pipelines.runs import attempts, records
from pipelines.runs.records import RunSummary
from pipelines.runs.run_plan import RunPlan
from pipelines.storage import store
from pipelines.wording import count_of

_TABLES = ("chip_scores", "quarantine", "runs")


def told_outcome(plan: RunPlan, counters: Mapping[str, int] | None = None) -> int:
    """Tell what the graph's last step made of a run; gives the exit code.

    Args:
        counters: what the engine counted, where one ran: of this start alone, with the bundles
            that it tried again.
    """
    if reason := attempts.read_hold(plan):
        print(held_text(plan, reason))
        return EXIT_BAD_NIGHT
    summary = records.read_summary(plan)
    print(summary_text(plan, summary))
    if counters is not None:
        print(f"  counters    {_listed(counters)}")
    return EXIT_BAD_NIGHT if summary.verdict.bad else 0


def held_text(plan: RunPlan, reason: str) -> str:
    """Why a run is held, and what to do."""
    publish = f"python -m beam_jobs.publish --output {plan.output} --run_id {plan.run_id}"
    return (
        f"run {plan.run_id} of {plan.run_date} is held, and nothing was published: {reason}\n"
        f"  to publish it all the same: {publish}"
    )


def plan_text(plan: RunPlan) -> str:
    """What a run is to do, and how it is gone on with."""
    counts = f"{plan.to_score:,} to score, {plan.skipped:,} skipped, {plan.left_over:,} left over"
    listed = f"{count_of(plan.listed, 'chip')} listed"
    return "\n".join(
        [
            f"run {plan.run_id} of {plan.run_date} is planned: {listed}, {counts}",
            f"  manifest    {plan.manifest}",
            f"  to score it, give the same flags with --run_id {plan.run_id}, without --plan_only",
        ]
    )


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
    lines += _told_verdict(summary.verdict)
    tables = [f"  {name:<11} {store.join_uri(plan.output, name)}" for name in _TABLES]
    return "\n".join([*lines, *tables])


def _told_verdict(verdict: Verdict) -> list[str]:
    """A run that nobody looked at has none to tell."""
    if not verdict.findings:
        return []
    told = [f"{verdict.verdict or 'none'}", *verdict.texts]
    return [f"  verdict     {'; '.join(told)}"]


def _in_precision(summary: RunSummary) -> str:
    return f", {summary.precision}" if summary.precision else ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
