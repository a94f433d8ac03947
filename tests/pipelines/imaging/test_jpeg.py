"""JPEG chips decode to the right colours; codings that no chip has are rejected."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip, read_header
from pipelines.imaging.resize import area_average
from schemas.tables import QuarantineReason as Reason
from tests.support.odd_jpegs import ARITHMETIC, ODD, segment, with_transform
from tests.support.pictures import ODD_SIZES, draw_picture, jpg_of_kind, reason_for
from tests.support.samples import JPG, jpg_bytes
from train.sample.encoding import encode_jpg, encode_markerless_jpg


@pytest.mark.parametrize("kind", ["markerless", "ordinary", "progressive"])
def test_a_jpg_of_any_kind_decodes_to_its_original_colours(kind: str) -> None:
    picture = draw_picture()
    decoded = decode_chip(jpg_of_kind(kind, picture), JPG)
    assert decoded.dtype == np.uint8
    np.testing.assert_allclose(decoded, area_average(picture, 64), atol=4)


def test_a_markerless_jpg_has_four_components_and_no_marker_and_is_not_black() -> None:
    jpg = encode_markerless_jpg(np.full((256, 256, 3), (40, 80, 20), np.uint8))
    frame = jpg.index(b"\xff\xc0")
    assert jpg[frame + 9] == 4
    assert b"JFIF" not in jpg
    assert b"Adobe" not in jpg
    np.testing.assert_allclose(decode_chip(jpg, JPG).mean((0, 1)), (40, 80, 20), atol=3)


def test_real_jpgs_decode_as_pillow_decodes_them_and_none_to_black(shared_data: Path) -> None:
    paths = sorted(shared_data.glob("planet/jpg/*.jpg"))
    assert paths
    for path in paths:
        decoded = decode_chip(path.read_bytes(), JPG).astype(float)
        with Image.open(path) as image:
            expected = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BOX))
        assert np.abs(decoded - expected).mean() < 2, path.name
        assert np.abs(decoded.mean((0, 1)) - expected.mean((0, 1))).max() < 2, path.name
        assert decoded.max() > 20, path.name


FULL = replace(JPG, image_size=256)
BROKEN = {Reason.TRUNCATED, Reason.DECODE_ERROR}
BLACK = np.zeros((256, 256, 3), np.uint8)


@pytest.mark.parametrize("quality", [30, 70, 75, 95, 100])
@pytest.mark.parametrize("encode", [encode_jpg, encode_markerless_jpg])
def test_a_jpg_of_zeros_has_no_data_and_one_bright_spot_makes_it_a_picture(encode, quality) -> None:
    for size in (64, 100, 256):  # scaled while decoding, averaged, as it is
        assert reason_for(encode(BLACK, quality), replace(JPG, image_size=size)) is Reason.NO_DATA
    spot = BLACK.copy()
    spot[200:216, 8:24] = (0, 60, 0)
    assert decode_chip(encode(spot, quality), JPG).max() > 20


@pytest.mark.parametrize("colour", [(5, 5, 5), (0, 0, 8), (255, 255, 255)])
@pytest.mark.parametrize("encode", [encode_jpg, encode_markerless_jpg])
def test_a_dark_jpg_and_a_white_one_are_pictures(encode, colour) -> None:
    jpg = encode(np.full((256, 256, 3), colour, np.uint8), 95)
    np.testing.assert_allclose(decode_chip(jpg, JPG).mean((0, 1)), colour, atol=3)


def test_bands_come_in_the_order_that_the_model_asks_for() -> None:
    jpg = jpg_bytes((200, 100, 30))
    backwards = decode_chip(jpg, replace(JPG, bands=("blue", "red")))
    np.testing.assert_allclose(backwards.mean((0, 1)), (30, 200), atol=2)


@pytest.mark.parametrize(("height", "width"), ODD_SIZES)
def test_a_jpg_of_any_accepted_size_keeps_its_mean_and_its_corners(height: int, width: int) -> None:
    picture = draw_picture(height, width)
    decoded = decode_chip(jpg_of_kind("ordinary", picture), JPG).astype(float)
    assert decoded.shape == (64, 64, 3)
    np.testing.assert_allclose(decoded.mean((0, 1)), picture.mean((0, 1)), atol=1.5)
    for corner in (np.s_[0, 0], np.s_[0, -1], np.s_[-1, 0], np.s_[-1, -1]):
        np.testing.assert_allclose(decoded[corner], picture[corner], atol=8)


def test_a_model_larger_than_the_chip_gets_the_chip_enlarged() -> None:
    decoded = decode_chip(jpg_bytes((90, 60, 30), side=64), replace(JPG, image_size=100))
    assert decoded.shape == (100, 100, 3)
    np.testing.assert_allclose(decoded.mean((0, 1)), (90, 60, 30), atol=2)


def test_bytes_after_the_end_of_a_jpg_do_not_matter() -> None:
    jpg = jpg_bytes()
    np.testing.assert_array_equal(decode_chip(jpg + b"\0" * 500, JPG), decode_chip(jpg, JPG))


@pytest.mark.parametrize("kind", ["markerless", "ordinary", "progressive"])
def test_a_jpg_cut_in_half_is_truncated(kind: str) -> None:
    jpg = jpg_of_kind(kind, draw_picture())
    assert reason_for(jpg[: len(jpg) // 2], JPG) is Reason.TRUNCATED


def save_picture(mode: str, **options: Any) -> bytes:
    """A drawn picture as JPEG by Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(draw_picture()).convert(mode).save(buffer, "JPEG", quality=88, **options)
    return buffer.getvalue()


CUT = {kind: jpg_of_kind(kind, draw_picture()) for kind in ("markerless", "ordinary")}
WHOLE = {kind: decode_chip(jpg, JPG) for kind, jpg in CUT.items()}


@given(kind=st.sampled_from(sorted(CUT)), data=st.data())
def test_a_jpg_cut_anywhere_is_truncated_or_has_lost_no_pixel(
    kind: str, data: st.DataObject
) -> None:
    jpg = CUT[kind]
    cut = data.draw(st.integers(3, len(jpg) - 1))
    try:
        decoded = decode_chip(jpg[:cut], JPG)
    except ChipRejected as rejected:
        assert rejected.reason is Reason.TRUNCATED, rejected.message  # noqa: PT017
    else:
        assert cut > len(jpg) - 8
        np.testing.assert_array_equal(decoded, WHOLE[kind])


# --- Oddities of whole pictures, and broken ones --------------------------------------------------

KINDS = {
    **{
        kind: jpg_of_kind(kind, draw_picture())
        for kind in ("markerless", "ordinary", "progressive")
    },
    "CMYK": save_picture("CMYK"),
    "CMYK, 4:2:0": save_picture("CMYK", subsampling=2),
}


def by_pillow(jpg: bytes) -> npt.NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(jpg)).convert("RGB")).astype(int)


def check_against_pillow(jpg: bytes) -> None:
    """Within a level in full size; scaled, close to the area average."""
    expected = by_pillow(jpg)
    assert np.abs(decode_chip(jpg, FULL) - expected).max() <= 1
    small = decode_chip(jpg, JPG) - area_average(expected.astype(np.uint8), 64)
    assert np.abs(small).mean() < 1.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("oddity", ODD)
def test_a_whole_picture_has_its_pixels_whatever_libjpeg_warns_of_outside_it(kind, oddity) -> None:
    odd = ODD[oddity](KINDS[kind])
    assert odd != KINDS[kind]
    np.testing.assert_array_equal(decode_chip(odd, JPG), decode_chip(KINDS[kind], JPG))
    np.testing.assert_array_equal(decode_chip(odd, FULL), decode_chip(KINDS[kind], FULL))
    assert read_header(odd) == read_header(KINDS[kind])
    check_against_pillow(KINDS[kind])


def breaks(jpg: bytes) -> dict[str, bytes]:
    """Broken inside the picture's data."""
    scan = jpg.rindex(b"\xff\xda") + 14
    middle = (scan + len(jpg)) // 2
    return {
        "cut": jpg[:middle],
        "cut, then zeros": jpg[:middle] + bytes(len(jpg)),
        "a part is missing": jpg[:middle] + jpg[middle + 40 :],
        "a part is zeros": jpg[:middle] + bytes(400) + jpg[middle + 400 :],
        "the last part is zeros": jpg[:middle] + bytes(len(jpg) - middle - 2) + jpg[-2:],
        "an end in the middle": jpg[:middle] + b"\xff\xd9" + jpg[middle:],
        "metadata in the middle": jpg[:middle] + segment(0xE1, b"Exif") + jpg[middle:],
        "the scan's marker is gone": jpg[: scan - 14] + b"\xff\xe5" + jpg[scan - 12 :],
        "text before the end": jpg[:-2] + b"made with love" + jpg[-2:],
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("oddity", [None, *ODD])
def test_a_broken_picture_is_refused_however_odd_the_rest_is(kind, oddity) -> None:
    change = ODD[oddity] if oddity else bytes
    for name, broken in breaks(KINDS[kind]).items():
        cut = name.startswith("cut") and (oddity is None or "the end" not in oddity)
        reason = reason_for(change(broken), JPG)
        assert reason is Reason.TRUNCATED if cut else reason in BROKEN, name


def test_a_jpg_without_its_last_bytes_is_whole_if_it_is_one_scan_and_no_pixel_is_missing() -> None:
    for kind in ("markerless", "ordinary", "CMYK, 4:2:0"):
        whole = decode_chip(KINDS[kind], JPG)
        np.testing.assert_array_equal(decode_chip(KINDS[kind][:-2], JPG), whole)
        np.testing.assert_array_equal(decode_chip(KINDS[kind][:-2] + bytes(99), JPG), whole)
    assert reason_for(KINDS["progressive"][:-2], JPG) is Reason.TRUNCATED
    assert reason_for(ARITHMETIC[:-2], JPG) is Reason.TRUNCATED  # nothing tells what is missing


@pytest.mark.parametrize("transform", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_colours_are_transformed_as_adobes_marker_says_and_as_pillow_does(kind, transform) -> None:
    check_against_pillow(with_transform(KINDS[kind], transform))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["CMYK", "RGB"])
def test_a_jpg_of_any_subsampling_is_decoded_as_by_pillow(mode, progressive, subsampling) -> None:
    check_against_pillow(save_picture(mode, subsampling=subsampling, progressive=progressive))


def test_a_chip_that_gdal_checks_leaves_no_line_in_the_log(caplog) -> None:
    caplog.set_level("INFO")
    decode_chip(KINDS["CMYK, 4:2:0"], JPG)
    assert not caplog.records


def test_a_jpg_of_arithmetic_coding_is_decoded_as_by_pillow() -> None:
    size = replace(FULL, image_size=64)
    np.testing.assert_array_equal(decode_chip(ARITHMETIC, size), by_pillow(ARITHMETIC))
    odd = ODD["profile part 0"](ARITHMETIC)
    np.testing.assert_array_equal(decode_chip(odd, size), by_pillow(ARITHMETIC))
