"""How the tags of a TIFF place its pixels in a coordinate system, read as GDAL reads them.

(GeoTIFF 1.1, OGC 19-008.) GDAL itself is not asked: to open a chip takes longer than to decode it.
"""

import struct
from dataclasses import dataclass

from pipelines.imaging import tiff_header as tiff

Transform = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f. The first pixel has its
corner at column 0, row 0, and its centre at 0.5, 0.5."""

CrsTags = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
"""The values of the tags that name a coordinate system: keys, doubles, text."""

_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2  # GTRasterTypeGeoKey
_NOWHERE = (1, 0, 0, 0, 1, 0)  # rasterio's transform of a file without one
_ONE_PIXEL = {
    **dict.fromkeys((tiff.WIDTH, tiff.HEIGHT, tiff.COMPRESSION, tiff.PHOTOMETRIC), 1),
    tiff.BITS: 8,
    tiff.STRIP_OFFSETS: 8,
    tiff.SAMPLES: 1,
    tiff.ROWS_PER_STRIP: 1,
    tiff.STRIP_COUNTS: 1,
}


@dataclass(frozen=True)
class Position:
    """The place of a TIFF's pixels.

    Attributes:
        crs_tags: names the coordinate system.
        transform: from pixels to that system; None if only ground points are given.
        ground_points: column, row, x, y of each; () if there is a transform.
    """

    crs_tags: CrsTags
    transform: Transform | None
    ground_points: tuple[tuple[float, float, float, float], ...]


def read_position(tags: tiff.Tags) -> Position | None:
    """The position that tags name; None without a coordinate system or a place in it.

    As for GDAL, the first tie point with a pixel scale comes before a matrix, and both come before
    ground points. North is up with a negative scale in Y, too: some writers store it like that.
    """
    if tiff.GEO_KEYS not in tags:
        return None
    keys, doubles, text = (
        tags.get(t, ()) for t in (tiff.GEO_KEYS, tiff.GEO_DOUBLES, tiff.GEO_TEXT)
    )
    half_px = 0.5 if _is_point(keys) else 0.0
    ties, scale = tags.get(tiff.TIEPOINT, ()), tags.get(tiff.PIXEL_SCALE, ())
    matrix = tags.get(tiff.TRANSFORMATION, ())
    if len(scale) >= 2 and scale[0] and scale[1]:
        if len(ties) < 6:
            return None
        a, b, d, e = scale[0], 0.0, 0.0, -abs(scale[1])
        c, f = ties[3] - ties[0] * a, ties[4] - ties[1] * e
    elif len(matrix) == 16:
        a, b, _, c, d, e, _, f = matrix[:8]
    else:
        points = tuple(
            (ties[at] + half_px, ties[at + 1] + half_px, ties[at + 3], ties[at + 4])
            for at in range(0, len(ties) - 5, 6)
        )
        return Position((keys, doubles, text), None, points) if points else None
    transform = (a, b, c - half_px * (a + b), d, e, f - half_px * (d + e))
    return None if transform == _NOWHERE else Position((keys, doubles, text), transform, ())


def _is_point(keys: tuple[float, ...]) -> bool:
    """Whether coordinates are those of a pixel's centre; by default, they are those of its upper
    left corner. If a key occurs twice, the last counts."""
    last = keys[3] if len(keys) > 3 else 0
    for at in range(min(4 * int(last), len(keys) - 4), 0, -4):
        if keys[at] == _RASTER_TYPE:
            return keys[at + 1 : at + 4] == (0, 1, _PIXEL_IS_POINT)
    return False


def tif_of_crs(crs_tags: CrsTags) -> bytes:
    """A TIFF of one pixel in a coordinate system. GDAL can read from it what the tags mean, and
    nothing else in a chip decides that.

    Raises:
        struct.error: a value does not fit into its tag.
    """
    keys, doubles, text = crs_tags
    named = [
        (tiff.GEO_KEYS, 3, struct.pack(f"<{len(keys)}H", *keys), len(keys)),
        (tiff.GEO_DOUBLES, 12, struct.pack(f"<{len(doubles)}d", *doubles), len(doubles)),
        (tiff.GEO_TEXT, 2, struct.pack(f"<{len(text)}B4x", *text), len(text) + 4),
    ]
    entries = [struct.pack("<HHII", tag, 3, 1, value) for tag, value in _ONE_PIXEL.items()]
    at, body = 8 + 2 + 12 * (len(entries) + len(named)) + 4, b""
    for tag, kind, values, count in named:
        if count:
            entries.append(struct.pack("<HHII", tag, kind, count, at + len(body)))
            body += values
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries)
    return head.ljust(at, b"\0") + body
