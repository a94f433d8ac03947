"""Shards: the files in which decoded chips are kept, written once and then only read.

A shard is two files: `NAME.pixels`, the chips' bytes one after the other, and `NAME.npy`, a
record for each. Both are written under another name and moved to their own when they are whole,
the records last: a shard is there when its records are. So a killed writer leaves no shard, and
two writers at once leave two.
"""

from __future__ import annotations

import os
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from pipelines.imaging.resize import Pixels

SHARD_BYTES = 256 << 20
"""Pixels in a shard at most: what a killed run may lose, and what is removed at a time."""

RECORD = np.dtype([("key", "V32"), ("width", "<i4"), ("height", "<i4"), ("checksum", "<u4")])
"""What is known of a chip: what its pixels were made of, its sides in pixels as stored, and the
CRC-32 of all that together with the pixels."""

RECORDS_SUFFIX, PIXELS_SUFFIX, WRITING_PREFIX = ".npy", ".pixels", ".writing-"


@dataclass(frozen=True)
class Entry:
    """A chip as a shard keeps it.

    Attributes:
        key: 32 bytes that stand for what was decoded.
        sides: width and height of the chip as stored, in pixels.
        pixels: `uint8 [S, S, bands]`.
    """

    key: bytes
    sides: tuple[int, int]
    pixels: Pixels

    @property
    def checksum(self) -> int:
        """CRC-32 of key, sides and pixels."""
        width, height = self.sides
        head = self.key + width.to_bytes(4, "little") + height.to_bytes(4, "little")
        return zlib.crc32(np.ascontiguousarray(self.pixels).data, zlib.crc32(head))


@dataclass(frozen=True)
class Shard:
    """A shard that is open.

    Attributes:
        records_path: its file of records.
        records: `RECORD [n]`.
        pixels: `uint8 [n, S, S, bands]`, memory-mapped.
    """

    records_path: Path
    records: npt.NDArray[np.void]
    pixels: Pixels

    def entry(self, row: int) -> Entry | None:
        """A chip, None where its bytes are not those that were written."""
        record = self.records[row]
        sides = (int(record["width"]), int(record["height"]))
        entry = Entry(record["key"].tobytes(), sides, self.pixels[row])
        return entry if entry.checksum == record["checksum"] else None


def open_shards(folder: Path, row_shape: tuple[int, int, int]) -> list[Shard]:
    """The shards of a folder, the newest first. What cannot be one is removed."""
    found = []
    for path in sorted(folder.glob(f"*{RECORDS_SUFFIX}"), key=_age):
        if path.name.startswith(WRITING_PREFIX):
            continue
        try:
            found.append(_open_shard(path, row_shape))
        except (FileNotFoundError, ValueError, EOFError):
            remove_shard(path)
    return found


def remove_shard(records_path: Path) -> None:
    """Remove a shard, where that is allowed. Those who have it open keep what they have."""
    with suppress(OSError):
        records_path.unlink(missing_ok=True)  # first: without it there is no shard
        records_path.with_suffix(PIXELS_SUFFIX).unlink(missing_ok=True)


def _age(path: Path) -> tuple[float, str]:
    try:
        return -path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name


def _open_shard(path: Path, row_shape: tuple[int, int, int]) -> Shard:
    records = np.load(path, allow_pickle=False)
    if records.dtype != RECORD or records.ndim != 1:
        raise ValueError("no records of a shard")
    shape = (len(records), *row_shape)
    pixels_path = path.with_suffix(PIXELS_SUFFIX)
    if pixels_path.stat().st_size != np.prod(shape):
        raise ValueError("another number of pixels than of records")
    return Shard(path, records, np.memmap(pixels_path, np.uint8, "r", shape=shape))


@dataclass
class ShardWriter:
    """A shard in the making.

    Attributes:
        folder: where it will be; made where it is not there.
        row_shape: (S, S, bands).
    """

    folder: Path
    row_shape: tuple[int, int, int]
    _name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _records: list[tuple[bytes, int, int, int]] = field(default_factory=list)
    _file: BinaryIO | None = None

    def __len__(self) -> int:
        return len(self._records)

    @property
    def full(self) -> bool:
        """Whether it has as many pixels as a shard may."""
        return len(self) * int(np.prod(self.row_shape)) >= SHARD_BYTES

    def add(self, entry: Entry) -> None:
        """Write a chip.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path(PIXELS_SUFFIX, WRITING_PREFIX).open("wb")
        self._file.write(np.ascontiguousarray(entry.pixels).data)
        self._records.append((entry.key, *entry.sides, entry.checksum))

    def close(self) -> Shard:
        """Put the shard in its place and open it; it has one chip at least.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is None:
            raise ValueError("a shard without a chip")
        self._finish(self._file)
        with self._path(RECORDS_SUFFIX, WRITING_PREFIX).open("wb") as file:
            np.save(file, np.array(self._records, RECORD))
            self._finish(file)
        for suffix in (PIXELS_SUFFIX, RECORDS_SUFFIX):
            self._path(suffix, WRITING_PREFIX).replace(self._path(suffix))
        return _open_shard(self._path(RECORDS_SUFFIX), self.row_shape)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.close()
        for suffix in (PIXELS_SUFFIX, RECORDS_SUFFIX):
            self._path(suffix, WRITING_PREFIX).unlink(missing_ok=True)

    def _path(self, suffix: str, prefix: str = "") -> Path:
        return self.folder / f"{prefix}{self._name}{suffix}"

    def _finish(self, file: BinaryIO) -> None:
        """On the disk before it has its name: a machine that fails leaves no shard of zeros."""
        file.flush()
        os.fsync(file.fileno())
        file.close()
