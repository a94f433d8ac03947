"""Score an archive's chips and publish the labelled tables.

python -m beam_jobs.score_chips --chips URI --artifact URI --output URI
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from beam_jobs.engine.engine_log import calm_tensorflow
from beam_jobs.estimate.estimate import estimate_run, estimate_text
from beam_jobs.options.estimate_options import EstimateOptions
from beam_jobs.options.run_options import ScoreOptions, our_flags, parse_score_options
from beam_jobs.running.scoring_run import end_run, score
from beam_jobs.running.starting import check_run, check_tables, plan_run, resume_run, start_run
from pipelines.artifacts.opening import open_artifact
from pipelines.commands import run_command
from pipelines.planning.archive import list_chips
from pipelines.planning.done import chips_done, no_chips
from pipelines.planning.selection import Selection, select_chips
from pipelines.planning.sidecar import read_sidecar
from pipelines.run_log import RunLog
from pipelines.scoring.trial import ChipsToDo, Trial, score_sample
from pipelines.storage.worker_settings import WorkerSettings
from pipelines.tars.index_cache import IndexCache
from schemas.artifact import ModelArtifact


def main(argv: Sequence[str]) -> int:
    """Run the job; returns the exit code.

    Raises:
        UsageError: a flag, the artifact or the output is wrong; nothing was done.
        RunFailed: nothing was published.
    """
    options = parse_score_options(argv, datetime.now(UTC))
    if options.estimate:
        return _estimate(options, options.estimate)
    start = start_run(options, our_flags())
    if start.is_over:
        return end_run(start)
    plan = resume_run(start) or plan_run(start, _select(options, start.artifact))
    return score(start, plan)


def _estimate(options: ScoreOptions, asked: EstimateOptions) -> int:
    """Print what the run would take; nothing is written."""
    WorkerSettings(RunLog(options.run_id, options.log_format), options.stores).apply()
    artifact = check_run(options, our_flags())
    check_tables(options.output, artifact)

    def try_sample(to_do: ChipsToDo) -> Trial:
        folder, _ = open_artifact(options.artifact, artifact.model_digest)
        return score_sample(folder, artifact, options.precision, options.batch_size, to_do)

    reads_per_second = options.stores.gcs_reads_per_second
    estimate = estimate_run(asked, _select(options, artifact), reads_per_second, try_sample)
    print(estimate_text(estimate, asked.format))
    return 0


def _select(options: ScoreOptions, artifact: ModelArtifact) -> Selection:
    """The archive's chips that are left to do."""
    sidecar = read_sidecar(options.sidecar) if options.sidecar else None
    indexes = IndexCache(options.output, store_new=not options.estimate)
    chips = list_chips(options.chips, options.media_type, indexes.members_of)
    return select_chips(chips, _chips_to_skip(options, artifact), options.max_chips, sidecar)


def _chips_to_skip(options: ScoreOptions, artifact: ModelArtifact) -> pa.RecordBatchReader:
    if options.rescore:
        return no_chips()
    return chips_done(options.output, artifact.model_digest)


if __name__ == "__main__":
    calm_tensorflow()
    run_command(main)
