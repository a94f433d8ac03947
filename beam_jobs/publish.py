"""Publish a run that is staged completely, or held.

Publishes what a dead run staged, by its stored plan, if no unit is missing. Scores nothing. Also
publishes a run that is held for its verdict, and one that was refused for its share of quarantined
chips if `--max_quarantine_ratio` now allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.run_names import OneRunOptions
from beam_jobs.running.summary import report_outcome, summary_text
from pipelines.commands import CommandLine, run_command
from pipelines.errors import RunFailed, UsageError
from pipelines.flags import flag, ratio
from pipelines.publishing import publishing
from pipelines.runs import attempts, records
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import staged_numbers
from pipelines.storage.store import configure
from pipelines.tables import delta_tables, publications
from schemas.tables import RELABEL, REPLAY


@dataclass(frozen=True, kw_only=True)
class PublishOptions(OneRunOptions, ReaderOptions):
    """The options of the command."""

    max_quarantine_ratio: float | None = flag(
        "Publish nothing if a larger share of the chips is quarantined. Default: the run's own.",
        ratio,
        default=None,
    )


LINE = CommandLine("beam_jobs.publish", PublishOptions, __doc__ or "")


def main(arguments: Sequence[str]) -> int:
    """Publish one staged run.

    Raises:
        UsageError: nothing is staged for it.
        RunFailed: what is staged may not be published.
        StorageError: a table or a staged file cannot be read or written.
    """
    options = LINE.parse(arguments)
    configure(options.stores)
    output, run_id = options.output, options.run_id
    plan = attempts.find_staged(output, run_id)
    if plan is None:
        _end_published(output, run_id)
        return 0
    if options.max_quarantine_ratio is not None:
        plan = replace(plan, max_quarantine_ratio=options.max_quarantine_ratio)
    _check_whole(plan)
    if attempts.read_reason(plan, attempts.HOLD_FILE):  # an operator has looked at it
        plan = replace(plan, drift=replace(plan.drift, hold=False))
        options.reading(output, lambda: publishing.publish_run(plan, []))
        print(summary_text(plan, records.read_summary(plan)))
        return 0
    options.reading(output, lambda: publishing.publish_run(plan, []))
    return report_outcome(plan)


def _end_published(output: str, run_id: str) -> None:
    scores = delta_tables.open_table(output, "chip_scores")
    if not publications.is_published(scores, run_id):
        raise UsageError(f"nothing is staged for run {run_id!r} in {output!r}")
    publishing.finish_record(output, run_id)
    print(f"run {run_id} is published already")


def _check_whole(plan: RunPlan) -> None:
    """Check before anything is changed: a run with missing units can still be resumed."""
    units = range(len(plan.unit_rows))
    if missing := sorted(set(units).difference(staged_numbers(plan.staging))):
        raise RunFailed(
            f"run {plan.run_id}: {len(missing)} of {len(units)} units are not staged (first: unit "
            f"{missing[0]}); nothing was published; to score them: {_command(plan)}"
        )


def _command(plan: RunPlan) -> str:
    """The command that stages the missing units."""
    where, run = f"--output {plan.output}", f"run_id {plan.run_id}"
    if plan.kind == RELABEL:
        command = f"relabel_chips --thresholds {plan.artifact} {where} --{run}"
    elif plan.kind == REPLAY:
        command = f"replay_quarantine --artifact {plan.artifact} {where} --new_{run}"
    else:
        chips = plan.options.get("chips", "CHIPS")
        command = f"score_chips --chips {chips} --artifact {plan.artifact} {where} --{run}"
    return f"python -m beam_jobs.{command}"


if __name__ == "__main__":
    run_command(main)
