"""How a run ended, in a few lines for the person who started it."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.commands import EXIT_BAD_NIGHT
from pipelines.drift.verdicts import Verdict
from pipelines.reports.reporting import report_uri
from pipelines.runs import attempts, records
from pipelines.runs.records import RunSummary
from pipelines.runs.run_plan import RunPlan
from pipelines.storage import store
from pipelines.wording import count_of
from schemas.tables import READ_ORDER, QuarantineReason


def report_outcome(plan: RunPlan, counters: Mapping[str, int] | None = None) -> int:
    """Print how a run ended: published or held; returns the exit code.

    Args:
        counters: what the engine counted since this start, retried bundles included; None if no
            engine ran.
    """
    if reason := attempts.read_reason(plan, attempts.HOLD_FILE):
        print(hold_text(plan, reason))
        return EXIT_BAD_NIGHT
    summary = records.read_summary(plan)
    print(summary_text(plan, summary))
    if counters:
        print(f"  counters    {_listed(counters)}")
    return EXIT_BAD_NIGHT if summary.verdict.bad else 0


def hold_text(plan: RunPlan, reason: str) -> str:
    """Why a run is held, and what to do."""
    publish = f"python -m beam_jobs.publish --output {plan.output} --run_id {plan.run_id}"
    return (
        f"run {plan.run_id} of {plan.run_date} is held, and nothing was published: {reason}\n"
        f"  to publish it anyway: {publish}" + "".join(f"\n{line}" for line in _report_line(plan))
    )


def plan_text(plan: RunPlan) -> str:
    """What a planned run will do, and how to start it."""
    counts = f"{plan.to_score:,} to score, {plan.skipped:,} skipped, {plan.left_over:,} left over"
    listed = f"{count_of(plan.listed, 'chip')} listed"
    return "\n".join(
        [
            f"run {plan.run_id} of {plan.run_date} is planned: {listed}, {counts}",
            f"  manifest    {plan.manifest}",
            f"  to score it: the same flags with --run_id {plan.run_id}, without --plan_only",
        ]
    )


def summary_text(plan: RunPlan, summary: RunSummary) -> str:
    """Counts, rate, reasons, labels, and the addresses of the tables and the report; for a run
    without new chips only counts, verdict and report."""
    no_data = summary.reasons.get(QuarantineReason.NO_DATA, 0)
    windows = "" if summary.no_data is None else f"{summary.no_data} no data, "
    quarantined = f"{windows}{summary.quarantined} quarantined" + (
        f" ({no_data} no data)" if no_data else ""
    )
    counts = f"{summary.scored} scored, {quarantined}, {plan.skipped} skipped"
    left_over = f", {plan.left_over} left to the next run" if plan.left_over else ""
    first = f"run {plan.run_id} of {plan.run_date} published: {counts}{left_over}"
    if not plan.to_score:
        return "\n".join([first, *_verdict_line(summary.verdict), *_report_line(plan)])
    rate = plan.to_score / max(summary.score_seconds, 1e-3)
    lines = [
        first,
        f"  rate        {rate:,.1f} chips/s over {summary.score_seconds:,.1f} s, "
        f"including the start of the model{_computed(summary)}",
        f"  quarantined {_listed(summary.reasons)}",
        f"  labels      {_listed(summary.labels)}",
    ]
    lines += _verdict_line(summary.verdict)
    names = [table.name for table in READ_ORDER]
    tables = [f"  {name:<11} {store.join_uri(plan.output, name)}" for name in names]
    return "\n".join([*lines, *tables, *_report_line(plan)])


def _report_line(plan: RunPlan) -> list[str]:
    """No line if the report could not be written."""
    uri = report_uri(plan.output, plan.run_id)
    return [f"  report      {uri}"] if store.head_object(uri) else []


def _verdict_line(verdict: Verdict) -> list[str]:
    """No line for a run without a drift check."""
    parts = [verdict.verdict, *verdict.texts] if verdict.verdict else verdict.texts
    return [f"  verdict     {'; '.join(parts)}"] if parts else []


def _computed(summary: RunSummary) -> str:
    return "".join(f", {used}" for used in (summary.precision, summary.engine) if used)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
