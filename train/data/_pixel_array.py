"""A file of decoded chips: an array with a row for each, memory-mapped for reading.

Rows are appended under a lock and never changed, so several trainings may use one file at once.
A killed writer leaves at most part of a row at the end: readers ignore it and the next writer
overwrites it. Each row has a checksum, so damaged bytes are never taken for pixels.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.imaging.resize import Pixels

Rows = npt.NDArray[np.void]


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


def row_type(row_shape: tuple[int, int, int]) -> np.dtype[np.void]:
    """A row: CRC-32 of the other fields, key, width and height, pixels `uint8 [S, S, bands]`."""
    return np.dtype(
        [("checksum", "<u4"), ("key", "V32"), ("sides", "<i4", (2,)), ("pixels", "u1", row_shape)]
    )


def to_rows(chips: Sequence[DecodedChip], row_shape: tuple[int, int, int]) -> Rows:
    """`row_type [n]` of `n` chips."""
    rows = np.empty(len(chips), row_type(row_shape))
    for row, chip in zip(rows, chips, strict=True):
        row["key"], row["sides"], row["pixels"] = np.void(chip.key), chip.sides, chip.pixels
        row["checksum"] = _checksum(row)
    return rows


def is_intact(row: np.void) -> bool:
    """Whether a row has the bytes that were written."""
    return _checksum(row) == int(row["checksum"])


class PixelArray:
    """A file of rows that is open for reading and appending."""

    def __init__(self, path: Path, row_shape: tuple[int, int, int]) -> None:
        """Open a file, or create it.

        Raises:
            OSError: it cannot be opened.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._type = row_type(row_shape)

    def __len__(self) -> int:
        return os.fstat(self._file.fileno()).st_size // self._type.itemsize

    def read(self) -> Rows:
        """All rows, `row_type [n]`, memory-mapped."""
        rows = len(self)
        if not rows:
            return np.empty(0, self._type)
        return np.memmap(self._file, self._type, "r", shape=(rows,))

    def append(self, rows: Rows) -> int:
        """Append rows, and return the number of the first.

        They are written by `write`: a full disk under a memory map would end the process by a
        signal.

        Raises:
            OSError: they cannot be written.
        """
        fcntl.flock(self._file, fcntl.LOCK_EX)
        first = len(self)
        self._file.truncate(first * self._type.itemsize)
        try:
            left = rows.view(np.uint8).data
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(first * self._type.itemsize)
            raise
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return first

    def mark_used(self) -> None:
        """Record the time of use: what was used longest ago is removed first."""
        os.utime(self._file.fileno())

    def close(self) -> None:
        """Close the file; what `read` returned stays readable."""
        self._file.close()


def _checksum(row: np.void) -> int:
    return zlib.crc32(memoryview(row.tobytes())[4:])
