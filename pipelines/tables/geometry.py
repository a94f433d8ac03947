"""Footprints of chips as GeoParquet columns: polygons in WKB, made column by column.

A ring is the four corners of a footprint, in degrees (WGS 84), longitude first. Across the 180th
meridian its longitudes continue beyond 180; its polygon is cut there.
"""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.chip_columns import BBOX, BOUNDS, GEOMETRY

Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
"""Rings `[n, 4, 2]` or bounds `[n, 4]` (west, south, east, north); NaN where unknown."""

GEO_METADATA = json.dumps(
    {
        "version": "1.1.0",
        "primary_column": GEOMETRY.name,
        "columns": {
            GEOMETRY.name: {
                "encoding": "WKB",
                "geometry_types": ["Polygon", "MultiPolygon"],
                "orientation": "counterclockwise",
                "edges": "planar",
                "covering": {
                    "bbox": {edge: [BBOX.name, edge] for edge in ("xmin", "ymin", "xmax", "ymax")}
                },
            }
        },
    }
).encode()
"""The value of the key `geo` in the footer of a GeoParquet file. Without a `crs`, longitude and
latitude in WGS 84 are meant (OGC:CRS84)."""

CURVE_BITS = 22
"""The curve's cells: 360 degrees / 2^22 are 10 m at the equator."""

NOWHERE = np.int64(2 ** (2 * CURVE_BITS))
"""The place on the curve of a chip without a position: after all others."""

_DEGENERATE = 1e-7  # degrees, 1 cm: a box without a width or height is made this wide
_ROUNDING = 1e-12  # degrees: what 360 more and 360 less changes
_POLYGON = np.dtype(
    [("order", "u1"), ("type", "<u4"), ("rings", "<u4"), ("points", "<u4"), ("xy", "<f8", (5, 2))]
)
_BOX_TYPE = pa.struct([(edge, pa.float64()) for edge in ("xmin", "ymin", "xmax", "ymax")])


def with_geometry(rows: pa.Table) -> pa.Table:
    """Rows of a table of chips with `geometry` made from the bounding box where it is null, and
    with `bbox` where that is null. What rows have stays as it is."""
    bounds = bounds_of(rows)
    geometry, boxes = _column(rows, GEOMETRY.name), _column(rows, BBOX.name)
    given, rings = geometry.is_valid().to_numpy(zero_copy_only=False), rings_of_bounds(bounds)
    rings[given] = np.nan
    made = wkb_of_rings(rings)
    geometry = pc.coalesce(geometry, made) if given.any() else made
    boxes = _boxes(boxes, bounds, rings, geometry)
    at = rows.schema.get_field_index
    rows = rows.set_column(at(GEOMETRY.name), GEOMETRY.name, geometry)
    return rows.set_column(at(BBOX.name), BBOX.name, boxes)


def arrange(rows: pa.Table) -> tuple[pa.Table, int]:
    """Rows of a table with geometries in map order, and how many have one; those without are the
    last. Chips that have only a bounding box get their geometry from it."""
    if BOUNDS[0] in rows.column_names:
        rows = with_geometry(rows)
    placed = rows.num_rows - rows[GEOMETRY.name].null_count
    return (rows.take(map_order(bounds_of(rows))) if placed else rows), placed


def bounds_of(rows: pa.Table) -> Floats:
    """`float64 [n, 4]`: the bounding box columns, `bbox` in a table without them; NaN where one is
    null or not on Earth."""
    if BOUNDS[0] in rows.column_names:
        edges = [_column(rows, name) for name in BOUNDS]
    else:
        edges = _column(rows, BBOX.name).flatten()
    columns = [edge.to_numpy(zero_copy_only=False) for edge in edges]
    bounds = np.stack(columns, 1).astype(np.float64, copy=False)
    west, south, east, north = bounds.T
    with np.errstate(invalid="ignore"):
        on_earth = (np.abs(west) <= 180) & (np.abs(east) <= 180)
        on_earth &= (south >= -90) & (south <= north) & (north <= 90)
    return np.where(on_earth[:, None], bounds, np.nan)


def without_folds(rings: Floats) -> Floats:
    """The rings, with NaN for those that are not convex: only a projection that turns a chip inside
    out makes them."""
    turns = np.sign(_turns(rings)).sum(1)
    return np.where(np.abs(turns)[:, None, None] == 4, rings, np.nan)


def cover(bounds: Floats, rings: Floats) -> Floats:
    """Bounding boxes `[n, 4]`, made so large that they contain rings `[n, 4, 2]`; a box whose ring
    has NaN stays. The edges of a tilted chip bend between the points that were projected."""
    west, south, east, north = bounds.T
    beyond = 360 * (east < west)
    low, high = rings.min(1), rings.max(1)
    covers = np.stack(
        [
            np.fmin(west, low[:, 0]),
            np.fmin(south, low[:, 1]),
            np.fmax(east + beyond, high[:, 0]),
            np.fmax(north, high[:, 1]),
        ],
        1,
    )
    covers[:, 2] -= 360 * (covers[:, 2] > 180)
    return np.where(_are_known(bounds)[:, None], covers, np.nan)


def rings_of_bounds(bounds: Floats) -> Floats:
    """`float64 [n, 4, 2]`: the corners of bounding boxes `[n, 4]`, counter-clockwise. A box without
    a width or a height becomes one of 1 cm, so that it has an area."""
    west, south, east, north = bounds.T
    east = np.where(east < west - _DEGENERATE, east + 360, east)
    west, east = _widened(west, east, 180)
    south, north = _widened(south, north, 90)
    corners = [(west, south), (east, south), (east, north), (west, north)]
    return np.stack([np.stack(corner, 1) for corner in corners], 1)


def _widened(low: Floats, high: Floats, limit: float) -> tuple[Floats, Floats]:
    flat = high - low < _DEGENERATE
    if not flat.any():
        return low, high
    at_limit = flat & (low + _DEGENERATE > limit)
    return (
        np.where(at_limit, limit - _DEGENERATE, low),
        np.where(flat & ~at_limit, low + _DEGENERATE, high),
    )


def place_columns(bounds: Floats, rings: Floats) -> dict[str, pa.Array]:
    """The columns BOUNDS, boxes that cover their footprints, and `geometry`; NaN is null.

    Args:
        bounds: `[n, 4]`, west, south, east, north.
        rings: `[n, corners, 2]`, without folds.
    """
    edges = [pa.array(edge, from_pandas=True) for edge in cover(bounds, rings).T]
    return dict(zip(BOUNDS, edges, strict=True)) | {GEOMETRY.name: wkb_of_rings(rings)}


def wkb_of_rings(rings: Floats) -> pa.BinaryArray:
    """Polygons in well-known binary, counter-clockwise; null for a ring with NaN. Those that cross
    the 180th meridian are multipolygons, cut there.

    Args:
        rings: `float64 [n, 4, 2]`, convex; longitudes from -180 to 540.
    """
    known = _are_known(rings)
    rings = np.where((_turns(rings) < 0)[:, :1, None], rings[:, ::-1], rings)
    polygons = np.zeros(len(rings), _POLYGON)
    polygons["order"], polygons["type"] = 1, 3
    polygons["rings"], polygons["points"] = 1, 5
    polygons["xy"][:, :4], polygons["xy"][:, 4] = rings, rings[:, 0]
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(_POLYGON.itemsize), len(rings), [_bitmap(known), pa.py_buffer(polygons)]
    )
    plain = fixed.cast(pa.binary())
    crossing = known & (rings[:, :, 0] > 180).any(1)
    if not crossing.any():
        return plain
    cut = pa.array(list(cut_at_180(rings[crossing])), pa.binary())
    return pc.replace_with_mask(plain, pa.array(crossing), cut)


def cut_at_180(rings: Floats) -> Any:
    """The WKB of polygons whose longitudes go beyond 180: what is there moves to the west.

    Args:
        rings: `float64 [n, points, 2]`, longitudes from -180 to 540.
    """
    import shapely

    return shapely.to_wkb(wrap_polygons(shapely.polygons(rings)), byte_order=1)


def wrap_polygons(polygons: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Polygons of shapely with longitudes from -180 to 540, cut at 180 degrees and oriented
    counter-clockwise."""
    import shapely

    here = shapely.intersection(polygons, shapely.box(-180, -90, 180, 90))
    beyond = shapely.intersection(polygons, shapely.box(180, -90, 540, 90))
    there = shapely.transform(beyond, lambda xy: xy - [360, 0])
    cut = [_joined([*_areas(a), *_areas(b)]) for a, b in zip(here, there, strict=True)]
    oriented: npt.NDArray[Any] = shapely.orient_polygons(np.array(cut, object))
    return oriented


def _areas(geometry: Any) -> list[Any]:
    """The polygons in a geometry: a ring that only touches the meridian leaves a line there."""
    parts = getattr(geometry, "geoms", [geometry])
    return [part for part in parts if part.area > 0]


def _joined(polygons: list[Any]) -> Any:
    import shapely

    return polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)


def curve_positions(bounds: Floats) -> Integers:
    """`int64 [n]`: where the centres of bounding boxes are on Hilbert's curve over the Earth;
    neighbours on the curve are neighbours on the ground. NOWHERE where a box is NaN."""
    west, south, east, north = bounds.T
    known = _are_known(bounds)
    lon = (west + np.where(east < west, east + 360, east)) / 2 + 180
    side = 2**CURVE_BITS
    x = _cells(np.where(lon >= 360, lon - 360, lon) / 360 * side, known)
    y = _cells(((south + north) / 2 + 90) / 180 * side, known)
    positions: Integers = np.where(known, _hilbert(x, y), NOWHERE)
    return positions


def _cells(values: Floats, known: Booleans) -> Integers:
    cells: Integers = np.where(known, values, 0).astype(np.int64)
    cells[cells == 2**CURVE_BITS] -= 1  # 90 degrees north
    return cells


def _hilbert(x: Integers, y: Integers) -> Integers:
    """Hilbert's curve (Warren, Hacker's Delight, 16): cells x, y to distances along it."""
    distances: Integers = np.zeros(len(x), np.int64)
    for bit in range(CURVE_BITS - 1, -1, -1):
        right, top = (x >> bit) & 1, (y >> bit) & 1
        distances = (distances << 2) | ((3 * right) ^ top)
        turned = top == 0
        flipped = -(right & turned)  # all bits where right and not top
        x, y = x ^ flipped, y ^ flipped
        x, y = np.where(turned, y, x), np.where(turned, x, y)
    return distances


def map_order(bounds: Floats) -> Integers:
    """`int64 [n]`: the rows in the order of Hilbert's curve; those without a position last."""
    return np.argsort(curve_positions(bounds), kind="stable")


def _turns(rings: Floats) -> Floats:
    """`float64 [n, 4]`: which way each corner turns; positive is counter-clockwise."""
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinite places
        x, y = np.moveaxis(np.roll(rings, -1, 1) - rings, 2, 0)
        turns: Floats = x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y
    return turns


def _boxes(
    given: pa.StructArray, bounds: Floats, rings: Floats, geometry: pa.Array
) -> pa.StructArray:
    """The bounding boxes of geometries: those that are given, else of the ring if the geometry was
    made of one, else of the row."""
    made = _are_known(rings)[:, None]
    west, south = np.where(made, rings[:, 0], bounds[:, :2]).T
    east, north = np.where(made, rings[:, 2], bounds[:, 2:]).T
    east = np.where(east < west, east + 360, east)
    east = np.where(east > 180, east - 360 + _ROUNDING, east)
    edges = [pa.array(edge) for edge in (west, south, east, north)]
    if given.null_count < len(given):
        edges = [pc.coalesce(old, new) for old, new in zip(given.flatten(), edges, strict=True)]
    return pa.StructArray.from_arrays(edges, fields=list(_BOX_TYPE), mask=geometry.is_null())


def _are_known(values: Floats) -> Booleans:
    """`bool [n]`: which of n rings or bounds have no NaN."""
    axes = tuple(range(1, values.ndim))
    return np.asarray(np.isfinite(values).all(axes))


def _bitmap(known: Booleans) -> pa.Buffer | None:
    return None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))


def _column(rows: pa.Table, name: str) -> pa.Array:
    return rows[name].combine_chunks()
