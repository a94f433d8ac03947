"""The decoded chips of a run: kept in memory, or read from the pixel cache and added to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from pipelines.errors import UsageError
from pipelines.imaging.resize import Pixels
from schemas.artifact import Preprocessing
from train.data._pixel_array import DecodedChip, PixelArray, is_intact, row_type, to_rows
from train.data.pixel_cache import NO_CACHE, PixelCache, array_name

RowIndex = tuple[int, int]
"""Where a chip's pixels are: the number of an array and the row in it."""

StoredChip = tuple[RowIndex, tuple[int, int]]
"""Where a chip's pixels are, and its width and height in the archive, in pixels."""


class MemoryPixels:
    """Chips that are decoded and kept in memory.

    Attributes:
        arrays: the arrays that row indices refer to: `uint8 [any, S, S, bands]` each.
        decoded_chips: how many were added.
        found_chips: how many were found, as the caller counts them.
    """

    def __init__(self) -> None:
        self.arrays: list[Pixels] = []
        self.decoded_chips = self.found_chips = 0

    def find(self, key: bytes) -> StoredChip | None:
        """None: every chip is decoded."""
        return None

    def add(self, chips: Sequence[DecodedChip]) -> list[RowIndex]:
        """Store chips; returns where they are after `flush`."""
        self.decoded_chips += len(chips)
        if chips:
            self.arrays.append(np.stack([chip.pixels for chip in chips]))
        return [(len(self.arrays) - 1, row) for row in range(len(chips))]

    def flush(self) -> None:
        """Make what was added readable in `arrays`."""

    def describe(self) -> str:
        """What was decoded, and where the pixels are, as a sentence to print."""
        return f"Pixels: {self.decoded_chips} chips decoded, kept in memory"


class CachedPixels(MemoryPixels):
    """Chips that are found in the cache, or decoded and added to it; none is in memory."""

    def __init__(
        self, cache: PixelCache, preprocessing: Preprocessing, uris: Collection[str]
    ) -> None:
        """Open the array for some chips.

        Raises:
            OSError: it cannot be opened.
        """
        super().__init__()
        self._cache = cache
        self._accepted = preprocessing.accepted_sides_px
        self._row_shape = preprocessing.input_shape
        self._path = cache.folder / array_name(preprocessing, uris)
        self._known: dict[bytes, RowIndex] = {}
        self._rows: list[np.ndarray] = []
        self._open()

    def find(self, key: bytes) -> StoredChip | None:
        """A chip, None if it is not there or damaged; several threads may call this.

        A chip whose sides the preprocessing does not accept is not found: decoding it again
        raises the reason.
        """
        index = self._known.get(key)
        if index is None:
            return None
        number, row = index
        stored = self._rows[number][row]
        width, height = map(int, stored["sides"])
        shortest, longest = self._accepted
        accepted = shortest <= min(width, height) <= max(width, height) <= longest
        return (index, (width, height)) if accepted and is_intact(stored) else None

    def add(self, chips: Sequence[DecodedChip]) -> list[RowIndex]:
        """Write chips into the cache; returns where they are after `flush`.

        Raises:
            UsageError: it is not writable.
        """
        self.decoded_chips += len(chips)
        rows = to_rows(chips, self._row_shape)
        with _write_errors(self._cache):
            if not self._cache.make_room(rows.nbytes, keep=self._path):
                self._start_again()
            first = self._file.append(rows)
        return [(len(self.arrays) - 1, first + i) for i in range(len(rows))]

    def flush(self) -> None:
        """Make what was added readable in `arrays`, and mark the array as used."""
        self._rows[-1] = self._file.read()
        self.arrays[-1] = self._rows[-1]["pixels"]
        with _write_errors(self._cache):
            self._file.mark_used()

    def describe(self) -> str:
        """What was decoded and found, and what the cache holds, as a sentence to print."""
        held, most = self._cache.held_bytes / 1e6, self._cache.most_bytes / 1e9
        return (
            f"Pixels: {self.decoded_chips} chips decoded, {self.found_chips} found in the cache "
            f"{self._cache.folder}, which holds {held:,.1f} MB of at most {most:g} GB"
        )

    def close(self) -> None:
        """Close the array; its pixels stay readable."""
        self._file.close()

    def _open(self) -> None:
        self._file = PixelArray(self._path, self._row_shape)
        self._rows.append(self._file.read())
        self.arrays.append(self._rows[-1]["pixels"])
        for row, key in enumerate(self._rows[-1]["key"].tolist()):
            self._known[key] = (len(self.arrays) - 1, row)  # of two, the later: it replaced a bad

    def _start_again(self) -> None:
        """Replace the array, which other chips fill up; what was found in it stays readable."""
        self.flush()
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._open()


@contextmanager
def open_pixels(
    cache: PixelCache | None, preprocessing: Preprocessing, uris: Collection[str]
) -> Iterator[MemoryPixels]:
    """The place for the pixels of some chips: the cache, or memory if there is no cache.

    Args:
        uris: addresses of the chips that will be asked for.

    Raises:
        UsageError: the chips need more than the cache may hold, or it is not writable.
    """
    if cache is None:
        yield MemoryPixels()
        return
    needed = len(uris) * row_type(preprocessing.input_shape).itemsize
    if needed > cache.most_bytes:
        raise UsageError(
            f"the pixels of {len(uris)} chips take {needed / 1e9:.1f} GB, the pixel cache may "
            f"hold {cache.most_bytes / 1e9:g}: raise --pixel_cache_gb, or --pixel_cache {NO_CACHE}"
        )
    with _write_errors(cache):
        store = CachedPixels(cache, preprocessing, uris)
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
