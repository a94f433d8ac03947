"""Nights in numbers: a run from its staged files, earlier runs from the published tables.

Rows are counted in batches, however large a night is. Only the scores and labels of the requested
runs are read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines.drift.checks import BINS, Counts, Night, count_scores
from pipelines.runs.counting import RunCounts
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.run_rows import scan_rows
from pipelines.runs.staging import StagedFile, StagedUnit
from pipelines.storage import store
from pipelines.tables import delta_tables
from pipelines.tables.views import newest_runs
from schemas.tables import SCORE, QuarantineReason

_READ_THREADS = 8
_RECORD = (
    *("run_date", "kind", "model_digest", "scored", "quarantined"),
    *("quarantined_by_reason", "no_data", "published_at"),
)

_LOOK_BACK = 200
"""How many of the newest runs are searched for the nights before."""


class RowCounts(NamedTuple):
    """Counts of rows of `chip_scores`; see `Night`."""

    scores: dict[str, Counts]
    labels: Counter[str]


def staged_night(plan: RunPlan, counts: RunCounts, units: Iterable[StagedUnit]) -> Night:
    """A run in numbers, from its staged files.

    Raises:
        StorageError: one of them cannot be read.
    """
    files = [unit.scores for unit in units if unit.scores]
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        counted = add_up(pool.map(_count_file, files))
    return Night(
        plan.run_id, plan.run_date, counts.scored, counts.rejected, *counted, counts.no_data
    )


def published_night(scores: DeltaTable, record: dict[str, Any]) -> Night:
    """A published run in numbers.

    Args:
        scores: the table `chip_scores`.
        record: the run's row in `runs`.

    Raises:
        StorageError: the table cannot be read.
    """
    rows = delta_tables.open_dataset(scores, [record["run_id"]])
    columns = [*score_labels(rows.schema), "labels"]
    return as_night(record, add_up(map(count_rows, scan_rows(rows, columns))))


def chips_done(record: Mapping[str, Any]) -> int:
    """Chips that a run had to score and did, or rejected, from its row in `runs`."""
    return int(record["scored"] + record["quarantined"] + (record.get("no_data") or 0))


def as_night(record: dict[str, Any], counted: RowCounts) -> Night:
    """A run in numbers, from its row in `runs` and its counted rows."""
    run_id, run_date = record["run_id"], str(record["run_date"])
    reasons = json.loads(record.get("quarantined_by_reason") or "{}")
    windows = record.get("no_data") or 0
    no_data = reasons.get(QuarantineReason.NO_DATA, 0) + windows
    quarantined = record["quarantined"] + windows
    return Night(run_id, run_date, record["scored"], quarantined, *counted, no_data)


@delta_tables.opening_once()
def nights_before(
    output: str, run_id: str, model_digest: str, nights: int, before: datetime | None = None
) -> list[Night]:
    """The published runs to compare a run with, newest first: those that scored an archive with
    the same model and had at least one chip to score.

    Args:
        run_id: the run itself, which is left out.
        nights: the maximum number of runs.
        before: only runs published before this time; all by default.

    Raises:
        StorageError: a table cannot be read.
    """
    latest = before or datetime.max.replace(tzinfo=UTC)
    fitting = (
        record
        for record in islice(newest_runs(output, _RECORD), _LOOK_BACK)
        if record["run_id"] != run_id
        and (record["kind"], record["model_digest"]) == (SCORE, model_digest)
        and chips_done(record)
        and record["published_at"] < latest
    )
    records = [*islice(fitting, nights)]
    scores = delta_tables.open_table(output, "chip_scores")
    return [published_night(scores, record) for record in records] if scores else []


def count_rows(rows: pa.RecordBatch | pa.Table) -> RowCounts:
    """Count rows of `chip_scores` with their score columns and `labels`. Labels that the rows'
    model does not have are left out: their scores are null."""
    known = {
        label: rows.column(name).drop_null()
        for name, label in score_labels(rows.schema).items()
        if rows.column(name).null_count < max(1, rows.num_rows)
    }
    scores = {
        label: count_scores(column.to_numpy(zero_copy_only=False))
        for label, column in known.items()
    }
    found = pc.value_counts(pc.list_flatten(rows.column("labels"))).to_pylist()
    return RowCounts(scores, Counter({each["values"]: each["counts"] for each in found}))


def score_labels(schema: pa.Schema) -> dict[str, str]:
    """Score column to label, in label order, by the metadata of the columns of `chip_scores`."""
    labels = {field.name: (field.metadata or {}).get(b"label") for field in schema}
    return {name: label.decode() for name, label in labels.items() if label}


def add_up(parts: Iterable[RowCounts | Night]) -> RowCounts:
    """The counts of all the rows, or nights, together."""
    scores: dict[str, Counts] = {}
    labels: Counter[str] = Counter()
    for counted in parts:
        for label, counts in counted.scores.items():
            scores[label] = scores.get(label, np.zeros(BINS, np.int64)) + counts
        labels.update(counted.labels)
    return RowCounts(scores, labels)


def _count_file(file: StagedFile) -> RowCounts:
    with store.open_file(file.uri) as source:
        parquet = pq.ParquetFile(source, page_checksum_verification=True)
        columns = [*score_labels(parquet.schema_arrow), "labels"]
        return count_rows(parquet.read(columns))  # a unit is small
