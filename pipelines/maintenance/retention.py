"""Remove the rows of old nights, and remember that their chips are done.

First the chips are stored in `expired_chips`, so that the next run does not score them again if
they are still in the archive; then one commit per table removes the rows. A command that dies in
between has changed nothing that readers see, and can be run again: a chip may then be in
`expired_chips` twice. `runs` keeps all its rows.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipelines.maintenance.copies import kinds_of_runs
from pipelines.maintenance.housekeeping import in_turn
from pipelines.planning.done import PERMANENT
from pipelines.storage import store
from pipelines.tables import commits, delta_tables, evolution, live_files, publications
from pipelines.tables.commits import (
    DataFile,
    commit_in_turn,
    translate_commit_errors,
)
from pipelines.tables.durability import sync_log
from pipelines.tables.live_files import PublishedFile
from pipelines.tables.parquet_files import open_writer
from schemas.render import file_schema
from schemas.tables import CHIP_SCORES, EXPIRED_CHIPS, QUARANTINE, RELABEL, TABLES

_EXPIRING = tuple(table.name for table in TABLES if table.expires)
_SCHEMA = file_schema(EXPIRED_CHIPS)
_BATCH_ROWS = 65_536

Partition = tuple[str, str]
"""Night and run."""


@dataclass(frozen=True)
class Expiry:
    """What retention removed, or would remove.

    Attributes:
        nights: number of nights with such rows.
        rows: number of rows by table.
        paths: their files by table, relative to its root.
    """

    nights: int
    rows: dict[str, int]
    paths: dict[str, frozenset[str]]


def expire(output: str, before: str, preview: bool) -> Expiry:
    """Remove the rows of old nights from the tables.

    Args:
        before: the first night to keep, YYYY-MM-DD.

    Raises:
        RunFailed: every commit met with a conflict.
        StorageError: a table cannot be read or written.
    """
    first: Expiry | None = None

    def commit() -> Expiry:
        nonlocal first
        tables = {name: delta_tables.open_table(output, name) for name in _EXPIRING}
        old = {name: _old_files(tables, name, before) for name in _EXPIRING}
        first = first or _summary(old)
        if preview or not any(old.values()):
            return first
        with commits.conflict_if_replaced(output, tables):
            _remember(output, tables, old)
        for name, table in tables.items():
            if table is not None and old[name]:
                _remove(table, old[name], before)
        return first

    return commit_in_turn(commit, "remove old nights")


def _old_files(
    tables: dict[str, DeltaTable | None], name: str, before: str
) -> dict[Partition, list[PublishedFile]]:
    """The files of old nights, only of published runs: others may still be published."""
    table, scores = tables[name], tables[CHIP_SCORES.name]
    files: defaultdict[Partition, list[PublishedFile]] = defaultdict(list)
    for file in live_files.data_files(table) if table else ():
        if file.run_date < before:
            files[file.run_date, file.run_id].append(file)
    published = publications.published_run_ids(scores, {run_id for _, run_id in files})
    return {
        partition: found
        for partition, found in files.items()
        if partition[1] in published and not _is_ahead(partition[1], table, scores)
    }


def _is_ahead(run_id: str, table: DeltaTable | None, scores: DeltaTable | None) -> bool:
    """Whether the table has an attempt at a run that is not in `chip_scores` yet."""
    return publications.attempts_of(table, run_id) > publications.attempts_of(scores, run_id)


def _summary(old: dict[str, dict[Partition, list[PublishedFile]]]) -> Expiry:
    nights = {night for partitions in old.values() for night, _ in partitions}
    files = {name: [*chain.from_iterable(each.values())] for name, each in old.items()}
    rows = {name: sum(file.rows for file in found) for name, found in files.items()}
    paths = {name: frozenset(file.path for file in found) for name, found in files.items()}
    return Expiry(len(nights), rows, paths)


def _remember(
    output: str,
    tables: dict[str, DeltaTable | None],
    old: dict[str, dict[Partition, list[PublishedFile]]],
) -> None:
    """Store which chips are done by the rows: one file for each night and run. A relabelling has
    the chips of other runs."""
    evolution.ensure_table(output, EXPIRED_CHIPS)
    partitions = {partition for each in old.values() for partition in each}
    kinds = kinds_of_runs(output, {run_id for _, run_id in partitions})
    for night, run_id in sorted(partitions):
        if kinds.get(run_id) == RELABEL:
            continue
        parts = [
            _done(table, name, night, run_id)
            for name, table in tables.items()
            if table is not None and (night, run_id) in old[name]
        ]
        if file := _write(output, parts, night, run_id):
            _commit(output, file, night, run_id)


def _done(table: DeltaTable, name: str, night: str, run_id: str) -> ds.Scanner:
    wanted = ds.field("run_date") == pa.scalar(night).cast(pa.date32())
    if name == QUARANTINE.name:
        wanted &= ds.field("reason").isin(PERMANENT)
    rows = delta_tables.open_dataset(table, [run_id])
    return rows.scanner(columns=_SCHEMA.names, filter=wanted, batch_size=_BATCH_ROWS)


def _write(output: str, parts: Iterable[ds.Scanner], night: str, run_id: str) -> DataFile | None:
    """A file of chips that is not committed yet; None if there are no chips."""
    path = f"run_date={night}/run_id={run_id}/expired-{uuid.uuid4().hex[:8]}.parquet"
    uri = store.join_uri(output, EXPIRED_CHIPS.name, path)
    rows = 0
    with store.create_file(uri) as file, open_writer(file, _SCHEMA) as writer:
        for part in parts:
            for batch in part.to_batches():
                writer.write_batch(batch.cast(_SCHEMA))
                rows += batch.num_rows
    if not rows:
        return None
    return DataFile(path, store.written_bytes(uri), rows)


def _commit(output: str, file: DataFile, night: str, run_id: str) -> None:
    table = evolution.ensure_table(output, EXPIRED_CHIPS)
    partition = {"run_date": night, "run_id": run_id}
    turn = [commits.next_turn(table)]
    commits.commit_files(table, [file], partition, turn, False, {"maintained": "retention"})


def _remove(table: DeltaTable, old: dict[Partition, list[PublishedFile]], before: str) -> None:
    """Remove files in one commit, which changes only the log: a file is of one night and run."""
    run_ids = ", ".join(f"'{run_id}'" for run_id in sorted({run_id for _, run_id in old}))
    kept = {file.run_id for file in live_files.data_files(table) if file.run_date >= before}
    gone = {run_id for _, run_id in old} - kept
    without_rows = [(publications.rows_transaction(run_id), 0) for run_id in sorted(gone)]
    with translate_commit_errors("maintain", table, retries=True):
        table.delete(
            f"run_date < '{before}' AND run_id IN ({run_ids})",
            commit_properties=in_turn(table, "retention", without_rows),
        )
    sync_log(table)  # before the files are deleted
