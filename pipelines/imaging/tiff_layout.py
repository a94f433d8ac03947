"""The layout of a TIFF, read from its header before anything is decoded.

Chips come from anywhere. In some microseconds and without a decoder, the header says how large the
picture would be and whether all of its data are there. (TIFF revision 6.0, Adobe 1992.)
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from itertools import accumulate

from pipelines.errors import ChipRejected
from pipelines.imaging.tiff_header import (
    BITS,
    COMPRESSION,
    FILL_ORDER,
    GEO_DOUBLES,
    GEO_KEYS,
    GEO_TEXT,
    HEIGHT,
    PIXEL_SCALE,
    PLANAR,
    ROWS_PER_STRIP,
    SAMPLE_FORMAT,
    SAMPLES,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    TIEPOINT,
    TILE_COUNTS,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    Tags,
    read_tags,
)
from schemas.tables import QuarantineReason as Reason

COMPRESSIONS = {1, 5, 8, 32773, 32946, 34887, 34925, 50000}
"""None, LZW, deflate, PackBits, deflate by its old number, LERC, LZMA, Zstandard: what is used for
16-bit pictures, and was tested (docs/decisions/hostile-input.md)."""

_SHORTEST_TILE_PX = 16  # their sides are multiples of it: TIFF 6.0, section 15
_RASTER_TYPE, _PIXEL_IS_AREA = 1025, 1  # GeoTIFF 1.1 (OGC 19-008), GTRasterTypeGeoKey


@dataclass(frozen=True)
class TiffLayout:
    """The first directory of a TIFF.

    Attributes:
        width_px, height_px: size of the picture.
        bands: samples per pixel.
        bits: bits of each sample (the first band's).
        unsigned: whether samples are unsigned integers.
        tile_px: the longer side of its tiles, 0 if it has strips; they may be larger than the
            picture, and a decoder allocates them whole.
        blocks: strips or tiles in the whole picture.
        missing_blocks: strips or tiles without data in the file; decoders make them black.
        compression: TIFF's number of the compression.
        data_bytes: sum of the sizes of its strips or tiles.
        end: the offset after the last byte of pixel data; over the file's length: truncated.
        raw_start: offset of the picture if it is one run of uncompressed pixels, row by row, the
            bands of a pixel together; else None.
        big_endian: the byte order of samples.
        crs_tags: the values of the GeoTIFF tags that name the coordinate system; () without.
        extent: west, south, east, north in that system, if one corner and a pixel's size are
            enough to compute it; else None.
    """

    width_px: int
    height_px: int
    bands: int
    bits: int
    unsigned: bool
    tile_px: int
    blocks: int
    missing_blocks: int
    compression: int
    data_bytes: int
    end: int
    raw_start: int | None
    big_endian: bool
    crs_tags: tuple[tuple[float, ...], ...]
    extent: tuple[float, float, float, float] | None

    @property
    def has_crs(self) -> bool:
        """Whether it carries GeoTIFF keys."""
        return bool(self.crs_tags)

    @property
    def mode(self) -> str:
        """How the pixels are stored, such as `4 x uint16`."""
        kind = f"uint{self.bits}" if self.unsigned else f"not unsigned {self.bits} bit"
        return f"{self.bands} x {kind}"


def read_layout(data: bytes) -> TiffLayout:
    """Read the first directory of a TIFF or BigTIFF.

    Raises:
        ChipRejected: truncated, or decode_error for a directory that makes no sense.
    """
    tags = read_tags(data)
    offsets = tags.get(STRIP_OFFSETS, tags.get(TILE_OFFSETS, ()))
    counts = tags.get(STRIP_COUNTS, tags.get(TILE_COUNTS, ()))
    if WIDTH not in tags or HEIGHT not in tags or not offsets or len(offsets) != len(counts):
        raise ChipRejected(Reason.DECODE_ERROR, "the TIFF directory names no picture")
    blocks = _count_blocks(tags)
    offsets, counts = offsets[:blocks], counts[:blocks]
    if not (all(offsets) and all(counts)):
        given = [pair for pair in zip(offsets, counts, strict=True) if all(pair)]
        offsets, counts = tuple(o for o, _ in given), tuple(c for _, c in given)
    return TiffLayout(
        width_px=tags[WIDTH][0],
        height_px=tags[HEIGHT][0],
        bands=tags.get(SAMPLES, (1,))[0],
        bits=tags.get(BITS, (1,))[0],
        unsigned=tags.get(SAMPLE_FORMAT, (1,))[0] == 1,
        tile_px=max(tags.get(TILE_WIDTH, (0,))[0], tags.get(TILE_HEIGHT, (0,))[0]),
        blocks=blocks,
        missing_blocks=blocks - len(offsets),
        compression=tags.get(COMPRESSION, (1,))[0],
        data_bytes=sum(counts),
        end=max(map(operator.add, offsets, counts), default=0),
        raw_start=_raw_start(tags, offsets, counts),
        big_endian=data[:2] == b"MM",
        crs_tags=_crs_tags(tags),
        extent=_extent(tags),
    )


def _crs_tags(tags: Tags) -> tuple[tuple[float, ...], ...]:
    if GEO_KEYS not in tags:
        return ()
    return tuple(tags.get(tag, ()) for tag in (GEO_KEYS, GEO_DOUBLES, GEO_TEXT))


def _extent(tags: Tags) -> tuple[float, float, float, float] | None:
    """See `TiffLayout.extent`: one tie point, at a pixel's corner, and a scale."""
    keys = tags.get(GEO_KEYS, ())
    entries = [keys[at : at + 4] for at in range(4, len(keys), 4)]
    by_area = (_RASTER_TYPE, 0, 1, _PIXEL_IS_AREA) in entries
    tie, scale = tags.get(TIEPOINT, ()), tags.get(PIXEL_SCALE, ())
    if not by_area or len(tie) != 6 or len(scale) != 3 or 0 in scale[:2]:
        return None
    column, row, _, x, y, _ = tie
    west, north = x - column * scale[0], y + row * scale[1]
    east, south = west + tags[WIDTH][0] * scale[0], north - tags[HEIGHT][0] * scale[1]
    return (west, south, east, north)


def _raw_start(tags: Tags, offsets: tuple[int, ...], counts: tuple[int, ...]) -> int | None:
    """See `TiffLayout.raw_start`: strips, one after the other, that hold whole samples only."""
    plain = all(tags.get(tag, (1,))[0] == 1 for tag in (COMPRESSION, FILL_ORDER, PLANAR))
    alike = all(len(set(tags.get(tag, (1,)))) == 1 for tag in (BITS, SAMPLE_FORMAT))
    if not (plain and alike and offsets) or TILE_OFFSETS in tags:
        return None
    bits = tags[WIDTH][0] * tags[HEIGHT][0] * tags.get(SAMPLES, (1,))[0] * tags.get(BITS, (1,))[0]
    *starts, end = accumulate(counts, initial=offsets[0])
    follow = starts == list(offsets)
    return offsets[0] if follow and (end - offsets[0]) * 8 == bits else None


def _count_blocks(tags: Tags) -> int:
    """Strips or tiles in the whole picture."""
    width: int = tags[WIDTH][0]
    height: int = tags[HEIGHT][0]
    block_width: int = tags.get(TILE_WIDTH, (width,))[0]
    block_height: int = tags.get(TILE_HEIGHT, tags.get(ROWS_PER_STRIP, (height,)))[0]
    if not (width and height and block_width and block_height):
        raise ChipRejected(Reason.DECODE_ERROR, "the TIFF claims strips or tiles of no size")
    if TILE_WIDTH in tags and min(block_width, block_height) < _SHORTEST_TILE_PX:
        size = f"TIFF tiles of {block_width}x{block_height} px, at least {_SHORTEST_TILE_PX}"
        raise ChipRejected(Reason.DECODE_ERROR, size)
    planes: int = tags.get(SAMPLES, (1,))[0] if tags.get(PLANAR, (1,))[0] == 2 else 1
    return math.ceil(width / block_width) * math.ceil(height / block_height) * planes
