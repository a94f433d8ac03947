"""From bytes to pixels: the right values, or a reason; nothing else, whatever the bytes."""

from __future__ import annotations

import contextlib
import io
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
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
from pipelines.imaging import decoding
from pipelines.imaging.decoding import (
    area_average,
    decode_chip,
    media_type_of,
    mode_of,
    sides_px,
)
from schemas.artifact import Preprocessing
from schemas.tables import QuarantineReason as Reason
from tests.support.mutations import mutate
from tests.support.samples import JPG, TIF, jpg_bytes
from tests.support.tiffs import (
    GEO,
    HEIGHT,
    LAYOUTS,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    TILE_HEIGHT,
    TILE_WIDTH,
    WIDTH,
    draw_bands,
    encode_tif,
    with_tag,
    with_values,
)
from train.sample.encoding import encode_jpg, encode_markerless_jpg

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

Picture = npt.NDArray[np.uint8]
ODD_SIZES = [(253, 256), (256, 253), (300, 300), (80, 100), (64, 1024), (64, 64), (65, 127)]
VRT = b'<VRTDataset rasterXSize="256" rasterYSize="256"><VRTRasterBand/></VRTDataset>'


def draw_picture(height: int = 256, width: int = 256) -> Picture:
    """`uint8 [height, width, 3]`: smooth, and different in every colour and corner."""
    y, x = np.mgrid[0 : 1 : 1j * height, 0 : 1 : 1j * width]
    return np.stack([40 + 180 * y, 200 - 150 * x, 60 + 120 * x * y], -1).astype(np.uint8)


def jpg_of_kind(kind: str, picture: Picture) -> bytes:
    if kind == "markerless":
        return encode_markerless_jpg(picture, quality=95)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95, progressive=kind == "progressive")
    return buffer.getvalue()


def save_as(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (256, 256)).save(buffer, kind, **options)
    return buffer.getvalue()


def claiming(jpg: bytes, width: int, height: int) -> bytes:
    """A baseline JPEG whose header claims another size."""
    frame = jpg.index(b"\xff\xc0")
    return jpg[: frame + 5] + struct.pack(">HH", height, width) + jpg[frame + 9 :]


def reason_for(data: bytes, preprocessing: Preprocessing) -> Reason:
    with pytest.raises(ChipRejected) as caught:
        decode_chip(data, preprocessing)
    assert "\n" not in caught.value.message
    return caught.value.reason


@contextlib.contextmanager
def memory_limit(more_bytes: int = 512 << 20) -> Iterator[None]:
    """Let this process have so much more memory than it has now, and no more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# --- JPEG ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["markerless", "ordinary", "progressive"])
def test_a_jpg_of_any_kind_decodes_to_the_colours_it_was_made_of(kind: str) -> None:
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


@pytest.mark.parametrize("jpg", [jpg_bytes((0, 0, 0)), encode_markerless_jpg(draw_picture() * 0)])
def test_a_truly_black_jpg_is_a_black_picture(jpg: bytes) -> None:
    assert decode_chip(jpg, JPG).max() <= 1  # four components are converted to within a level


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


def test_what_follows_the_end_of_a_jpg_does_not_matter() -> None:
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


# --- TIFF ---------------------------------------------------------------------------------------


def test_bands_are_read_in_the_stored_order_blue_green_red_near_infrared() -> None:
    values = np.stack([np.full((256, 256), v, np.uint16) for v in (2000, 4000, 7000, 12000)])
    tif = encode_tif(values)
    assert decode_chip(tif, TIF)[0, 0].tolist() == [0, 51, 128, 255]
    visible = replace(TIF, bands=("red", "green", "blue"), scaling=((2000.0, 12000.0),) * 3)
    assert decode_chip(tif, visible)[0, 0].tolist() == [128, 51, 0]
    infrared = replace(TIF, bands=("near_infrared",), scaling=((0.0, 24000.0),))
    assert decode_chip(tif, infrared)[0, 0].tolist() == [128]


def test_values_are_scaled_linearly_between_low_and_high_and_clipped_outside() -> None:
    scaling = ((1000.0, 2000.0), (0.0, 65535.0), (500.5, 501.5), (3.0, 258.0))
    values = np.array([0, 3, 4, 258, 500, 501, 502, 1000, 1500, 2000, 2001, 65535], np.float32)
    scaled = decoding.scale_bands(np.repeat(values[:, None], 4, 1), replace(TIF, scaling=scaling))
    assert scaled[:, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 128, 255, 255, 255]
    assert scaled[:, 1].tolist() == [0, 0, 0, 1, 2, 2, 2, 4, 6, 8, 8, 255]
    assert scaled[:, 2].tolist() == [0, 0, 0, 0, 0, 128, 255, 255, 255, 255, 255, 255]
    assert scaled[:, 3].tolist() == [0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255]


def test_a_scaling_of_large_and_close_values_still_scales() -> None:
    close = replace(TIF, bands=("red",), scaling=((1e9, 1e9 + 1),))
    assert decoding.scale_bands(np.array([[0.0], [2e9]], np.float32), close).tolist() == [
        [0],
        [255],
    ]


def test_a_black_tif_is_a_black_picture() -> None:
    assert not decode_chip(encode_tif(np.full((4, 256, 256), 2000, np.uint16)), TIF).any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_values_give_the_same_pixels_in_whatever_form_they_are_stored(layout: str) -> None:
    values = draw_bands()
    decoded = decode_chip(encode_tif(values, **LAYOUTS[layout]), TIF)
    average = area_average(np.moveaxis(values, 0, -1), 64)
    np.testing.assert_array_equal(decoded, decoding.scale_bands(average, TIF))


@pytest.mark.parametrize(("height", "width"), ODD_SIZES)
def test_a_tif_of_any_accepted_size_keeps_its_mean(height: int, width: int) -> None:
    values = draw_bands(height, width)
    average = decoding.read_tif(encode_tif(values), TIF)
    assert average.shape == (64, 64, 4)
    np.testing.assert_allclose(average.mean((0, 1)), values.mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("bands", "dtype"),
    [(3, "uint16"), (5, "uint16"), (1, "uint16"), (4, "uint8"), (4, "float32"), (4, "int16")],
)
def test_a_tif_of_other_bands_or_samples_is_refused_with_what_it_has(
    bands: int, dtype: str
) -> None:
    tif = encode_tif(draw_bands(bands=bands, dtype=dtype))
    with pytest.raises(ChipRejected, match=f"{bands} x .*, not 4 x uint16$") as caught:
        decode_chip(tif, TIF)
    assert caught.value.reason is Reason.WRONG_BANDS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tif_cut_in_half_is_truncated(layout: str) -> None:
    tif = encode_tif(draw_bands(), **LAYOUTS[layout])
    assert reason_for(tif[: len(tif) // 2], TIF) is Reason.TRUNCATED


def test_missing_strips_are_not_taken_for_black_ones() -> None:
    tif = encode_tif(draw_bands(), blockysize=8)
    hollow = with_values(tif, STRIP_COUNTS, {3: 0})
    short = with_tag(with_tag(tif, STRIP_OFFSETS, count=4), STRIP_COUNTS, count=4)
    sparse = encode_tif(draw_bands() * 0, SPARSE_OK="TRUE")
    for broken in (hollow, short, sparse):
        assert reason_for(broken, TIF) is Reason.TRUNCATED


def test_damaged_compressed_data_are_a_decode_error_told_in_the_same_words_each_time() -> None:
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


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (jpg_of_kind("markerless", draw_picture()), "4-component JPEG (CMYK)"),
        (jpg_of_kind("ordinary", draw_picture()), "3-component JPEG (YCbCr)"),
        (save_as("JPEG", "L"), "1-component JPEG (Gray)"),
        (encode_tif(draw_bands()), "4 x uint16"),
        (encode_tif(draw_bands(bands=3, dtype="uint8")), "3 x uint8"),
        (encode_tif(draw_bands(bands=1).astype("float32")), "1 x not unsigned 32 bit"),
    ],
)
def test_the_mode_is_how_the_header_says_that_pixels_are_stored(data: bytes, mode: str) -> None:
    assert mode_of(data) == mode


@pytest.mark.parametrize("data", [b"", b"II*\0", b"\xff\xd8\xff", b"words"])
def test_what_has_no_header_has_no_mode(data: bytes) -> None:
    with pytest.raises(ChipRejected):
        mode_of(data)


# --- What is no chip of the model ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"these are words\n", Reason.NOT_AN_IMAGE),
        (b"BMX bicycles for sale", Reason.NOT_AN_IMAGE),
        (b"RIFF\x24\0\0\0WAVEfmt ", Reason.NOT_AN_IMAGE),
        (b"\xff\xd8", Reason.NOT_AN_IMAGE),
        (b"\0" * 1000, Reason.NOT_AN_IMAGE),
        (VRT, Reason.NOT_AN_IMAGE),
        (save_as("PNG"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("GIF"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("BMP"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("WEBP"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("JPEG2000"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("AVIF"), Reason.UNSUPPORTED_MEDIA_TYPE),
    ],
)
@pytest.mark.parametrize("preprocessing", [JPG, TIF], ids=["jpg model", "tif model"])
def test_other_bytes_are_told_apart(
    data: bytes, reason: Reason, preprocessing: Preprocessing
) -> None:
    assert reason_for(data, preprocessing) is reason


def test_the_other_media_type_is_refused_with_both_named() -> None:
    tif = encode_tif(draw_bands())
    with pytest.raises(ChipRejected, match="bytes are tif, the model takes jpg") as caught:
        decode_chip(tif, JPG)
    assert caught.value.reason is Reason.MEDIA_TYPE
    with pytest.raises(ChipRejected, match="bytes are jpg, the model takes tif") as caught:
        decode_chip(jpg_bytes(), TIF)
    assert caught.value.reason is Reason.MEDIA_TYPE


@pytest.mark.parametrize(
    ("data", "preprocessing", "reason"),
    [
        (save_as("JPEG", "L"), JPG, Reason.WRONG_BANDS),
        (b"\xff\xd8\xff", JPG, Reason.TRUNCATED),
        (b"\xff\xd8\xff" + b"\0" * 100 + b"\xff\xd9", JPG, Reason.DECODE_ERROR),
        (b"II*\0", TIF, Reason.TRUNCATED),
        (b"MM\0+" + b"\xff" * 60, TIF, Reason.TRUNCATED),
        (with_tag(encode_tif(draw_bands()), WIDTH, 0), TIF, Reason.DECODE_ERROR),
        (jpg_bytes(side=63), JPG, Reason.WRONG_SIZE),
        (encode_tif(draw_bands(63, 64)), TIF, Reason.WRONG_SIZE),
        (jpg_bytes(side=1025), JPG, Reason.TOO_LARGE),
        (encode_tif(draw_bands(64, 1025)), TIF, Reason.TOO_LARGE),
    ],
)
def test_a_broken_or_unfit_chip_has_its_reason(
    data: bytes, preprocessing: Preprocessing, reason: Reason
) -> None:
    assert reason_for(data, preprocessing) is reason


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_sizes_that_a_header_only_claims_are_refused_without_memory_for_them() -> None:
    tif = encode_tif(draw_bands())
    tiled = encode_tif(draw_bands(256, 256), tiled=True, blockxsize=256, blockysize=256)
    claims = [
        (claiming(jpg_bytes(), 65_000, 65_000), JPG),
        (with_tag(with_tag(tif, WIDTH, 65_000), HEIGHT, 65_000), TIF),
        (with_tag(with_tag(tif, WIDTH, 2**32 - 1), HEIGHT, 2**32 - 1), TIF),
        (with_tag(with_tag(tiled, TILE_WIDTH, 65_520), TILE_HEIGHT, 65_520), TIF),
    ]
    for data, preprocessing in claims:
        with memory_limit():
            assert reason_for(data, preprocessing) is Reason.TOO_LARGE


@pytest.mark.parametrize(("height", "width"), [(80, 300), (64, 64)])
def test_the_sides_are_told_from_the_header(height: int, width: int) -> None:
    assert sides_px(encode_jpg(draw_picture(height, width))) == (width, height)
    assert sides_px(encode_markerless_jpg(draw_picture(height, width))) == (width, height)
    assert sides_px(encode_tif(draw_bands(height, width))) == (width, height)
    assert sides_px(claiming(jpg_bytes(), 65_000, 64_000)) == (65_000, 64_000)


@pytest.mark.parametrize("data", [b"", b"text", b"II*\0", b"\xff\xd8\xff", save_as("PNG")])
def test_the_sides_of_no_chip_are_refused(data: bytes) -> None:
    with pytest.raises(ChipRejected):
        sides_px(data)


@given(st.binary(max_size=40))
def test_any_bytes_have_a_media_type_or_a_reason(data: bytes) -> None:
    try:
        assert media_type_of(data) in ("jpg", "tif")
    except ChipRejected as rejected:
        assert (rejected.reason is Reason.EMPTY) == (not data)  # noqa: PT017


MUTABLE = {
    "jpg": (encode_jpg(draw_picture(80, 100)), JPG),
    "markerless jpg": (encode_markerless_jpg(draw_picture(80, 100)), JPG),
    "tif": (encode_tif(draw_bands(), **GEO), TIF),
    "compressed tif": (encode_tif(draw_bands(), **LAYOUTS["tiles, deflate"], **GEO), TIF),
}


@pytest.mark.parametrize("kind", MUTABLE)
def test_damaged_bytes_give_a_picture_or_a_reason_and_the_same_each_time(kind: str) -> None:
    data, preprocessing = MUTABLE[kind]
    rng = np.random.default_rng(11)
    reasons = set()
    for _ in range(300):
        mutant = mutate(data, rng)
        outcomes = []
        for _ in range(2):
            try:
                pixels = decode_chip(mutant, preprocessing)
                assert pixels.shape == preprocessing.input_shape
                outcomes.append(pixels.tobytes())
            except ChipRejected as rejected:
                outcomes.append(rejected.message.encode())
                reasons.add(rejected.reason)
        assert outcomes[0] == outcomes[1]
    assert Reason.DECODE_ERROR in reasons


def test_decoding_jpgs_loads_neither_tensorflow_nor_rasterio() -> None:
    code = (
        "import sys; from pipelines.imaging import decoding;"
        "model = decoding.Preprocessing('jpg', 64, ('red', 'green', 'blue'), None, (64, 64));"
        "decoding.decode_chip(sys.stdin.buffer.read(), model);"
        "print({'tensorflow', 'keras', 'rasterio'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=jpg_bytes(side=64), stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"set()\n"


# --- Averaging ----------------------------------------------------------------------------------


def shares_by_counting(length: int, size: int) -> npt.NDArray[np.float64]:
    """The shares by brute force: input pixels cut into `size` equal parts, dealt out in turn."""
    shares = np.zeros((size, length))
    for part in range(length * size):
        shares[part // length, part // size] += 1 / length
    return shares


@given(length=st.integers(1, 40), size=st.integers(1, 24))
def test_area_weights_are_the_shares_that_counting_gives(length: int, size: int) -> None:
    weights = decoding._area_weights(length, size)
    np.testing.assert_allclose(weights, shares_by_counting(length, size), atol=1e-6)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.integers(1, 24),
    seed=st.integers(0, 2**32 - 1),
)
def test_area_average_is_the_weighted_mean_and_keeps_mean_and_range(
    height: int, width: int, size: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 65536, (height, width, 2)).astype(np.uint16)
    average = area_average(pixels, size)
    rows, columns = shares_by_counting(height, size), shares_by_counting(width, size)
    expected = np.einsum("yh,xw,hwc->yxc", rows, columns, pixels.astype(float))
    np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(average.mean((0, 1)), pixels.mean((0, 1)), rtol=1e-4, atol=1e-2)
    assert int(pixels.min()) - 1 <= average.min()
    assert average.max() <= int(pixels.max()) + 1


def test_the_brightest_picture_averages_to_its_own_value_however_much_is_summed() -> None:
    for side, size in ((256, 1), (1024, 1), (1024, 64)):
        bright = np.full((side, side, 4), 65_535, np.uint16)
        np.testing.assert_allclose(area_average(bright, size), 65_535, rtol=1e-6)
