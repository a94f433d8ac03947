"""Nights in numbers: a run from what it staged, those before it from what is published.

Rows are counted a few at a time, whatever a night holds. Of the published tables only the runs that
are asked for are read, and of these only scores and labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipelines import delta_tables, storage
from pipelines.counting import RunCounts
from pipelines.drift import BINS, Counts, Night, count_scores
from pipelines.planning import RunPlan
from pipelines.staging import StagedFile, StagedUnit
from schemas.tables import PUBLISHED, SCORE

_READ_THREADS = 8
_BATCH_ROWS = 32_768
_BATCHES_AHEAD = 4
_LOOK_BACK = 200
"""The newest runs among which the nights before are looked for."""


@dataclass(frozen=True)
class Tally:
    """Rows of `chip_scores` in numbers: see `Night`."""

    scores: dict[str, Counts]
    labels: Counter[str]


def staged_night(plan: RunPlan, counts: RunCounts, units: Iterable[StagedUnit]) -> Night:
    """A run in numbers, from its staged files.

    Raises:
        StorageError: one of them cannot be read.
    """
    files = [unit.scores for unit in units if unit.scores]
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        tally = _sum(pool.map(_tally_file, files))
    return Night(
        run_id=plan.run_id,
        run_date=plan.run_date,
        scored=counts.scored,
        quarantined=counts.quarantined,
        scores=tally.scores,
        labels=tally.labels,
    )


def published_night(output: str, record: dict[str, Any]) -> Night:
    """A published run in numbers.

    Args:
        record: its row in `runs`.

    Raises:
        StorageError: the table cannot be read.
    """
    scores = delta_tables.open_table(output, "chip_scores")
    rows = delta_tables.open_dataset(scores, [record["run_id"]]) if scores else None
    tally = _sum(map(tally_rows, _batches(rows))) if rows else _sum([])
    return Night(
        run_id=record["run_id"],
        run_date=str(record["run_date"]),
        scored=record["scored"],
        quarantined=record["quarantined"],
        scores=tally.scores,
        labels=tally.labels,
    )


def nights_before(
    output: str, run_id: str, model_digest: str, nights: int, before: datetime | None = None
) -> list[Night]:
    """The published runs to compare a run with, newest first: those over an archive, of the same
    model, that had a chip to do.

    Args:
        run_id: the run, which is none of them.
        nights: how many at most.
        before: only runs published before then.

    Raises:
        StorageError: a table cannot be read.
    """
    latest = before or datetime.max.replace(tzinfo=UTC)
    fitting = [
        record
        for record in _published_records(output)
        if record["run_id"] != run_id
        and (record["kind"], record["model_digest"]) == (SCORE, model_digest)
        and record["scored"] + record["quarantined"]
        and record["published_at"] < latest
    ]
    fitting.sort(key=lambda record: record["published_at"], reverse=True)
    return [published_night(output, record) for record in fitting[:nights]]


def tally_rows(rows: pa.RecordBatch | pa.Table) -> Tally:
    """Count rows of `chip_scores` with their score columns and `labels`."""
    scores = {
        label: count_scores(rows.column(name).to_numpy(zero_copy_only=False))
        for name, label in _labels_of(rows.schema).items()
    }
    found = pc.value_counts(pc.list_flatten(rows.column("labels"))).to_pylist()
    return Tally(scores, Counter({each["values"]: each["counts"] for each in found}))


def _labels_of(schema: pa.Schema) -> dict[str, str]:
    """Score column to label."""
    labels = {field.name: (field.metadata or {}).get(b"label") for field in schema}
    return {name: label.decode() for name, label in labels.items() if label}


def _tally_file(file: StagedFile) -> Tally:
    with storage.open_file(file.uri) as source:
        parquet = pq.ParquetFile(source)
        columns = [*_labels_of(parquet.schema_arrow), "labels"]
        return tally_rows(parquet.read(columns))  # a unit is small


def _batches(rows: ds.Dataset) -> Iterator[pa.RecordBatch]:
    columns = [*_labels_of(rows.schema), "labels"]
    yield from rows.to_batches(
        columns=columns,
        batch_size=_BATCH_ROWS,
        batch_readahead=_BATCHES_AHEAD,
        fragment_readahead=_BATCHES_AHEAD,
    )


def _sum(tallies: Iterable[Tally]) -> Tally:
    scores: dict[str, Counts] = {}
    labels: Counter[str] = Counter()
    for tally in tallies:
        for label, counts in tally.scores.items():
            scores[label] = scores.get(label, np.zeros(BINS, np.int64)) + counts
        labels.update(tally.labels)
    return Tally(scores, labels)


def _published_records(output: str) -> list[dict[str, Any]]:
    """The rows of the newest published runs."""
    runs = delta_tables.open_table(output, "runs")
    if runs is None:
        return []
    nights = {part["run_id"]: part["run_date"] for part in runs.partitions()}
    newest = sorted(nights, key=lambda run_id: nights[run_id], reverse=True)[:_LOOK_BACK]
    scores = delta_tables.open_table(output, "chip_scores")
    published = delta_tables.published_run_ids(scores, newest)
    rows = delta_tables.open_dataset(runs, published)
    found: list[dict[str, Any]] = rows.to_table(filter=ds.field("status") == PUBLISHED).to_pylist()
    return found
