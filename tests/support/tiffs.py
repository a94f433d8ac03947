"""TIFF files in every layout, written by rasterio, and functions that break one tag."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

GEO: dict[str, Any] = {"crs": "EPSG:32720", "transform": Affine(3, 0, 500_000, 0, -3, 9_000_000)}
"""A place on the ground: pixels of 3 m in UTM zone 20 south."""

LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {},
    "strips of four rows": {"blockysize": 4},
    "bands apart": {"interleave": "band"},
    "big-endian": {"ENDIANNESS": "BIG"},
    "BigTIFF": {"BIGTIFF": "YES"},
    "big-endian BigTIFF": {"BIGTIFF": "YES", "ENDIANNESS": "BIG"},
    "tiles, deflate": {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate"},
    "tiles over the edge": {"tiled": True, "blockxsize": 256, "blockysize": 256},
    "LZW with predictor": {"compress": "lzw", "predictor": 2},
    "with a place": GEO,
}
"""Ways to write one picture."""

WIDTH, HEIGHT, STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_COUNTS = 256, 257, 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
PHOTOMETRIC, SAMPLE_FORMAT, NODATA = 262, 339, 42113
PIXEL_SCALE, TIEPOINT, TRANSFORMATION = 33550, 33922, 34264
GEO_KEYS, GEO_DOUBLES, GEO_TEXT = 34735, 34736, 34737
SHORT, LONG, DOUBLE = 3, 4, 12
_LETTERS = {
    1: "B",
    2: "B",
    3: "H",
    4: "I",
    6: "b",
    8: "h",
    9: "i",
    11: "f",
    12: "d",
    16: "Q",
    17: "q",
}
"""TIFF's types, as letters of `struct`."""


def draw_bands(
    height: int = 80, width: int = 100, bands: int = 4, dtype: str = "uint16", seed: int = 0
) -> npt.NDArray[Any]:
    """`[bands, height, width]` of random values between 2,000 and 12,000 (as bytes: any)."""
    rng = np.random.default_rng(seed)
    low, high = (0, 256) if dtype == "uint8" else (2000, 12000)
    return rng.integers(low, high, (bands, height, width)).astype(dtype)


def encode_tif(values: npt.NDArray[Any], **profile: Any) -> bytes:
    """`[bands, height, width]` as TIFF."""
    bands, height, width = values.shape
    size = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name}
    with warnings.catch_warnings(), MemoryFile() as file:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with file.open(driver="GTiff", **size, **profile) as target:
            target.write(values)
        return bytes(file.read())


def with_tag(data: bytes, tag: int, value: int | None = None, count: int | None = None) -> bytes:
    """A little-endian classic TIFF with one tag's value (as LONG) or its count changed."""
    changed = bytearray(data)
    place = _entry(data, tag)
    if count is not None:
        struct.pack_into("<I", changed, place + 4, count)
    if value is not None:
        struct.pack_into("<HII", changed, place + 2, 4, 1, value)
    return bytes(changed)


def without_tag(data: bytes, tag: int) -> bytes:
    """A little-endian classic TIFF with a tag replaced by one that no decoder knows."""
    changed = bytearray(data)
    struct.pack_into("<H", changed, _entry(data, tag), 60_000)
    return bytes(changed)


def with_values(data: bytes, tag: int, values: dict[int, int]) -> bytes:
    """A little-endian classic TIFF with some values of a list, such as strip counts, changed."""
    changed = bytearray(data)
    place = _entry(data, tag)
    kind, count, start = struct.unpack_from("<HII", data, place + 2)
    letter, size = {3: ("H", 2), 4: ("I", 4)}[kind]
    at = start if count * size > 4 else place + 8
    for index, value in values.items():
        struct.pack_into("<" + letter, changed, at + index * size, value)
    return bytes(changed)


def with_list(data: bytes, tag: int, values: Sequence[int]) -> bytes:
    """A little-endian classic TIFF with another list of values (as LONG), appended to the file."""
    changed = bytearray(data + bytes(len(data) % 2))
    struct.pack_into("<HII", changed, _entry(data, tag) + 2, 4, len(values), len(changed))
    return bytes(changed) + struct.pack(f"<{len(values)}I", *values)


def with_more_tags(data: bytes, tags: Sequence[tuple[int, int, int, int]]) -> bytes:
    """A little-endian classic TIFF with further tags: (tag, type, count, value or offset) each."""
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    table = data[start + 2 : start + 2 + 12 * entries]
    more = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    body = data + bytes(len(data) % 2)
    moved = body[:4] + struct.pack("<I", len(body)) + body[8:]
    return moved + struct.pack("<H", entries + len(tags)) + table + more + bytes(4)


def with_arrays(data: bytes, arrays: dict[int, tuple[int, Sequence[float]]]) -> bytes:
    """A little-endian classic TIFF with further tags: the type and the values of each."""
    more = []
    for tag, (kind, values) in arrays.items():
        data += bytes(len(data) % 2)
        more.append((tag, kind, len(values), len(data)))
        data += struct.pack(f"<{len(values)}{_LETTERS[kind]}4x", *values)
    return with_more_tags(data, more)


def _entry(data: bytes, tag: int) -> int:
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    places = range(start + 2, start + 2 + 12 * entries, 12)
    return next(place for place in places if struct.unpack_from("<H", data, place) == (tag,))
