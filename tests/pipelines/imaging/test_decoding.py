"""Any bytes decode to the right pixels or are rejected with a reason."""

from __future__ import annotations

import contextlib
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import (
    decode_chip,
    media_type_of,
    read_header,
)
from schemas.artifact import MEDIA_TYPES, Preprocessing
from schemas.tables import QuarantineReason as Reason
from tests.support.mutations import mutate
from tests.support.pictures import draw_picture, jpg_of_kind, reason_for, save_as
from tests.support.samples import JPG, TIF, jpg_bytes
from tests.support.tiffs import (
    GEO,
    HEIGHT,
    LAYOUTS,
    TILE_HEIGHT,
    TILE_WIDTH,
    WIDTH,
    draw_bands,
    encode_tif,
    with_tag,
)
from train.sample.encoding import encode_jpg, encode_markerless_jpg

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

VRT = b'<VRTDataset rasterXSize="256" rasterYSize="256"><VRTRasterBand/></VRTDataset>'


def claiming(jpg: bytes, width: int, height: int) -> bytes:
    """A baseline JPEG whose header claims another size."""
    frame = jpg.index(b"\xff\xc0")
    return jpg[: frame + 5] + struct.pack(">HH", height, width) + jpg[frame + 9 :]


@contextlib.contextmanager
def memory_limit(more_bytes: int = 512 << 20) -> Iterator[None]:
    """Limit how much more memory this process can get."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (jpg_of_kind("markerless", draw_picture()), "4-component JPEG (CMYK)"),
        (jpg_of_kind("ordinary", draw_picture()), "3-component JPEG (YCbCr)"),
        (save_as("JPEG", "L"), "1-component JPEG (Gray)"),
        (encode_tif(draw_bands()), "4 x uint16"),
        (encode_tif(draw_bands(bands=3, dtype="uint8")), "3 x uint8"),
        (encode_tif(draw_bands(bands=1).astype("float32")), "1 x float32"),
    ],
)
def test_the_mode_describes_how_pixels_are_stored_by_the_header(data: bytes, mode: str) -> None:
    assert read_header(data).mode == mode


@pytest.mark.parametrize("data", [b"", b"II*\0", b"\xff\xd8\xff", b"words"])
def test_files_without_a_header_have_no_mode(data: bytes) -> None:
    with pytest.raises(ChipRejected):
        read_header(data)


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
        (save_as("PNG"), Reason.MEDIA_TYPE),
        (save_as("GIF"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("BMP"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("WEBP"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("JPEG2000"), Reason.UNSUPPORTED_MEDIA_TYPE),
        (save_as("AVIF"), Reason.UNSUPPORTED_MEDIA_TYPE),
    ],
)
@pytest.mark.parametrize("preprocessing", [JPG, TIF], ids=["jpg model", "tif model"])
def test_other_kinds_of_bytes_are_rejected_with_their_reason(
    data: bytes, reason: Reason, preprocessing: Preprocessing
) -> None:
    assert reason_for(data, preprocessing) is reason


def test_no_message_has_bytes_of_a_file_that_is_no_picture() -> None:
    """A manifest may name any file of the machine, and its messages are read by others."""
    with pytest.raises(ChipRejected) as caught:
        decode_chip(b"root:x:0:0", JPG)
    assert caught.value.message == "10 bytes that are no picture"


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
def test_a_broken_or_unsuitable_chip_has_its_reason(
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


def sides_of(data: bytes) -> tuple[int, int]:
    header = read_header(data)
    return header.width_px, header.height_px


@pytest.mark.parametrize(("height", "width"), [(80, 300), (64, 64)])
def test_the_sides_come_from_the_header(height: int, width: int) -> None:
    assert sides_of(encode_jpg(draw_picture(height, width))) == (width, height)
    assert sides_of(encode_markerless_jpg(draw_picture(height, width))) == (width, height)
    assert sides_of(encode_tif(draw_bands(height, width))) == (width, height)
    assert sides_of(claiming(jpg_bytes(), 65_000, 64_000)) == (65_000, 64_000)


@pytest.mark.parametrize("data", [b"", b"text", b"II*\0", b"\xff\xd8\xff", save_as("GIF")])
def test_the_sides_of_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ChipRejected):
        read_header(data)


@given(st.binary(max_size=40))
def test_any_bytes_have_a_media_type_or_a_reason(data: bytes) -> None:
    try:
        assert media_type_of(data) in MEDIA_TYPES
    except ChipRejected as rejected:
        assert (rejected.reason is Reason.EMPTY) == (not data)  # noqa: PT017


MUTABLE = {
    "jpg": (encode_jpg(draw_picture(80, 100)), JPG),
    "markerless jpg": (encode_markerless_jpg(draw_picture(80, 100)), JPG),
    "tif": (encode_tif(draw_bands(), **GEO), TIF),
    "compressed tif": (encode_tif(draw_bands(), **LAYOUTS["tiles, deflate"], **GEO), TIF),
}


@pytest.mark.parametrize("kind", MUTABLE)
def test_damaged_bytes_always_have_the_same_picture_or_reason(kind: str) -> None:
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
