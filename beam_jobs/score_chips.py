"""Score an archive's chips and publish the labelled tables.

    python -m beam_jobs.score_chips --chips URI --artifact URI --output URI

Plan in the launcher, run the graph, tell what came of it. Whatever can be known to be wrong is
said before work starts, and before TensorFlow is loaded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from glob import glob
from importlib.metadata import PackageNotFoundError, version

import pyarrow as pa

from beam_jobs import launch
from beam_jobs.command import run_command
from beam_jobs.options import ScoreOptions, our_flags, parse_score_options
from pipelines import delta_tables, planning, publishing, storage
from pipelines.classifier import check_precision, open_artifact
from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.planning import RunPlan
from pipelines.publishing import RunSummary
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.tables import QUARANTINE, RUNS, chip_scores

_RECORDED_PACKAGES = (
    "forest-chips",
    "apache-beam",
    "tensorflow",
    "keras",
    "numpy",
    "pyarrow",
    "deltalake",
    "simplejpeg",
    "rasterio",
)


def main(argv: Sequence[str]) -> int:
    """Run the job; gives the exit code.

    Raises:
        UsageError: wrong use; nothing was done.
        RunFailed: nothing was published.
    """
    options = parse_score_options(argv, datetime.now(UTC))
    artifact = _check(options)
    attempt = _next_attempt(options)
    if attempt > 1 and not options.rescore and _is_published(options):
        publishing.finish_record(options.output, options.run_id)
        print(f"run {options.run_id} is published already; --rescore replaces it")
        return 0
    plan = _plan(options, artifact, attempt)
    _score(plan, options, artifact)
    if plan.to_score and launch.only_submits(options.beam_args):
        print(f"run {plan.run_id}: the job is submitted, and publishes the run at its end")
        return 0
    print(_summary_text(plan, publishing.read_summary(plan)))
    return 0


def _check(options: ScoreOptions) -> ModelArtifact:
    """All that can be refused before anything is listed."""
    launch.check_beam_args(options.beam_args, our_flags())
    try:
        _, artifact = open_artifact(options.artifact)
    except (ArtifactError, StorageError) as error:
        raise UsageError(f"--artifact: {error}") from error
    if launch.runs_locally(options.beam_args):
        check_precision(options.precision, has_gpu=bool(glob("/dev/nvidia[0-9]*")))
    return artifact


def _next_attempt(options: ScoreOptions) -> int:
    """Number of this attempt at the run; the first look at the output, too."""
    try:
        return publishing.next_attempt(options.output, options.run_id)
    except StorageError as error:
        raise UsageError(f"--output: {error}") from error


def _is_published(options: ScoreOptions) -> bool:
    scores = delta_tables.open_table(options.output, "chip_scores")
    return scores is not None and delta_tables.is_published(scores, options.run_id)


def _plan(options: ScoreOptions, artifact: ModelArtifact, attempt: int) -> RunPlan:
    """List, leave out what is done, store what is left."""
    started_at = time.time()
    chips = planning.list_chips(options.chips, options.media_type)
    manifest, listed = planning.select_chips(chips, _chips_to_skip(options, artifact))
    plan = RunPlan(
        run_id=options.run_id,
        run_date=options.run_date,
        output=options.output,
        artifact=options.artifact,
        model_digest=artifact.model_digest,
        thresholds_digest=artifact.thresholds_digest,
        listed=listed,
        skipped=listed - manifest.num_rows,
        unit_rows=planning.unit_rows(manifest.num_rows),
        max_quarantine_ratio=options.max_quarantine_ratio,
        attempt=attempt,
        options=options.recorded(),
        versions=_versions(),
        started_at=started_at,
        planned_at=time.time(),
    )
    _prepare_output(plan, manifest, artifact)
    print(f"run {plan.run_id}: {listed} chips listed, {plan.to_score} to score", flush=True)
    return plan


def _chips_to_skip(options: ScoreOptions, artifact: ModelArtifact) -> pa.Table:
    if options.rescore:
        return planning.CHIP_VERSIONS.empty_table()
    return planning.chips_done(options.output, artifact.model_digest)


def _prepare_output(plan: RunPlan, manifest: pa.Table, artifact: ModelArtifact) -> None:
    """Create what is missing below the output, drop what a dead run left, store the plan."""
    try:
        for table in (chip_scores(artifact.label_set), QUARANTINE, RUNS):
            delta_tables.ensure_table(plan.output, table)
        storage.delete_folder(plan.staging)
        planning.store_plan(plan, manifest)
    except StorageError as error:
        raise UsageError(f"--output: {error}") from error


def _score(plan: RunPlan, options: ScoreOptions, artifact: ModelArtifact) -> None:
    if not plan.to_score:
        publishing.publish_run(plan, [])
        return
    from pipelines.batch_scoring import ScoreArchive
    from pipelines.progress import chips_done

    graph = ScoreArchive(plan, artifact, options.batch_size, options.precision)
    before = chips_done()

    def done() -> int:
        """Counted in this process; where the engine has others, by what they have staged."""
        return chips_done() - before or publishing.staged_chips(plan)

    try:
        launch.run_graph(graph, options.beam_args, plan.to_score, done)
    except Exception as error:
        # The engines wrap what a worker raises; a refusal to publish is told by its verdict.
        if reason := publishing.read_verdict(plan):
            raise RunFailed(reason) from error
        if isinstance(error, UsageError | ArtifactError):  # too late to be wrong use
            raise RunFailed(f"{error}; nothing was published") from error
        raise


def _versions() -> dict[str, str]:
    found = {}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _summary_text(plan: RunPlan, summary: RunSummary) -> str:
    counts = f"{summary.scored} scored, {summary.quarantined} quarantined, {plan.skipped} skipped"
    rate = plan.to_score / summary.score_seconds
    lines = [
        f"run {plan.run_id} of {plan.run_date} published: {counts}",
        f"  rate        {rate:,.1f} chips/s over {summary.score_seconds:,.1f} s, "
        f"start of the model included{_in_precision(summary)}",
        f"  quarantined {_listed(summary.reasons)}",
        f"  labels      {_listed(summary.labels)}",
    ]
    tables = [f"  {name:<11} {storage.join_uri(plan.output, name)}" for name in _TABLES]
    return "\n".join([*lines, *tables])


_TABLES = ("chip_scores", "quarantine", "runs")


def _in_precision(summary: RunSummary) -> str:
    return f", {summary.precision}" if summary.precision else ""


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    run_command(main)
