"""From addresses to pixels: units of the manifest are read and decoded ahead of the model.

Threads serve both, since reading waits and decoding releases the interpreter lock. While the
model works on one batch, the next ones are on their way.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.elements import REJECTED, ChipBatch, Spent, Unit
from pipelines.errors import ChipRejected
from pipelines.imaging import decoding
from pipelines.imaging.footprint import Place, bounds_of, read_place
from pipelines.imaging.tiff_layout import TiffLayout
from pipelines.reading.chip_bytes import ChipBytes
from pipelines.reading.pixel_budget import PixelBudget, Slot
from pipelines.storage import store
from pipelines.storage.worker_settings import WorkerSettings
from schemas.artifact import Preprocessing
from schemas.tables import BOUNDS, CHIP_COLUMNS
from schemas.tables import QuarantineReason as Reason

BATCHES_AHEAD = 2
"""Batches read ahead of the model: one ready, one in the making."""

_REMOTE_THREADS = 16  # enough to hide an object store's latency at thousands of objects a second
_ROWS_A_TASK = 32  # small enough to spread a batch over all threads, large against a task's cost
_budget = PixelBudget(BATCHES_AHEAD + 1)  # and the one that the model works on
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
        batch_size: asked on the worker for the number of chips a batch.
        settings: applied on the worker first.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        batch_size: Callable[[], int],
        settings: WorkerSettings | None = None,
    ) -> None:
        super().__init__()
        self._fn = ReadChipsFn(preprocessing, batch_size, settings)

    def expand(self, units: beam.PCollection[Unit]) -> beam.PCollection[ChipBatch]:
        """One DoFn, a generator."""
        return units | beam.ParDo(self._fn).with_output_types(ChipBatch)


class ReadChipsFn(beam.DoFn):
    """Reads ahead over the units of a bundle."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        batch_size: Callable[[], int],
        settings: WorkerSettings | None = None,
    ) -> None:
        self._preprocessing = preprocessing
        self._ask_batch_size = batch_size
        self._settings = settings

    def setup(self) -> None:
        """Apply the settings; ask how many chips a call of the model takes here."""
        if self._settings:
            self._settings.apply()
        self._batch_size = self._ask_batch_size()

    def start_bundle(self) -> None:
        """Begin anew, whatever a failed bundle had under way."""
        self._ahead = ReadAhead(self._preprocessing, self._batch_size)

    def process(self, unit: Unit) -> Iterator[ChipBatch]:
        """Yield the batches whose turn it is; the last ones of the unit stay under way."""
        yield from self._ahead.read(unit)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yield what is still under way, in the global window that all elements have."""
        window = GlobalWindow()
        for batch in self._ahead.drain():
            yield WindowedValue(batch, window.max_timestamp(), [window])


class ReadAhead:
    """Reads and decodes units, batch after batch, `BATCHES_AHEAD` ahead of who consumes them.

    It goes on over the border between two units: while the model works on the last batches of
    one, the first ones of the next are read. So a unit's last batch comes with the next unit,
    or with `drain`.
    """

    def __init__(self, preprocessing: Preprocessing, batch_size: int) -> None:
        self._preprocessing = preprocessing
        self._batch_size = batch_size
        self._under_way: deque[tuple[Slot, _Reading]] = deque()

    def read(self, unit: Unit) -> Iterator[ChipBatch]:
        """Begin every batch of a unit in turn, and yield those that are finished by then."""
        pool = _pool(threads_for(unit.chips["chip_uri"][0].as_py()))
        rows = unit.chips.num_rows
        for start in range(0, rows, self._batch_size):
            while (slot := _budget.take(patient=not self._under_way)) is None:
                yield from self._finish_first()
            chips = unit.chips.slice(start, self._batch_size)
            last = start + self._batch_size >= rows
            reading = _begin(unit.number, last, chips, self._preprocessing, pool)
            self._under_way.append((slot, reading))
            if len(self._under_way) > BATCHES_AHEAD:
                yield from self._finish_first()

    def drain(self) -> Iterator[ChipBatch]:
        """Yield the batches that are still under way."""
        while self._under_way:
            yield from self._finish_first()

    def _finish_first(self) -> Iterator[ChipBatch]:
        """Yield the batch whose turn it is; its slot is free once the model has had it."""
        slot, reading = self._under_way.popleft()
        try:
            yield _finish(reading)
        finally:
            _budget.give_back(slot)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The reading threads of this process, however many DoFns it holds."""
    return ThreadPoolExecutor(threads, "read")


def threads_for(uri: str) -> int:
    """Threads that read chips like this one: one more than cores, for the moments in which one
    waits for the interpreter; many more where a store's latency is to be hidden."""
    cores = os.cpu_count() or 1
    return max(_REMOTE_THREADS, cores) if store.is_remote(uri) else cores + 1


def read_unit(address: UnitAddress) -> Unit:
    """Read one row group of a manifest, and no more of it."""
    with store.open_file(address.manifest_uri) as file:
        return Unit(address.number, pq.ParquetFile(file).read_row_group(address.number))


class _Rejection(NamedTuple):
    row: int
    reason: str
    message: str


@dataclass
class _TaskDone:
    """What a reading thread has done for some rows of a batch."""

    rejections: list[_Rejection] = field(default_factory=list)
    bytes_read: int = 0
    read_s: float = 0.0
    decode_s: float = 0.0


@dataclass(frozen=True)
class _Reading:
    """A batch on its way: threads fill `pixels` and `places`, and tell what they rejected."""

    unit: int
    last: bool
    chips: pa.Table
    pixels: npt.NDArray[np.uint8]
    places: list[Place | None]
    tasks: list[Future[_TaskDone]]


def _begin(
    unit: int,
    last: bool,
    chips: pa.Table,
    preprocessing: Preprocessing,
    pool: ThreadPoolExecutor,
) -> _Reading:
    rows = chips.num_rows
    pixels = np.empty((rows, *preprocessing.input_shape), np.uint8)
    places: list[Place | None] = [None] * rows
    chip_bytes = ChipBytes(chips, preprocessing.max_bytes)

    def read_rows(start: int) -> _TaskDone:
        done = _TaskDone()
        stop = min(start + _ROWS_A_TASK, rows)
        read_row = chip_bytes.of_rows(start, stop)
        began = perf_counter()
        for row in range(start, stop):
            read = began
            try:
                data = read_row(row)
                read = perf_counter()
                done.bytes_read += len(data)
                pixels[row], places[row] = _decode(data, preprocessing)
            except ChipRejected as rejected:
                rejection = _Rejection(row, rejected.reason.value, rejected.message)
                done.rejections.append(rejection)
            ended = perf_counter()
            if read == began:  # it could not be read
                read = ended
            done.read_s += read - began
            done.decode_s += ended - read
            began = ended
        return done

    tasks = [pool.submit(read_rows, start) for start in range(0, rows, _ROWS_A_TASK)]
    return _Reading(unit, last, chips, pixels, places, tasks)


def _decode(
    data: bytes, preprocessing: Preprocessing
) -> tuple[npt.NDArray[np.uint8], Place | None]:
    """Decode, and let no decoder's surprise at hostile bytes cost more than the one chip."""
    try:
        if preprocessing.media_type == "jpg":
            return decoding.decode_chip(data, preprocessing), None
        pixels, layout = decoding.decode_tif(data, preprocessing)
        return pixels, _place(data, layout)
    except ChipRejected:
        raise
    except Exception as error:
        raise ChipRejected(Reason.DECODE_ERROR, f"{type(error).__name__}: {error}") from error


def _place(data: bytes, layout: TiffLayout) -> Place | None:
    """Pixels without a place that can be read are pixels all the same."""
    try:
        return read_place(data, layout)
    except ChipRejected:
        return None


def _finish(reading: _Reading) -> ChipBatch:
    began = perf_counter()
    wait(reading.tasks)  # once for all: to be woken for each task would stop the decoders as often
    done = [task.result() for task in reading.tasks]
    spent = _spent(done, perf_counter() - began)
    rejections = [rejection for task in done for rejection in task.rejections]
    chips = _with_bounds(reading.chips, reading.places).select(_CHIP_NAMES)
    pixels, rejected = reading.pixels, REJECTED.empty_table()
    if rejections:
        rows = [rejection.row for rejection in rejections]
        kept = np.delete(np.arange(chips.num_rows), rows)
        reasons = [rejection.reason for rejection in rejections]
        messages = [rejection.message for rejection in rejections]
        rejected = reject_rows(chips.take(rows), reasons, messages)
        chips, pixels = chips.take(kept), pixels[kept]
    return ChipBatch(reading.unit, reading.last, chips, pixels, rejected, spent)


def _spent(done: list[_TaskDone], wait_s: float) -> Spent:
    return Spent(
        bytes_read=sum(task.bytes_read for task in done),
        read_ms=1000 * sum(task.read_s for task in done),
        decode_ms=1000 * sum(task.decode_s for task in done),
        wait_ms=1000 * wait_s,
    )


def reject_rows(chips: pa.Table, reasons: list[str], messages: list[str]) -> pa.Table:
    """Chip rows with reasons and messages, in the REJECTED schema."""
    columns = [chips[name] for name in _CHIP_NAMES]
    return pa.table([*columns, pa.array(reasons), pa.array(messages)], schema=REJECTED)


def _with_bounds(chips: pa.Table, places: list[Place | None]) -> pa.Table:
    """Fill the bounding box from the tif where the manifest gave none."""
    if not any(places):
        return chips
    bounds = bounds_of(places)
    for column, name in enumerate(BOUNDS):
        found = pa.array(bounds[:, column], from_pandas=True)  # NaN becomes null
        given = chips[name].combine_chunks()
        chips = chips.set_column(
            chips.schema.get_field_index(name), name, pc.coalesce(given, found)
        )
    return chips
