"""The layout of a TIFF comes from its header alone, whatever the header claims."""

from __future__ import annotations

import contextlib
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from pipelines.errors import ChipRejected
from pipelines.imaging.tiff_header import MAGICS, bare_copy
from pipelines.imaging.tiff_layout import read_layout
from schemas.tables import QuarantineReason as Reason
from tests.support.tiffs import (
    GEO,
    HEIGHT,
    LAYOUTS,
    ROWS_PER_STRIP,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    TILE_COUNTS,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    draw_bands,
    encode_tif,
    with_more_tags,
    with_tag,
    with_values,
)

PLAIN = encode_tif(draw_bands(), blockysize=8)
TILED = encode_tif(draw_bands(), **LAYOUTS["tiles, deflate"])
LONG = 4

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def directory(entries: list[tuple[int, int, int, int]], claimed: int | None = None) -> bytes:
    """A little-endian TIFF that is only a directory of (tag, type, count, value)."""
    head = b"II*\0" + struct.pack("<IH", 8, len(entries) if claimed is None else claimed)
    return head + b"".join(struct.pack("<HHII", *entry) for entry in entries)


def _is_cut(data: bytes) -> bool:
    try:
        return read_layout(data).end > len(data)
    except ChipRejected as error:
        return error.reason is Reason.TRUNCATED


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_as_it_was_written(layout: str) -> None:
    found = read_layout(encode_tif(draw_bands(), **LAYOUTS[layout]))
    assert (found.width_px, found.height_px) == (100, 80)
    assert (found.bands, found.bits, found.samples) == (4, 16, "uint16")
    assert found.missing_blocks == 0
    assert (found.position is not None) == (layout == "with a place")


@pytest.mark.parametrize(
    ("dtype", "bits", "samples"),
    [
        ("uint8", 8, "uint8"),
        ("uint16", 16, "uint16"),
        ("int16", 16, "int16"),
        ("uint32", 32, None),
        ("int32", 32, None),
        ("float32", 32, "float32"),
        ("float64", 64, None),
    ],
)
def test_the_sample_type_is_read(dtype: str, bits: int, samples: str | None) -> None:
    found = read_layout(encode_tif(draw_bands(bands=3, dtype=dtype)))
    assert (found.bands, found.bits, found.samples) == (3, bits, samples)
    assert found.mode == f"3 x {dtype}"


def test_the_pixel_data_end_where_the_file_may_be_cut_without_loss() -> None:
    values = draw_bands()
    found = read_layout(PLAIN)
    assert found.end == len(PLAIN)  # rasterio writes the directory before the data
    cut = PLAIN[: found.end - values[0, 0, 0].nbytes]
    assert read_layout(cut).end == len(cut) + 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_raw_pixels_are_at_the_offset_of_the_layout(layout: str) -> None:
    values = draw_bands()
    data = encode_tif(values, **LAYOUTS[layout])
    found = read_layout(data)
    packed_or_apart = ("bands apart", "tiles", "LZW")
    assert (found.raw_start is None) == layout.startswith(packed_or_apart)
    if found.raw_start is not None:
        samples = ">u2" if found.big_endian else "<u2"
        pixels = np.frombuffer(data, samples, values.size, found.raw_start)
        assert np.array_equal(pixels.reshape(80, 100, 4), np.moveaxis(values, 0, -1))


@pytest.mark.parametrize("tag", [STRIP_OFFSETS, STRIP_COUNTS])
def test_strips_with_gaps_or_too_few_bytes_are_left_to_a_decoder(tag: int) -> None:
    assert read_layout(PLAIN).raw_start is not None
    assert read_layout(with_values(PLAIN, tag, {3: 1000})).raw_start is None


def test_tiles_are_counted_and_measured_and_strips_have_no_tile_size() -> None:
    tiled = read_layout(TILED)
    assert (tiled.blocks, tiled.tile_px) == (7 * 3, 32)  # 16 wide over 100, 32 high over 80
    strips = read_layout(PLAIN)
    assert (strips.blocks, strips.tile_px) == (10, 0)
    apart = read_layout(encode_tif(draw_bands(), interleave="band", blockysize=8))
    assert apart.blocks == 4 * 10


def test_strips_without_an_offset_are_missing_and_strips_without_bytes_are_left_out() -> None:
    assert read_layout(with_values(PLAIN, STRIP_OFFSETS, {0: 0, 7: 0})).missing_blocks == 2
    sparse = with_values(PLAIN, STRIP_COUNTS, {0: 0, 7: 0})
    for tif in (sparse, with_values(sparse, STRIP_OFFSETS, {0: 0, 7: 0})):
        assert read_layout(tif).missing_blocks == 0
        assert read_layout(tif).raw_start is None


def test_only_rows_of_whole_samples_that_follow_each_other_are_raw_pixels() -> None:
    assert read_layout(PLAIN).raw_start is not None
    odd = {STRIP_OFFSETS: {1: 0}, STRIP_COUNTS: {1: 0, 0: 2 * 8 * 100 * 8}}
    for tag, values in odd.items():
        odd_tif = with_values(PLAIN, tag, values)
        assert read_layout(odd_tif).raw_start is None
    for dtype in ("uint8", "int16", "float32"):
        assert read_layout(encode_tif(draw_bands(dtype=dtype))).raw_start is not None
    assert read_layout(encode_tif(draw_bands(), interleave="band")).raw_start is None
    assert read_layout(encode_tif(draw_bands(width=128), NBITS=12)).raw_start is None


def test_strips_and_tiles_that_are_not_listed_are_missing() -> None:
    few_strips = with_tag(with_tag(PLAIN, STRIP_OFFSETS, count=3), STRIP_COUNTS, count=3)
    assert read_layout(few_strips).missing_blocks == 7
    few_tiles = with_tag(with_tag(TILED, TILE_OFFSETS, count=20), TILE_COUNTS, count=20)
    assert read_layout(few_tiles).missing_blocks == 1
    assert read_layout(with_tag(PLAIN, HEIGHT, 88)).missing_blocks == 1


def test_if_a_tag_occurs_twice_the_first_counts_as_in_libtiff() -> None:
    strip = [(STRIP_OFFSETS, LONG, 1, 8), (STRIP_COUNTS, LONG, 1, 1)]
    twice = [(WIDTH, LONG, 1, 30), (WIDTH, LONG, 1, 65_000), (HEIGHT, LONG, 1, 20), *strip]
    assert read_layout(directory(twice)).width_px == 30


@given(cut=st.integers(0, len(PLAIN) - 1))
def test_a_file_cut_anywhere_is_found_to_be_cut(cut: int) -> None:
    assert _is_cut(PLAIN[:cut])


@given(magic=st.sampled_from(MAGICS), rest=st.binary(max_size=300))
def test_any_bytes_have_a_layout_or_are_rejected(magic: bytes, rest: bytes) -> None:
    with contextlib.suppress(ChipRejected):
        read_layout(magic + rest)


@pytest.mark.parametrize("magic", [b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"])
def test_a_directory_beyond_all_addresses_is_beyond_the_end(magic: bytes) -> None:
    with pytest.raises(ChipRejected, match="ends before") as caught:
        read_layout(magic + b"\xff" * 100)
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (with_tag(PLAIN, STRIP_OFFSETS, count=2), "names no picture"),
        (with_tag(PLAIN, STRIP_OFFSETS, count=0), "names no picture"),
        (with_tag(PLAIN, ROWS_PER_STRIP, 0), "no size"),
        (with_tag(PLAIN, WIDTH, 0), "no size"),
        (with_tag(PLAIN, HEIGHT, 0), "no size"),
        (directory([]), "names no picture"),
    ],
)
def test_a_directory_that_makes_no_sense_is_refused(broken: bytes, message: str) -> None:
    with pytest.raises(ChipRejected, match=message) as caught:
        read_layout(broken)
    assert caught.value.reason is Reason.DECODE_ERROR


def test_counts_that_would_fill_the_memory_are_refused_unread() -> None:
    body = b"\0" * (9 << 20)
    entry = struct.pack("<HHII", STRIP_OFFSETS, LONG, 2 << 20, 8)
    many = b"II*\0" + struct.pack("<IH", 8, 65_535) + entry * 65_535 + body
    big = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 62) + body
    huge = directory([(STRIP_OFFSETS, LONG, 2 << 20, 8)]) + body
    for data, message in ((many, "65535 tags"), (big, "claims 46"), (huge, "2097152 values")):
        began = time.process_time()
        with pytest.raises(ChipRejected, match=message):
            read_layout(data)
        assert time.process_time() - began < 0.5


def test_real_geotiffs_are_read_as_rasterio_reads_them(shared_data: Path) -> None:
    paths = sorted(shared_data.glob("geotiff/*.tif")) + sorted(shared_data.glob("planet/tif/*.tif"))
    assert paths
    for path in paths:
        found = read_layout(path.read_bytes())
        with rasterio.open(path) as source:
            size = (source.width, source.height, source.count)
            bits = np.dtype(source.dtypes[0]).itemsize * 8
            has_crs = source.crs is not None
        assert (found.width_px, found.height_px, found.bands) == size, path.name
        assert (found.bits, found.samples, (found.position is not None)) == (
            bits,
            f"uint{bits}",
            has_crs,
        ), path.name
        assert found.missing_blocks == 0, path.name
        assert found.end <= path.stat().st_size, path.name


def test_a_place_is_found_in_every_projection() -> None:
    assert read_layout(encode_tif(draw_bands(), **GEO)).position
    assert read_layout(encode_tif(draw_bands(), **{**GEO, "crs": "EPSG:4326"})).position
    assert not read_layout(encode_tif(draw_bands(), transform=GEO["transform"])).position


# --- The copy that a decoder is shown -------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bare_copy_shows_the_same_picture_at_the_same_place(layout: str) -> None:
    data = encode_tif(draw_bands(), **LAYOUTS[layout])
    file, copy = MemoryFile(data), MemoryFile(bare_copy(data))
    with file, copy, file.open() as whole, copy.open() as bare:
        np.testing.assert_array_equal(bare.read(), whole.read())
        assert (bare.crs, bare.transform) == (whole.crs, whole.transform)


def test_the_bare_copy_shows_no_metadata_no_unknown_tag_and_no_second_directory() -> None:
    xml = b"<GDALMetadata><Item name='a'>b</Item></GDALMetadata>"
    more = [(42112, 2, len(xml), len(PLAIN)), (50_800, 1, 9, 8), (WIDTH, 4, 1, 7)]
    crowded = with_more_tags(PLAIN + xml, more)
    second = crowded[:-4] + struct.pack("<I", struct.unpack_from("<I", crowded, 4)[0])
    with MemoryFile(crowded) as file, file.open() as whole:
        assert whole.tags()["a"] == "b"
    bare = bare_copy(second)
    (start,) = struct.unpack_from("<I", bare, 4)
    (entries,) = struct.unpack_from("<H", bare, start)
    shown = [struct.unpack_from("<H", bare, start + 2 + 12 * i)[0] for i in range(entries)]
    assert not {42112, 50_800} & set(shown)
    assert shown.count(WIDTH) == 1
    assert bare[-4:] == bytes(4)
    assert read_layout(bare) == read_layout(PLAIN)


@given(magic=st.sampled_from(MAGICS), rest=st.binary(max_size=300))
def test_a_bare_copy_of_a_readable_file_has_the_same_layout(magic: bytes, rest: bytes) -> None:
    with contextlib.suppress(ChipRejected):
        layout = read_layout(magic + rest)
        assert read_layout(bare_copy(magic + rest)) == layout


def test_tiles_smaller_than_the_standard_allows_are_refused() -> None:
    with pytest.raises(ChipRejected, match=r"tiles of 8x32 px, at least 16"):
        read_layout(with_tag(TILED, TILE_WIDTH, 8))
