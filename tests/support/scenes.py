"""Scenes in every layout, and their windows as a unit reads them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.scenes.header_bytes import HeaderBytes
from pipelines.scenes.header_cache import HeaderCache, open_scene
from pipelines.scenes.lattice import Cut
from pipelines.scenes.scene import Scene
from pipelines.scenes.scene_header import parse_scene
from pipelines.scenes.scene_windows import SceneWindows, list_windows
from pipelines.storage import store
from pipelines.tables.delta_tables import with_columns
from schemas.artifact import Preprocessing
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST
from tests.support.tiffs import GEO, encode_tif

TIF_MODEL = Preprocessing(
    "tif", 16, ("blue", "green", "red", "near_infrared"), ((1000.0, 13000.0),) * 4, (8, 512)
)
JPG_MODEL = Preprocessing("jpg", 16, ("red", "green", "blue"), None, (8, 512))

DTYPES = ("uint8", "uint16", "int16", "float32")
PACKINGS: dict[str, dict[str, Any]] = {
    "none": {},
    **{
        f"{name}, predictor {number}": {"compress": name, "predictor": number}
        for name in ("deflate", "lzw", "zstd")
        for number in (1, 2, 3)
    },
    "packbits": {"compress": "packbits"},
    "jpeg": {"compress": "jpeg"},
}
LAYOUTS: dict[str, dict[str, Any]] = {
    f"{name}, {interleave}, {endian}{big}": {
        **layout,
        "interleave": interleave,
        "ENDIANNESS": endian,
        "BIGTIFF": big or "NO",
    }
    for name, layout in {
        "tiles": {"tiled": True, "blockxsize": 32, "blockysize": 48},
        "strips": {"blockysize": 8},
    }.items()
    for interleave, endian, big in (
        *(("pixel", "LITTLE", ""), ("band", "LITTLE", ""), ("pixel", "BIG", "")),
        *(("band", "BIG", "YES"), ("pixel", "LITTLE", "YES")),
    )
}


def varieties() -> list[tuple[str, str, str]]:
    """Names of a sample type, a packing and a layout that fit together."""
    return [
        (dtype, packing, layout)
        for dtype, packing, layout in itertools.product(DTYPES, PACKINGS, LAYOUTS)
        if ("predictor 3" not in packing or dtype == "float32")
        and (packing != "jpeg" or dtype == "uint8")
    ]


def draw_scene(
    height: int = 100, width: int = 130, bands: int = 4, dtype: str = "uint16", seed: int = 0
) -> npt.NDArray[Any]:
    """`[bands, height, width]` of smooth areas with some noise, never 0."""
    rng = np.random.default_rng(seed)
    high = 200 if dtype == "uint8" else 12_000
    coarse = rng.integers(high // 8, high, (bands, -(-height // 16), -(-width // 16)))
    smooth = coarse.repeat(16, 1).repeat(16, 2)[:, :height, :width]
    values = smooth + rng.integers(0, 9, smooth.shape)
    if dtype == "int16":
        values = values - 3000
    return (values * 1.37).astype(dtype) if dtype == "float32" else values.astype(dtype)


def scene_bytes(values: npt.NDArray[Any], **profile: Any) -> bytes:
    """A scene with a place on the ground."""
    return encode_tif(values, **{**GEO, **profile})


def parse_bytes(data: bytes, uri: str = "scene.tif") -> Scene:
    """A scene by its bytes; nothing is fetched."""
    return parse_scene(HeaderBytes(uri, len(data), None, {0: data}))


def list_scene(
    uri: str | Path, cut: Cut, model: Preprocessing | None = TIF_MODEL, output: str = ""
) -> SceneWindows:
    """The windows of one scene."""
    open_scene.cache_clear()
    listing = pa.concat_tables(store.list_objects(str(uri))).rename_columns({"uri": "chip_uri"})
    cache = HeaderCache(output, store_new=bool(output))
    (found,) = list_windows(listing, cut, cache, model)
    return found


def as_unit(rows: pa.Table) -> pa.Table:
    """Rows of windows as those of a manifest."""
    return with_columns(rows, file_schema(CHIP_MANIFEST))
