"""Files of the tables that are missing or damaged: found, named with their run, and left out.

A table's log says which files it has, and how large they are. A reader only learns that one is
damaged when it fails. Then all files are searched for damage: first their sizes, which a listing
says, then their contents.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines.errors import StorageError, UsageError
from pipelines.run_log import event
from pipelines.storage import store
from pipelines.storage.storage_errors import detail
from pipelines.tables import delta_tables, live_files
from pipelines.tables.file_checksums import has_wrong_checksum
from pipelines.tables.live_files import PublishedFile
from pipelines.wording import count_of
from schemas.place_tables import CHIP_PLACES, PLACES
from schemas.tables import CHIP_SCORES, EXPIRED_CHIPS, QUARANTINE, TABLES
from schemas.verdict_table import VERDICTS

T = TypeVar("T")

_READ_THREADS = 4  # each has a whole file in memory, of 128 MiB at most
_SHOWN = 5
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENOMEM)
_DAMAGED = (*delta_tables.UNREADABLE, UnicodeDecodeError)  # the latter by names in a footer
_FAILURES = (StorageError, UsageError, *_DAMAGED, duckdb.Error)
_WITH_CHIPS = (CHIP_SCORES.name, QUARANTINE.name, EXPIRED_CHIPS.name)


@dataclass(frozen=True)
class Damage:
    """A file of a table that cannot be read.

    Attributes:
        table: the table's name.
        file: what the table's log says of it.
        fault: "is missing", "has 3 bytes, not 7" ...
    """

    table: str
    file: PublishedFile
    fault: str

    def __str__(self) -> str:
        of = f" of run {self.file.run_id}" if self.file.run_id else ""
        return f"{self.table}/{self.file.path}{of} {self.fault}"

    @property
    def advice(self) -> str:
        """How to repair it."""
        if self.file.run_id:
            return f"score run {self.file.run_id} again with --rescore, or withdraw it"
        if self.table == VERDICTS.name:
            return "restore the file from a copy"
        if self.table in (PLACES.name, CHIP_PLACES.name):
            return f"delete the folders {PLACES.name} and {CHIP_PLACES.name}, and run update_places"
        return f"delete the folder {self.table}, and run update_alerts"


def find_damage(output: str, deep: bool = False) -> list[Damage]:
    """The files of all tables of an OUTPUT that are missing, or have another size than when they
    were committed.

    Args:
        deep: also read all files, and compare the checksums of their pages.

    Raises:
        StorageError: a log, a listing or a file cannot be read because its store fails.
    """
    tables = [delta_tables.open_table(output, table.name) for table in TABLES]
    pairs = zip(TABLES, tables, strict=True)
    return [each for kind, found in pairs if found for each in _damage_of(kind.name, found, deep)]


def without_damage(output: str, skip: bool, work: Callable[[], T]) -> T:
    """Do some work that reads tables, and say which files are damaged if it fails for that.

    Args:
        skip: leave out damaged files, and do the work again. The process leaves them out from
            then on.
        work: may be done several times.

    Raises:
        StorageError: files are damaged, and not left out; names them and their runs.
    """
    if not skip:
        live_files.leave_out_none()
    while True:
        try:
            return work()
        except _FAILURES as error:
            damage = _causes(output, error)
            if not damage:
                raise
            if not skip:
                raise StorageError(_refusal(damage)) from error
            for each in damage:
                _leave_out(output, each)


def skipped_files(output: str) -> list[Damage]:
    """The files that this process leaves out, and that are still in the tables."""
    if not live_files.any_left_out():
        return []
    tables = [(table.name, delta_tables.open_table(output, table.name)) for table in TABLES]
    return [
        Damage(name, file, "is left out")
        for name, table in tables
        if table is not None
        for file in live_files.left_out(table)
    ]


def newest_commit(output: str, damage: Iterable[Damage]) -> datetime | None:
    """When the last of some files was committed; None without files."""
    times_ms = []
    for name in {each.table for each in damage}:
        paths = {each.file.path for each in damage if each.table == name}
        table = delta_tables.open_table(output, name)
        for _, path, time_ms in (
            live_files.added(table, ["path", "modification_time"], True) if table else ()
        ):
            times_ms += [time_ms] if path in paths else []
    return datetime.fromtimestamp(max(times_ms) / 1000, UTC) if times_ms else None


def chips_in(damage: Iterable[Damage]) -> int:
    """How many chips the runs have done whose rows are in these files."""
    return sum(each.file.rows for each in damage if each.table in _WITH_CHIPS)


def _damage_of(name: str, table: DeltaTable, deep: bool) -> Iterator[Damage]:
    root = store.absolute_uri(table.table_uri)
    files = live_files.data_files(table, with_left_out=True)
    sizes = _sizes_below(root) if files else {}
    whole = []
    for file in files:
        size = sizes.get(store.join_uri(root, file.path))
        if size == file.size_bytes:
            whole.append(file)
        else:
            yield Damage(name, file, _fault_of_size(size, file.size_bytes))
    if deep:
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            faults = pool.map(partial(_fault_in, root), whole)
            for file, fault in zip(whole, faults, strict=True):
                if fault:
                    yield Damage(name, file, fault)


def _sizes_below(root: str) -> Mapping[str, int]:
    """The size of each object below a table's root."""
    return {
        uri: size
        for part in store.list_objects(root)
        for uri, size in zip(part["uri"].to_pylist(), part["size_bytes"].to_pylist(), strict=True)
    }


def _fault_of_size(found: int | None, expected: int) -> str:
    return "is missing" if found is None else f"has {found:,} bytes, not {expected:,}"


def _fault_in(root: str, file: PublishedFile) -> str:
    """What is wrong in a file; "" if all its rows can be read, and all checksums are right."""
    data = store.read_bytes(store.join_uri(root, file.path))
    if has_wrong_checksum(data):
        return "is damaged (its checksum is wrong)"
    try:
        parquet = pq.ParquetFile(pa.py_buffer(data), page_checksum_verification=True)
        rows = sum(batch.num_rows for batch in parquet.iter_batches())
    except _DAMAGED as error:
        return f"is damaged ({detail(error)})"
    return "" if rows == file.rows else f"has {rows:,} rows, not {file.rows:,}"


def _causes(output: str, error: Exception) -> list[Damage]:
    """The damaged files, not left out yet, for which work may have failed."""
    if _is_full(error):
        return []
    try:
        skipped = {(each.table, each.file.path) for each in skipped_files(output)}
        for deep in (False, True):
            found = find_damage(output, deep)
            if new := [each for each in found if (each.table, each.file.path) not in skipped]:
                return new
    except (StorageError, UsageError):  # the store fails, and that is what the work will say
        pass
    return []


def _is_full(error: BaseException | None) -> bool:
    """Whether something failed for lack of space or memory."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in _FULL) or "No space left" in str(error):
            return True
        error = error.__cause__
    return False


def _refusal(damage: list[Damage]) -> str:
    first, more = damage[0], len(damage) - 1
    others = (
        f" ({count_of(more, 'more damaged file')}: maintain --check lists them)" if more else ""
    )
    return f"{first}{others}; {first.advice}; or go on without it with --skip_damaged"


def _leave_out(output: str, damage: Damage) -> None:
    table = delta_tables.open_table(output, damage.table)
    if table is None:
        return
    live_files.leave_out(table, damage.file.path)
    event(
        "damage_skipped",
        logging.WARNING,
        table=damage.table,
        path=damage.file.path,
        damaged_run=damage.file.run_id,
        rows=damage.file.rows,
        fault=damage.fault,
        advice=damage.advice,
    )
