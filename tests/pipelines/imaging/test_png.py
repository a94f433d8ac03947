"""PNGs become pixels as Pillow decodes them; what is no whole 8 bit colour picture is rejected."""

import io
import resource
import struct
import time
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.errors import ChipRejected
from pipelines.imaging import png
from pipelines.imaging.decoding import decode_chip, media_type_of, read_header
from schemas.artifact import Preprocessing
from schemas.tables import QuarantineReason as Reason

MODEL = Preprocessing("png", 16, ("red", "green", "blue"), None, (4, 512))


def model(side: int) -> Preprocessing:
    return Preprocessing("png", side, ("red", "green", "blue"), None, (1, 512))


def draw(side: int = 16, bands: int = 3, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 256, (side, side, bands)).astype(np.uint8)


def encode(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def make(
    rows: bytes,
    side: int = 16,
    bits: int = 8,
    colour_type: int = 2,
    tables: bytes = b"",
    interlaced: int = 0,
) -> bytes:
    """A PNG of packed rows, written chunk by chunk."""
    header = struct.pack(">IIBBBBB", side, side, bits, colour_type, 0, 0, interlaced)
    chunks = chunk(b"IHDR", header) + tables + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return png.MAGIC + chunks


def rows_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def interlaced(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG in the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in [*passes, (0, 1, 1, 2)]]
    rows = b"".join(rows_of(part) for part in parts if part.size)
    return make(zlib.compress(rows), len(pixels), interlaced=1)


def reason_of(data: bytes, preprocessing: Preprocessing = MODEL) -> Reason:
    with pytest.raises(ChipRejected) as caught:
        decode_chip(data, preprocessing)
    return caught.value.reason


@pytest.mark.parametrize("mode", ["RGB", "P"])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"compress_level": 0}])
def test_colours_are_those_of_pillow(mode: str, options: dict[str, Any]) -> None:
    image = Image.fromarray(draw()).convert(mode)
    found = decode_chip(encode(image, **options), MODEL)
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


@given(
    side=st.integers(1, 40),
    seed=st.integers(0, 99),
    mode=st.sampled_from(["RGB", "RGBA", "P"]),
    bits=st.sampled_from([1, 2, 4, 8]),
    level=st.integers(0, 9),
)
def test_any_picture_keeps_its_colours_where_it_is_not_transparent(
    side: int, seed: int, mode: str, bits: int, level: int
) -> None:
    if mode == "P":
        image = Image.fromarray(draw(side, 1, seed)[..., 0] & ((1 << bits) - 1))
        image.putpalette(draw(16, 3, seed).tobytes()[: 3 << bits])
        data = encode(image, bits=bits, compress_level=level)
    else:
        pixels = draw(side, len(mode), seed)
        if mode == "RGBA":
            pixels[..., 3] = np.random.default_rng(seed).integers(0, 3, (side, side))
            pixels[0, 0, 3] = 7
        image = Image.fromarray(pixels)
        data = encode(image, compress_level=level)
    rgba = np.asarray(image.convert("RGBA"))
    expected = rgba[..., :3] * (rgba[..., 3:] > 0)
    np.testing.assert_array_equal(decode_chip(data, model(side)), expected)


@pytest.mark.parametrize("side", [1, 3, 8, 21])
def test_interlaced_pictures_are_read(side: int) -> None:
    pixels = draw(side)
    np.testing.assert_array_equal(decode_chip(interlaced(pixels), model(side)), pixels)


def test_a_transparent_colour_is_black() -> None:
    pixels = draw()
    pixels[3:6] = (9, 8, 7)
    transparent = chunk(b"tRNS", struct.pack(">3H", 9, 8, 7))
    found = decode_chip(make(zlib.compress(rows_of(pixels)), tables=transparent), MODEL)
    assert not found[3:6].any()
    np.testing.assert_array_equal(found[6:], pixels[6:])


def test_a_larger_picture_is_averaged() -> None:
    pixels = draw(64)
    expected = pixels.reshape(16, 4, 16, 4, 3).mean((1, 3))
    found = decode_chip(encode(Image.fromarray(pixels)), MODEL)
    assert np.abs(found - expected).max() <= 0.5


def test_bands_are_taken_in_the_order_of_the_model() -> None:
    pixels = draw()
    blue_red = Preprocessing("png", 16, ("blue", "red"), None, (4, 512))
    np.testing.assert_array_equal(
        decode_chip(encode(Image.fromarray(pixels)), blue_red), pixels[..., [2, 0]]
    )


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("L", "8 bit grey PNG, not 8 bit colour"),
        ("LA", "8 bit grey and alpha PNG"),
        ("1", "1 bit grey PNG"),
        ("I;16", "16 bit grey PNG"),
    ],
)
def test_pictures_without_8_bit_colour_are_refused_with_what_they_are(mode: str, said: str) -> None:
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    image = Image.fromarray(grey) if mode == "I;16" else Image.fromarray(draw()).convert(mode)
    with pytest.raises(ChipRejected, match=f"wrong_bands: {said}"):
        decode_chip(encode(image), MODEL)


def test_16_bit_colour_is_refused() -> None:
    rows = zlib.compress(b"".join(b"\0" + bytes(96) for _ in range(16)))
    with pytest.raises(ChipRejected, match="wrong_bands: 16 bit RGB PNG, not 8 bit colour"):
        decode_chip(make(rows, bits=16), MODEL)


@pytest.mark.parametrize("pixels", [np.zeros((16, 16, 3)), np.full((16, 16, 4), (9, 9, 9, 0))])
def test_a_picture_that_is_black_or_transparent_everywhere_has_no_data(
    pixels: npt.NDArray[Any],
) -> None:
    data = encode(Image.fromarray(pixels.astype(np.uint8)))
    assert reason_of(data) is Reason.NO_DATA


WHOLE = make(zlib.compress(rows_of(draw())))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (WHOLE[:20], Reason.TRUNCATED),
        (WHOLE[:100], Reason.TRUNCATED),
        (WHOLE[:-12], Reason.TRUNCATED),
        (make(zlib.compress(rows_of(draw())[:300])), Reason.TRUNCATED),
        (make(zlib.compress(rows_of(draw()))[:300]), Reason.TRUNCATED),
        (make(b""), Reason.TRUNCATED),
        (make(b"no deflate stream"), Reason.DECODE_ERROR),
        (make(zlib.compress(b"\x09" + rows_of(draw())[1:])), Reason.DECODE_ERROR),
        (WHOLE[:50] + b"\x55" + WHOLE[51:], Reason.DECODE_ERROR),
        (WHOLE.replace(b"IHDR", b"XHDR"), Reason.DECODE_ERROR),
        (make(zlib.compress(bytes(17 * 16)), colour_type=3), Reason.DECODE_ERROR),
        (make(b"", tables=chunk(b"tRNS", b"a")), Reason.DECODE_ERROR),
        (make(b"", tables=chunk(b"PLTE", bytes(3)) * 2), Reason.DECODE_ERROR),
        (make(b"", side=0), Reason.DECODE_ERROR),
        (make(b"", side=2), Reason.WRONG_SIZE),
        (make(b"", side=513), Reason.TOO_LARGE),
        (make(b"", side=1 << 31), Reason.TOO_LARGE),
    ],
)
def test_broken_pictures_are_rejected_with_their_reason(data: bytes, reason: Reason) -> None:
    assert reason_of(data) is reason


@pytest.mark.parametrize("rows", [1, 8, 15])
@pytest.mark.parametrize("bands", [3, 4])
def test_a_stream_that_ends_between_two_rows_is_truncated(rows: int, bands: int) -> None:
    packed = zlib.compress(rows_of(draw(bands=bands)[:rows]))
    assert reason_of(make(packed, colour_type={3: 2, 4: 6}[bands])) is Reason.TRUNCATED
    packed = zlib.compress(rows_of(draw(bands=1)[:rows] // 16))
    table = chunk(b"PLTE", bytes(range(1, 49)))
    assert reason_of(make(packed, colour_type=3, tables=table)) is Reason.TRUNCATED


@pytest.mark.parametrize("side", [*range(1, 10), 16, 33])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_picture_whose_last_row_is_black_is_whole(side: int, bits: int) -> None:
    picture = Image.fromarray(np.tri(side, dtype=np.uint8)[::-1] ^ 1, "P")
    picture.putpalette([0, 0, 0, 9, 8, 7])
    picture.putpixel((0, 0), 1)
    found = decode_chip(encode(picture, bits=bits), model(side))
    np.testing.assert_array_equal(found, np.asarray(picture.convert("RGB")))


@given(row=st.integers(0, 18), side=st.sampled_from([5, 16]))
def test_an_interlaced_stream_that_ends_early_is_truncated(row: int, side: int) -> None:
    whole = interlaced(draw(side))
    rows = zlib.decompress(whole[41:-16])
    packed = zlib.compress(rows[: len(rows) - 1 - row * side])
    assert reason_of(make(packed, side, interlaced=1)) is Reason.TRUNCATED


def test_damage_in_metadata_does_not_matter_and_none_of_it_is_unpacked() -> None:
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 24)))
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 24))) * 20
    exif = chunk(b"eXIf", b"no exif")
    data = make(zlib.compress(rows_of(draw())), tables=profile + text + exif)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    np.testing.assert_array_equal(decode_chip(data, MODEL), draw())
    assert time.process_time() - began < 0.2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_a_stream_of_a_gigabyte_costs_no_more_than_its_picture() -> None:
    pixels = np.full((512, 512, 3), 7, np.uint8)
    packer = zlib.compressobj(9)
    rows = packer.compress(rows_of(pixels))
    rows += b"".join(packer.compress(bytes(1 << 24)) for _ in range(64)) + packer.flush()
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    np.testing.assert_array_equal(decode_chip(make(rows, 512), model(512)), pixels)
    assert time.process_time() - began < 0.3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_a_stream_of_blocks_without_data_is_refused() -> None:
    whole = zlib.compress(rows_of(draw()))
    idle = whole[:2] + b"\0\0\0\xff\xff" * 2000 + whole[2:]
    with pytest.raises(ChipRejected, match="takes more bytes than its pixels do"):
        decode_chip(make(idle), MODEL)
    np.testing.assert_array_equal(
        decode_chip(make(zlib.compress(rows_of(draw()), 0)), MODEL), draw()
    )


def test_a_million_empty_chunks_are_refused() -> None:
    data = make(b"", tables=chunk(b"IDAT", b"") * 100_000)
    began = time.process_time()
    with pytest.raises(ChipRejected, match="more than 65,536 PNG chunks"):
        decode_chip(data, MODEL)
    assert time.process_time() - began < 0.5


def test_the_header_says_what_a_picture_is() -> None:
    header = read_header(encode(Image.fromarray(draw(24, 4))))
    assert (header.width_px, header.height_px, header.mode) == (24, 24, "8 bit RGBA PNG")
    assert media_type_of(WHOLE) == "png"


@given(st.binary(max_size=200))
def test_any_bytes_after_the_signature_are_a_picture_or_have_a_reason(data: bytes) -> None:
    try:
        decode_chip(png.MAGIC + data, MODEL)
    except ChipRejected:
        return
    raise AssertionError("no picture is so short")
