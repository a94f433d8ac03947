"""Blocks of every format are decoded to what GDAL reads."""

import zlib

import numpy as np
import numpy.typing as npt
import pytest
from rasterio.io import MemoryFile

from pipelines.errors import ChipRejected
from pipelines.scenes.block_decoding import decode_block
from pipelines.scenes.scene import Blocks
from schemas.tables import QuarantineReason as Reason
from tests.support.scenes import LAYOUTS, PACKINGS, draw_scene, parse_bytes, scene_bytes, varieties
from tests.support.tiffs import with_tag


def whole_picture(data: bytes, blocks: Blocks) -> npt.NDArray:
    """`[height, width, bands]`, block by block."""
    found = np.zeros(
        (blocks.height_px, blocks.width_px, blocks.bands), blocks.dtype.newbyteorder("=")
    )
    for index, (start, count) in enumerate(zip(blocks.offsets, blocks.counts, strict=True)):
        plane, place = divmod(index, blocks.across * blocks.down)
        row, column = divmod(place, blocks.across)
        top, left = row * blocks.block_height_px, column * blocks.block_width_px
        block = decode_block(blocks, index, data[start : start + count])
        part = found[top : top + block.shape[0], left : left + block.shape[1]]
        if blocks.planes > 1:
            part = part[..., plane : plane + 1]
        part[:] = block[: part.shape[0], : part.shape[1]]
    return found


def by_gdal(data: bytes) -> npt.NDArray:
    with MemoryFile(data) as memory, memory.open(driver="GTiff") as source:
        return np.moveaxis(source.read(), 0, -1)


@pytest.mark.parametrize(("dtype", "packing", "layout"), varieties())
def test_every_format_is_decoded_as_by_gdal(dtype: str, packing: str, layout: str) -> None:
    for bands in (1, 3, 4):
        values = draw_scene(dtype=dtype, bands=bands)
        data = scene_bytes(values, **PACKINGS[packing], **LAYOUTS[layout])
        blocks = parse_bytes(data).pixels
        assert np.array_equal(whole_picture(data, blocks), by_gdal(data))


def test_colours_of_a_jpeg_are_those_of_gdal_within_its_upsampling() -> None:
    values = draw_scene(96, 96, 3, "uint8")
    layout = {"tiled": True, "blockxsize": 48, "blockysize": 48}
    data = scene_bytes(values, compress="jpeg", photometric="YCBCR", **layout)
    found = whole_picture(data, parse_bytes(data).pixels).astype(float)
    assert np.abs(found - by_gdal(data)).mean() < 3
    inner = np.abs(found - by_gdal(data)).reshape(6, 16, 6, 16, 3)[:, 4:12, :, 4:12]
    assert np.median(inner) <= 1


@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd", "packbits", "jpeg"])
def test_a_damaged_block_is_rejected_and_never_crashes(compress: str) -> None:
    rng = np.random.default_rng(1)
    data = scene_bytes(draw_scene(dtype="uint8"), compress=compress)
    blocks = parse_bytes(data).pixels
    start, count = int(blocks.offsets[0]), int(blocks.counts[0])
    whole, reasons = data[start : start + count], set[Reason]()
    for _ in range(200):
        broken = bytearray(whole[: rng.integers(1, count)] if rng.random() < 0.5 else whole)
        for at in rng.integers(0, len(broken), 3):
            broken[at] = rng.integers(256)
        try:
            shape = decode_block(blocks, 0, bytes(broken)).shape
        except ChipRejected as rejected:
            reasons.add(rejected.reason)
        else:
            assert shape == blocks.shape_of(0)
    assert reasons <= {Reason.DECODE_ERROR, Reason.TRUNCATED}


def test_a_block_with_more_bytes_than_its_pixels_is_cut_as_libtiff_does() -> None:
    data = scene_bytes(draw_scene(), compress="deflate")
    blocks = parse_bytes(data).pixels
    start, count = int(blocks.offsets[0]), int(blocks.counts[0])
    raw = zlib.decompress(data[start : start + count])
    longer = decode_block(blocks, 0, zlib.compress(raw + b"more" * 1000))
    assert np.array_equal(longer, decode_block(blocks, 0, data[start : start + count]))
    with pytest.raises(ChipRejected, match=f"{len(raw) - 5:,} bytes, not {len(raw):,}"):
        decode_block(blocks, 0, zlib.compress(raw[:-5]))


def test_a_jpeg_block_may_not_claim_another_size() -> None:
    layout = {"tiled": True, "blockxsize": 32, "blockysize": 32}
    data = scene_bytes(draw_scene(64, 64, 1, "uint8"), compress="jpeg", **layout)
    larger = with_tag(data, 322, 48)
    blocks = parse_bytes(larger).pixels
    start, count = int(blocks.offsets[0]), int(blocks.counts[0])
    with pytest.raises(ChipRejected, match="a JPEG of 32x32 px in a block of 48x32 px"):
        decode_block(blocks, 0, larger[start : start + count])
