"""The decoded chips of a run: kept in memory, or read from the pixel cache and added to it.

A file of the cache is an array with a row for each chip, memory-mapped for reading. Rows are
appended under a lock and never changed, so several trainings may use one file at once. A killed
writer leaves at most part of a row at the end: readers ignore it and the next writer overwrites
it. Each row has a checksum, so damaged bytes are never taken for pixels.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO

import numpy as np
import numpy.typing as npt

from pipelines.errors import UsageError
from pipelines.imaging.resize import Pixels
from schemas.artifact import Preprocessing
from train.data.pixel_cache import NO_CACHE, PixelCache, array_name

Rows = npt.NDArray[np.void]

RowIndex = tuple[int, int]
"""Where a chip's pixels are: the number of an array and the row in it."""

StoredChip = tuple[RowIndex, tuple[int, int]]
"""Where a chip's pixels are, and its width and height in the archive, in pixels."""


@dataclass(frozen=True)
class DecodedChip:
    """A chip as the cache stores it.

    Attributes:
        key: 32 bytes that identify what was decoded.
        sides: width and height of the chip as stored in the archive, in pixels.
        pixels: `uint8 [S, S, bands]`.
    """

    key: bytes
    sides: tuple[int, int]
    pixels: Pixels


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
        """Open the array for some chips, or create it.

        Raises:
            OSError: it cannot be opened.
        """
        super().__init__()
        self._cache = cache
        self._accepted = preprocessing.accepted_sides_px
        self._row_type = row_type(preprocessing.input_shape)
        self._path = cache.folder / array_name(preprocessing, uris)
        self._known: dict[bytes, RowIndex] = {}
        self._rows: list[Rows] = []
        cache.folder.mkdir(parents=True, exist_ok=True)
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
        rows = to_rows(chips, self._row_type)
        with _write_errors(self._cache):
            if not self._cache.make_room(rows.nbytes, keep=self._path):
                self._start_again()
            first = append_rows(self._file, rows)
        return [(len(self.arrays) - 1, first + i) for i in range(len(rows))]

    def flush(self) -> None:
        """Make what was added readable in `arrays`, and mark the array as used now: what was used
        longest ago is removed first."""
        self._rows[-1] = read_rows(self._file, self._row_type)
        self.arrays[-1] = self._rows[-1]["pixels"]
        with _write_errors(self._cache):
            os.utime(self._file.fileno())

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
        self._file = FileIO(self._path, "a+")
        self._rows.append(read_rows(self._file, self._row_type))
        self.arrays.append(self._rows[-1]["pixels"])
        for row, key in enumerate(self._rows[-1]["key"].tolist()):
            self._known[key] = (len(self.arrays) - 1, row)  # of two, the later: it replaced a bad

    def _start_again(self) -> None:
        """Replace the array, which other chips fill up; what was found in it stays readable."""
        self.flush()
        self.close()
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


def row_type(row_shape: tuple[int, int, int]) -> np.dtype[np.void]:
    """A row: CRC-32 of the other fields, key, width and height, pixels `uint8 [S, S, bands]`."""
    return np.dtype(
        [("checksum", "<u4"), ("key", "V32"), ("sides", "<i4", (2,)), ("pixels", "u1", row_shape)]
    )


def to_rows(chips: Sequence[DecodedChip], kind: np.dtype[np.void]) -> Rows:
    """The rows of chips: `kind [n]`."""
    rows = np.empty(len(chips), kind)
    for row, chip in zip(rows, chips, strict=True):
        row["key"], row["sides"], row["pixels"] = np.void(chip.key), chip.sides, chip.pixels
        row["checksum"] = _checksum(row)
    return rows


def is_intact(row: np.void) -> bool:
    """Whether a row has the bytes that were written."""
    return _checksum(row) == int(row["checksum"])


def read_rows(file: FileIO, kind: np.dtype[np.void]) -> Rows:
    """All whole rows of a file: `kind [n]`, memory-mapped."""
    rows = os.fstat(file.fileno()).st_size // kind.itemsize
    return np.memmap(file, kind, "r", shape=(rows,)) if rows else np.empty(0, kind)


def append_rows(file: FileIO, rows: Rows) -> int:
    """Append rows to a file, and return the number of the first.

    They are written by `write`: a full disk under a memory map would end the process by a signal.

    Raises:
        OSError: they cannot be written.
    """
    fcntl.flock(file, fcntl.LOCK_EX)
    first = os.fstat(file.fileno()).st_size // rows.itemsize
    file.truncate(first * rows.itemsize)
    try:
        left = rows.view(np.uint8).data
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(first * rows.itemsize)
        raise
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
    return first


def _checksum(row: np.void) -> int:
    return zlib.crc32(memoryview(row.tobytes())[4:])


@contextmanager
def _write_errors(cache: PixelCache) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"--pixel_cache {cache.folder}: {error.strerror or error}; give another folder, or "
            f"{NO_CACHE}"
        ) from error
