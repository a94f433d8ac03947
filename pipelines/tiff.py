"""The layout of a plain TIFF, read from its header before anything is decoded.

Chips come from anywhere: the header says how large the picture would be, and whether all of its
data are there, for some microseconds and without a decoder. (TIFF revision 6.0, Adobe 1992.)
"""

from __future__ import annotations

import math
import operator
import struct
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF files, little and big endian."""

_WIDTH, _HEIGHT, _BITS, _SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 277, 339
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_COUNTS, _PLANAR = 273, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_COMPRESSION, _FILL_ORDER = 259, 266
_PIXEL_SCALE, _TIEPOINT, _GEO_KEYS, _GEO_DOUBLES, _GEO_TEXT = 33550, 33922, 34735, 34736, 34737
_WANTED = {
    *(_WIDTH, _HEIGHT, _BITS, _SAMPLES, _SAMPLE_FORMAT, _PLANAR, _GEO_KEYS),
    *(_COMPRESSION, _FILL_ORDER, _PIXEL_SCALE, _TIEPOINT, _GEO_DOUBLES, _GEO_TEXT),
    *(_STRIP_OFFSETS, _STRIP_COUNTS, _ROWS_PER_STRIP),
    *(_TILE_OFFSETS, _TILE_COUNTS, _TILE_WIDTH, _TILE_HEIGHT),
}
_Tags = dict[int, tuple[Any, ...]]
_MOST_TAGS = 4096  # libtiff refuses more
_MOST_VALUES = 1 << 17  # as many strips as a chip can have; hostile counts would fill the memory
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8: all that sizes come in
_SIZES = {letter: struct.calcsize("=" + letter) for letter in "BHIQd"}
_DOUBLE, _ASCII = {12: "d"}, {2: "B"}
_OTHER_TYPES = {
    _PIXEL_SCALE: _DOUBLE,
    _TIEPOINT: _DOUBLE,
    _GEO_DOUBLES: _DOUBLE,
    _GEO_TEXT: _ASCII,
}
_CUT = "the file ends before its TIFF tags do"
_RASTER_TYPE, _PIXEL_IS_AREA = 1025, 1  # GeoTIFF 1.1 (OGC 19-008), GTRasterTypeGeoKey


class TiffError(ValueError):
    """The header cannot be followed; `truncated` tells whether the file ends too early."""

    def __init__(self, message: str, truncated: bool) -> None:
        super().__init__(message)
        self.truncated = truncated


@dataclass(frozen=True)
class TiffLayout:
    """What the first directory of a TIFF says.

    Attributes:
        width_px, height_px: size of the picture.
        bands: samples per pixel.
        bits: bits of each sample (the first band's).
        unsigned: whether samples are unsigned integers.
        tile_px: the longer side of its tiles, 0 where it has strips; they may be larger than the
            picture, and a decoder allocates them whole.
        blocks: strips or tiles that the whole picture takes.
        missing_blocks: those of them that the file has no data for; decoders make them black.
        end: the offset after the last byte of pixel data; over the file's length: truncated.
        raw_start: where the whole picture lies as one run of unpacked pixels, row by row, the
            bands of a pixel together; None where it lies in any other way.
        big_endian: the byte order of samples.
        crs_tags: the values of the GeoTIFF tags that name the coordinate system; () without.
        extent: west, south, east, north in that system, where one corner and a pixel's size
            give it; None where it takes more to know.
    """

    width_px: int
    height_px: int
    bands: int
    bits: int
    unsigned: bool
    tile_px: int
    blocks: int
    missing_blocks: int
    end: int
    raw_start: int | None
    big_endian: bool
    crs_tags: tuple[tuple[float, ...], ...]
    extent: tuple[float, float, float, float] | None

    @property
    def has_crs(self) -> bool:
        """Whether it carries GeoTIFF keys."""
        return bool(self.crs_tags)


def read_layout(data: bytes) -> TiffLayout:
    """Read the first directory of a TIFF or BigTIFF.

    Raises:
        TiffError: the directory lies beyond the end of the data or makes no sense.
    """
    tags = _read_directory(data)
    offsets = tags.get(_STRIP_OFFSETS, tags.get(_TILE_OFFSETS, ()))
    counts = tags.get(_STRIP_COUNTS, tags.get(_TILE_COUNTS, ()))
    if _WIDTH not in tags or _HEIGHT not in tags or not offsets or len(offsets) != len(counts):
        raise TiffError("the TIFF directory names no picture", truncated=False)
    blocks = _count_blocks(tags)
    offsets, counts = offsets[:blocks], counts[:blocks]
    if not (all(offsets) and all(counts)):
        given = [pair for pair in zip(offsets, counts, strict=True) if all(pair)]
        offsets, counts = tuple(o for o, _ in given), tuple(c for _, c in given)
    return TiffLayout(
        width_px=tags[_WIDTH][0],
        height_px=tags[_HEIGHT][0],
        bands=tags.get(_SAMPLES, (1,))[0],
        bits=tags.get(_BITS, (1,))[0],
        unsigned=tags.get(_SAMPLE_FORMAT, (1,))[0] == 1,
        tile_px=max(tags.get(_TILE_WIDTH, (0,))[0], tags.get(_TILE_HEIGHT, (0,))[0]),
        blocks=blocks,
        missing_blocks=blocks - len(offsets),
        end=max(map(operator.add, offsets, counts), default=0),
        raw_start=_raw_start(tags, offsets, counts),
        big_endian=data[:2] == b"MM",
        crs_tags=_crs_tags(tags),
        extent=_extent(tags),
    )


def _crs_tags(tags: _Tags) -> tuple[tuple[float, ...], ...]:
    if _GEO_KEYS not in tags:
        return ()
    return tuple(tags.get(tag, ()) for tag in (_GEO_KEYS, _GEO_DOUBLES, _GEO_TEXT))


def _extent(tags: _Tags) -> tuple[float, float, float, float] | None:
    """See `TiffLayout.extent`: one tie point, at a pixel's corner, and a scale."""
    keys = tags.get(_GEO_KEYS, ())
    entries = [keys[at : at + 4] for at in range(4, len(keys), 4)]
    by_area = (_RASTER_TYPE, 0, 1, _PIXEL_IS_AREA) in entries
    tie, scale = tags.get(_TIEPOINT, ()), tags.get(_PIXEL_SCALE, ())
    if not by_area or len(tie) != 6 or len(scale) != 3 or 0 in scale[:2]:
        return None
    column, row, _, x, y, _ = tie
    west, north = x - column * scale[0], y + row * scale[1]
    east, south = west + tags[_WIDTH][0] * scale[0], north - tags[_HEIGHT][0] * scale[1]
    return (west, south, east, north)


def _raw_start(tags: _Tags, offsets: tuple[int, ...], counts: tuple[int, ...]) -> int | None:
    """See `TiffLayout.raw_start`: strips, one after the other, of nothing but whole samples."""
    plain = all(tags.get(tag, (1,))[0] == 1 for tag in (_COMPRESSION, _FILL_ORDER, _PLANAR))
    alike = all(len(set(tags.get(tag, (1,)))) == 1 for tag in (_BITS, _SAMPLE_FORMAT))
    if not (plain and alike and offsets) or _TILE_OFFSETS in tags:
        return None
    bits = (
        tags[_WIDTH][0] * tags[_HEIGHT][0] * tags.get(_SAMPLES, (1,))[0] * tags.get(_BITS, (1,))[0]
    )
    *starts, end = accumulate(counts, initial=offsets[0])
    follow = starts == list(offsets)
    return offsets[0] if follow and (end - offsets[0]) * 8 == bits else None


def _count_blocks(tags: _Tags) -> int:
    """Strips or tiles that the whole picture takes."""
    width: int = tags[_WIDTH][0]
    height: int = tags[_HEIGHT][0]
    block_width: int = tags.get(_TILE_WIDTH, (width,))[0]
    block_height: int = tags.get(_TILE_HEIGHT, tags.get(_ROWS_PER_STRIP, (height,)))[0]
    if not (width and height and block_width and block_height):
        raise TiffError("the TIFF claims strips or tiles of no size", truncated=False)
    planes: int = tags.get(_SAMPLES, (1,))[0] if tags.get(_PLANAR, (1,))[0] == 2 else 1
    return math.ceil(width / block_width) * math.ceil(height / block_height) * planes


def _read_directory(data: bytes) -> _Tags:
    """The values of the tags that a layout is made of; of a tag given twice, the first."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    pointer, counter, step = ("Q", "Q", 20) if big else ("I", "H", 12)
    (start,) = _read_values(data, order, pointer, 1, 8 if big else 4)
    (entries,) = _read_values(data, order, counter, 1, start)
    if entries > _MOST_TAGS:
        raise TiffError(f"the TIFF directory claims {entries} tags", truncated=False)
    first, width = start + _SIZES[counter], _SIZES[pointer]
    table = data[first : first + entries * step]
    if len(table) < entries * step:
        raise TiffError(_CUT, truncated=True)
    tags: _Tags = {}
    found = struct.iter_unpack(f"{order}HH{pointer}{pointer}", table)
    for number, (tag, kind, count, value) in enumerate(found):
        letter = _OTHER_TYPES.get(tag, _TYPES).get(kind) if tag in _WANTED else None
        if letter and count and tag not in tags:
            in_place = count * _SIZES[letter] <= width
            at = first + number * step + 4 + width if in_place else value
            tags[tag] = _read_values(data, order, letter, count, at)
    return tags


def _read_values(data: bytes, order: str, letter: str, count: int, at: int) -> tuple[Any, ...]:
    if count > _MOST_VALUES:
        raise TiffError(f"a TIFF tag claims {count} values", truncated=False)
    if at + count * _SIZES[letter] > len(data):
        raise TiffError(_CUT, truncated=True)
    return struct.unpack_from(f"{order}{count}{letter}", data, at)
