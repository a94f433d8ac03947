"""The strips or tiles of one TIFF directory, checked so that reading any of them is safe."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.errors import ChipRejected
from pipelines.imaging import tiff_header as tiff
from pipelines.scenes.header_bytes import HeaderBytes
from pipelines.scenes.scene import Blocks, Integers
from schemas.tables import QuarantineReason as Reason

NONE, LZW, JPEG, DEFLATE, PACK_BITS, OLD_DEFLATE, ZSTD = 1, 5, 7, 8, 32773, 32946, 50000
WITH_PREDICTOR = (LZW, DEFLATE, OLD_DEFLATE, ZSTD)
_COMPRESSIONS = {
    LZW: "LZW",
    JPEG: "JPEG",
    DEFLATE: "deflate",
    ZSTD: "Zstandard",
    NONE: "none",
    OLD_DEFLATE: "deflate",
    PACK_BITS: "PackBits",
}
"""TIFF's numbers of the compressions that are read."""
_OTHER_COMPRESSIONS = {
    6: "old-style JPEG",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    34933: "PNG",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}

MASK, YCBCR = 4, 6
_SAMPLES = {(8, 1): "u1", (16, 1): "u2", (16, 2): "i2", (32, 3): "f4"}
"""Bits and TIFF's sample format to the samples that are read."""
_SAMPLE_KINDS = {1: "unsigned", 2: "signed", 3: "floating point", 5: "complex", 6: "complex"}

MOST_BLOCK_BYTES = 256 << 20
_SHORTEST_TILE_PX = 16
_RUN_BYTES = 1 << 20
"""Uncompressed strips are read in pieces of this size, whatever theirs is."""


def read_blocks(data: HeaderBytes, tags: tiff.Tags, start: int | None) -> Blocks:
    """The blocks of a directory.

    Args:
        tags: of the directory.
        start: where it begins; None for the first one.

    Raises:
        ChipRejected: they cannot be read, or are not in the file.
    """
    if tiff.WIDTH not in tags or tiff.HEIGHT not in tags:
        raise ChipRejected(Reason.DECODE_ERROR, "the TIFF directory names no picture")
    width, height = first(tags, tiff.WIDTH), first(tags, tiff.HEIGHT)
    bands = first(tags, tiff.SAMPLES)
    is_mask = first(tags, tiff.PHOTOMETRIC) == MASK
    compression = _compression(tags)
    tiled = tiff.TILE_WIDTH in tags
    block_width = first(tags, tiff.TILE_WIDTH, width)
    block_height = first(tags, tiff.TILE_HEIGHT, first(tags, tiff.ROWS_PER_STRIP, height))
    if not (width and height and bands and block_width and block_height):
        raise ChipRejected(Reason.DECODE_ERROR, "the TIFF claims a picture or blocks of no size")
    if tiled and min(block_width, block_height) < _SHORTEST_TILE_PX:
        size = f"TIFF tiles of {block_width}x{block_height} px, at least {_SHORTEST_TILE_PX}"
        raise ChipRejected(Reason.DECODE_ERROR, size)
    bits, dtype = _samples(tags, is_mask, "<" if data[0:2] == b"II" else ">")
    planar = first(tags, tiff.PLANAR) == 2 and bands > 1
    blocks = Blocks(
        width_px=width,
        height_px=height,
        bands=bands,
        block_width_px=block_width,
        block_height_px=block_height if tiled else min(block_height, height),
        tiled=tiled,
        planes=bands if planar else 1,
        dtype=dtype,
        bits=bits,
        compression=compression,
        predictor=_predictor(tags, compression, bits, dtype),
        photometric=first(tags, tiff.PHOTOMETRIC),
        tables=_jpeg_tables(data, start) if compression == JPEG else b"",
        offsets=_array(tags, tiff.TILE_OFFSETS if tiled else tiff.STRIP_OFFSETS),
        counts=_array(tags, tiff.TILE_COUNTS if tiled else tiff.STRIP_COUNTS),
    )
    return _checked(blocks, len(data))


def first(tags: tiff.Tags, tag: int, default: int = 1) -> int:
    """The first value of an integer tag."""
    value: int = tags[tag][0] if tag in tags else default
    return value


def row_bytes(blocks: Blocks) -> int:
    """Bytes of a row of a block, decoded."""
    samples = blocks.block_width_px * (blocks.bands if blocks.planes == 1 else 1)
    return math.ceil(samples * blocks.bits / 8)


def _compression(tags: tiff.Tags) -> int:
    found = first(tags, tiff.COMPRESSION)
    if found not in _COMPRESSIONS:
        name = _OTHER_COMPRESSIONS.get(found, f"TIFF compression {found}")
        known = ", ".join(dict.fromkeys(_COMPRESSIONS.values()))
        raise ChipRejected(Reason.DECODE_ERROR, f"{name} is not read in scenes, only {known}")
    if first(tags, tiff.FILL_ORDER) != 1:
        raise ChipRejected(Reason.DECODE_ERROR, "the TIFF stores its bits in reverse order")
    return found


def _samples(tags: tiff.Tags, is_mask: bool, order: str) -> tuple[int, np.dtype[Any]]:
    """Bits of a sample, and its type as it is stored."""
    bits, formats = set(tags.get(tiff.BITS, (1,))), set(tags.get(tiff.SAMPLE_FORMAT, (1,)))
    formats = {1 if kind == 4 else kind for kind in formats}  # undefined: read as unsigned
    if is_mask and bits in ({1}, {8}):
        return bits.pop(), np.dtype("u1")
    kinds = [_SAMPLES.get((b, f)) for b in bits for f in formats]
    if len(kinds) != 1 or kinds[0] is None:
        names = ", ".join(_SAMPLE_KINDS.get(kind, f"format {kind}") for kind in sorted(formats))
        found = f"{', '.join(map(str, sorted(bits)))} bit {names} samples"
        raise ChipRejected(
            Reason.WRONG_BANDS, f"{found} are not read, only uint8, uint16, int16 and float32"
        )
    return bits.pop(), np.dtype(order + kinds[0])


def _predictor(tags: tiff.Tags, compression: int, bits: int, dtype: np.dtype[Any]) -> int:
    found = first(tags, tiff.PREDICTOR) if compression in WITH_PREDICTOR else 1
    if found not in (1, 2, 3) or (found == 3 and dtype.kind != "f") or (found > 1 and bits < 8):
        raise ChipRejected(Reason.DECODE_ERROR, f"TIFF predictor {found} of {dtype.name} samples")
    return found


def _jpeg_tables(data: HeaderBytes, start: int | None) -> bytes:
    return tiff.read_raw(data, (tiff.JPEG_TABLES,), start).get(tiff.JPEG_TABLES, b"")


def _array(tags: tiff.Tags, tag: int) -> Integers:
    values = np.array(tags.get(tag, ()), np.uint64)
    return np.minimum(values, np.uint64(1 << 62)).astype(np.int64)


def _checked(blocks: Blocks, size_bytes: int) -> Blocks:
    """The blocks, if all of them are in the file."""
    if blocks.compression == JPEG and blocks.bits != 8:
        raise ChipRejected(Reason.DECODE_ERROR, "JPEG blocks that are not of 8 bit samples")
    count = blocks.across * blocks.down * blocks.planes
    if blocks.compression == NONE and not blocks.tiled:
        blocks = _in_pieces(blocks)
        count = blocks.across * blocks.down * blocks.planes
    if row_bytes(blocks) * blocks.block_height_px > MOST_BLOCK_BYTES:
        size = f"{'tiles' if blocks.tiled else 'strips'} of more than {MOST_BLOCK_BYTES >> 20} MB"
        raise ChipRejected(Reason.TOO_LARGE, f"{size}: write the scene as a COG")
    offsets, counts = blocks.offsets, blocks.counts
    if len(offsets) < count or len(offsets) != len(counts):
        missing = f"{max(count - len(offsets), 1):,} of {count:,} strips or tiles have no data"
        raise ChipRejected(Reason.TRUNCATED, missing)
    used = counts > 0
    ends = offsets[used] + counts[used]
    if (offsets[used] == 0).any():
        raise ChipRejected(Reason.TRUNCATED, "strips or tiles are not in the file")
    if ends.size and ends.max() > size_bytes:
        missing = f"{int(ends.max()) - size_bytes:,} bytes of pixel data are missing"
        raise ChipRejected(Reason.TRUNCATED, missing)
    if float(counts.sum(dtype=float)) > size_bytes:
        raise ChipRejected(Reason.DECODE_ERROR, "strips or tiles that share their bytes")
    return blocks


def _in_pieces(blocks: Blocks) -> Blocks:
    """Uncompressed strips as strips of a megabyte: a file may have its whole picture in one strip,
    or each row in its own."""
    rows = blocks.block_height_px
    line = row_bytes(blocks)
    offsets, counts = blocks.offsets, blocks.counts
    count = blocks.down * blocks.planes
    if not len(counts) and len(offsets) == blocks.planes and blocks.down == 1:
        counts = np.full(len(offsets), line * rows)  # as in old files
    if len(offsets) != len(counts) or len(offsets) < count:
        return blocks
    heights = np.full((blocks.planes, blocks.down), rows)
    heights[:, -1] = blocks.height_px - rows * (blocks.down - 1)
    short = (counts[:count] < heights.ravel() * line) & (counts[:count] > 0)
    if short.any():
        raise ChipRejected(Reason.TRUNCATED, f"{short.sum():,} strips lack some of their rows")
    starts = offsets[:count].reshape(blocks.planes, blocks.down)
    follow = (np.diff(starts, axis=1) == rows * line).all() and (counts[:count] > 0).all()
    if not follow:
        if rows * line <= 2 * _RUN_BYTES:
            return replace(blocks, counts=counts)
        if rows % (piece := max(_RUN_BYTES // line, 1)):
            piece = next(n for n in range(piece, 0, -1) if rows % n == 0)
        return _split(blocks, starts, counts[:count].reshape(starts.shape), piece)
    whole = np.broadcast_to(starts[:, :1], (blocks.planes, 1))
    one = replace(blocks, block_height_px=blocks.height_px)
    return _split(one, whole, np.ones_like(whole), max(_RUN_BYTES // line, 1))


def _split(blocks: Blocks, starts: Integers, counts: Integers, piece: int) -> Blocks:
    """Strips `[planes, strips]` cut into pieces of `piece` rows."""
    line = row_bytes(blocks)
    pieces = -(-blocks.block_height_px // piece)
    inside = np.arange(pieces) * piece * line
    offsets = (starts[:, :, None] + inside).reshape(blocks.planes, -1)
    down = -(-blocks.height_px // piece)
    offsets = offsets[:, :down]
    rows = np.full(down, piece)
    rows[-1] = blocks.height_px - piece * (down - 1)
    stored = np.repeat(counts > 0, pieces, axis=1)[:, :down]
    sizes = np.where(stored, rows * line, 0)
    return replace(blocks, block_height_px=piece, offsets=offsets.ravel(), counts=sizes.ravel())
