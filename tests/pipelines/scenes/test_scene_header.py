"""Headers of scenes: what they say, what is refused, and what it costs."""

import re
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipelines.errors import ChipRejected
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.header_bytes import HeaderBytes
from pipelines.scenes.lattice import Window
from pipelines.scenes.scene import choose_bands
from pipelines.scenes.scene_header import parse_scene, read_scene
from schemas.tables import QuarantineReason as Reason
from tests.support import tiffs
from tests.support.scenes import (
    JPG_MODEL,
    LAYOUTS,
    TIF_MODEL,
    draw_scene,
    parse_bytes,
    scene_bytes,
)

TILES = {"tiled": True, "blockxsize": 32, "blockysize": 48}


def refusal(data: bytes) -> ChipRejected:
    with pytest.raises(ChipRejected) as caught:
        parse_bytes(data)
    return caught.value


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_header_says_what_rasterio_says(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(scene_bytes(draw_scene(), nodata=7, compress="deflate", **LAYOUTS[layout]))
    scene = read_scene(str(path), path.stat().st_size)
    with rasterio.open(path) as source:
        assert (scene.pixels.width_px, scene.pixels.height_px) == (source.width, source.height)
        assert scene.mode == f"{source.count} x {source.dtypes[0]}"
        assert scene.no_data == source.nodata
        assert scene.place
        assert scene.place.transform == tuple(source.transform)[:6]
        assert scene.place.crs == source.crs
        shape = (scene.pixels.block_height_px, scene.pixels.block_width_px)
        assert shape == source.block_shapes[0]


def test_overviews_are_ignored_and_the_mask_in_full_size_is_found(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path.write_bytes(scene_bytes(draw_scene(512, 640), **{**TILES, "blockysize": 32}))
        with rasterio.open(path, "r+") as target:
            target.write_mask(np.arange(512)[:, None].repeat(640, 1) > 100)
            target.build_overviews([2, 4])
    scene = read_scene(str(path), path.stat().st_size)
    assert scene.pixels.width_px == 640
    assert scene.mask
    assert (scene.mask.width_px, scene.mask.height_px, scene.mask.bits) == (640, 512, 1)


def test_a_header_of_a_large_scene_is_read_in_one_short_range(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=10_980,
        height=10_980,
        count=4,
        dtype="uint16",
        tiled=True,
        blockxsize=512,
        blockysize=512,
        SPARSE_OK=True,
        **tiffs.GEO,
    ):
        pass
    data = HeaderBytes(str(path), path.stat().st_size, None)
    scene = parse_scene(data)
    assert len(scene.pixels.counts) == 484 * scene.pixels.planes
    assert not scene.pixels.counts.any()
    assert data.read_bytes <= 33_000
    again = HeaderBytes.unpack(str(path), None, data.pack())
    assert parse_scene(again).pixels.offsets.tolist() == scene.pixels.offsets.tolist()
    assert again.read_bytes == 0


@pytest.mark.parametrize(
    "transform",
    [
        rasterio.Affine(3, 0, 500_000, 0, 3, 9_000_000),
        rasterio.Affine.rotation(30) @ rasterio.Affine.scale(3, -3),
        rasterio.Affine(0.1, 0.2, 7, 0.3, -0.2, 9),
    ],
)
def test_windows_of_turned_scenes_are_where_rasterio_says(transform: rasterio.Affine) -> None:
    scene = parse_bytes(scene_bytes(draw_scene(), transform=transform))
    place = scene.place_of(Window(40, -8, 32, 16))
    assert place
    corner = transform @ (40, -8)
    assert place.transform == pytest.approx(
        (*tuple(transform)[:2], corner[0], *tuple(transform)[3:5], corner[1])
    )
    assert (place.width_px, place.height_px) == (32, 16)


def test_grids_are_named_by_their_coordinate_system_and_else_by_their_scene() -> None:
    assert parse_bytes(scene_bytes(draw_scene())).grid("a").name == "EPSG32720"
    custom = "+proj=laea +lat_0=5 +lon_0=10 +datum=WGS84 +units=m"
    first, second = (
        parse_bytes(scene_bytes(draw_scene(width=width), crs=custom)).grid("a").name
        for width in (100, 200)
    )
    assert first == second
    assert first.startswith("CRS")
    unplaced = parse_bytes(tiffs.encode_tif(draw_scene())).grid("a")
    assert (unplaced.name, unplaced.transform) == ("a", (1, 0, 0, 0, 1, 0))
    lost = rasterio.Affine(1e-300, 0, 1e300, 0, -1, 0)
    assert parse_bytes(scene_bytes(draw_scene(), transform=lost)).grid("a").name == "a"


PLAIN = scene_bytes(draw_scene(), compress="deflate")
STRIPS = scene_bytes(draw_scene(), compress="deflate", blockysize=1)
PACKED = scene_bytes(draw_scene(), compress="deflate", blockysize=8)
REFUSED = {
    "lossy wavelets": (tiffs.with_tag(PLAIN, 259, 34712), Reason.DECODE_ERROR, "JPEG 2000 is not"),
    "LERC": (tiffs.with_tag(PLAIN, 259, 34887), Reason.DECODE_ERROR, "LERC is not read"),
    "unknown": (tiffs.with_tag(PLAIN, 259, 9999), Reason.DECODE_ERROR, "TIFF compression 9999"),
    "predictor": (
        scene_bytes(draw_scene(), compress="deflate", predictor=2).replace(
            struct.pack("<HHIHH", 317, 3, 1, 2, 0), struct.pack("<HHIHH", 317, 3, 1, 3, 0)
        ),
        Reason.DECODE_ERROR,
        "TIFF predictor 3 of uint16",
    ),
    "doubles": (
        scene_bytes(draw_scene().astype("float64")),
        Reason.WRONG_BANDS,
        "64 bit floating point",
    ),
    "32 bits": (scene_bytes(draw_scene().astype("uint32")), Reason.WRONG_BANDS, "32 bit unsigned"),
    "palette": (
        scene_bytes(draw_scene(bands=1, dtype="uint8"), photometric="palette"),
        Reason.WRONG_BANDS,
        "a palette",
    ),
    "no TIFF": (b"\x89PNG" + bytes(100), Reason.NOT_AN_IMAGE, "not a TIFF"),
    "empty": (b"", Reason.EMPTY, "no bytes"),
    "cut off": (PLAIN[:-9], Reason.TRUNCATED, "ends before|bytes of pixel data are missing"),
    "huge": (tiffs.with_tag(PLAIN, 256, 1 << 24), Reason.TOO_LARGE, "strips of more than|a side"),
    "no width": (tiffs.without_tag(PLAIN, 256), Reason.DECODE_ERROR, "names no picture"),
    "a tile of nothing": (
        tiffs.with_tag(scene_bytes(draw_scene(), **TILES), 322, 0),
        Reason.DECODE_ERROR,
        "no size",
    ),
    "tiny tiles": (
        tiffs.with_tag(scene_bytes(draw_scene(), **TILES), 322, 1),
        Reason.DECODE_ERROR,
        "1x48 px",
    ),
    "tiles of 100 gigabytes": (
        tiffs.with_tag(scene_bytes(draw_scene(), **TILES), 322, 1 << 30),
        Reason.TOO_LARGE,
        "tiles of more than 256 MB",
    ),
    "one megabyte for all strips": (
        tiffs.with_list(tiffs.with_list(PACKED, 273, [400] * 13), 279, [len(PACKED) - 400] * 13),
        Reason.DECODE_ERROR,
        "share their bytes",
    ),
    "a million tags": (
        PLAIN[:4] + struct.pack("<I", len(PLAIN)) + PLAIN[8:] + b"\xff\xff",
        Reason.DECODE_ERROR,
        "claims 65535 tags",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_reason(name: str) -> None:
    data, reason, text = REFUSED[name]
    began = time.process_time()
    refused = refusal(data)
    assert time.process_time() - began < 1
    assert refused.reason == reason
    assert re.search(text, refused.message)


def test_a_chain_of_directories_that_never_ends_is_left() -> None:
    data = bytearray(PLAIN)
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    assert parse_bytes(bytes(data)).mask is None


def test_a_header_that_is_all_over_a_huge_object_is_not_read_to_its_end(monkeypatch) -> None:
    """Millions of offsets are claimed, far from the directory."""
    (start,) = struct.unpack_from("<I", PLAIN, 4)
    at = next(at for at in range(start + 2, len(PLAIN), 12) if PLAIN[at : at + 2] == b"\x11\x01")
    fetched = []

    def read_range(uri: str, start: int, length: int, etag: str | None) -> bytes:
        fetched.append(length)
        return data[start : start + length].ljust(length, b"\1")

    monkeypatch.setattr("pipelines.storage.store.read_range", read_range)
    for count, message in ((1 << 31, "claims 2147483648 values"), (1 << 20, "have no data")):
        data = PLAIN[: at + 4] + struct.pack("<II", count, 1 << 22) + PLAIN[at + 12 :]
        with pytest.raises(ChipRejected, match=message):
            read_scene("gs://b/huge.tif", 1 << 40)
    assert sum(fetched) < 6 << 20


def test_a_model_takes_only_scenes_of_its_bands() -> None:
    for dtype in ("uint8", "uint16", "int16", "float32"):
        four = scene_bytes(draw_scene(dtype=dtype), photometric="minisblack", alpha="no")
        choose_bands(parse_bytes(four), TIF_MODEL, None)
    colours = parse_bytes(scene_bytes(draw_scene(bands=3, dtype="uint8"), photometric="RGB"))
    with_alpha = parse_bytes(scene_bytes(draw_scene(dtype="uint8"), photometric="RGB", ALPHA="YES"))
    assert with_alpha.has_alpha
    for scene in (colours, with_alpha):
        choose_bands(scene, JPG_MODEL, None)
        with pytest.raises(ChipRejected, match=r"wrong_bands: . x uint8.*, not 4 bands"):
            choose_bands(scene, TIF_MODEL, None)
    many = parse_bytes(scene_bytes(draw_scene(bands=8)))
    choose_bands(many, TIF_MODEL, SceneBands((1, 2, 3, 7)))
    with pytest.raises(ChipRejected, match="8 x uint16, but band 9 is named"):
        choose_bands(many, TIF_MODEL, SceneBands((1, 2, 3, 8)))
    with pytest.raises(ChipRejected, match="8 x uint16, not 3 x uint8"):
        choose_bands(many, JPG_MODEL, None)
