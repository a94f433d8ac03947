"""GeoTIFF chips decode to the right values or are rejected with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from pipelines.errors import ChipRejected
from pipelines.imaging import geotiff
from pipelines.imaging.decoding import decode_chip
from pipelines.imaging.resize import area_average, scale_bands
from pipelines.imaging.tiff_layout import read_layout
from schemas.tables import QuarantineReason as Reason
from tests.support.pictures import ODD_SIZES, reason_for
from tests.support.samples import TIF
from tests.support.tiffs import (
    HEIGHT,
    LAYOUTS,
    NODATA,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    TILE_COUNTS,
    TILE_OFFSETS,
    draw_bands,
    encode_tif,
    with_arrays,
    with_tag,
    with_values,
    without_tag,
)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def test_bands_are_read_in_the_stored_order_blue_green_red_near_infrared() -> None:
    values = np.stack([np.full((256, 256), v, np.uint16) for v in (2000, 4000, 7000, 12000)])
    tif = encode_tif(values)
    assert decode_chip(tif, TIF)[0, 0].tolist() == [0, 51, 128, 255]
    visible = replace(TIF, bands=("red", "green", "blue"), scaling=((2000.0, 12000.0),) * 3)
    assert decode_chip(tif, visible)[0, 0].tolist() == [128, 51, 0]
    infrared = replace(TIF, bands=("near_infrared",), scaling=((0.0, 24000.0),))
    assert decode_chip(tif, infrared)[0, 0].tolist() == [128]


def constant(value: int) -> npt.NDArray[np.uint16]:
    return np.full((4, 256, 256), value, np.uint16)


def test_a_tif_below_the_scaling_is_a_black_picture() -> None:
    assert not decode_chip(encode_tif(constant(2000)), TIF).any()
    assert not decode_chip(encode_tif(constant(1)), TIF).any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("value", "nodata"), [(0, None), (0, 65535), (65535, 65535), (0x707, 0x707), (0, 0)]
)
def test_a_tif_of_zeros_or_of_its_no_data_value_has_no_data(layout, value, nodata) -> None:
    """(GDAL swaps no bytes of blocks of no data in a big-endian file: 0x707 is the same anyway.)"""
    tif = encode_tif(constant(value), nodata=nodata, **LAYOUTS[layout])
    assert reason_for(tif, TIF) is Reason.NO_DATA


@pytest.mark.parametrize("nodata", [None, 0, 65535])
def test_a_sparse_tif_without_a_single_block_has_no_data(nodata) -> None:
    tif = encode_tif(constant(nodata or 0), nodata=nodata, SPARSE_OK="TRUE")
    assert len(tif) < 5000
    assert reason_for(tif, TIF) is Reason.NO_DATA


@pytest.mark.parametrize("at", [(0, 0, 0), (3, 255, 255), (2, 100, 7)])
def test_one_sample_makes_a_tif_a_picture(at) -> None:
    for value in (0, 65535):
        values = constant(value)
        values[at] = 9000
        assert decode_chip(encode_tif(values, nodata=value), TIF).shape == TIF.input_shape


@pytest.mark.parametrize(("value", "nodata"), [(65535, None), (65535, 0), (1, 65535)])
def test_a_tif_of_another_constant_is_a_picture(value, nodata) -> None:
    tif = encode_tif(constant(value), nodata=nodata)
    assert decode_chip(tif, TIF).min() == (255 if value > 12000 else 0)


@pytest.mark.parametrize("text", [b"none\0", b"\0", b"nan\0", b"1e999\0", b"\xff\xfe"])
def test_a_no_data_tag_that_is_no_number_of_the_samples_means_nothing(text) -> None:
    tif = encode_tif(constant(65535), nodata=65535).replace(b"65535\0", text.ljust(6, b"\0"))
    assert decode_chip(tif, TIF).min() == 255
    spaced = encode_tif(constant(7), nodata=65535).replace(b"65535\0", b" 7.0 \0")
    assert reason_for(spaced, TIF) is Reason.NO_DATA


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_values_decode_to_the_same_pixels_in_every_layout(layout: str) -> None:
    values = draw_bands()
    decoded = decode_chip(encode_tif(values, **LAYOUTS[layout]), TIF)
    average = area_average(np.moveaxis(values, 0, -1), 64)
    np.testing.assert_array_equal(decoded, scale_bands(average, TIF))


@pytest.mark.parametrize(("height", "width"), ODD_SIZES)
def test_a_tif_of_any_accepted_size_keeps_its_mean(height: int, width: int) -> None:
    values = draw_bands(height, width)
    tif = encode_tif(values)
    average = geotiff.read_bands(tif, read_layout(tif), TIF)
    assert average.shape == (64, 64, 4)
    np.testing.assert_allclose(average.mean((0, 1)), values.mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("bands", "dtype"),
    [(3, "uint16"), (5, "uint16"), (1, "uint16"), (4, "uint8"), (4, "float32"), (4, "int16")],
)
def test_a_tif_with_other_bands_or_samples_is_refused_and_described(bands: int, dtype: str) -> None:
    tif = encode_tif(draw_bands(bands=bands, dtype=dtype))
    with pytest.raises(ChipRejected, match=f"{bands} x .*, not 4 x uint16$") as caught:
        decode_chip(tif, TIF)
    assert caught.value.reason is Reason.WRONG_BANDS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tif_cut_in_half_is_truncated(layout: str) -> None:
    tif = encode_tif(draw_bands(), **LAYOUTS[layout])
    assert reason_for(tif[: len(tif) // 2], TIF) is Reason.TRUNCATED


# --- Sparse files ---------------------------------------------------------------------------------

COMPRESSED = ["none", "lzw", "deflate", "packbits", "lerc", "lzma", "zstd"]
BLOCKS: dict[str, dict[str, Any]] = {
    "strips": {"blockysize": 16},
    "tiles": {"tiled": True, "blockxsize": 32, "blockysize": 16},
}


def sparse_tif(left_out: Sequence[int], layout: str = "tiles", **profile: Any) -> bytes:
    """A tif of 64 x 64 px without some of its blocks."""
    made = {**BLOCKS[layout], "interleave": "pixel", **profile}
    tif = encode_tif(draw_bands(64, 64), **made)
    tags = (STRIP_OFFSETS, STRIP_COUNTS) if layout == "strips" else (TILE_OFFSETS, TILE_COUNTS)
    for tag in tags:
        tif = with_values(tif, tag, dict.fromkeys(left_out, 0))
    return tif


def read_by_rasterio(tif: bytes) -> npt.NDArray[np.uint16]:
    """All pixels `[height, width, bands]`."""
    with MemoryFile(tif) as file, file.open() as source:
        pixels: npt.NDArray[np.uint16] = np.moveaxis(source.read(), 0, -1)
    return pixels


def averages(tif: bytes) -> npt.NDArray[np.float32]:
    return geotiff.read_bands(tif, read_layout(tif), TIF)


@pytest.mark.parametrize("nodata", [None, 0, 77, 65_535, -9999, 70_000, float("nan"), 12.6])
@pytest.mark.parametrize("layout", BLOCKS)
def test_blocks_that_are_left_out_have_the_no_data_value_or_zero(
    layout: str, nodata: float | None
) -> None:
    tif = sparse_tif([0, 2], layout)
    if nodata is not None:
        tif = with_arrays(tif, {NODATA: (2, tuple(f"{nodata}    ".encode()))})
    expected = read_by_rasterio(tif)
    filled = {77: 77, 65_535: 65_535, 70_000: 65_535, 12.6: 13}.get(nodata or 0, 0)
    assert (expected[:16, :32] == filled).all()
    np.testing.assert_array_equal(averages(tif), expected)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("compress", COMPRESSED)
@pytest.mark.parametrize("layout", BLOCKS)
def test_a_sparse_tif_is_read_as_rasterio_reads_it_in_every_layout_and_compression(
    layout: str, compress: str, interleave: str
) -> None:
    values = draw_bands(64, 64)
    values[:, :16, :] = values[2:, 32:, :32] = 0
    size = {**BLOCKS[layout], "compress": compress, "interleave": interleave}
    sparse = encode_tif(values, SPARSE_OK="TRUE", **size)
    assert len(sparse) < len(encode_tif(values, **size)) or compress != "none"
    np.testing.assert_array_equal(read_by_rasterio(sparse), np.moveaxis(values, 0, -1))
    np.testing.assert_array_equal(averages(sparse), np.moveaxis(values, 0, -1))


@given(
    left_out=st.lists(st.integers(0, 7), max_size=7),
    layout=st.sampled_from(["strips", "tiles"]),
    compress=st.sampled_from(COMPRESSED),
    nodata=st.sampled_from([None, 500]),
)
def test_any_blocks_can_be_left_out(
    left_out: list[int], layout: str, compress: str, nodata: int | None
) -> None:
    if layout == "strips":
        left_out = [block for block in left_out if block < 3]
    tif = sparse_tif(left_out, layout, compress=compress, nodata=nodata)
    np.testing.assert_array_equal(averages(tif), read_by_rasterio(tif))


def test_a_block_without_bytes_is_left_out_wherever_it_would_be() -> None:
    tif = with_values(encode_tif(draw_bands(64, 64), blockysize=16), STRIP_COUNTS, {1: 0})
    np.testing.assert_array_equal(averages(tif), read_by_rasterio(tif))
    assert not averages(tif)[16:32].any()


def test_blocks_that_are_not_listed_or_have_no_place_are_not_read_as_black() -> None:
    tif = encode_tif(draw_bands(), blockysize=8)
    nowhere = with_values(tif, STRIP_OFFSETS, {3: 0})
    short = with_tag(with_tag(tif, STRIP_OFFSETS, count=4), STRIP_COUNTS, count=4)
    higher = with_tag(tif, HEIGHT, 88)
    for broken in (nowhere, short, higher):
        assert reason_for(broken, TIF) is Reason.TRUNCATED


@pytest.mark.parametrize("profile", [{}, {"interleave": "band"}, {"NBITS": 12}])
def test_uncompressed_strips_of_a_whole_band_are_read_without_a_list_of_their_sizes(
    profile: dict[str, Any],
) -> None:
    values = draw_bands(64, 64) % 4096
    tif = without_tag(encode_tif(values, blockysize=64, **profile), STRIP_COUNTS)
    np.testing.assert_array_equal(averages(tif), np.moveaxis(values, 0, -1))
    np.testing.assert_array_equal(read_by_rasterio(tif), np.moveaxis(values, 0, -1))
    assert reason_for(tif[:-1], TIF) is Reason.TRUNCATED
    for other in ({"blockysize": 3}, {"blockysize": 64, "compress": "deflate"}, BLOCKS["tiles"]):
        counts = TILE_COUNTS if other == BLOCKS["tiles"] else STRIP_COUNTS
        tif = without_tag(encode_tif(values, **other, **profile), counts)
        assert reason_for(tif, TIF) is Reason.DECODE_ERROR


# --- Samples and what they mean -------------------------------------------------------------------


@pytest.mark.parametrize("profile", [{}, {"compress": "deflate"}, {"interleave": "band"}])
@pytest.mark.parametrize("bits", [9, 10, 12, 15, 16])
def test_samples_of_9_to_16_bits_are_read(bits: int, profile: dict[str, Any]) -> None:
    values = draw_bands(64, 64) % 512
    tif = encode_tif(values, NBITS=bits, **profile)
    np.testing.assert_array_equal(averages(tif), np.moveaxis(values, 0, -1))


def test_samples_whose_type_is_not_known_are_unsigned_as_for_rasterio() -> None:
    tif = with_tag(encode_tif(draw_bands(64, 64)), SAMPLE_FORMAT, 4)
    np.testing.assert_array_equal(averages(tif), read_by_rasterio(tif))


@pytest.mark.parametrize("photometric", ["MINISBLACK", "RGB"])
def test_grey_and_rgb_with_further_samples_are_plain_bands(photometric: str) -> None:
    for alpha in ("YES", "NO"):
        tif = encode_tif(draw_bands(64, 64), photometric=photometric, ALPHA=alpha)
        np.testing.assert_array_equal(averages(tif), np.moveaxis(draw_bands(64, 64), 0, -1))


@pytest.mark.parametrize(
    ("photometric", "name"),
    [
        *((0, "inverted grey"), (3, "a palette"), (4, "a mask"), (5, "CMYK"), (6, "YCbCr")),
        *((8, "CIELAB"), (9, "ICCLAB"), (10, "ITULAB"), (32803, "a colour filter array")),
        *((32844, "LogL"), (32845, "LogLuv"), (99, "photometric 99")),
    ],
)
def test_samples_that_are_not_one_band_each_are_refused_by_their_tag(
    photometric: int, name: str
) -> None:
    tif = with_tag(encode_tif(draw_bands()), PHOTOMETRIC, photometric)
    with pytest.raises(ChipRejected, match=f"4 x uint16 of {name}, not of plain bands$") as caught:
        decode_chip(tif, TIF)
    assert caught.value.reason is Reason.WRONG_BANDS


def test_real_planet_tifs_are_rgb_with_alpha_and_are_read(shared_data: Path) -> None:
    paths = sorted(shared_data.glob("planet/tif/*.tif"))
    assert paths
    for path in paths:
        tif = path.read_bytes()
        assert read_layout(tif).photometric == 2
        expected = area_average(read_by_rasterio(tif), 64)
        np.testing.assert_array_equal(averages(tif), expected, err_msg=path.name)


def test_damaged_compressed_data_are_a_decode_error_with_the_same_message_each_time() -> None:
    tif = bytearray(encode_tif(draw_bands(), compress="deflate"))
    tif[-3000:] = b"\xff" * 3000
    messages = set()
    for _ in range(2):
        with pytest.raises(ChipRejected) as caught:
            decode_chip(bytes(tif), TIF)
        messages.add(caught.value.message)
        assert caught.value.reason is Reason.DECODE_ERROR
    assert len(messages) == 1
    assert "vsimem" not in messages.pop()
