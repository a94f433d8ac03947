"""JPEG chips decode to the right colours; codings that no chip has are rejected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip, read_header
from pipelines.imaging.jpeg import find_fault
from pipelines.imaging.resize import area_average
from schemas.tables import QuarantineReason as Reason
from tests.support.pictures import ODD_SIZES, draw_picture, jpg_of_kind, reason_for
from tests.support.samples import JPG, jpg_bytes
from train.sample.encoding import encode_jpg, encode_markerless_jpg

CHIP = jpg_bytes()
FRAME = CHIP.index(b"\xff\xc0")


def coded_as(marker: int) -> bytes:
    """A chip whose frame claims another coding."""
    return CHIP[: FRAME + 1] + bytes([marker]) + CHIP[FRAME + 2 :]


@pytest.mark.parametrize(
    ("markers", "coding"),
    [
        ((0xC3, 0xC7, 0xCB, 0xCF), "lossless"),  # of the first, simplejpeg dies with its process
        ((0xC9, 0xCA), "arithmetic"),
        ((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical"),
    ],
)
def test_codings_that_chips_do_not_have_never_reach_the_decoder(markers, coding):
    for marker in markers:
        with pytest.raises(ChipRejected, match=f"a JPEG of {coding} coding") as caught:
            decode_chip(coded_as(marker), JPG)
        assert caught.value.reason is Reason.DECODE_ERROR


def test_bytes_before_the_frame_do_not_hide_its_coding():
    """Fill bytes, markers without a length, and a segment that holds another frame's marker."""
    lossless = coded_as(0xC3)
    thumbnail = b"\xff\xe1\0\x06\xff\xc0\0\x0b"
    for between in (b"\xff\xff\xff", b"\xff\x01", b"\xff\xd0", thumbnail, b"\0\0"):
        hidden = lossless[:FRAME] + between + lossless[FRAME:]
        assert find_fault(hidden) == "a JPEG of lossless coding", between
        assert find_fault(CHIP[:FRAME] + between + CHIP[FRAME:]) == ""


def test_millions_of_segments_before_the_picture_are_not_all_read():
    comments = b"\xff\xfe\0\x02" * 2_000_000
    with pytest.raises(ChipRejected, match="more than 4,096 segments"):
        decode_chip(CHIP[:2] + comments + CHIP[2:], JPG)


@given(st.binary(max_size=200))
def test_looking_for_a_fault_never_fails(rest):
    assert find_fault(b"\xff\xd8\xff" + rest) is not None


def test_a_subsampling_that_the_decoder_has_no_name_for_is_a_decode_error():
    one, two = FRAME + 11, FRAME + 14
    vertical = CHIP[:one] + b"\x14" + CHIP[one + 1 : two] + b"\x11" + CHIP[two + 1 :]
    for use in (lambda data: decode_chip(data, JPG), read_header):
        with pytest.raises(ChipRejected) as caught:
            use(vertical)
        assert caught.value.reason is Reason.DECODE_ERROR


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


def test_a_jpg_of_a_thousand_scans_is_refused_before_it_is_decoded() -> None:
    jpg = jpg_of_kind("progressive", draw_picture())
    scan = jpg[jpg.rindex(b"\xff\xda") : -2]
    bomb = jpg[:-2] + scan * 1000 + jpg[-2:]
    with pytest.raises(ChipRejected, match="more than 100 scans"):
        decode_chip(bomb, JPG)
