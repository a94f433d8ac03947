"""Finish a dead run: `python -m beam_jobs.publish --output URI --run_id ID`.

Publishes what the run had staged, by its stored plan, if that is whole; scores nothing. Also
publishes a run that is held for its verdict, and one that was refused for its quarantine, where
`--max_quarantine_ratio` now allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from beam_jobs.command import CommandParser
from beam_jobs.options.flag_types import ratio
from beam_jobs.options.run_options import checked_run_id
from beam_jobs.options.store_options import parse_and_configure
from beam_jobs.running.summary import report_outcome, summary_text
from pipelines.commands import run_command
from pipelines.errors import RunFailed, UsageError
from pipelines.publishing import publishing
from pipelines.runs import attempts, records
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import staged_numbers
from pipelines.storage.store import absolute_uri
from pipelines.tables import delta_tables
from schemas.tables import RELABEL, REPLAY


def main(arguments: Sequence[str]) -> int:
    """Publish one staged run.

    Raises:
        UsageError: nothing is staged for it.
        RunFailed: what is staged may not be published.
        StorageError: a table or a staged file cannot be read or written.
    """
    parser = CommandParser(prog="python -m beam_jobs.publish", description=__doc__ or "")
    parser.add_argument("--output", required=True, metavar="URI", help="where the tables lie")
    parser.add_argument("--run_id", required=True, metavar="ID", help="the run to finish")
    default = "share over which nothing is published; default: as the run was planned"
    parser.add_argument("--max_quarantine_ratio", type=ratio, metavar="R", help=default)
    options = parse_and_configure(parser, arguments)
    output, run_id = absolute_uri(options.output), checked_run_id(options.run_id)
    plan = attempts.find_staged(output, run_id)
    if plan is None:
        _end_published(output, run_id)
        return 0
    if options.max_quarantine_ratio is not None:
        plan = replace(plan, max_quarantine_ratio=options.max_quarantine_ratio)
    _check_whole(plan)
    if attempts.read_hold(plan):  # somebody has looked at it
        publishing.publish_run(replace(plan, drift=replace(plan.drift, hold=False)), [])
        print(summary_text(plan, records.read_summary(plan)))
        return 0
    publishing.publish_run(plan, [])
    return report_outcome(plan)


def _end_published(output: str, run_id: str) -> None:
    scores = delta_tables.open_table(output, "chip_scores")
    if scores is None or not delta_tables.is_published(scores, run_id):
        raise UsageError(f"nothing is staged for run {run_id!r} in {output!r}")
    publishing.finish_record(output, run_id)
    print(f"run {run_id} is published already")


def _check_whole(plan: RunPlan) -> None:
    """Before anything is touched: a run that lacks units can still go on."""
    units = range(len(plan.unit_rows))
    if missing := sorted(set(units).difference(staged_numbers(plan.staging))):
        raise RunFailed(
            f"run {plan.run_id}: {len(missing)} of {len(units)} units are not staged (first: unit "
            f"{missing[0]}); nothing was published; to {_going_on(plan)}"
        )


def _going_on(plan: RunPlan) -> str:
    """What makes the missing units, and its command."""
    where, run = f"--output {plan.output}", f"run_id {plan.run_id}"
    if plan.kind == RELABEL:
        command = f"relabel_chips --thresholds {plan.artifact} {where} --{run}"
    elif plan.kind == REPLAY:
        command = f"replay_quarantine --artifact {plan.artifact} {where} --new_{run}"
    else:
        chips = plan.options.get("chips", "CHIPS")
        command = f"score_chips --chips {chips} --artifact {plan.artifact} {where} --{run}"
    return f"score them: python -m beam_jobs.{command}"


if __name__ == "__main__":
    run_command(main)
