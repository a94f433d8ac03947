"""Reading ahead of the model: units become batches of pixels, over the border between two units.

Threads read and decode, since reading waits and decoding releases the interpreter lock. While the
model works on one batch, the next ones are being read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from pipelines.elements import ChipBatch, Unit
from pipelines.processors import usable_cores
from pipelines.reading.batches import BatchReading, begin_batch, finish_batch
from pipelines.reading.pixel_budget import PixelBudget, Slot
from pipelines.scenes.unit_windows import UnitWindows
from pipelines.storage import store
from schemas.artifact import Preprocessing

BATCHES_AHEAD = 2
"""Batches read ahead of the model: one complete, one being read."""

_REMOTE_THREADS = 16  # enough to hide an object store's latency at thousands of objects a second
_budget = PixelBudget(BATCHES_AHEAD + 1)  # and the batch that the model works on


class ReadAhead:
    """Reads and decodes units batch by batch, `BATCHES_AHEAD` batches ahead of the caller.

    While the model works on the last batches of a unit, the first ones of the next unit are read.
    So a unit's last batches are yielded with the next unit, or by `drain`.
    """

    def __init__(
        self, preprocessing: Preprocessing, batch_size: int, max_no_data: float | None = None
    ) -> None:
        self._preprocessing, self._max_no_data = preprocessing, max_no_data
        self._batch_size = batch_size
        self._begun: deque[tuple[Slot, BatchReading]] = deque()

    def read(self, unit: Unit) -> Iterator[ChipBatch]:
        """Begin every batch of a unit in turn; `BATCHES_AHEAD` later, yield it."""
        pool = _pool(_threads_for(unit.chips["chip_uri"][0].as_py()))
        windows = UnitWindows.of(unit.chips, self._preprocessing, self._max_no_data)
        rows = unit.chips.num_rows
        for start in range(0, rows, self._batch_size):
            while (slot := _budget.take(patient=not self._begun)) is None:
                yield from self._finish_first()
            chips = unit.chips.slice(start, self._batch_size)
            last = start + self._batch_size >= rows
            reading = begin_batch(
                unit.number, last, chips, self._preprocessing, pool, windows, start
            )
            self._begun.append((slot, reading))
            if len(self._begun) > BATCHES_AHEAD:
                yield from self._finish_first()

    def drain(self) -> Iterator[ChipBatch]:
        """Yield the batches that are still being read."""
        while self._begun:
            yield from self._finish_first()

    def _finish_first(self) -> Iterator[ChipBatch]:
        """Yield the oldest batch; its slot is free when the caller asks for the next one."""
        slot, reading = self._begun.popleft()
        try:
            yield finish_batch(reading)
        finally:
            _budget.give_back(slot)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The reading threads of this process, however many DoFns it holds."""
    return ThreadPoolExecutor(threads, "read")


def _threads_for(uri: str) -> int:
    """Number of reading threads for chips like this one: one more than cores, as one may wait for
    the interpreter lock; many more for a remote store, to hide its latency."""
    cores = usable_cores()
    return max(_REMOTE_THREADS, cores) if store.is_remote(uri) else cores + 1
