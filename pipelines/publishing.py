"""The last step: staged units become a published run, all of it or nothing.

One Delta commit to `chip_scores` makes a run visible. Quarantine is committed before it (its rows
show only once their run is published) and the row in `runs` after it. Each commit carries the
run's id as a Delta transaction, so publishing a second time (a retried bundle, a publisher that
died half-way) finishes what is missing and doubles nothing. Of several who publish the same attempt
at the same moment each finds the same staged records, so it does not matter who commits what.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipelines import delta_tables, planning, storage
from pipelines.delta_tables import DataFile, PublishConflict, commit_files
from pipelines.errors import RunFailed, StorageError
from pipelines.planning import RunPlan
from pipelines.rivals import refuse_rivals
from pipelines.run_log import event
from pipelines.staging import (
    UNITS_FOLDER,
    StagedFile,
    StagedUnit,
    parquet_bytes,
    read_units,
    staged_numbers,
)
from pipelines.worker_settings import WorkerSettings
from schemas.render import file_schema
from schemas.tables import PUBLISHED, RUNS

TABLES = ("quarantine", "chip_scores", "runs")
"""The tables that a run is committed to, in that order."""

VERDICT_FILE = "verdict.json"

_COPY_THREADS = 16
_COMMIT_TRIES = 10
_TOP_LABELS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunCounts:
    """What became of a run's chips; listed = skipped + scored + quarantined."""

    listed: int
    skipped: int
    scored: int
    quarantined: int
    reasons: dict[str, int]
    precision: str


@dataclass(frozen=True)
class RunSummary:
    """A published run in a few numbers, read from the tables.

    Attributes:
        reasons: quarantined chips by reason.
        labels: the ten most frequent labels and their numbers of chips.
        precision: what the workers computed in; "" where nothing was scored.
    """

    scored: int
    quarantined: int
    reasons: dict[str, int]
    labels: dict[str, int]
    precision: str
    score_seconds: float


class PublishRun(beam.PTransform):
    """Staged units, met in one place, to a published run.

    Args:
        plan: the run.
        settings: applied on the worker that publishes.
    """

    def __init__(self, plan: RunPlan, settings: WorkerSettings | None = None) -> None:
        super().__init__()
        self._plan = plan
        self._settings = settings

    def expand(self, staged: beam.PCollection[str]) -> beam.PCollection[None]:
        """The plan, once, with all units' records beside it; so a run of none works too."""
        pipeline = staged.pipeline
        plan = pipeline | "Plan" >> beam.Create([self._plan.to_json()], reshuffle=False)
        return plan | "Publish" >> beam.Map(_publish, beam.pvalue.AsIter(staged), self._settings)


def publish_run(plan: RunPlan, units: Iterable[StagedUnit]) -> None:
    """Check a run and make it visible; safe to call again, and by several at once.

    A run that may not be published leaves the reason in its staging folder, where the launcher
    finds it, whatever engine ran the graph. That ends the attempt: it is not resumed.

    Args:
        units: what was staged just now; what an earlier start of the run staged is found.

    Raises:
        RunFailed: chips are missing or counted twice, too many were quarantined, or another run
            has published the same chips.
        StorageError: files cannot be copied or a commit cannot be written.
    """
    scores_table = _open(plan, "chip_scores")
    visible = _is_done(plan, scores_table)
    if visible and _is_done(plan, _open(plan, "runs")):
        _drop_staging(plan)  # of a late start; another publisher of the attempt dropped his
        return
    with _verdict(plan):
        staged = _all_staged(plan, units)
        counts = count_run(plan, staged)
        check_quarantine(plan, counts)
        if not visible:
            refuse_rivals(plan, scores_table)
    scores = [(unit.number, unit.scores) for unit in staged if unit.scores]
    quarantine = [(unit.number, unit.quarantine) for unit in staged if unit.quarantine]
    _publish_files(plan, "quarantine", quarantine)
    _publish_files(plan, "chip_scores", scores)
    _publish_record(plan, counts)
    event(
        "run_published",
        listed=counts.listed,
        skipped=counts.skipped,
        scored=counts.scored,
        quarantined=counts.quarantined,
        reasons=counts.reasons,
    )
    _drop_staging(plan)


def find_attempt(output: str, run_id: str) -> tuple[int, RunPlan | None]:
    """Number of the attempt at a run that is due, and its plan where it was begun before.

    That is the first after the published one that was not refused. It has a number of its own
    unless it was begun: what a refused one has committed to `quarantine` is replaced, not taken
    over.
    """
    tables = {name: delta_tables.open_table(output, name) for name in TABLES}
    known = {n: delta_tables.attempts_of(t, run_id) if t else 0 for n, t in tables.items()}
    attempt = known["chip_scores"] + 1
    while True:
        plan = planning.read_plan(output, run_id, attempt)
        if plan is not None and not read_verdict(plan):
            return attempt, plan
        if plan is None and attempt > max(known.values()):
            return attempt, None
        attempt += 1


def find_staged(output: str, run_id: str) -> RunPlan | None:
    """The plan of the run's last attempt that is not published, refused ones included."""
    attempt, plan = find_attempt(output, run_id)
    scores = delta_tables.open_table(output, "chip_scores")
    published = delta_tables.attempts_of(scores, run_id) if scores else 0
    if plan is None and attempt - 1 > published:
        return planning.read_plan(output, run_id, attempt - 1)
    return plan


def is_visible(plan: RunPlan) -> bool:
    """Whether this attempt at the run is published, by whomever."""
    return _is_done(plan, _open(plan, "chip_scores"))


def finish_record(output: str, run_id: str) -> None:
    """Write the record that a published run lacks, where its publisher died just before it.

    Raises:
        StorageError: a table cannot be read or written.
    """
    scores = delta_tables.open_table(output, "chip_scores")
    attempt = delta_tables.attempts_of(scores, run_id) if scores else 0
    plan = planning.read_plan(output, run_id, attempt)
    if plan is not None and is_visible(plan):
        publish_run(plan, [])


def count_run(plan: RunPlan, units: list[StagedUnit]) -> RunCounts:
    """Count a run's chips from what was staged and hold the sum against what was planned.

    Raises:
        RunFailed: a unit is missing or has other rows than planned, or chips are not conserved.
    """
    expected = dict(enumerate(plan.unit_rows))
    found = {unit.number: unit.scored + unit.quarantined for unit in units}
    if found != expected:
        odd = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise RunFailed(
            f"run {plan.run_id}: {len(odd)} of {len(expected)} units are not staged whole "
            f"(first: unit {odd[0]}, planned {expected.get(odd[0], 0)} chips, "
            f"staged {found.get(odd[0], 0)}); nothing was published"
        )
    scored = sum(unit.scored for unit in units)
    quarantined = sum(unit.quarantined for unit in units)
    if plan.listed != plan.skipped + scored + quarantined:
        raise RunFailed(
            f"run {plan.run_id}: {plan.listed} listed is not {plan.skipped} skipped + {scored} "
            f"scored + {quarantined} quarantined; nothing was published"
        )
    return RunCounts(
        listed=plan.listed,
        skipped=plan.skipped,
        scored=scored,
        quarantined=quarantined,
        reasons=_sum(unit.reasons for unit in units),
        precision=", ".join(sorted({unit.precision for unit in units})),
    )


def check_quarantine(plan: RunPlan, counts: RunCounts) -> None:
    """Hold back a run of which too much was given up: the archive or the store is ill.

    Raises:
        RunFailed: over the plan's max_quarantine_ratio; says where the staged rows can be read.
    """
    # A quotient, as the ratio itself is one: 0.29 * 100 is a little less than 29.
    if counts.quarantined / max(1, plan.to_score) <= plan.max_quarantine_ratio:
        return
    reasons = ", ".join(f"{reason} {n}" for reason, n in counts.reasons.items())
    staged = storage.join_uri(plan.staging, UNITS_FOLDER, "*.quarantine.parquet")
    raise RunFailed(
        f"run {plan.run_id}: {counts.quarantined} of {plan.to_score} chips were quarantined "
        f"({reasons}), over --max_quarantine_ratio {plan.max_quarantine_ratio}; nothing was "
        f"published; their rows: {staged}"
    )


def staged_chips(plan: RunPlan) -> int:
    """Chips of the units that are staged whole by now, seen from outside."""
    try:
        return sum(plan.unit_rows[number] for number in staged_numbers(plan.staging))
    except StorageError:  # this number is for people only
        return 0


def read_verdict(plan: RunPlan) -> str:
    """Why the graph's last step refused to publish; "" where it did not."""
    uri = storage.join_uri(plan.staging, VERDICT_FILE)
    if storage.head_object(uri) is None:
        return ""
    return str(json.loads(storage.read_bytes(uri))["reason"])


def read_summary(plan: RunPlan) -> RunSummary:
    """What was published of a run, from its record and its rows.

    Raises:
        RunFailed: the run is not published.
    """
    records = _rows_of_run(plan, "runs").to_table().to_pylist()
    if not records:
        raise RunFailed(f"run {plan.run_id} is not published")
    labels = _rows_of_run(plan, "chip_scores").to_table(columns=["labels"])["labels"]
    tally = pc.value_counts(pc.list_flatten(labels)).to_pylist()
    counts = Counter({label["values"]: label["counts"] for label in tally})
    return RunSummary(
        scored=records[0]["scored"],
        quarantined=records[0]["quarantined"],
        reasons=json.loads(records[0]["quarantined_by_reason"]),
        labels=dict(counts.most_common(_TOP_LABELS)),
        precision=records[0]["precision"] or "",
        score_seconds=records[0]["score_seconds"],
    )


def _publish(plan: str, staged: Iterable[str], settings: WorkerSettings | None) -> None:
    if settings:
        settings.apply()
    publish_run(RunPlan.from_json(plan), map(StagedUnit.from_json, staged))


def _drop_staging(plan: RunPlan) -> None:
    """The run is published by now: what cannot be deleted is litter, not a failure."""
    try:
        for attempt in range(1, plan.attempt + 1):
            storage.delete_folder(planning.staging_of(plan.output, plan.run_id, attempt))
    except StorageError as error:
        _log.warning("run %s is published; its staging folder stays: %s", plan.run_id, error)


@contextmanager
def _verdict(plan: RunPlan) -> Iterator[None]:
    """Write down why the run is refused."""
    try:
        yield
    except RunFailed as error:
        verdict = json.dumps({"status": "failed", "reason": str(error)})
        storage.write_bytes(storage.join_uri(plan.staging, VERDICT_FILE), verdict.encode())
        raise


def _all_staged(plan: RunPlan, units: Iterable[StagedUnit]) -> list[StagedUnit]:
    """A record of each unit, in order: a retried bundle may give one twice, and both are the same;
    what an earlier start of the run has staged is looked up."""
    by_number = {unit.number: unit for unit in units}
    if missing := set(range(len(plan.unit_rows))) - by_number.keys():
        earlier = missing.intersection(staged_numbers(plan.staging))
        by_number |= {unit.number: unit for unit in read_units(plan.staging, earlier)}
    return [by_number[number] for number in sorted(by_number)]


def _publish_files(plan: RunPlan, table: str, staged: list[tuple[int, StagedFile]]) -> None:
    """Copy staged files to their final names and commit them, unless that was done before."""
    if _is_done(plan, _open(plan, table)):
        return
    with ThreadPoolExecutor(_COPY_THREADS) as pool:
        files = list(pool.map(lambda item: _copy(plan, table, *item), staged))
    _commit(plan, table, files)


def _commit(plan: RunPlan, name: str, files: list[DataFile]) -> None:
    """Commit files as the run's rows, after whoever is committing at the same moment.

    Raises:
        RunFailed: others were faster again and again, or have published the same chips.
    """
    partition = {"run_date": plan.run_date, "run_id": plan.run_id}
    for _ in range(_COMMIT_TRIES):
        table = _open(plan, name)
        if _is_done(plan, table):
            return
        if name == "chip_scores":
            with _verdict(plan):
                refuse_rivals(plan, table)
        transactions = delta_tables.next_transactions(table, plan.run_id, plan.attempt)
        replace = plan.attempt > 1
        try:
            commit_files(table, files, partition, transactions, replace, metadata=partition)
            return
        except PublishConflict:
            continue
    raise RunFailed(f"run {plan.run_id}: {_COMMIT_TRIES} commits to {name} met with conflicts")


def _open(plan: RunPlan, name: str) -> DeltaTable:
    table = delta_tables.open_table(plan.output, name)
    if table is None:
        raise RunFailed(f"the table {storage.join_uri(plan.output, name)} is gone")
    return table


def _rows_of_run(plan: RunPlan, name: str) -> ds.Dataset:
    return delta_tables.open_dataset(_open(plan, name), [plan.run_id])


def _is_done(plan: RunPlan, table: DeltaTable) -> bool:
    return delta_tables.attempts_of(table, plan.run_id) >= plan.attempt


def _copy(plan: RunPlan, table: str, number: int, staged: StagedFile) -> DataFile:
    """Copy a staged file to its final name: nobody who is late writes over a published file."""
    path = f"{_partition_path(plan)}/unit-{number:06d}-{plan.attempt}.parquet"
    storage.copy_object(staged.uri, storage.join_uri(plan.output, table, path))
    return DataFile(path, staged.size_bytes, staged.rows)


def _publish_record(plan: RunPlan, counts: RunCounts) -> None:
    if _is_done(plan, _open(plan, "runs")):
        return
    # Two who publish the same attempt write two files, one of which is committed.
    path = f"{_partition_path(plan)}/run-{plan.attempt}-{uuid.uuid4().hex[:8]}.parquet"
    data = parquet_bytes(_record(plan, counts))
    storage.write_bytes(storage.join_uri(plan.output, "runs", path), data)
    _commit(plan, "runs", [DataFile(path, len(data), 1)])


def _record(plan: RunPlan, counts: RunCounts) -> pa.Table:
    scores = _open(plan, "chip_scores")
    published_at = delta_tables.committed_at(scores, plan.run_id) or datetime.now(UTC)
    planned_at = datetime.fromtimestamp(plan.planned_at, UTC)
    row = {
        "kind": plan.kind,
        "status": PUBLISHED,
        "listed": counts.listed,
        "skipped": counts.skipped,
        "scored": counts.scored,
        "quarantined": counts.quarantined,
        "quarantined_by_reason": json.dumps(counts.reasons),
        "model_digest": plan.model_digest,
        "thresholds_digest": plan.thresholds_digest,
        "precision": counts.precision or None,
        "versions": json.dumps(dict(plan.versions)),
        "options": json.dumps(dict(plan.options)),
        "started_at": datetime.fromtimestamp(plan.started_at, UTC),
        "planned_at": planned_at,
        "published_at": published_at,
        "plan_seconds": plan.planned_at - plan.started_at,
        "score_seconds": (published_at - planned_at).total_seconds(),
    }
    return pa.Table.from_pylist([row], schema=file_schema(RUNS))


def _partition_path(plan: RunPlan) -> str:
    return f"run_date={plan.run_date}/run_id={plan.run_id}"


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())
