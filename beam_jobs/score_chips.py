"""Score the chips of an archive and publish the labelled tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from beam_jobs.estimate.estimate import estimate_run, estimate_text
from beam_jobs.options.estimate_options import SAMPLE_CHIPS
from beam_jobs.options.prices import THIS_MACHINE, read_prices
from beam_jobs.options.run_options import SCORE_LINE, ScoreOptions, parse_score_options
from beam_jobs.running.scoring_run import end_run, score
from beam_jobs.running.starting import (
    RunStart,
    check_run,
    check_tables,
    named_threats,
    plan_run,
    resume_run,
    start_run,
)
from pipelines.commands import run_command
from pipelines.imaging.other_files import ignored_text
from pipelines.planning.archive import list_chips
from pipelines.planning.done import chips_done, lost_chips, no_chips
from pipelines.planning.media_types import leave_out_pngs, refuse_other_media_type
from pipelines.planning.scenes import cut_scenes, list_scenes, place_windows, with_sidecar
from pipelines.planning.second_chances import count_second_chances, replay_command
from pipelines.planning.selection import Selection, select_chips
from pipelines.planning.sidecar import Sidecar, read_sidecar
from pipelines.planning.skipped_labels import skipped_labels_text
from pipelines.printing import write_answer
from pipelines.quiet_tensorflow import quiet_tensorflow
from pipelines.runs.run_plan import RunPlan
from pipelines.scenes.header_cache import HeaderCache
from pipelines.scenes.lattice import Cut
from pipelines.scoring.trial import ChipsToDo, Trial, score_sample
from pipelines.tables import delta_tables
from pipelines.tars.index_cache import IndexCache
from pipelines.wording import count_of
from schemas.artifact import ModelArtifact


def main(argv: Sequence[str]) -> int:
    """Run the job; returns the exit code.

    Raises:
        UsageError: a flag, the artifact or the output is wrong; nothing was done.
        RunFailed: nothing was published.
    """
    options = parse_score_options(argv, datetime.now(UTC))
    if options.estimate:
        return _estimate(options)
    start = start_run(options, SCORE_LINE.flag_names())
    if start.is_over:
        return end_run(start)
    return score(start, resume_run(start) or _plan(start, options))


def _plan(start: RunStart, options: ScoreOptions) -> RunPlan:
    chosen, ignored = options.reading(options.output, lambda: _choose(options, start.artifact))
    if ignored:
        print(ignored_text(ignored))
    if chosen.again:
        chips = count_of(chosen.again, "chip")
        print(f"up to {chips} are scored again, since damaged files of the tables are skipped")
    if not options.rescore:
        asked = (options, start.artifact, chosen.skipped)
        for note in options.reading(options.output, lambda: _notes(*asked)):
            print(note)
    return plan_run(start, chosen)


@delta_tables.opening_once()
def _notes(options: ScoreOptions, artifact: ModelArtifact, skipped: int) -> list[str]:
    """The commands for chips that this run skips: those that this release may be able to read, and
    those with labels by other thresholds."""
    notes = []
    counts = count_second_chances(options.output, artifact.model_digest)
    if counts:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
        chips = count_of(sum(counts.values()), "skipped chip")
        notes.append(
            f"{chips} that an earlier release could not read ({reasons}), and this one may; to try "
            f"again: {replay_command(options.output, options.artifact, list(counts))}"
        )
    if text := skipped_labels_text(options.output, options.artifact, artifact, skipped):
        notes.append(text)
    return notes


def _estimate(options: ScoreOptions) -> int:
    """Print what the run would take; nothing is written."""
    options.worker_settings.apply()
    asked = options.estimate_options
    prices = read_prices(asked.prices) if asked.prices else (THIS_MACHINE,)
    folder, artifact = check_run(options, SCORE_LINE.flag_names())
    named_threats(options, artifact)
    check_tables(options.output, artifact)

    def try_sample(to_do: ChipsToDo) -> Trial:
        asked = (options.precision, options.batch_size, to_do, options.engine)
        return score_sample(folder, artifact, *asked)

    chosen, ignored = options.reading(options.output, lambda: _choose(options, artifact))
    sample_chips = asked.sample_chips or SAMPLE_CHIPS
    estimate = estimate_run(chosen, prices, sample_chips, options.gcs_reads_per_second, try_sample)
    write_answer(estimate_text(replace(estimate, ignored=ignored), asked.format or "text") + "\n")
    return 0


def _choose(options: ScoreOptions, artifact: ModelArtifact) -> tuple[Selection, int]:
    """The archive's chips that are left to do, and the number of files with hidden names."""
    sidecar = read_sidecar(options.sidecar) if options.sidecar else None
    if options.cutting.cut:
        return _choose_windows(options, options.cutting.cut, artifact, sidecar)
    indexes = IndexCache(options.output, store_new=not options.estimate)
    chips, ignored = list_chips(options.chips, options.media_type, indexes.members_of)
    wanted = artifact.preprocessing.media_type
    if options.media_type is None:
        chips = leave_out_pngs(chips, options.chips, wanted)
    refuse_other_media_type(chips, wanted)
    to_skip = _chips_to_skip(options, artifact)
    lost = None if options.rescore else lost_chips(options.output)
    return select_chips(chips, to_skip, options.max_chips, sidecar, lost), ignored


def _choose_windows(
    options: ScoreOptions, cut: Cut, artifact: ModelArtifact, sidecar: Sidecar | None
) -> tuple[Selection, int]:
    """The windows of the archive's scenes that are left to do, and the number of files with hidden
    names."""
    preprocessing = artifact.preprocessing
    options.cutting.check_model(preprocessing)
    asset = options.cutting.asset or ""
    scenes, ignored = list_scenes(options.chips, asset, preprocessing)
    if sidecar:
        scenes = with_sidecar(scenes, sidecar)
    headers = HeaderCache(options.output, store_new=not options.estimate)
    found = cut_scenes(scenes, cut, headers, preprocessing)
    to_skip = _chips_to_skip(options, artifact)
    chosen = select_chips(found.windows, to_skip, options.max_chips)
    return place_windows(chosen, found.places), ignored


def _chips_to_skip(options: ScoreOptions, artifact: ModelArtifact) -> pa.RecordBatchReader:
    if options.rescore:
        return no_chips()
    return chips_done(options.output, artifact.model_digest)


if __name__ == "__main__":
    quiet_tensorflow()
    run_command(main)
