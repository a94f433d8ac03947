"""GeoTIFF chips decode to the right values or are rejected with a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.errors import ChipRejected
from pipelines.imaging import geotiff
from pipelines.imaging.decoding import decode_chip
from pipelines.imaging.resize import area_average, scale_bands
from pipelines.imaging.tiff_layout import read_layout
from schemas.tables import QuarantineReason as Reason
from tests.support.pictures import ODD_SIZES, reason_for
from tests.support.samples import TIF
from tests.support.tiffs import (
    LAYOUTS,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    draw_bands,
    encode_tif,
    with_tag,
    with_values,
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


def test_a_black_tif_is_a_black_picture() -> None:
    assert not decode_chip(encode_tif(np.full((4, 256, 256), 2000, np.uint16)), TIF).any()


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


def test_missing_strips_are_not_read_as_black() -> None:
    tif = encode_tif(draw_bands(), blockysize=8)
    hollow = with_values(tif, STRIP_COUNTS, {3: 0})
    short = with_tag(with_tag(tif, STRIP_OFFSETS, count=4), STRIP_COUNTS, count=4)
    sparse = encode_tif(draw_bands() * 0, SPARSE_OK="TRUE")
    for broken in (hollow, short, sparse):
        assert reason_for(broken, TIF) is Reason.TRUNCATED


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
