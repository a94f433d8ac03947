"""One batch of chips: read and decoded by threads, its rejected chips set apart."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.elements import REJECTED, ChipBatch, Spent
from pipelines.errors import ChipRejected, StoreDown
from pipelines.imaging.acquisition import read_acquired_at
from pipelines.imaging.decoding import decode_with_place
from pipelines.imaging.footprint import Place, footprints_of
from pipelines.imaging.resize import Pixels
from pipelines.reading.chip_bytes import ChipBytes
from pipelines.scenes.unit_windows import UnitWindows, WindowPixels
from pipelines.tables.geometry import place_columns, without_folds
from schemas.artifact import Preprocessing
from schemas.chip_columns import BOUNDS, CHIP_NAMES, NO_DATA_SHARE
from schemas.dating import DATING_NAMES, SeenAtSource
from schemas.render import file_schema
from schemas.scene_columns import SCENE_BANDS
from schemas.tables import CHIP_SCORES
from schemas.tables import QuarantineReason as Reason

_ROWS_A_TASK = 32  # small enough to spread a batch over all threads, large against a task's cost
_OBSERVED_AT = file_schema(CHIP_SCORES).field("observed_at").type


class _Rejection(NamedTuple):
    row: int
    reason: str
    message: str


@dataclass
class _Done:
    """The result of one reading task, for some rows of a batch."""

    rejections: list[_Rejection] = field(default_factory=list)
    bytes_read: int = 0
    read_s: float = 0.0
    decode_s: float = 0.0


@dataclass(frozen=True)
class BatchReading:
    """A batch that threads are reading: they fill `pixels`, `places`, `times` and `no_data`."""

    unit: int
    last: bool
    chips: pa.Table
    pixels: npt.NDArray[np.uint8]
    places: list[Place | None]
    times: list[datetime | None]
    no_data: list[float | None]
    tasks: list[Future[_Done]]


def begin_batch(
    unit: int,
    last: bool,
    chips: pa.Table,
    preprocessing: Preprocessing,
    pool: ThreadPoolExecutor,
    windows: UnitWindows | None = None,
    first_row: int = 0,
) -> BatchReading:
    """Start reading and decoding a batch of chips on a pool of threads.

    Args:
        unit: number of the unit.
        last: whether it is the unit's last batch.
        chips: rows in the CHIP_MANIFEST schema.
        windows: of the unit, if some of its chips are windows of scenes.
        first_row: the batch's first row in the unit.
    """
    rows = chips.num_rows
    pixels = np.empty((rows, *preprocessing.input_shape), np.uint8)
    places: list[Place | None] = [None] * rows
    times: list[datetime | None] = [None] * rows
    no_data: list[float | None] = [None] * rows
    has_times = preprocessing.media_type == "tif"
    has_box = chips[BOUNDS[0]].is_valid().to_pylist()
    chip_bytes = ChipBytes(chips, preprocessing.max_bytes)

    def read_rows(start: int) -> _Done:
        done = _Done()
        stop = min(start + _ROWS_A_TASK, rows)
        read_row = chip_bytes.of_rows(start, stop)
        began = perf_counter()
        for row in range(start, stop):
            read = began
            window_row = first_row + row if windows and windows.has(first_row + row) else None
            try:
                if windows and window_row is not None:
                    found = _read_window(windows, window_row)
                    pixels[row], place, times[row], no_data[row] = found
                    places[row] = None if has_box[row] else place
                else:
                    data = read_row(row)
                    read = perf_counter()
                    done.bytes_read += len(data)
                    pixels[row], places[row] = _decode(data, preprocessing)
                    if has_times:
                        times[row] = read_acquired_at(data)
            except ChipRejected as rejected:
                rejection = _Rejection(row, rejected.reason.value, rejected.message)
                done.rejections.append(rejection)
            ended = perf_counter()
            if read == began and window_row is None:  # it could not be read
                read = ended
            done.read_s += read - began
            done.decode_s += ended - read
            began = ended
        if windows:
            fetched = windows.take_spent()
            done.bytes_read += fetched.fetched_bytes
            done.read_s += fetched.seconds
            done.decode_s = max(done.decode_s - fetched.seconds, 0)
        return done

    tasks = [pool.submit(read_rows, start) for start in range(0, rows, _ROWS_A_TASK)]
    return BatchReading(unit, last, chips, pixels, places, times, no_data, tasks)


def _read_window(windows: UnitWindows, row: int) -> WindowPixels:
    """Read a window; an unexpected error on hostile bytes costs one window, not the run."""
    try:
        return windows.read(row)
    except (ChipRejected, StoreDown):
        raise
    except Exception as error:
        raise ChipRejected(Reason.DECODE_ERROR, f"{type(error).__name__}: {error}") from error


def _decode(data: bytes, preprocessing: Preprocessing) -> tuple[Pixels, Place | None]:
    """Decode; an unexpected error on hostile bytes costs one chip, not the run."""
    try:
        return decode_with_place(data, preprocessing)
    except ChipRejected:
        raise
    except Exception as error:
        raise ChipRejected(Reason.DECODE_ERROR, f"{type(error).__name__}: {error}") from error


def finish_batch(reading: BatchReading) -> ChipBatch:
    """Wait until a batch is read.

    Raises:
        StoreDown: no chip can be read.
    """
    began = perf_counter()
    wait(reading.tasks)  # for all at once: waking up for each task would interrupt the decoders
    done = [task.result() for task in reading.tasks]
    spent = _spent(done, perf_counter() - began)
    rejections = [rejection for task in done for rejection in task.rejections]
    chips = _with_places(reading.chips, reading.places)
    chips = _with_times(chips, reading.times)
    names = [*CHIP_NAMES, *DATING_NAMES]
    if SCENE_BANDS.name in chips.column_names:
        names += [SCENE_BANDS.name, NO_DATA_SHARE.name]
        chips = chips.append_column(NO_DATA_SHARE.name, pa.array(reading.no_data, pa.float64()))
    chips = chips.select(names)
    pixels, rejected = reading.pixels, REJECTED.empty_table()
    if rejections:
        rows = [rejection.row for rejection in rejections]
        kept = np.delete(np.arange(chips.num_rows), rows)
        reasons = [rejection.reason for rejection in rejections]
        messages = [rejection.message for rejection in rejections]
        rejected = reject_rows(chips.take(rows), reasons, messages)
        chips, pixels = chips.take(kept), pixels[kept]
    return ChipBatch(reading.unit, reading.last, chips, pixels, rejected, spent)


def _spent(done: list[_Done], wait_s: float) -> Spent:
    return Spent(
        bytes_read=sum(task.bytes_read for task in done),
        read_ms=1000 * sum(task.read_s for task in done),
        decode_ms=1000 * sum(task.decode_s for task in done),
        wait_ms=1000 * wait_s,
    )


def reject_rows(chips: pa.Table, reasons: list[str], messages: list[str]) -> pa.Table:
    """Chip rows with reasons and messages, in the REJECTED schema."""
    columns: list[Any] = [chips[name] for name in CHIP_NAMES]
    known = SCENE_BANDS.name in chips.column_names
    columns.append(chips[SCENE_BANDS.name] if known else pa.nulls(chips.num_rows, pa.string()))
    return pa.table([*columns, pa.array(reasons), pa.array(messages)], schema=REJECTED)


def _with_places(chips: pa.Table, places: list[Place | None]) -> pa.Table:
    """Fill missing bounding boxes and footprints with those of the tifs. A box that was given keeps
    its own footprint."""
    if not any(places):
        return chips
    bounds, rings = footprints_of(places)
    rings = without_folds(rings)
    rings[chips[BOUNDS[0]].is_valid().to_numpy()] = np.nan
    for name, values in place_columns(bounds, rings).items():
        given = chips[name].combine_chunks()
        at = chips.schema.get_field_index(name)
        chips = chips.set_column(at, name, pc.coalesce(given, values))
    return chips


def _with_times(chips: pa.Table, times: list[datetime | None]) -> pa.Table:
    """Fill missing observation times with those of the tifs, and say where each is from."""
    given = chips["observed_at"].combine_chunks()
    found = pa.array(times, _OBSERVED_AT)
    of_tif = pc.if_else(found.is_valid(), SeenAtSource.TIF_TAGS.value, None)
    # A replayed chip is given the time that an earlier run found in its tags.
    differs = pc.fill_null(pc.not_equal(given, found), given.is_valid())
    source = pc.if_else(differs, SeenAtSource.GIVEN.value, of_tif)
    at = chips.schema.get_field_index("observed_at")
    chips = chips.set_column(at, "observed_at", pc.coalesce(given, found))
    return chips.append_column("observed_at_source", source)
