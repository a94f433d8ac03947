"""What a JPEG's coding is known by before a decoder sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip, mode_of
from pipelines.imaging.jpeg import find_fault
from schemas.tables import QuarantineReason
from tests.support.samples import JPG, jpg_bytes

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
def test_codings_that_no_chip_has_never_reach_the_decoder(markers, coding):
    for marker in markers:
        with pytest.raises(ChipRejected, match=f"a JPEG of {coding} coding") as caught:
            decode_chip(coded_as(marker), JPG)
        assert caught.value.reason is QuarantineReason.DECODE_ERROR


def test_what_stands_before_the_frame_hides_no_coding():
    """Fill bytes, markers without a length, and a segment that holds another frame's marker."""
    lossless = coded_as(0xC3)
    thumbnail = b"\xff\xe1\0\x06\xff\xc0\0\x0b"
    for between in (b"\xff\xff\xff", b"\xff\x01", b"\xff\xd0", thumbnail, b"\0\0"):
        hidden = lossless[:FRAME] + between + lossless[FRAME:]
        assert find_fault(hidden) == "a JPEG of lossless coding", between
        assert find_fault(CHIP[:FRAME] + between + CHIP[FRAME:]) == ""


def test_millions_of_segments_before_the_picture_are_not_walked_through():
    comments = b"\xff\xfe\0\x02" * 2_000_000
    with pytest.raises(ChipRejected, match="more than 4,096 segments"):
        decode_chip(CHIP[:2] + comments + CHIP[2:], JPG)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_fault_or_none(rest):
    assert find_fault(b"\xff\xd8\xff" + rest) is not None


def test_a_subsampling_that_the_decoder_has_no_name_for_is_a_decode_error():
    one, two = FRAME + 11, FRAME + 14
    vertical = CHIP[:one] + b"\x14" + CHIP[one + 1 : two] + b"\x11" + CHIP[two + 1 :]
    for use in (lambda data: decode_chip(data, JPG), mode_of):
        with pytest.raises(ChipRejected) as caught:
            use(vertical)
        assert caught.value.reason is QuarantineReason.DECODE_ERROR
