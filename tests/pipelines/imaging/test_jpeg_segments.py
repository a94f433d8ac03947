"""Codings that no chip has never reach a decoder; a bare copy has the picture alone."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip
from pipelines.imaging.jpeg_segments import bare_copy, find_fault
from schemas.tables import QuarantineReason as Reason
from tests.support.odd_jpegs import ARITHMETIC, ODD, after_start, segment, with_transform
from tests.support.pictures import draw_picture, jpg_of_kind
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


def test_a_jpg_of_a_thousand_scans_is_refused_before_it_is_decoded() -> None:
    jpg = jpg_of_kind("progressive", draw_picture())
    scan = jpg[jpg.rindex(b"\xff\xda") : -2]
    bomb = jpg[:-2] + scan * 1000 + jpg[-2:]
    with pytest.raises(ChipRejected, match="more than 100 scans"):
        decode_chip(bomb, JPG)


def test_scans_in_metadata_and_after_the_end_do_not_count() -> None:
    jpg = jpg_of_kind("progressive", draw_picture())
    many = segment(0xE1, b"\xff\xda" * 101)
    assert find_fault(after_start(jpg, many)) == ""
    assert find_fault(jpg + many) == ""
    scan = jpg[jpg.rindex(b"\xff\xda") : -2]
    assert "100 scans" in find_fault(jpg[:-2] + (segment(0xFE, b"") * 90 + scan) * 100 + jpg[-2:])


def test_arithmetic_coding_may_have_only_ten_scans() -> None:
    """It may have one scan of all components, or ten; more take as long as nothing else does."""
    scan = ARITHMETIC[ARITHMETIC.index(b"\xff\xda") : -2]
    progressive = ARITHMETIC.replace(b"\xff\xc9", b"\xff\xca")
    assert find_fault(ARITHMETIC) == find_fault(progressive) == ""
    for scans, fault in ((9, ""), (10, "a JPEG of more than 10 scans")):
        assert find_fault(progressive[:-2] + scan * scans) == fault


@pytest.mark.parametrize("length", range(20))
def test_segments_that_are_too_short_are_refused_or_skipped(length: int) -> None:
    for marker in (b"\xff\xc0", b"\xff\xda", b"\xff\xee", b"\xff\xe0", b"\xff\xdb"):
        for jpg in (CHIP, with_transform(CHIP, 2)):
            at = jpg.index(marker) if marker in jpg else 2
            short = jpg[: at + 2] + length.to_bytes(2) + jpg[at + 4 : at + 2 + length]
            for data in (short, short + jpg[at + 20 :], short + jpg[jpg.index(b"\xff\xda") :]):
                with contextlib.suppress(ChipRejected):
                    assert decode_chip(data + b"\xff", JPG).shape == JPG.input_shape


def test_a_bare_copy_has_the_picture_alone_and_its_head_has_no_subsampling() -> None:
    for kind in ("markerless", "ordinary", "progressive"):
        jpg = jpg_of_kind(kind, draw_picture())
        bare = bare_copy(after_start(jpg, segment(0xE1, bytes(9999)) + b"stray") + bytes(9999))
        assert (len(bare.data), bare.ended) == (len(jpg), True)
        np.testing.assert_array_equal(*map(simplejpeg.decode_jpeg, (bare.data, jpg)))
        assert simplejpeg.decode_jpeg_header(bare.head)[:2] == (256, 256)


@given(st.binary(max_size=200), st.sampled_from(sorted(ODD)))
def test_a_copy_is_made_of_any_bytes(rest: bytes, oddity: str) -> None:
    for data in (b"\xff\xd8\xff" + rest, ODD[oddity](CHIP)[: len(rest) * 5] + rest):
        bare = bare_copy(data)
        assert len(bare.data) <= len(data) + 60
