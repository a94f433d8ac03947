"""What decoding a tif chip costs, against the fastest way known.

That way trusts the file: it takes the strips as one array, without a decoder and without asking
whether the header tells the truth. It works on plain uncompressed strips only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines import imaging, tiff
from schemas.artifact import BANDS, Preprocessing

Decode = Callable[[bytes, Preprocessing], npt.NDArray[np.uint8]]


def compare(data: Sequence[bytes], preprocessing: Preprocessing, seconds: float) -> dict[str, Any]:
    """Milliseconds a chip on one thread: `ours_ms`, and `raw_ms` where the raw way gives the
    same pixels (within a level of rounding), else None.

    Both in turns, and the best turn of each: what else the machine does only adds.
    """
    ways: dict[str, Decode] = {"ours_ms": imaging.decode_chip}
    if _raw_fits(data[0], preprocessing):
        ways["raw_ms"] = decode_raw
    best = dict.fromkeys(("ours_ms", "raw_ms"))
    found: dict[str, Any] = best
    ends_at = time.perf_counter() + seconds
    while time.perf_counter() < ends_at:
        for name, decode in ways.items():
            start = time.perf_counter()
            for chip in data:
                decode(chip, preprocessing)
            ms = 1000 * (time.perf_counter() - start) / len(data)
            found[name] = ms if found[name] is None else min(found[name], ms)
    return found


def decode_raw(data: bytes, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """`uint8 [S, S, bands]` from the strips as they lie in the file."""
    layout = tiff.read_layout(data)
    height, width, size = layout.height_px, layout.width_px, preprocessing.image_size
    first = layout.end - height * width * layout.bands * 2
    stored = np.frombuffer(data, "<u2", height * width * layout.bands, first)
    return scale(average(stored.reshape(height, width, layout.bands), size), preprocessing)


def average(stored: npt.NDArray[np.uint16], size: int) -> npt.NDArray[np.float32]:
    """Area average by whole factors: rows first, which lie side by side in memory."""
    height, width, bands = stored.shape
    down, across = height // size, width // size
    rows = stored.reshape(size, down, width * bands)
    summed = rows[:, 0].astype(np.uint32)
    for row in range(1, down):
        summed += rows[:, row]
    columns = summed.reshape(size, size, across, bands)
    total = columns[:, :, 0].astype(np.float32)
    for column in range(1, across):
        total += columns[:, :, column]
    total *= np.float32(1 / (down * across))
    return total


def scale(values: npt.NDArray[np.float32], preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """The model's bands, scaled as the artifact says."""
    wanted = [BANDS["tif"].index(band) for band in preprocessing.bands]
    if wanted != list(range(values.shape[-1])):
        values = values[..., wanted]
    low, high = np.array(preprocessing.scaling, np.float32).T
    scaled = (values - low) * (255 / (high - low))
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0, 255, out=scaled)
    pixels: npt.NDArray[np.uint8] = scaled.astype(np.uint8)
    return pixels


def _raw_fits(data: bytes, preprocessing: Preprocessing) -> bool:
    layout = tiff.read_layout(data)
    size = preprocessing.image_size
    if not data.startswith(b"II*\0") or layout.height_px % size or layout.width_px % size:
        return False
    try:
        raw = decode_raw(data, preprocessing).astype(int)
    except ValueError:
        return False
    return bool((np.abs(raw - imaging.decode_chip(data, preprocessing)) <= 1).all())
