"""Drawn scenes: large GeoTIFFs with a position, and chips that rasterio cuts from them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

COG: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
"""Stored as Cloud Optimized GeoTIFFs are, with small blocks."""

NORTH = Affine(10, 0, 499_980, 0, -10, 9_000_020)
"""Sentinel-2's grid: pixels of 10 m, off the lattice of most chips."""


def draw_values(
    height: int, width: int, bands: int = 4, dtype: str = "uint16", seed: int = 0
) -> npt.NDArray[Any]:
    """`[bands, height, width]`: smooth ground with noise, 2,000 to 12,000 (as bytes: 1 to 255)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x / rng.uniform(20, 90) + b) * np.cos(y / rng.uniform(20, 90)) for b in range(bands)
    ]
    unit = (np.stack(waves) + 1) / 2.2 + rng.uniform(0, 0.09, (bands, height, width))
    low, high = (1, 255) if dtype == "uint8" else (2000, 12000)
    return np.asarray(low + unit * (high - low)).astype(dtype)


def write_scene(
    path: Path,
    values: npt.NDArray[Any],
    crs: str = "EPSG:32720",
    transform: Affine = NORTH,
    tags: dict[str, str] | None = None,
    **profile: Any,
) -> Path:
    """Write `[bands, height, width]` as a scene."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    size = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name}
    place = {"crs": crs, "transform": transform}
    with rasterio.open(path, "w", driver="GTiff", **size, **place, **(COG | profile)) as target:
        target.write(values)
        target.update_tags(**(tags or {}))
    return path


def parts_of(uri: str) -> tuple[str, tuple[int, int, int, int]]:
    """The scene of a window's address, and x, y, width, height."""
    scene, _, window = uri.rpartition("#")
    x, y, width, height = map(int, window.split(","))
    return scene, (x, y, width, height)


def read_window(uri: str) -> npt.NDArray[Any]:
    """`[bands, height, width]` of a window of a local scene, by rasterio; 0 outside of it."""
    scene, (x, y, width, height) = parts_of(uri)
    with rasterio.open(scene) as source:
        window = Window(x, y, width, height)
        values: npt.NDArray[Any] = source.read(window=window, boundless=True, fill_value=0)
    return values


def cut_chips(uris: Iterable[str], folder: Path) -> dict[str, str]:
    """Write the windows of local scenes as chips, as gdal_translate does; returns the window's
    address of each chip's address."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for number, uri in enumerate(uris):
            values = read_window(uri)
            path = folder / f"{number:05}.tif"
            bands, height, width = values.shape
            size = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name}
            with rasterio.open(path, "w", driver="GTiff", **size) as target:
                target.write(values)
            found[str(path)] = uri
    return found
