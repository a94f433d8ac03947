"""The rows of one run, a few at a time: published ones from the tables, staged ones from files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipelines.runs.staging import StagedFile, StagedUnit
from pipelines.storage import store
from pipelines.tables import delta_tables
from pipelines.tables.replacing import quarantined_rows

_BATCH_ROWS = 32_768
_BATCHES_AHEAD = 4

Read = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
"""Returns the rows, with some of their columns."""


@dataclass(frozen=True)
class RunRows:
    """The rows of a run.

    Attributes:
        columns: the columns of `chip_scores`, with their metadata.
        scores, quarantine: read the run's rows of the two tables.
    """

    columns: pa.Schema
    scores: Read
    quarantine: Read


def published_rows(output: str, run_id: str) -> RunRows:
    """The rows of a published run; none if it is not published.

    Raises:
        StorageError: a table cannot be read.
    """
    scores, quarantine = (delta_tables.open_table(output, n) for n in ("chip_scores", "quarantine"))
    scored = delta_tables.open_dataset(scores, [run_id]) if scores else None
    quarantined = quarantined_rows(quarantine, scores, [run_id]) if quarantine else None
    columns = pa.schema([]) if scored is None else scored.schema
    return RunRows(columns, _from_dataset(scored), _from_dataset(quarantined))


def staged_rows(units: Iterable[StagedUnit]) -> RunRows:
    """The rows of staged units.

    Raises:
        StorageError: the first file cannot be read.
    """
    units = list(units)
    scores = [unit.scores for unit in units if unit.scores]
    columns = pa.schema([])
    if scores:
        with store.open_file(scores[0].uri) as file:
            columns = pq.read_schema(file)
    quarantine = [unit.quarantine for unit in units if unit.quarantine]
    return RunRows(columns, _from_files(scores), _from_files(quarantine))


def scan_rows(rows: ds.Dataset, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a dataset, with little of it in memory at a time."""
    yield from rows.to_batches(
        columns=list(columns),
        batch_size=_BATCH_ROWS,
        batch_readahead=_BATCHES_AHEAD,
        fragment_readahead=_BATCHES_AHEAD,
    )


def _from_dataset(rows: ds.Dataset | None) -> Read:
    return lambda columns: iter([]) if rows is None else scan_rows(rows, columns)


def _from_files(files: Sequence[StagedFile]) -> Read:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for staged in files:
            with store.open_file(staged.uri) as file:
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
                yield from parquet.iter_batches(_BATCH_ROWS, columns=list(columns))

    return read
