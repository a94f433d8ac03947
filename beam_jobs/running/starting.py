"""The start of a run: every check that can be made before chips are listed, then the plan.

TensorFlow is loaded once there are chips to score, and the model with it: one that Keras cannot
build is refused before anything is stored.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from beam_jobs.dataflow import job_flags
from beam_jobs.engine import launch
from beam_jobs.options.label_names import named_labels
from beam_jobs.options.run_options import RunOptions
from beam_jobs.running.resuming import match_plan
from beam_jobs.running.versions import installed_versions
from pipelines.artifacts.opening import open_artifact
from pipelines.errors import UsageError, as_usage_error
from pipelines.planning.done import scores_version
from pipelines.planning.selection import Selection
from pipelines.quiet_tensorflow import has_gpu_device
from pipelines.runs import attempts, run_plan
from pipelines.runs.run_plan import RunPlan
from pipelines.scoring.classifier import check_model
from pipelines.scoring.engines import (
    check_engine,
    choose_engine,
    doubt_about_int8,
    files_of,
)
from pipelines.scoring.tensorflow_model import check_precision
from pipelines.storage.worker_settings import WorkerSettings
from pipelines.tables import delta_tables, evolution, publications
from pipelines.tables.damage import skipped_files
from schemas.artifact import ModelArtifact
from schemas.render import label_columns
from schemas.tables import CHIP_SCORES, OF_RUNS
from schemas.trust import trust_rows


@dataclass(frozen=True)
class RunStart:
    """A run that has passed all checks; nothing is listed yet.

    Attributes:
        options: how the run is made.
        settings: applied in this process and on every worker.
        folder: of the artifact, on this machine.
        artifact: the model's description.
        threats: the labels of `--threats`.
        attempt: number of this attempt at the run.
        begun: the stored plan, if this attempt was begun before.
        published: whether the run is published and is not to be replaced.
        hold: why the run is held; "" if it is not.
        started_at: seconds since 1970 (UTC).
        scores_version: see `RunPlan`; known for a run that is to be planned.
        has_columns: whether the tables have all columns that the run writes.
    """

    options: RunOptions
    settings: WorkerSettings
    folder: Path
    artifact: ModelArtifact
    threats: tuple[str, ...]
    attempt: int
    begun: RunPlan | None
    published: bool
    hold: str
    started_at: float
    scores_version: int
    has_columns: bool

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to score: the run is published or held."""
        return self.published or bool(self.hold)


def start_run(options: RunOptions, our_flags: Sequence[str]) -> RunStart:
    """Check a run, and find out how much of it was done before.

    Args:
        our_flags: the command's flags that are not Beam's.

    Raises:
        UsageError: the run cannot be made as asked; nothing was done.
    """
    settings = options.worker_settings
    settings.apply()
    folder, artifact = check_run(options, our_flags)
    threats = named_threats(options, artifact)
    with as_usage_error("--output"):
        attempt, begun = attempts.find_attempt(options.output, options.run_id)
    published = not options.rescore and _is_published(options)
    hold = attempts.read_reason(begun, attempts.HOLD_FILE) if begun and not published else ""
    started_at, version, has_columns = time.time(), -1, False
    if not (begun or published):
        with delta_tables.opening_once():
            has_columns = check_tables(options.output, artifact)
            version = scores_version(options.output)
    return RunStart(
        *(options, settings, folder, artifact, threats, attempt, begun, published, hold),
        *(started_at, version, has_columns),
    )


def check_run(options: RunOptions, our_flags: Sequence[str]) -> tuple[Path, ModelArtifact]:
    """Check flags, artifact, engine and precision, without reading the output.

    Returns:
        The artifact's folder on this machine, and its description.

    Raises:
        UsageError: one of them is wrong.
    """
    launch.check_beam_args(options.beam_args, our_flags)
    job_flags.check_launch(options)
    with as_usage_error("--artifact"):
        folder, artifact = open_artifact(options.artifact, trusted_key=options.trusted_key)
    check_engine(artifact, options.engine, options.precision)
    if options.precision == "int8" and (doubt := doubt_about_int8(artifact)):
        print(f"warning: {doubt}", file=sys.stderr)
    if artifact.never:
        never = ", ".join(artifact.never)
        print(f"warning: never reported, because the threshold is null: {never}", file=sys.stderr)
    if launch.runs_locally(options.beam_args):
        engine = choose_engine(artifact, options.engine, options.precision, has_gpu_device)
        if engine == "tensorflow":
            check_precision(options.precision, has_gpu_device())
    return folder, artifact


def named_threats(options: RunOptions, artifact: ModelArtifact) -> tuple[str, ...]:
    """The labels of `--threats`.

    Raises:
        UsageError: one of them is neither a label of the artifact nor of the output.
    """
    if not options.threats:
        return ()
    with as_usage_error("--output"):
        scores = delta_tables.open_table(options.output, CHIP_SCORES.name)
    stored = label_columns(pa.schema(scores.schema().to_arrow())) if scores else {}
    known = dict.fromkeys([*artifact.label_set.names, *stored])
    return named_labels(options.threats, [*known], "--threats")


def check_tables(output: str, artifact: ModelArtifact) -> bool:
    """Refuse an output that cannot take the artifact's scores; nothing is written.

    Returns:
        Whether its tables have all columns already.

    Raises:
        UsageError: it has another label set, or cannot be read.
    """
    with as_usage_error("--output"):
        tables = [table.for_labels(artifact.label_set) for table in OF_RUNS]
        complete = [evolution.check_table(output, table) for table in tables]
    return all(complete)


def resume_run(start: RunStart) -> RunPlan | None:
    """The stored plan of a run that was begun before; None if it was not.

    Raises:
        UsageError: it was begun with another model, or with options that change rows.
    """
    if start.begun is None:
        return None
    return match_plan(start.begun, start.options, start.artifact, start.threats)


def plan_run(start: RunStart, chosen: Selection) -> RunPlan:
    """Store what is to be done; returns the plan to follow, which is another launcher's if that
    has planned the same run meanwhile.

    Raises:
        UsageError: the model cannot be opened, the plan cannot be stored, or the other launcher's
            differs from this one.
    """
    options, artifact = start.options, start.artifact
    if chosen.to_score:
        with as_usage_error("--artifact"):
            _check_model(start)
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
            chosen.to_score, job_flags.unit_size(options, chosen.to_score), chosen.scene_chips
        ),
        max_quarantine_ratio=options.max_quarantine_ratio,
        attempt=start.attempt,
        options=options.recorded(),
        versions=installed_versions(),
        started_at=start.started_at,
        planned_at=time.time(),
        scores_version=start.scores_version,
        kind=options.kind,
        drift=options.drift,
        threats=start.threats,
        trust=trust_rows(artifact),
        token=f"-{uuid.uuid4().hex[:8]}",
        skipped_files=[str(each) for each in skipped_files(options.output)],
        chips_again=chosen.again,
    )
    with as_usage_error("--output"):
        if not start.has_columns:
            for table in OF_RUNS:
                evolution.ensure_table(plan.output, table.for_labels(artifact.label_set))
        stored = run_plan.store_plan(plan, chosen.chips)
    return match_plan(stored, options, artifact, start.threats)


def _check_model(start: RunStart) -> None:
    """Open the model, if this machine has its engine: those of a cluster may have another one."""
    options = start.options
    asked = (start.artifact, options.engine, options.precision)
    try:
        engine = choose_engine(*asked, has_gpu_device)
    except UsageError:
        return
    open_artifact(options.artifact, wanted=lambda artifact: files_of(engine, options.precision))
    check_model(start.folder, start.artifact, engine, options.precision)


def _is_published(options: RunOptions) -> bool:
    """Whether the run is published by now: another launcher may have published it while this one
    looked for its plan."""
    scores = delta_tables.open_table(options.output, "chip_scores")
    return publications.is_published(scores, options.run_id)
