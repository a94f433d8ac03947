"""Score a planned run and publish it, for every command that scores.

start = start_run(options, flags)
if start.is_over:
    return end_run(start)
plan = resume_run(start) or plan_run(start, chips)
return score(start, plan)
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from beam_jobs.dataflow import job_flags
from beam_jobs.engine import launch
from beam_jobs.options.run_options import RunOptions
from beam_jobs.running.starting import RunStart
from beam_jobs.running.summary import hold_text, plan_text, report_outcome
from pipelines.commands import EXIT_BAD_NIGHT, is_interruption
from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.publishing import publishing
from pipelines.run_log import event
from pipelines.runs import attempts, records, staging
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging_folders import drop_old
from pipelines.wording import count_of
from schemas.artifact import ArtifactError
from schemas.tables import SCORE

_REASON_CHARACTERS = 1000  # an engine may wrap an error in pages of text


def end_run(start: RunStart) -> int:
    """Print why a run that is published or held has nothing to score; returns the exit code."""
    options = start.options
    if start.begun and start.hold:
        print(hold_text(start.begun, start.hold))
        return EXIT_BAD_NIGHT
    publishing.finish_record(options.output, options.run_id)
    advice = "; another --run_id scores new chips, --rescore replaces this run"
    print(f"run {options.run_id} is published already{advice if options.kind == SCORE else ''}")
    if launch.only_submits(options.beam_args):
        launch.submit_nothing(job_flags.launch_flags(options, 0))
        return 0
    return _code_of_published(options)


def score(start: RunStart, plan: RunPlan) -> int:
    """Score a planned run and publish it; returns the exit code.

    Raises:
        RunFailed: nothing was published.
    """
    options = start.options
    if options.plan_only:
        print(plan_text(plan))
        return 0
    older_than = datetime.now(UTC) - timedelta(days=options.keep_staging_days)
    drop_old(plan.output, older_than, keep=plan.staging)
    try:
        counters = _score(start, plan)
    except (Exception, KeyboardInterrupt) as error:
        if not (is_interruption(error) and _is_published(plan)):
            _record_failure(start, plan, error)
            raise
        print(f"run {plan.run_id} was stopped, but it is published", file=sys.stderr)
        _complete(plan)
        counters = {}
    if launch.only_submits(options.beam_args):
        print(f"run {plan.run_id}: the job is submitted, and publishes the run at its end")
        return 0
    return report_outcome(plan, counters)


def _score(start: RunStart, plan: RunPlan) -> dict[str, int]:
    """Score the units that are not staged, and publish; returns the engine's counters."""
    options, staged = start.options, staging.staged_numbers(plan.staging)
    units = sorted(set(range(len(plan.unit_rows))).difference(staged))
    _announce(plan, staged)
    if not units and not launch.only_submits(options.beam_args):
        options.reading(plan.output, lambda: publishing.publish_run(plan, []))
        return {}
    from pipelines.batch_scoring import ScoreArchive

    graph = ScoreArchive(
        *(plan, units, start.artifact, options.batch_size, options.precision, start.settings),
        engine=options.engine,
        signed=options.trusted_key is not None,
    )
    beam_args = job_flags.launch_flags(options, len(units))
    try:
        return launch.run_graph(graph, beam_args, plan.to_score, _progress(plan, staged))
    except Exception as error:
        if publishing.is_visible(plan):  # by this start, or by another that took the staged files
            _complete(plan)
            return {}
        if failed := _refusal_or_failure(plan, error):
            raise failed from error
        raise


def _announce(plan: RunPlan, staged: Sequence[int]) -> None:
    event(
        "run_planned",
        listed=plan.listed,
        to_score=plan.to_score,
        left_over=plan.left_over,
        units=len(plan.unit_rows),
        units_staged_before=len(staged),
        plan_seconds=plan.planned_at - plan.started_at,
    )
    staged_before = f", {len(staged):,} of {len(plan.unit_rows):,} units staged before"
    left_over = f", {plan.left_over:,} left to the next run" if plan.left_over else ""
    print(
        f"run {plan.run_id}: {count_of(plan.listed, 'chip')} listed, {plan.to_score:,} to score"
        f"{left_over}{staged_before if staged else ''}",
        flush=True,
    )


def _progress(plan: RunPlan, staged: Sequence[int]) -> Callable[[], int]:
    """Returns the number of chips done: counted in this process or, if the engine works in
    others, by what they have staged."""
    from pipelines.metrics import chips_counted

    before, resumed = chips_counted(), sum(plan.unit_rows[number] for number in staged)

    def chips_done() -> int:
        here = chips_counted() - before
        return resumed + here if here else publishing.staged_chips(plan)

    return chips_done


def _refusal_or_failure(plan: RunPlan, error: Exception) -> RunFailed | None:
    """What an engine's error means in one line; None if it is a bug.

    The engines wrap what a worker raises; if the last step refused to publish, it has left the
    reason in the staging folder.
    """
    if reason := attempts.read_reason(plan, attempts.REFUSAL_FILE):
        return RunFailed(reason)
    if isinstance(
        error, UsageError | ArtifactError
    ):  # chips were read, so this is no longer a usage error
        return RunFailed(f"{error}; nothing was published")
    if message := launch.error_in(error):
        return RunFailed(f"{message}; nothing was published")
    return None


def _is_published(plan: RunPlan) -> bool:
    """Whether readers see the run already; False if that cannot be found out."""
    try:
        return publishing.is_visible(plan)
    except (StorageError, RunFailed):
        return False


def _complete(plan: RunPlan) -> None:
    """Finish a run whose chips readers see already.

    Raises:
        RunFailed: its record cannot be written.
    """
    try:
        publishing.publish_run(plan, [])
    except StorageError as error:
        raise RunFailed(
            f"{error}; its chips are published, and the same command with the same --run_id "
            "writes what is missing"
        ) from error


def _record_failure(start: RunStart, plan: RunPlan, error: BaseException) -> None:
    """Log why the run failed, and write it to `runs`."""
    severity = logging.ERROR
    if is_interruption(error):
        reason = "it was interrupted"
    else:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[-1][:_REASON_CHARACTERS]
        if start.options.log_format == "text":  # for people, who read it in the last line, too
            severity = logging.INFO
    event("run_failed", severity, reason=reason)
    records.record_failure(plan, reason)


def _code_of_published(options: RunOptions) -> int:
    record = records.read_record(options.output, options.run_id)
    return EXIT_BAD_NIGHT if record and records.verdict_of(record).bad else 0
