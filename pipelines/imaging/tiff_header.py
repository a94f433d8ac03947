"""The tags of a TIFF, and a copy of the file with only the tags that a decoder needs.

(TIFF revision 6.0, Adobe 1992; BigTIFF by libtiff.)
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from pipelines.errors import ChipRejected
from schemas.tables import QuarantineReason as Reason

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF files, little and big endian."""

WIDTH, HEIGHT, BITS, SAMPLES, SAMPLE_FORMAT = 256, 257, 258, 277, 339
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_COUNTS, PLANAR = 273, 278, 279, 284
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
COMPRESSION, FILL_ORDER = 259, 266
PHOTOMETRIC, PREDICTOR, EXTRA_SAMPLES, LERC_PARAMETERS = 262, 317, 338, 50674
TRANSFORMATION, NODATA = 34264, 42113
PIXEL_SCALE, TIEPOINT, GEO_KEYS, GEO_DOUBLES, GEO_TEXT = 33550, 33922, 34735, 34736, 34737
SUBFILE, JPEG_TABLES = 254, 347
WANTED = {
    *(WIDTH, HEIGHT, BITS, SAMPLES, SAMPLE_FORMAT, PLANAR, GEO_KEYS),
    *(
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        PIXEL_SCALE,
        TIEPOINT,
        TRANSFORMATION,
        GEO_DOUBLES,
        GEO_TEXT,
    ),
    *(STRIP_OFFSETS, STRIP_COUNTS, ROWS_PER_STRIP),
    *(TILE_OFFSETS, TILE_COUNTS, TILE_WIDTH, TILE_HEIGHT),
}
"""Tags that a layout needs."""
_UNREAD = {PREDICTOR, EXTRA_SAMPLES, LERC_PARAMETERS, NODATA}
"""Tags that only a decoder uses. It gets these and the wanted ones."""

Tags = dict[int, tuple[Any, ...]]
_MOST_TAGS = 4096  # libtiff refuses more
_MOST_VALUES = 1 << 17  # as many strips as a chip can have; a hostile count would fill the memory
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8: the types of sizes
_REAL_TYPES = {**_TYPES, 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 17: "q"}
_SIZES = {letter: struct.calcsize("=" + letter) for letter in "BHIQbhifdq"}
_RAW_SIZES = {1: 1, 2: 1, 4: 4, 7: 1, 13: 4, 16: 8, 18: 8}
"""Type to bytes a value, of texts and of pointers to directories."""
_OTHER_TYPES = {
    **dict.fromkeys((PIXEL_SCALE, TIEPOINT, TRANSFORMATION, GEO_DOUBLES), _REAL_TYPES),
    GEO_TEXT: {2: "B"},
}
_MOST_RAW_BYTES = 1 << 20
_CUT = "the file ends before its TIFF tags do"


class Data(Protocol):
    """The bytes of a file, whole or read in parts: only slices with both ends are taken."""

    def __len__(self) -> int:
        """Number of bytes of the file."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Bytes of the file; fewer if it ends before."""


def read_tags(
    data: Data,
    start: int | None = None,
    wanted: Collection[int] = WANTED,
    most_values: int = _MOST_VALUES,
) -> Tags:
    """The values of the tags that a layout needs; if a tag occurs twice, the first.

    Args:
        start: where the directory begins; by default the first one of the file.
        wanted: tags of numbers.
        most_values: a tag with more values makes no sense.

    Raises:
        ChipRejected: truncated, or decode_error for a directory that makes no sense.
    """
    form = _find_directory(data, start)
    order, width = form.order, form.width
    tags: Tags = {}
    for number, (tag, kind, count, value) in enumerate(form.entries()):
        letter = _letter(tag, kind) if tag in wanted else None
        if letter and count and tag not in tags:
            in_place = count * _SIZES[letter] <= width
            at = form.first + number * form.step + 4 + width if in_place else value
            tags[tag] = _read_values(data, order, letter, count, at, most_values)
    return tags


def next_directory(data: Data, start: int | None = None) -> int:
    """Where the directory after this one begins; 0 after the last one.

    Raises:
        ChipRejected: truncated, or decode_error for a directory that makes no sense.
    """
    form = _find_directory(data, start)
    at = form.first + len(form.table)
    (found,) = _read_values(data, form.order, form.pointer, 1, at)
    return int(found)


def read_raw(data: Data, wanted: tuple[int, ...], start: int | None = None) -> dict[int, bytes]:
    """The bytes of some tags, at most a megabyte of each, numbers in the file's byte order. Tags
    that are missing, or not in the file as a whole, are left out.

    Args:
        wanted: the tags.
        start: where the directory begins; by default the first one of the file.

    Raises:
        ChipRejected: truncated, or decode_error for a directory that makes no sense.
    """
    form = _find_directory(data, start)
    if not any(map(form.table.__contains__, _written(wanted, form.order))):
        return {}  # as in most files: this takes a tenth of the loop's time
    found: dict[int, bytes] = {}
    for number, (tag, kind, count, value) in enumerate(form.entries()):
        if tag in wanted and kind in _RAW_SIZES and tag not in found:
            size = count * _RAW_SIZES[kind]
            at = form.first + number * form.step + 4 + form.width if size <= form.width else value
            if at + size <= len(data):
                found[tag] = data[at : at + min(size, _MOST_RAW_BYTES)]
    return found


def read_no_data(data: Data) -> float | None:
    """The value that means no data in every band (GDAL's tag 42113, a number as text); None if the
    file names none, or not a number.

    Raises:
        ChipRejected: truncated, or decode_error for a directory that makes no sense.
    """
    text = read_raw(data, (NODATA,)).get(NODATA, b"")
    try:
        return float(text.partition(b"\0")[0])
    except ValueError:
        return None


@cache
def _written(tags: tuple[int, ...], order: str) -> tuple[bytes, ...]:
    """Tags as in a directory."""
    return tuple(struct.pack(order + "H", tag) for tag in tags)


def bare_copy(data: bytes) -> bytes:
    """The same picture with only the tags that a decoder needs.

    It lacks metadata, with which a few bytes can keep GDAL busy for minutes; unknown tags, all of
    which libtiff loads; and further directories.

    Raises:
        ChipRejected: truncated, or decode_error for a directory that makes no sense.
    """
    form = _find_directory(data)
    entries = _shown_entries(form)
    at = len(data) + len(data) % 2
    header = data[: form.pointer_at] + struct.pack(form.order + form.pointer, at)
    count = struct.pack(form.order + form.counter, len(entries))
    body = memoryview(data)[len(header) :]
    return b"".join([header, body, bytes(at - len(data)), count, *entries, bytes(form.width)])


def _shown_entries(form: _Directory) -> list[bytes]:
    """The entries that `read_tags` could read; if a tag occurs twice, the first."""
    shown: dict[int, bytes] = {}
    for number, (tag, kind, count, _) in enumerate(form.entries()):
        readable = tag in _UNREAD or (tag in WANTED and _letter(tag, kind))
        if readable and tag not in shown and 0 < count <= _MOST_VALUES:
            shown[tag] = form.table[number * form.step : (number + 1) * form.step]
    return list(shown.values())


@dataclass(frozen=True)
class _Directory:
    """The first directory: a table of entries, where it is, and how its numbers are stored."""

    order: str
    pointer: str
    pointer_at: int
    counter: str
    step: int
    first: int
    table: bytes

    @property
    def width(self) -> int:
        """Bytes of an offset, and of values that are stored in the entry itself."""
        return _SIZES[self.pointer]

    def entries(self) -> Iterator[tuple[int, int, int, int]]:
        """Tag, type, number of values, and the values or their offset."""
        return struct.iter_unpack(f"{self.order}HH{self.pointer}{self.pointer}", self.table)


def _find_directory(data: Data, start: int | None = None) -> _Directory:
    order = "<" if data[0:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    pointer, pointer_at, counter, step = ("Q", 8, "Q", 20) if big else ("I", 4, "H", 12)
    if start is None:
        (start,) = _read_values(data, order, pointer, 1, pointer_at)
    (entries,) = _read_values(data, order, counter, 1, start)
    if entries > _MOST_TAGS:
        raise ChipRejected(Reason.DECODE_ERROR, f"the TIFF directory claims {entries} tags")
    first = start + _SIZES[counter]
    table = data[first : first + entries * step]
    if len(table) < entries * step:
        raise ChipRejected(Reason.TRUNCATED, _CUT)
    return _Directory(order, pointer, pointer_at, counter, step, first, table)


def _letter(tag: int, kind: int) -> str | None:
    """The `struct` letter for a tag's values; None for a type that the tag cannot have."""
    return _OTHER_TYPES.get(tag, _TYPES).get(kind)


def _read_values(
    data: Data, order: str, letter: str, count: int, at: int, most_values: int = _MOST_VALUES
) -> tuple[Any, ...]:
    if count > most_values:
        raise ChipRejected(Reason.DECODE_ERROR, f"a TIFF tag claims {count} values")
    end = at + count * _SIZES[letter]
    if end > len(data):
        raise ChipRejected(Reason.TRUNCATED, _CUT)
    return struct.unpack(f"{order}{count}{letter}", data[at:end])
