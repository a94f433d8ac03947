"""The last step: staged units become a published run, all of it or nothing.

One Delta commit to `chip_scores` makes a run visible. Quarantine is committed before it (its rows
are visible only once their run is published), then what is known of a model that is new (`models`);
the row in `runs` after it. Each commit of a run has its id as a Delta transaction, so publishing a
second time (a retried bundle, a publisher that died) adds what is missing and duplicates nothing.
Several publishers of the same attempt find the same staged records, so it does not matter which of
them commits what.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import apache_beam as beam

from pipelines.drift.verdicts import Verdict, with_damage
from pipelines.errors import RunFailed, StorageError
from pipelines.reports.reporting import try_report
from pipelines.reports.watching import log_verdict, watch_run
from pipelines.run_log import event
from pipelines.runs import attempts, committing, records, run_plan
from pipelines.runs.attempts import recording_refusal
from pipelines.runs.counting import NOTHING_PUBLISHED, RunCounts, check_quarantine, count_run
from pipelines.runs.models import publish_model
from pipelines.runs.rivals import refuse_rivals
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import StagedFile, StagedUnit, read_units, staged_numbers
from pipelines.storage import store
from pipelines.storage.worker_settings import WorkerSettings
from pipelines.tables import delta_tables, publications
from pipelines.tables.commits import DataFile
from pipelines.tables.damage import without_damage
from pipelines.tables.parquet_files import write_rows
from schemas.tables import HELD, PUBLISHED, QUARANTINE

_COPY_THREADS = 16
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class PublishRun(beam.PTransform):
    """Staged units, collected on one worker, to a published run.

    Attributes:
        plan: the run.
        settings: applied on the worker that publishes.
    """

    plan: RunPlan
    settings: WorkerSettings | None = None

    def expand(self, staged: beam.PCollection[str]) -> beam.PCollection[None]:
        """One element, the plan, with all units' records as a side input: so no units work too."""
        pipeline = staged.pipeline
        plan = pipeline | "Plan" >> beam.Create([self.plan.to_json()], reshuffle=False)
        return plan | "Publish" >> beam.Map(_publish, beam.pvalue.AsIter(staged), self.settings)


def publish_run(plan: RunPlan, units: Iterable[StagedUnit]) -> None:
    """Check a run and make it visible; safe to call again, and by several processes at once.

    If the run may not be published, the reason is left in its staging folder, where the launcher
    finds it, whatever engine ran the graph. That ends the attempt: it is not resumed. If it is held
    for its verdict, it stays staged, until this is called with a plan that does not hold it.

    Args:
        units: units staged just now; those that an earlier start has staged are found.

    Raises:
        RunFailed: chips are missing or counted twice, too many were quarantined, or another run
            has published the same chips.
        StorageError: files cannot be copied or a commit cannot be written.
    """
    scores_table = committing.require_table(plan, "chip_scores")
    visible = committing.is_done(plan, scores_table)
    if visible and committing.is_done(plan, committing.require_table(plan, "runs")):
        _drop_staging(plan)  # of a late start of the same attempt
        return
    staged = _all_staged(plan, units)
    if visible:  # by a publisher that died: it was checked before, maybe with another ratio
        counts = _count_visible(plan, staged)
    else:
        with recording_refusal(plan):
            counts = count_run(plan, staged)
            check_quarantine(plan, counts, staged)
            refuse_rivals(plan, scores_table)
    verdict, before = watch_run(plan, counts, staged)
    if verdict.bad and plan.drift.hold and not visible:
        _hold(plan, counts, verdict)
        try_report(plan, before)
        return
    verdict = with_damage(verdict, len(plan.skipped_files), plan.chips_again)
    _publish_rows(plan, staged)
    records.publish_record(plan, counts, verdict)
    log_verdict(plan, verdict, PUBLISHED)
    event(
        "run_published",
        listed=counts.listed,
        skipped=counts.skipped,
        left_over=plan.left_over,
        scored=counts.scored,
        quarantined=counts.quarantined,
        no_data=counts.no_data_windows,
        reasons=counts.reasons,
    )
    _drop_staging(plan)
    try_report(plan, before)


def _count_visible(plan: RunPlan, staged: list[StagedUnit]) -> RunCounts:
    """Count a run that readers see already, whose row in `runs` is missing.

    Raises:
        RunFailed: what it had staged is not there as a whole any more.
    """
    try:
        return count_run(plan, staged)
    except RunFailed as error:
        detail = str(error).removesuffix(NOTHING_PUBLISHED)
        raise RunFailed(
            f"{detail}; its rows are published, but its row in runs cannot be written: withdraw it "
            "to score its chips again"
        ) from error


def is_visible(plan: RunPlan) -> bool:
    """Whether this attempt at the run is published."""
    return committing.is_done(plan, committing.require_table(plan, "chip_scores"))


def finish_record(output: str, run_id: str) -> None:
    """Write the record of a published run if its publisher died just before writing it.

    Raises:
        StorageError: a table cannot be read or written.
    """
    scores = delta_tables.open_table(output, "chip_scores")
    attempt = publications.attempts_of(scores, run_id)
    plan = run_plan.read_plan(output, run_id, attempt)
    if plan is not None and is_visible(plan):
        publish_run(plan, [])


def staged_chips(plan: RunPlan) -> int:
    """Chips of the units that are completely staged by now."""
    try:
        return sum(plan.unit_rows[number] for number in staged_numbers(plan.staging))
    except StorageError:  # this number is only for the progress bar
        return 0


def _publish(plan: str, staged: Iterable[str], settings: WorkerSettings | None) -> None:
    if settings:
        settings.apply()
    planned = RunPlan.from_json(plan)
    skip = settings is not None and settings.skip_damaged
    try:
        without_damage(
            planned.output, skip, lambda: publish_run(planned, map(StagedUnit.from_json, staged))
        )
    except RunFailed as error:  # the launcher may not wait for the job
        records.record_failure(planned, str(error))
        raise


def _hold(plan: RunPlan, counts: RunCounts, verdict: Verdict) -> None:
    """Leave the run staged for an operator. The file is written last, since the launcher looks for
    it."""
    records.record_hold(plan, counts, verdict)
    attempts.write_reason(plan, attempts.HOLD_FILE, "; ".join(verdict.texts))
    log_verdict(plan, verdict, HELD)


def _drop_staging(plan: RunPlan) -> None:
    """The run is published by now, so a folder that cannot be deleted is no failure."""
    try:
        for attempt in range(1, plan.attempt + 1):
            store.delete_folder(run_plan.staging_of(plan.output, plan.run_id, attempt))
    except StorageError as error:
        _log.warning("run %s is published; its staging folder stays: %s", plan.run_id, error)


def _all_staged(plan: RunPlan, units: Iterable[StagedUnit]) -> list[StagedUnit]:
    """A record of each unit, in order. A retried bundle may bring one twice, and both are equal;
    those of an earlier start of the run are read from staging."""
    by_number = {unit.number: unit for unit in units}
    if missing := set(range(len(plan.unit_rows))) - by_number.keys():
        earlier = missing.intersection(staged_numbers(plan.staging))
        by_number |= {unit.number: unit for unit in read_units(plan.staging, earlier)}
    return [by_number[number] for number in sorted(by_number)]


def _publish_rows(plan: RunPlan, staged: list[StagedUnit]) -> None:
    scores = [(unit.number, unit.scores) for unit in staged if unit.scores]
    quarantine = [(unit.number, unit.quarantine) for unit in staged if unit.quarantine]
    _publish_files(plan, "quarantine", quarantine)
    publish_model(plan)
    _publish_files(plan, "chip_scores", scores)


def _publish_files(plan: RunPlan, name: str, staged: list[tuple[int, StagedFile]]) -> None:
    """Copy staged files to their final names and commit them, unless that was done before."""
    table = committing.require_table(plan, name)
    if committing.is_done(plan, table):
        return
    with ThreadPoolExecutor(_COPY_THREADS) as pool:
        files = list(pool.map(lambda item: _copy(plan, name, *item), staged))
    if name == QUARANTINE.name and plan.attempt > 1 and not files:
        files = [_empty_file(plan)]
    committing.commit_rows(plan, name, files, table)


def _copy(plan: RunPlan, table: str, number: int, staged: StagedFile) -> DataFile:
    """Copy a staged file to its final name; each attempt has its own names. The copy is checked,
    because the staged file is deleted.

    Raises:
        StorageError: it cannot be copied, or the copy is not there as a whole.
    """
    folder = committing.partition_path(plan, staged.night)
    path = f"{folder}/unit-{number:06d}-{plan.attempt}.parquet"
    target = store.join_uri(plan.output, table, path)
    store.copy_object(staged.uri, target)
    if (found := store.written_bytes(target)) != staged.size_bytes:
        raise StorageError(
            f"{target!r} has {found} bytes, not the {staged.size_bytes} of its source"
        )
    return DataFile(path, staged.size_bytes, staged.rows, staged.night)


def _empty_file(plan: RunPlan) -> DataFile:
    """A file without rows, whose name says that the attempt was committed
    (`pipelines/tables/replacing.py`)."""
    path = f"{committing.partition_path(plan)}/unit-none-{plan.attempt}.parquet"
    return write_rows(plan.output, QUARANTINE, path, [])
