"""Decoded chips that need not be in memory: rows of arrays, fetched when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.imaging.resize import Pixels

CHUNK_BYTES = 32 << 20
"""What is worked on at a time where a whole set would not fit into memory."""


@dataclass(frozen=True)
class PixelRows:
    """`uint8 [n, S, S, bands]` as rows of arrays that may be memory-mapped.

    An index (a number, a slice, numbers or a mask) gives what it names as a new array, as numpy
    does: take a batch at a time, since all of it may be larger than the memory.

    Attributes:
        arrays: `uint8 [any, S, S, bands]` each.
        array_of: `[n]`, the array that each row lies in.
        row_of: `[n]`, its place there.
        row_shape: (S, S, bands).
    """

    arrays: tuple[Pixels, ...]
    array_of: npt.NDArray[np.int64]
    row_of: npt.NDArray[np.int64]
    row_shape: tuple[int, int, int]

    @classmethod
    def of(
        cls,
        arrays: Sequence[Pixels],
        places: Sequence[tuple[int, int]],
        row_shape: tuple[int, int, int],
    ) -> PixelRows:
        """Rows by their places: number of the array and row in it."""
        pairs = np.array(places, np.int64).reshape(len(places), 2)
        return cls(tuple(arrays), pairs[:, 0], pairs[:, 1], row_shape)

    def __len__(self) -> int:
        return len(self.row_of)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, bands)."""
        return (len(self), *self.row_shape)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    def __getitem__(self, index: Any) -> Pixels:
        arrays, rows = self.array_of[index], self.row_of[index]
        if np.ndim(rows) == 0:
            return np.array(self.arrays[arrays][rows])
        found = np.empty((len(rows), *self.row_shape), np.uint8)
        for number in np.unique(arrays):
            at = np.flatnonzero(arrays == number)
            found[at] = self.arrays[number][rows[at]]
        return found

    def take(self, index: Any) -> PixelRows:
        """Some of the rows, or some of them several times, without fetching any."""
        return PixelRows(self.arrays, self.array_of[index], self.row_of[index], self.row_shape)


PixelSource = Pixels | PixelRows
"""Decoded chips, in memory or not. What takes these goes over them in chunks or batches."""


def chunks(pixels: PixelSource, most_bytes: int = CHUNK_BYTES) -> Iterator[Pixels]:
    """The chips in order, as arrays of at most so many bytes (one chip at least)."""
    rows = chunk_rows(pixels.shape[1:], most_bytes)
    for start in range(0, len(pixels), rows):
        yield pixels[start : start + rows]


def chunk_rows(row_shape: Sequence[int], most_bytes: int = CHUNK_BYTES) -> int:
    """How many chips of a shape have so many bytes; one at least."""
    return max(1, most_bytes // int(np.prod(row_shape)))
