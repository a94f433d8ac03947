"""The bytes of a block to its pixels, by the decoders of imagecodecs (docs/decisions/scenes.md).

Every decoder gets the memory that the header promises and no more.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from pipelines.errors import ChipRejected
from pipelines.imaging.jpeg_segments import bare_copy, find_fault
from pipelines.scenes._block_layout import (
    DEFLATE,
    JPEG,
    LZW,
    NONE,
    OLD_DEFLATE,
    PACK_BITS,
    YCBCR,
    ZSTD,
    row_bytes,
)
from pipelines.scenes.scene import Blocks
from schemas.tables import QuarantineReason as Reason

Block = npt.NDArray[Any]
"""`[rows, columns, bands]`, in the byte order of this machine."""

_DECODERS = {
    DEFLATE: "deflate_decode",
    OLD_DEFLATE: "deflate_decode",
    LZW: "lzw_decode",
    ZSTD: "zstd_decode",
    PACK_BITS: "packbits_decode",
}
_HORIZONTAL, _FLOATING = 2, 3  # predictors
_COLOURS = {1: "GRAYSCALE", 3: "RGB", 4: "CMYK"}


Memory = npt.NDArray[np.uint8]
"""Bytes to decode into."""


def memory_for(blocks: Blocks) -> Memory:
    """Memory in which any of the blocks fits."""
    return np.empty(blocks.block_height_px * row_bytes(blocks), np.uint8)


def decode_block(
    blocks: Blocks, index: int, data: bytes | memoryview, memory: Memory | None = None
) -> Block:
    """A block's pixels.

    Args:
        index: its position in `blocks.offsets`.
        data: its bytes in the file, not empty.
        memory: to decode into, from `memory_for`; the pixels may be in it or not. By default, new
            memory: the operating system takes a tenth of the time of decoding to provide it.

    Raises:
        ChipRejected: truncated or decode_error.
    """
    shape = blocks.shape_of(index)
    try:
        if blocks.compression == JPEG:
            return _decode_jpeg(blocks, shape, bytes(data))
        raw = _unpack(blocks, shape, data, memory_for(blocks) if memory is None else memory)
    except ChipRejected:
        raise
    except Exception as error:  # each decoder has errors of its own
        text = str(error).partition("\n")[0]
        raise ChipRejected(Reason.DECODE_ERROR, f"block {index}: {text}") from error
    if blocks.bits == 1:
        bits = np.unpackbits(raw.reshape(shape[0], -1), axis=1)
        return bits[:, : shape[1], None]
    return _undo_predictor(blocks, raw.view(blocks.dtype).reshape(shape))


def _unpack(
    blocks: Blocks, shape: tuple[int, int, int], data: bytes | memoryview, memory: Memory
) -> npt.NDArray[np.uint8]:
    """The block's bytes without compression."""
    rows, columns, bands = shape
    size = rows * math.ceil(columns * bands * blocks.bits / 8)
    if blocks.compression == NONE:
        raw = np.frombuffer(data, np.uint8)[:size]
    else:
        raw = _decompress(blocks.compression, data, memory[:size])
    if len(raw) < size:
        text = f"a block of {len(raw):,} bytes, not {size:,}, when unpacked"
        raise ChipRejected(Reason.TRUNCATED, text)
    return raw


def _decompress(compression: int, data: bytes | memoryview, out: Memory) -> npt.NDArray[np.uint8]:
    import imagecodecs

    decode = getattr(imagecodecs, _DECODERS[compression])
    try:
        found = decode(data, out=out)
    except RuntimeError:
        if _DECODERS[compression] != "deflate_decode":
            raise
        # libdeflate refuses what has more bytes than a block, which some writers make.
        found = zlib.decompressobj().decompress(data, len(out))
    return np.frombuffer(found, np.uint8)


def _undo_predictor(blocks: Blocks, stored: Block) -> Block:
    """Samples in the machine's byte order, as they were before they were predicted."""
    import imagecodecs

    native = stored.dtype.newbyteorder("=")
    if blocks.predictor == _FLOATING:
        decoded: Block = imagecodecs.floatpred_decode(stored.view(native), axis=-2)
        return decoded
    pixels = stored.astype(native, copy=False)
    if blocks.predictor == _HORIZONTAL:
        whole = pixels.view(f"u{native.itemsize}")
        imagecodecs.delta_decode(whole, axis=-2, out=whole)
    return pixels


def _decode_jpeg(blocks: Blocks, shape: tuple[int, int, int], data: bytes) -> Block:
    import imagecodecs

    if fault := find_fault(data):
        raise ChipRejected(Reason.DECODE_ERROR, fault)
    height, width, _, _ = simplejpeg.decode_jpeg_header(bare_copy(data).head)
    if (height, width) != shape[:2]:
        text = f"a JPEG of {width}x{height} px in a block of {shape[1]}x{shape[0]} px"
        raise ChipRejected(Reason.DECODE_ERROR, text)
    kept = _COLOURS.get(shape[2])
    stored = "YCBCR" if blocks.photometric == YCBCR and shape[2] == 3 else kept
    pixels: Block = imagecodecs.jpeg8_decode(
        data, tables=blocks.tables or None, colorspace=stored, outcolorspace=kept
    )
    if pixels.size != math.prod(shape):
        raise ChipRejected(Reason.DECODE_ERROR, "a JPEG with other bands than its block")
    return pixels.reshape(shape)
