"""Decoded chips of a run: kept in memory, or found in the pixel cache and added to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from pipelines.errors import UsageError
from pipelines.imaging.resize import Pixels
from schemas.artifact import Preprocessing
from train.data.pixel_cache import NO_CACHE, PixelCache, folder_name, make_room
from train.data.pixel_shards import (
    SHARD_BYTES,
    Entry,
    Shard,
    ShardWriter,
    open_shards,
    remove_shard,
)

Place = tuple[int, int]
"""Where a chip's pixels are: the number of an array and the row in it."""

Found = tuple[Place, tuple[int, int]]
"""Where a chip's pixels are, and its sides as stored."""


class MemoryStore:
    """Chips that are decoded and kept in memory.

    Attributes:
        arrays: what places point into: `uint8 [any, S, S, bands]` each.
        decoded_chips: how many were added.
        found_chips: how many were found, as the finder counts them.
    """

    def __init__(self) -> None:
        self.arrays: list[Pixels] = []
        self.decoded_chips = self.found_chips = 0

    def find(self, key: bytes) -> Found | None:
        """Nothing is known before it is decoded."""
        return None

    def add(self, entries: Sequence[Entry]) -> list[Place]:
        """Keep chips; gives their places, which hold after `flush`."""
        self.decoded_chips += len(entries)
        if entries:
            self.arrays.append(np.stack([entry.pixels for entry in entries]))
        return [(len(self.arrays) - 1, row) for row in range(len(entries))]

    def flush(self) -> None:
        """Put what was added where it can be read."""

    def close(self) -> None:
        """Leave nothing half-done behind."""

    def describe(self) -> str:
        """For people: what was done, and where the pixels are."""
        return f"Pixels: {self.decoded_chips} chips decoded, kept in memory"


class CacheStore(MemoryStore):
    """Chips that are found in the cache, or decoded and added to it; none is in memory."""

    def __init__(self, cache: PixelCache, preprocessing: Preprocessing, needed_bytes: int) -> None:
        """Open what the cache has of these pixels.

        Args:
            needed_bytes: what all that will be asked for takes.
        """
        super().__init__()
        self._cache = cache
        self._shard_bytes = min(SHARD_BYTES, needed_bytes)
        self._accepted = preprocessing.accepted_sides_px
        self._row_shape = preprocessing.input_shape
        self._folder = cache.folder / folder_name(preprocessing)
        self._shards: list[Shard] = []
        self._known: dict[bytes, Place] = {}
        self._used: set[int] = set()
        self._writer = ShardWriter(self._folder, self._row_shape)
        for shard in open_shards(self._folder, self._row_shape):
            self._register(shard)

    def find(self, key: bytes) -> Found | None:
        """A chip that is there and unharmed; several threads may ask.

        A shard with a chip that is not as it was written is removed. A chip whose sides the
        preprocessing does not accept is not found: decoding it anew says what is wrong with it.
        """
        place = self._known.get(key)
        if place is None:
            return None
        number, row = place
        entry = self._shards[number].entry(row)
        if entry is None:
            remove_shard(self._shards[number].records_path)
            return None
        shortest, longest = self._accepted
        if not shortest <= min(entry.sides) <= max(entry.sides) <= longest:
            return None
        self._used.add(number)
        return place, entry.sides

    def add(self, entries: Sequence[Entry]) -> list[Place]:
        """Write chips into the cache.

        Raises:
            UsageError: it cannot be written.
        """
        self.decoded_chips += len(entries)
        with _write_errors(self._cache):
            return [self._write(entry) for entry in entries]

    def flush(self) -> None:
        """Put what was added where it can be read, and note which shards were used.

        Raises:
            UsageError: the cache cannot be written.
        """
        with _write_errors(self._cache):
            self._end_shard()
        for number in self._used:
            with suppress(OSError):
                os.utime(self._shards[number].records_path)

    def close(self) -> None:
        """Leave nothing half-written behind."""
        self._writer.discard()

    def describe(self) -> str:
        """For people: what was decoded, what was found, and what the cache holds."""
        held, most = self._cache.held_bytes / 1e6, self._cache.most_bytes / 1e9
        return (
            f"Pixels: {self.decoded_chips} chips decoded, {self.found_chips} found in the cache "
            f"{self._cache.folder}, which holds {held:,.1f} MB of at most {most:g} GB"
        )

    def _write(self, entry: Entry) -> Place:
        if self._writer.full:
            self._end_shard()
        if not len(self._writer):
            used = {self._shards[number].records_path for number in self._used}
            make_room(self._cache, self._shard_bytes, used)
        self._writer.add(entry)
        return len(self._shards), len(self._writer) - 1

    def _end_shard(self) -> None:
        if len(self._writer):
            self._register(self._writer.close())
            self._used.add(len(self._shards) - 1)
            self._writer = ShardWriter(self._folder, self._row_shape)

    def _register(self, shard: Shard) -> None:
        for row, key in enumerate(shard.records["key"].tolist()):
            self._known.setdefault(key, (len(self._shards), row))
        self._shards.append(shard)
        self.arrays.append(shard.pixels)


@contextmanager
def open_store(
    cache: PixelCache | None, preprocessing: Preprocessing, most_chips: int
) -> Iterator[MemoryStore]:
    """A store for so many chips: the cache, or the memory where there is none.

    Raises:
        UsageError: so many chips are more than the cache may hold.
    """
    if cache is None:
        yield MemoryStore()
        return
    needed = most_chips * int(np.prod(preprocessing.input_shape))
    if needed > cache.most_bytes:
        raise UsageError(
            f"the pixels of {most_chips} chips take {needed / 1e9:.1f} GB, the pixel cache may "
            f"hold {cache.most_bytes / 1e9:g}: raise --pixel_cache_gb, or --pixel_cache {NO_CACHE}"
        )
    store = CacheStore(cache, preprocessing, needed)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _write_errors(cache: PixelCache) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"--pixel_cache {cache.folder}: {error.strerror or error}; give another folder, or "
            f"{NO_CACHE}"
        ) from error
