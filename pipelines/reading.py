"""From addresses to pixels: units of the manifest are read and decoded ahead of the model.

Threads serve both, since reading waits and decoding releases the interpreter lock. While the
model works on one batch, the next ones of the same unit are on their way.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import imaging, storage
from pipelines.elements import REJECTED, ChipBatch, Unit
from pipelines.errors import ChipRejected, StorageError
from schemas.artifact import Preprocessing
from schemas.tables import BOUNDS, CHIP_COLUMNS
from schemas.tables import QuarantineReason as Reason

BATCHES_AHEAD = 2
"""Batches read ahead of the model: one ready, one in the making."""

_REMOTE_THREADS = 16  # enough to hide an object store's latency at thousands of objects a second
_ROWS_A_TASK = 16  # small enough to spread a batch over all threads, large against a task's cost
_CHIP_NAMES = [column.name for column in CHIP_COLUMNS]


class UnitAddress(NamedTuple):
    """Where a unit stands: all that crosses the graph's one Reshuffle."""

    number: int
    manifest_uri: str


class ReadManifest(beam.PTransform):
    """The units of a manifest, spread over the workers by address and read there.

    Args:
        manifest_uri: a manifest as `planning.store_plan` writes it.
        units: numbers of the row groups to read.
    """

    def __init__(self, manifest_uri: str, units: Sequence[int]) -> None:
        super().__init__()
        self._addresses = [UnitAddress(number, manifest_uri) for number in units]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[Unit]:
        """Addresses, the Reshuffle, then the row groups."""
        return (
            pbegin
            | "Addresses" >> beam.Create(self._addresses, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "ReadUnits" >> beam.Map(read_unit).with_output_types(Unit)
        )


class ReadChips(beam.PTransform):
    """Units to batches of decoded chips; what cannot be decoded travels along as rejected.

    Args:
        preprocessing: how bytes become pixels, from the artifact.
        batch_size: chips a batch.
    """

    def __init__(self, preprocessing: Preprocessing, batch_size: int) -> None:
        super().__init__()
        self._fn = ReadChipsFn(preprocessing, batch_size)

    def expand(self, units: beam.PCollection[Unit]) -> beam.PCollection[ChipBatch]:
        """One DoFn, a generator."""
        return units | beam.ParDo(self._fn).with_output_types(ChipBatch)


class ReadChipsFn(beam.DoFn):
    """Holds the threads that `read_batches` works with."""

    def __init__(self, preprocessing: Preprocessing, batch_size: int) -> None:
        self._preprocessing = preprocessing
        self._batch_size = batch_size

    def setup(self) -> None:
        """Start no threads yet: how many serve best is known when the first unit comes."""
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def process(self, unit: Unit) -> Iterator[ChipBatch]:
        """Yield the unit's batches, the later ones being read meanwhile."""
        threads = threads_for(unit.chips["chip_uri"][0].as_py())
        if threads not in self._pools:
            self._pools[threads] = ThreadPoolExecutor(threads, "read")
        yield from read_batches(unit, self._preprocessing, self._batch_size, self._pools[threads])

    def teardown(self) -> None:
        """Stop the threads."""
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)


def threads_for(uri: str) -> int:
    """Threads that read chips like this one: a core each, more where a store's latency is to
    be hidden."""
    cores = os.cpu_count() or 1
    return max(_REMOTE_THREADS, cores) if storage.is_remote(uri) else cores


def read_unit(address: UnitAddress) -> Unit:
    """Read one row group of a manifest, and no more of it."""
    with storage.open_file(address.manifest_uri) as file:
        return Unit(address.number, pq.ParquetFile(file).read_row_group(address.number))


def read_batches(
    unit: Unit, preprocessing: Preprocessing, batch_size: int, pool: ThreadPoolExecutor
) -> Iterator[ChipBatch]:
    """Read and decode a unit, `BATCHES_AHEAD` batches ahead of who consumes them."""
    starts = range(0, unit.chips.num_rows, batch_size)
    waiting: deque[_Reading] = deque()
    for start in starts:
        waiting.append(_begin(unit.chips.slice(start, batch_size), preprocessing, pool))
        if len(waiting) > BATCHES_AHEAD:
            yield _finish(waiting.popleft(), unit.number, last=False)
    while waiting:
        reading = waiting.popleft()
        yield _finish(reading, unit.number, last=not waiting)


def read_chip(uri: str, size_bytes: int | None, preprocessing: Preprocessing) -> bytes:
    """The bytes of a chip.

    Raises:
        ChipRejected: unreadable, or too_large to be a chip at all.
    """
    if size_bytes is not None and size_bytes > preprocessing.max_bytes:
        limit = preprocessing.max_bytes
        raise ChipRejected(Reason.TOO_LARGE, f"{size_bytes:,} bytes, at most {limit:,}")
    try:
        return storage.read_bytes(uri)
    except StorageError as error:
        raise ChipRejected(Reason.UNREADABLE, str(error)) from error


class _Rejection(NamedTuple):
    row: int
    reason: str
    message: str


@dataclass(frozen=True)
class _Reading:
    """A batch on its way: threads fill `pixels` and `bounds` and return what they rejected."""

    chips: pa.Table
    pixels: npt.NDArray[np.uint8]
    bounds: npt.NDArray[np.float64]
    tasks: list[Future[list[_Rejection]]]


def _begin(chips: pa.Table, preprocessing: Preprocessing, pool: ThreadPoolExecutor) -> _Reading:
    rows = chips.num_rows
    pixels = np.empty((rows, *preprocessing.input_shape), np.uint8)
    bounds = np.full((rows, len(BOUNDS)), np.nan)
    uris, sizes = chips["chip_uri"].to_pylist(), chips["size_bytes"].to_pylist()

    def read_rows(start: int) -> list[_Rejection]:
        rejections = []
        for row in range(start, min(start + _ROWS_A_TASK, rows)):
            try:
                data = read_chip(uris[row], sizes[row], preprocessing)
                pixels[row] = _decode(data, preprocessing)
                bounds[row] = _bounds(data, preprocessing)
            except ChipRejected as rejected:
                rejections.append(_Rejection(row, rejected.reason.value, rejected.message))
        return rejections

    tasks = [pool.submit(read_rows, start) for start in range(0, rows, _ROWS_A_TASK)]
    return _Reading(chips, pixels, bounds, tasks)


def _decode(data: bytes, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Decode, and let no decoder's surprise at hostile bytes cost more than the one chip."""
    try:
        return imaging.decode_chip(data, preprocessing)
    except ChipRejected:
        raise
    except Exception as error:
        raise ChipRejected(Reason.DECODE_ERROR, f"{type(error).__name__}: {error}") from error


def _bounds(data: bytes, preprocessing: Preprocessing) -> imaging.Bounds | float:
    found = imaging.tif_bounds(data) if preprocessing.media_type == "tif" else None
    return np.nan if found is None else found


def _finish(reading: _Reading, unit: int, last: bool) -> ChipBatch:
    rejections = [rejection for task in reading.tasks for rejection in task.result()]
    chips = _with_bounds(reading.chips, reading.bounds).select(_CHIP_NAMES)
    if not rejections:
        return ChipBatch(unit, last, chips, reading.pixels, REJECTED.empty_table())
    rows = [rejection.row for rejection in rejections]
    kept = np.delete(np.arange(chips.num_rows), rows)
    return ChipBatch(
        unit=unit,
        last=last,
        chips=chips.take(kept),
        pixels=reading.pixels[kept],
        rejected=reject_rows(
            chips.take(rows),
            [rejection.reason for rejection in rejections],
            [rejection.message for rejection in rejections],
        ),
    )


def reject_rows(chips: pa.Table, reasons: list[str], messages: list[str]) -> pa.Table:
    """Chip rows with reasons and messages, in the REJECTED schema."""
    columns = [chips[name] for name in _CHIP_NAMES]
    return pa.table([*columns, pa.array(reasons), pa.array(messages)], schema=REJECTED)


def _with_bounds(chips: pa.Table, bounds: npt.NDArray[np.float64]) -> pa.Table:
    """Fill the bounding box from the tif where the manifest gave none."""
    if np.isnan(bounds).all():
        return chips
    for column, name in enumerate(BOUNDS):
        found = pa.array(bounds[:, column], from_pandas=True)  # NaN becomes null
        given = chips[name].combine_chunks()
        chips = chips.set_column(
            chips.schema.get_field_index(name), name, pc.coalesce(given, found)
        )
    return chips
