"""The layout of a TIFF, read from its header before anything is decoded.

Chips come from anywhere. In a few microseconds and without a decoder, the header says how large the
picture would be and whether all of its data are there. (TIFF revision 6.0, Adobe 1992.)
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

from pipelines.errors import ChipRejected
from pipelines.imaging import tiff_header as tiff
from pipelines.imaging.tiff_position import Position, read_position
from schemas.networks.preprocessing import SampleType
from schemas.tables import QuarantineReason as Reason

COMPRESSIONS = {1, 5, 8, 32773, 32946, 34887, 34925, 50000}
"""None, LZW, deflate, PackBits, deflate by its old number, LERC, LZMA, Zstandard: what is used for
16-bit pictures, and was tested (docs/decisions/hostile-input.md)."""

_UNSIGNED = (1, 4)  # whole numbers, and a type that is not known, which is read like them
_KINDS = {**dict.fromkeys(_UNSIGNED, "uint"), 2: "int", 3: "float", 5: "complex int", 6: "complex"}
_SAMPLES: dict[tuple[int, int], SampleType] = {
    (2, 16): "int16",
    (3, 32): "float32",
    **{(kind, 8): "uint8" for kind in _UNSIGNED},
    **{(kind, bits): "uint16" for kind in _UNSIGNED for bits in range(9, 17)},  # 9 are packed
}
_WHOLE_BITS = (8, 16, 32)
_SHORTEST_TILE_PX = 16  # their sides are multiples of it: TIFF 6.0, section 15


@dataclass(frozen=True)
class TiffLayout:
    """The first directory of a TIFF.

    Attributes:
        width_px, height_px: size of the picture.
        bands: samples per pixel.
        bits: bits of each sample (the first band's).
        sample_format: TIFF's number of the type of samples, such as 2 for signed integers.
        photometric: TIFF's number of what samples mean, such as 1 for grey and 5 for CMYK.
        tile_px: the longer side of its tiles, 0 if it has strips; they may be larger than the
            picture, and a decoder allocates them whole.
        blocks: strips or tiles in the whole picture.
        missing_blocks: strips or tiles that are not in the file, though it does not say that they
            were left out. Those with a size of 0 were: a sparse file has no bytes for no data.
        compression: TIFF's number of the compression.
        data_bytes: sum of the sizes of its strips or tiles.
        end: the offset after the last byte of pixel data; in a truncated file, over its size.
        raw_start: offset of the picture if it is one run of uncompressed pixels of 8, 16 or 32 bit
            samples, row by row, the bands of a pixel together; else None.
        big_endian: the byte order of samples.
        position: where its pixels are on Earth; None if it does not say.
    """

    width_px: int
    height_px: int
    bands: int
    bits: int
    sample_format: int
    photometric: int
    tile_px: int
    blocks: int
    missing_blocks: int
    compression: int
    data_bytes: int
    end: int
    raw_start: int | None
    big_endian: bool
    position: Position | None

    @property
    def mode(self) -> str:
        """How the pixels are stored, such as `4 x uint16`."""
        kind = _KINDS.get(self.sample_format, f"format {self.sample_format} of ")
        return f"{self.bands} x {kind}{self.bits}"

    @property
    def samples(self) -> SampleType | None:
        """The type of samples when they are decoded; None if it is not read."""
        return _SAMPLES.get((self.sample_format, self.bits))


def read_layout(data: bytes) -> TiffLayout:
    """Read the first directory of a TIFF or BigTIFF.

    Raises:
        ChipRejected: truncated, or decode_error for a directory that makes no sense.
    """
    tags = tiff.read_tags(data)
    offsets = tags.get(tiff.STRIP_OFFSETS, tags.get(tiff.TILE_OFFSETS, ()))
    counts = tags.get(tiff.STRIP_COUNTS, tags.get(tiff.TILE_COUNTS, ()))
    sized = tiff.WIDTH in tags and tiff.HEIGHT in tags
    if sized and tiff.STRIP_OFFSETS in tags and not counts:
        counts = _plain_counts(tags)
    if not sized or not offsets or len(offsets) != len(counts):
        raise ChipRejected(Reason.DECODE_ERROR, "the TIFF directory names no picture")
    blocks = _count_blocks(tags)
    offsets, counts = offsets[:blocks], counts[:blocks]
    missing = blocks - len(offsets)
    sparse = not all(counts)
    if sparse or not all(offsets):
        used = [pair for pair in zip(offsets, counts, strict=True) if pair[1]]
        missing += sum(not offset for offset, _ in used)
        offsets, counts = tuple(o for o, _ in used), tuple(c for _, c in used)
    return TiffLayout(
        width_px=_first(tags, tiff.WIDTH),
        height_px=_first(tags, tiff.HEIGHT),
        bands=_first(tags, tiff.SAMPLES),
        bits=_first(tags, tiff.BITS),
        sample_format=_first(tags, tiff.SAMPLE_FORMAT),
        photometric=_first(tags, tiff.PHOTOMETRIC),
        tile_px=max(_first(tags, tiff.TILE_WIDTH, 0), _first(tags, tiff.TILE_HEIGHT, 0)),
        blocks=blocks,
        missing_blocks=missing,
        compression=_first(tags, tiff.COMPRESSION),
        data_bytes=sum(counts),
        end=max(map(operator.add, offsets, counts), default=0),
        raw_start=None if sparse else _raw_start(tags, offsets, counts),
        big_endian=data[:2] == b"MM",
        position=read_position(tags),
    )


def _plain_counts(tags: tiff.Tags) -> tuple[int, ...]:
    """The sizes of uncompressed strips, one for the picture or for each band, in files that lack
    them, as old ones do; () for other files."""
    height = _first(tags, tiff.HEIGHT)
    whole = tiff.TILE_WIDTH not in tags and _first(tags, tiff.ROWS_PER_STRIP, height) >= height
    if not whole or _first(tags, tiff.COMPRESSION) != 1:
        return ()
    bands, planes = _first(tags, tiff.SAMPLES), 1
    if _first(tags, tiff.PLANAR) == 2:
        bands, planes = planes, bands
    row_bytes = math.ceil(_first(tags, tiff.WIDTH) * bands * _first(tags, tiff.BITS) / 8)
    return (row_bytes * height,) * len(tags[tiff.STRIP_OFFSETS][:planes])


def _raw_start(tags: tiff.Tags, offsets: tuple[int, ...], counts: tuple[int, ...]) -> int | None:
    """See `TiffLayout.raw_start`: strips, one after the other, that hold whole samples only."""
    bits = _first(tags, tiff.BITS)
    storage = (tiff.COMPRESSION, tiff.FILL_ORDER, tiff.PLANAR)
    plain = all(_first(tags, tag) == 1 for tag in storage) and bits in _WHOLE_BITS
    alike = all(len(set(tags.get(tag, (1,)))) == 1 for tag in (tiff.BITS, tiff.SAMPLE_FORMAT))
    if not (plain and alike and offsets) or tiff.TILE_WIDTH in tags:
        return None
    width, height, bands = (_first(tags, tag) for tag in (tiff.WIDTH, tiff.HEIGHT, tiff.SAMPLES))
    row_bytes = bits // 8 * width * bands
    strip_bytes = max(min(_first(tags, tiff.ROWS_PER_STRIP, height), height) * row_bytes, 1)
    start, end = offsets[0], offsets[0] + len(offsets) * strip_bytes
    follow = offsets == tuple(range(start, end, strip_bytes))
    return start if follow and sum(counts) == height * row_bytes else None


def _first(tags: tiff.Tags, tag: int, default: int = 1) -> int:
    """The first value of an integer tag."""
    value: int = tags[tag][0] if tag in tags else default
    return value


def _count_blocks(tags: tiff.Tags) -> int:
    """Strips or tiles in the whole picture."""
    width, height = _first(tags, tiff.WIDTH), _first(tags, tiff.HEIGHT)
    block_width = _first(tags, tiff.TILE_WIDTH, width)
    block_height = _first(tags, tiff.TILE_HEIGHT, _first(tags, tiff.ROWS_PER_STRIP, height))
    if not (width and height and block_width and block_height):
        raise ChipRejected(Reason.DECODE_ERROR, "the TIFF claims strips or tiles of no size")
    if tiff.TILE_WIDTH in tags and min(block_width, block_height) < _SHORTEST_TILE_PX:
        size = f"TIFF tiles of {block_width}x{block_height} px, at least {_SHORTEST_TILE_PX}"
        raise ChipRejected(Reason.DECODE_ERROR, size)
    planes = _first(tags, tiff.SAMPLES) if _first(tags, tiff.PLANAR) == 2 else 1
    return math.ceil(width / block_width) * math.ceil(height / block_height) * planes
