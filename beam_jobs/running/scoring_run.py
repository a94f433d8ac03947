"""One run, from chosen chips to published tables, for every command that scores.

Plan in the launcher, run the graph, tell what came of it. Whatever can be known to be wrong is
said before work starts, and before TensorFlow is loaded.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from beam_jobs.dataflow import job_flags
from beam_jobs.engine import launch
from beam_jobs.options.run_options import RunOptions
from beam_jobs.running.resuming import resume_plan
from beam_jobs.running.summary import held_text, plan_text, told_outcome
from beam_jobs.running.versions import installed_versions
from pipelines.commands import EXIT_BAD_NIGHT, is_interruption
from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.planning.done import scores_version
from pipelines.planning.selection import Selection
from pipelines.publishing import publishing
from pipelines.run_log import RunLog, event
from pipelines.runs import attempts, records, run_plan, staging
from pipelines.runs.run_plan import RunPlan
from pipelines.scoring.classifier import check_precision, open_artifact
from pipelines.scoring.devices import has_gpu_device
from pipelines.storage.worker_settings import WorkerSettings
from pipelines.tables import delta_tables
from pipelines.wording import count_of
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.tables import QUARANTINE, RUNS, SCORE, Table, chip_scores

Select = Callable[[ModelArtifact], Selection]
"""Gives the chips to score."""

_REASON_CHARACTERS = 1000  # an engine may wrap an error in pages of text


def run_scoring(options: RunOptions, our_flags: Sequence[str], select: Select) -> int:
    """Plan a run, or go on with one; score and publish it; gives the exit code.

    Args:
        our_flags: the command's flags that are not Beam's.
        select: asked for the chips once all else is found right.

    Raises:
        UsageError: wrong use; nothing was done.
        RunFailed: nothing was published.
    """
    settings = WorkerSettings(RunLog(options.run_id, options.log_format), options.stores)
    settings.apply()
    artifact = check_run(options, our_flags)
    attempt, begun = _find_attempt(options)
    if not options.rescore and _is_published(options):
        publishing.finish_record(options.output, options.run_id)
        replace = "; --rescore replaces it" if options.kind == SCORE else ""
        print(f"run {options.run_id} is published already{replace}")
        if launch.only_submits(options.beam_args):
            launch.submit_nothing(job_flags.launch_flags(options, 0))
            return 0
        return _code_of_published(options)
    if begun and (reason := attempts.read_hold(begun)):
        print(held_text(begun, reason))
        return EXIT_BAD_NIGHT
    plan = resume_plan(begun or _plan(options, artifact, attempt, select), options, artifact)
    if options.plan_only:
        print(plan_text(plan))
        return 0
    _drop_old_staging(plan, options)
    try:
        counters = _score(plan, options, artifact, settings)
    except (Exception, KeyboardInterrupt) as error:
        _tell_failure(plan, error)
        raise
    if launch.only_submits(options.beam_args):
        print(f"run {plan.run_id}: the job is submitted, and publishes the run at its end")
        return 0
    return told_outcome(plan, counters)


def _tell_failure(plan: RunPlan, error: BaseException) -> None:
    """Leave the reason where those look who did not start the run."""
    if is_interruption(error):
        reason = "it was interrupted"
    else:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[-1][:_REASON_CHARACTERS]
    event("run_failed", logging.ERROR, reason=reason)
    records.record_failure(plan, reason)


def check_run(options: RunOptions, our_flags: Sequence[str]) -> ModelArtifact:
    """All that can be refused before anything is listed; gives the artifact.

    Raises:
        UsageError: flags, artifact or precision.
    """
    launch.check_beam_args(options.beam_args, our_flags)
    job_flags.check_launch(options)
    try:
        _, artifact = open_artifact(options.artifact)
    except (ArtifactError, StorageError) as error:
        raise UsageError(f"--artifact: {error}") from error
    if launch.runs_locally(options.beam_args):
        check_precision(options.precision, has_gpu_device())
    return artifact


def check_tables(output: str, artifact: ModelArtifact) -> None:
    """Refuse an output that cannot take the artifact's scores; nothing is written.

    Raises:
        UsageError: it holds another label set, or cannot be read.
    """
    try:
        for table in _tables(artifact):
            delta_tables.check_table(output, table)
    except StorageError as error:
        raise UsageError(f"--output: {error}") from error


def _tables(artifact: ModelArtifact) -> tuple[Table, ...]:
    return chip_scores(artifact.label_set), QUARANTINE, RUNS


def _find_attempt(options: RunOptions) -> tuple[int, RunPlan | None]:
    """Number of this attempt at the run, and its plan where it was begun before; the first look at
    the output, too."""
    try:
        return attempts.find_attempt(options.output, options.run_id)
    except StorageError as error:
        raise UsageError(f"--output: {error}") from error


def _is_published(options: RunOptions) -> bool:
    scores = delta_tables.open_table(options.output, "chip_scores")
    return scores is not None and delta_tables.is_published(scores, options.run_id)


def _code_of_published(options: RunOptions) -> int:
    record = records.read_record(options.output, options.run_id)
    return EXIT_BAD_NIGHT if record and records.verdict_of(record).bad else 0


def _plan(options: RunOptions, artifact: ModelArtifact, attempt: int, select: Select) -> RunPlan:
    """Choose the chips and store what is to do; gives the plan that holds, which is
    another's where the same run is being planned elsewhere."""
    started_at = time.time()
    check_tables(options.output, artifact)
    version = scores_version(options.output)
    chosen = select(artifact)
    plan = RunPlan(
        run_id=options.run_id,
        run_date=options.run_date,
        output=options.output,
        artifact=options.artifact,
        model_digest=artifact.model_digest,
        thresholds_digest=artifact.thresholds_digest,
        listed=chosen.listed,
        skipped=chosen.skipped,
        left_over=chosen.left_over,
        unit_rows=run_plan.unit_rows(
            chosen.to_score, job_flags.unit_size(options, chosen.to_score)
        ),
        max_quarantine_ratio=options.max_quarantine_ratio,
        attempt=attempt,
        options=options.recorded(),
        versions=installed_versions(),
        started_at=started_at,
        planned_at=time.time(),
        scores_version=version,
        kind=options.kind,
        drift=options.drift,
        token=f"-{uuid.uuid4().hex[:8]}",
    )
    return _store(plan, chosen.chips, artifact)


def _store(plan: RunPlan, chips: pa.RecordBatchReader, artifact: ModelArtifact) -> RunPlan:
    """Create what is missing below the output, store the plan."""
    try:
        for table in _tables(artifact):
            delta_tables.ensure_table(plan.output, table)
        return run_plan.store_plan(plan, chips)
    except StorageError as error:
        raise UsageError(f"--output: {error}") from error


def _drop_old_staging(plan: RunPlan, options: RunOptions) -> None:
    older_than = datetime.now(UTC) - timedelta(days=options.keep_staging_days)
    staging.drop_old(plan.output, older_than, keep=plan.staging)


def _score(
    plan: RunPlan, options: RunOptions, artifact: ModelArtifact, settings: WorkerSettings
) -> dict[str, int]:
    """Score the units that are not staged, and publish; gives the engine's counters."""
    staged = staging.staged_numbers(plan.staging)
    units = [number for number in range(len(plan.unit_rows)) if number not in set(staged)]
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
    if not units and not launch.only_submits(options.beam_args):
        publishing.publish_run(plan, [])
        return {}
    from pipelines.batch_scoring import ScoreArchive
    from pipelines.metrics import chips_counted

    graph = ScoreArchive(plan, units, artifact, options.batch_size, options.precision, settings)
    before, resumed = chips_counted(), sum(plan.unit_rows[number] for number in staged)

    def done() -> int:
        """Counted in this process; where the engine has others, by what they have staged."""
        here = chips_counted() - before
        return resumed + here if here else publishing.staged_chips(plan)

    beam_args = job_flags.launch_flags(options, len(units))
    try:
        return launch.run_graph(graph, beam_args, plan.to_score, done)
    except Exception as error:
        if publishing.is_visible(plan):  # by this start, or by another that took the staged files
            _complete(plan)
            return {}
        # The engines wrap what a worker raises; a refusal to publish is told by its refusal.
        if reason := attempts.read_refusal(plan):
            raise RunFailed(reason) from error
        if isinstance(error, UsageError | ArtifactError):  # too late to be wrong use
            raise RunFailed(f"{error}; nothing was published") from error
        if told := launch.storage_error_in(error):
            raise RunFailed(f"{told}; nothing was published") from error
        raise


def _complete(plan: RunPlan) -> None:
    """Bring a run to its end whose chips readers see already.

    Raises:
        RunFailed: that cannot be.
    """
    try:
        publishing.publish_run(plan, [])
    except StorageError as error:
        raise RunFailed(
            f"{error}; its chips are published, and the same command with the same --run_id "
            "writes what is missing"
        ) from error
