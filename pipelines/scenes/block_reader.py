"""Blocks of a scene for the windows that need them: fetched in long ranges, each decoded once.

Threads ask for blocks. The first one that needs a block fetches the range that it is in, unless it
is there already, and decodes it; the others wait for that. A block is forgotten when the last
window that touches it has been read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from pipelines.errors import ChipRejected, StorageError, StoreDown
from pipelines.scenes.block_decoding import Block, Memory, decode_block, memory_for
from pipelines.scenes.lattice import Window
from pipelines.scenes.scene import Blocks, Integers
from pipelines.storage import store
from schemas.tables import QuarantineReason as Reason

MOST_GAP_BYTES = 64 << 10
"""Longest gap between two blocks that are fetched in one range."""

MOST_RANGE_BYTES = 8 << 20
"""Most bytes that one request fetches, unless a single block is larger."""


@dataclass(frozen=True)
class Spent:
    """What fetching took: bytes, requests, seconds of all threads together; can be added up."""

    fetched_bytes: int = 0
    requests: int = 0
    seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.fetched_bytes + other.fetched_bytes,
            self.requests + other.requests,
            self.seconds + other.seconds,
        )


class BlockSpan(NamedTuple):
    """Rows and columns of blocks, each from a first one to one after the last."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(eq=False)
class _Range:
    """Blocks that are fetched together."""

    start: int
    end: int
    waiting: int  # blocks in it that were not decoded yet
    data: bytes = b""
    lock: Lock = field(default_factory=Lock)


class DecodedBlock(NamedTuple):
    """A block, which may be used until its window is released.

    Attributes:
        pixels: `[rows, columns, bands]`, not to be written to.
        lowest: the smallest number in it; NaN if one of them is.
    """

    pixels: Block
    lowest: Any


@dataclass(eq=False)
class _Slot:
    """A block that is being decoded or was, or why it cannot be."""

    block: DecodedBlock | None = None
    memory: Memory | None = None
    rejected: ChipRejected | None = None
    lock: Lock = field(default_factory=Lock)


class BlockReader:
    """The blocks of one picture in a scene that some windows touch.

    Args:
        uri, etag: the scene, and the version of it that was listed (None: any).
        blocks: of the scene, or of its mask.
        windows: all windows that will be read, each of them once.

    Attributes:
        is_whole: whether the file has data for all blocks.
    """

    def __init__(self, uri: str, etag: str | None, blocks: Blocks, windows: list[Window]) -> None:
        self.blocks = blocks
        self.is_whole = bool(blocks.counts.all())
        self._uri, self._etag = uri, etag
        self._lock = Lock()
        users = np.zeros((blocks.down, blocks.across), np.int32)
        for window in windows:
            top, bottom, left, right = self.span_of(window)
            users[top:bottom, left:right] += 1
        self._users: list[list[int]] = users.tolist()
        self._slots: dict[int, _Slot] = {}
        self._free: list[Memory] = []
        self._ranges = dict(_ranges(blocks, users > 0))
        self._spent = Spent()

    def span_of(self, window: Window) -> BlockSpan:
        """The blocks that a window touches."""
        blocks = self.blocks
        rows = _span(window.y_px, window.height_px, blocks.height_px, blocks.block_height_px)
        columns = _span(window.x_px, window.width_px, blocks.width_px, blocks.block_width_px)
        return BlockSpan(*rows, *columns)

    def block(self, row: int, column: int, plane: int) -> DecodedBlock | None:
        """A block; None if the file has no data for it.

        Raises:
            ChipRejected: it cannot be read.
            StoreDown: nothing can be read.
        """
        index = (plane * self.blocks.down + row) * self.blocks.across + column
        if not self.blocks.counts[index]:
            return None
        with self._lock:
            slot = self._slots.get(index)
            if slot is None:
                slot = self._slots[index] = _Slot()
        with slot.lock:
            if slot.block is None and slot.rejected is None:
                try:
                    self._decode(index, slot)
                except ChipRejected as rejected:
                    slot.rejected = rejected
        if slot.rejected:
            raise ChipRejected(slot.rejected.reason, slot.rejected.message)
        return slot.block

    def _decode(self, index: int, slot: _Slot) -> None:
        data = self._bytes_of(index)
        with self._lock:
            slot.memory = self._free.pop() if self._free else None
        if slot.memory is None:
            slot.memory = memory_for(self.blocks)
        pixels = decode_block(self.blocks, index, data, slot.memory)
        slot.block = DecodedBlock(pixels, pixels.min())

    def release(self, window: Window) -> None:
        """A window was read, and what was read of it is used: forget the blocks that no other
        window needs; their memory is used again."""
        top, bottom, left, right = self.span_of(window)
        plane = self.blocks.down * self.blocks.across
        with self._lock:
            for row in range(top, bottom):
                users = self._users[row]
                for column in range(left, right):
                    users[column] -= 1
                    if users[column] <= 0:
                        first = row * self.blocks.across + column
                        for index in range(first, first + plane * self.blocks.planes, plane):
                            slot = self._slots.pop(index, None)
                            if slot and slot.memory is not None:
                                self._free.append(slot.memory)

    def take_spent(self) -> Spent:
        """What was spent since the last call."""
        with self._lock:
            spent, self._spent = self._spent, Spent()
        return spent

    def _bytes_of(self, index: int) -> memoryview:
        """The bytes of a block; those of its range are kept until each block in it had its."""
        part = self._ranges[index]
        with part.lock:
            if not part.data:
                part.data = self._fetch(part.start, part.end)
            at = int(self.blocks.offsets[index]) - part.start
            data = memoryview(part.data)[at : at + int(self.blocks.counts[index])]
            part.waiting -= 1
            if not part.waiting:
                part.data = b""
        return data

    def _fetch(self, start: int, end: int) -> bytes:
        began = perf_counter()
        try:
            data = store.read_range(self._uri, start, end - start, self._etag)
        except StoreDown:
            raise
        except StorageError as error:
            raise ChipRejected(Reason.UNREADABLE, str(error)) from error
        spent = Spent(len(data), 1, perf_counter() - began)
        with self._lock:
            self._spent += spent
        if len(data) < end - start:
            raise ChipRejected(Reason.TRUNCATED, f"{self._uri!r} ends before byte {end}")
        return data


def _span(start: int, length: int, limit: int, block_px: int) -> tuple[int, int]:
    """First block along an axis, and the one after the last; the same two if there is none."""
    first, end = max(start, 0), min(start + length, limit)
    if first >= end:
        return 0, 0
    return first // block_px, -(-end // block_px)


def _ranges(blocks: Blocks, needed: np.ndarray) -> Iterator[tuple[int, _Range]]:
    """The range of each needed block that has bytes."""
    indexes = np.flatnonzero(np.tile(needed.ravel(), blocks.planes))
    indexes = indexes[blocks.counts[indexes] > 0]
    indexes = indexes[np.argsort(blocks.offsets[indexes], kind="stable")]
    starts = blocks.offsets[indexes]
    ends = starts + blocks.counts[indexes]
    part: _Range | None = None
    places: tuple[Integers, ...] = (indexes, starts, ends)
    for index, start, end in zip(*(values.tolist() for values in places), strict=True):
        if (
            part is None
            or start > part.end + MOST_GAP_BYTES
            or max(end, part.end) - part.start > MOST_RANGE_BYTES
        ):
            part = _Range(start, end, 0)
        part.end = max(end, part.end)
        part.waiting += 1
        yield index, part
