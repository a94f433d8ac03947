"""The layout of a plain TIFF, read from its header before anything is decoded.

Chips come from anywhere: the header says how large the picture would be, and whether all of its
data are there, for some microseconds and without a decoder. (TIFF revision 6.0, Adobe 1992.)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF files, little and big endian."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANAR, _SAMPLE_FORMAT = (
    *(256, 257, 258, 259, 277, 284),
    339,
)
_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325
_GEO_KEYS = 34735
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8: all that sizes come in
_TYPE_BYTES = {"B": 1, "H": 2, "I": 4, "Q": 8}


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
        end: the offset after the last byte of pixel data; over the file's length: truncated.
        has_crs: whether it carries GeoTIFF keys.
    """

    width_px: int
    height_px: int
    bands: int
    bits: int
    unsigned: bool
    end: int
    has_crs: bool


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
    return TiffLayout(
        width_px=tags[_WIDTH][0],
        height_px=tags[_HEIGHT][0],
        bands=tags.get(_SAMPLES, (1,))[0],
        bits=tags.get(_BITS, (1,))[0],
        unsigned=tags.get(_SAMPLE_FORMAT, (1,))[0] == 1,
        end=max(offset + count for offset, count in zip(offsets, counts, strict=True)),
        has_crs=_GEO_KEYS in tags,
    )


def _read_directory(data: bytes) -> dict[int, tuple[int, ...]]:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    try:
        if big:
            (start,) = struct.unpack_from(order + "Q", data, 8)
            (entries,) = struct.unpack_from(order + "Q", data, start)
            first, step, inline = start + 8, 20, 8
        else:
            (start,) = struct.unpack_from(order + "I", data, 4)
            (entries,) = struct.unpack_from(order + "H", data, start)
            first, step, inline = start + 2, 12, 4
        if first + entries * step > len(data):
            raise TiffError("the TIFF directory runs past the end of the file", truncated=True)
        places = range(first, first + entries * step, step)
        pairs = [_read_entry(data, place, order, inline) for place in places]
    except struct.error as error:
        raise TiffError(f"the file ends within its TIFF directory: {error}", True) from error
    return dict(pair for pair in pairs if pair[1])


def _read_entry(data: bytes, place: int, order: str, inline: int) -> tuple[int, tuple[int, ...]]:
    """A tag and its values; none for types that hold no sizes (text, fractions)."""
    tag, kind = struct.unpack_from(order + "HH", data, place)
    letter = _TYPES.get(kind)
    if letter is None:
        return tag, ()
    counter = "Q" if inline == 8 else "I"
    (count,) = struct.unpack_from(order + counter, data, place + 4)
    at = place + 4 + inline
    if count * _TYPE_BYTES[letter] > inline:
        (at,) = struct.unpack_from(order + counter, data, at)
    if at + count * _TYPE_BYTES[letter] > len(data):
        raise TiffError("the file ends before its TIFF tags do", truncated=True)
    return tag, struct.unpack_from(f"{order}{count}{letter}", data, at)
