"""Small chips and labels csvs for the trainer's tests: each label has a colour of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg

COLOURS = {"primary": (30, 70, 30), "water": (20, 30, 120), "bare_ground": (190, 150, 110)}
"""Colour, red, green, blue, of a chip with the label."""


def draw_jpg(
    colour: tuple[int, int, int], height: int = 64, width: int = 64, seed: int = 0
) -> bytes:
    """A JPEG of one colour with some noise."""
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    return simplejpeg.encode_jpeg(pixels, colorspace="RGB")


def write_tif(path: Path, values: npt.NDArray[np.uint16]) -> None:
    """Write `uint16 [4, H, W]`, blue, green, red, near infrared, as a GeoTIFF without CRS."""
    import rasterio

    bands, height, width = values.shape
    size = {"height": height, "width": width, "count": bands, "dtype": "uint16"}
    placed = rasterio.Affine(3, 0, 500_000, 0, -3, 9_000_000)
    with rasterio.open(path, "w", driver="GTiff", transform=placed, **size) as target:
        target.write(values)


def write_labels(path: Path, tags: Mapping[str, str]) -> None:
    """Write a labels csv in Kaggle's form."""
    lines = ["image_name,tags", *(f"{name},{held}" for name, held in tags.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_labelled_jpgs(folder: Path, count: int) -> dict[str, str]:
    """Draw chips `c0`, `c1`, ... into a folder; returns the tags of each."""
    folder.mkdir(parents=True, exist_ok=True)
    tags = {}
    for i in range(count):
        label, colour = list(COLOURS.items())[i % len(COLOURS)]
        (folder / f"c{i}.jpg").write_bytes(draw_jpg(colour, seed=i))
        tags[f"c{i}"] = f"clear {label}"
    return tags


def draw_labelled_tifs(folder: Path, count: int) -> dict[str, str]:
    """Draw radiometric tifs, `uint16 [4, 64, 64]`; returns the tags of each."""
    folder.mkdir(parents=True, exist_ok=True)
    tags = {}
    for i in range(count):
        label, (red, green, blue) = list(COLOURS.items())[i % len(COLOURS)]
        levels = np.array([blue, green, red, 90 + i])[:, None, None] * 30 + 2000
        noise = np.random.default_rng(i).integers(0, 200, (4, 64, 64))
        write_tif(folder / f"c{i}.tif", (levels + noise).astype(np.uint16))
        tags[f"c{i}"] = f"clear {label}"
    return tags
