"""Quarantined rows of published runs, also while a run is being replaced.

A replacement commits to `quarantine` before it commits to `chip_scores`, and may die in between.
Until its scores are committed, readers see the rows that it removed, from an earlier snapshot of
the table. The names of the files contain the number of the attempt.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipelines.storage import store
from pipelines.tables import delta_tables, live_files, publications
from pipelines.tables.datasets import UnionDataset
from pipelines.tables.live_files import PublishedFile

_ATTEMPT = re.compile(r"/unit-\w+-(\d+)\.parquet$")


def quarantined_rows(
    quarantine: DeltaTable, scores: DeltaTable | None, run_ids: Collection[str] | None = None
) -> ds.Dataset:
    """The rows of those runs, or some of them, that are published in a snapshot of `chip_scores`.

    Raises:
        StorageError: an earlier snapshot cannot be opened.
    """
    found = {partition["run_id"] for partition in quarantine.partitions()}
    asked = found if run_ids is None else found.intersection(run_ids)
    published = publications.published_run_ids(scores, asked)
    ahead = _being_replaced(quarantine, scores, published) if scores else {}
    rows = delta_tables.open_dataset(quarantine, published - ahead.keys())
    replaced = [
        part for run_id in ahead for part in _rows_before(quarantine, run_id, ahead[run_id])
    ]
    return UnionDataset([rows, *replaced]) if replaced else rows


def _being_replaced(
    quarantine: DeltaTable, scores: DeltaTable, published: Collection[str]
) -> dict[str, int]:
    """Runs of which `quarantine` has a later attempt than `chip_scores`, with the latter's."""
    attempts = {file.run_id: _attempt(file) for file in live_files.data_files(quarantine)}
    again = {run: n for run, n in attempts.items() if n > 1 and run in published}
    visible = {run_id: publications.attempts_of(scores, run_id) for run_id in again}
    return {run_id: visible[run_id] for run_id in again if again[run_id] > visible[run_id]}


def _attempt(file: PublishedFile) -> int:
    """The attempt in a file's name; 0 for a compacted file, whose run is not being replaced."""
    found = _ATTEMPT.search(file.path)
    return int(found[1]) if found else 0


def _rows_before(quarantine: DeltaTable, run_id: str, attempt: int) -> Iterator[ds.Dataset]:
    """A run's rows after an attempt; none if their files were deleted."""
    earlier = publications.snapshot_of_attempt(quarantine, run_id, attempt)
    if earlier is None:
        return
    files = [file for file in live_files.data_files(earlier) if file.run_id == run_id]
    uris = [store.join_uri(quarantine.table_uri, file.path) for file in files]
    if all(store.head_object(store.absolute_uri(uri)) for uri in uris):
        yield delta_tables.open_dataset(earlier, [run_id])
