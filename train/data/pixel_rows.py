"""Decoded chips that need not be in memory: rows of arrays that are read on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.imaging.resize import Pixels

CHUNK_BYTES = 32 << 20
"""Bytes to process at a time if a whole set would not fit into memory."""


@dataclass(frozen=True)
class PixelRows:
    """`uint8 [n, S, S, bands]` as rows of arrays that may be memory-mapped.

    Indexing (by a number, a slice, numbers or a mask) returns a new array, as with numpy. Read a
    batch at a time: all rows together may be larger than the memory.

    Attributes:
        arrays: `uint8 [any, S, S, bands]` each.
        indices: `[n, 2]`, for each row the index of its array, and its index in the array.
        row_shape: (S, S, bands).
    """

    arrays: tuple[Pixels, ...]
    indices: npt.NDArray[np.int64]
    row_shape: tuple[int, int, int]

    @classmethod
    def of(
        cls,
        arrays: Sequence[Pixels],
        indices: Sequence[tuple[int, int]],
        row_shape: tuple[int, int, int],
    ) -> PixelRows:
        """Rows by the index of the array and the index in it."""
        return cls(tuple(arrays), np.array(indices, np.int64).reshape(-1, 2), row_shape)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, bands)."""
        return (len(self), *self.row_shape)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    def __getitem__(self, index: Any) -> Pixels:
        arrays, rows = self.indices[index].T
        if np.ndim(rows) == 0:
            return np.array(self.arrays[arrays][rows])
        found = np.empty((len(rows), *self.row_shape), np.uint8)
        for number in np.unique(arrays):
            at = np.flatnonzero(arrays == number)
            found[at] = self.arrays[number][rows[at]]
        return found

    def take(self, index: Any) -> PixelRows:
        """Some of the rows, or some of them several times, without reading any."""
        return PixelRows(self.arrays, self.indices[index], self.row_shape)


PixelSource = Pixels | PixelRows
"""Decoded chips, in memory or not; read them in chunks or batches."""


def chunks(pixels: PixelSource, most_bytes: int = CHUNK_BYTES) -> Iterator[Pixels]:
    """The chips in order, as arrays of at most `most_bytes` (at least one chip)."""
    rows = chunk_rows(pixels.shape[1:], most_bytes)
    for start in range(0, len(pixels), rows):
        yield pixels[start : start + rows]


def chunk_rows(row_shape: Sequence[int], most_bytes: int = CHUNK_BYTES) -> int:
    """How many chips of a shape fit into `most_bytes`; at least one."""
    return max(1, most_bytes // int(np.prod(row_shape)))
