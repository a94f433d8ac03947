"""Footprints in users' tables: the column `footprint_wkt`, polygons in WGS 84, longitude first.

Every polygon is checked before any work starts, as text of unknown origin. An edge that is over 180
degrees long goes the short way, across the 180th meridian.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError
from pipelines.planning._row_checks import with_bounds
from pipelines.tables.geometry import Floats, bounds_of, cover, wrap_polygons
from schemas.chip_columns import BOUNDS, GEOMETRY

WKT = pa.field("footprint_wkt", pa.string())
"""The column."""

MOST_LETTERS = 10_000
"""Length of a polygon's text at most: some 250 corners, and a chip has four."""

_BATCH_ROWS = 65_536
_ROUNDED = 1e-6  # degrees, 10 cm: a footprint may be that far outside of its own box
_Shapes = npt.NDArray[Any]

_LONG = f"footprint_wkt has over {MOST_LETTERS:,} letters"
_NO_POLYGON = "footprint_wkt is not POLYGON ((longitude latitude, ...))"
_OFF_EARTH = (
    "footprint_wkt has a longitude outside of -180 to 180, or a latitude outside of -90 to 90"
)
_INVALID = "footprint_wkt is not a valid polygon: its edges cross or touch, or a hole is outside"
_WIDE = "footprint_wkt is 180 degrees wide or more, or contains a pole"
_OUTSIDE = "footprint_wkt is outside of the row's bounding box: give one of them"


def with_footprints(rows: pa.Table, texts: pa.ChunkedArray, key: str, where: str) -> pa.Table:
    """Rows with `geometry` from their `footprint_wkt`, and a bounding box that contains it.

    Args:
        rows: with all columns of BOUNDS, or none; boxes that are given have been checked.
        texts: `footprint_wkt` of each row, null for none.
        key: the column that identifies a row.
        where: the table's name in messages.

    Raises:
        UsageError: a footprint is wrong; names the first one by its key, and how many are.
    """
    rows = with_bounds(rows)
    if texts.null_count == len(texts):
        return rows.append_column(GEOMETRY.name, pa.nulls(rows.num_rows, pa.binary()))
    parts = [
        _read(texts.slice(start, _BATCH_ROWS), bounds_of(rows.slice(start, _BATCH_ROWS)))
        for start in range(0, rows.num_rows, _BATCH_ROWS)
    ]
    geometry, bounds, faults = zip(*parts, strict=True)
    _refuse(rows[key], key, np.concatenate(faults), where)
    edges = np.concatenate(bounds).T
    for name, edge in zip(BOUNDS, edges, strict=True):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, name, pa.array(edge, from_pandas=True))
    return rows.append_column(GEOMETRY.name, pa.chunked_array([*geometry], pa.binary()))


def _read(
    texts: pa.ChunkedArray, given: Floats
) -> tuple[pa.Array, Floats, npt.NDArray[np.object_]]:
    """Geometries, bounding boxes and faults ("" for none) of some rows."""
    import shapely

    faults = np.full(len(texts), "", object)
    lengths = pc.fill_null(pc.utf8_length(texts), 0).to_numpy()
    written = lengths > 0
    faults[lengths > MOST_LETTERS] = _LONG
    read = np.where(written & (faults == ""), texts.to_numpy(zero_copy_only=False), None)
    shapes: _Shapes = shapely.force_2d(shapely.from_wkt(read, on_invalid="ignore"))
    _note(
        faults, written & (shapely.get_type_id(shapes) != shapely.GeometryType.POLYGON), _NO_POLYGON
    )
    _note(faults, written & shapely.is_empty(shapes), _NO_POLYGON)
    west, south, east, north = shapely.bounds(shapes).T
    _note(
        faults,
        written & ~((west >= -180) & (east <= 180) & (south >= -90) & (north <= 90)),
        _OFF_EARTH,
    )
    shapes[(faults != "") | ~written] = None
    shapes = _unwrapped(shapes)
    _note(faults, written & ~shapely.is_valid(shapes), _INVALID)
    west, south, east, north = shapely.bounds(shapes).T
    _note(faults, east - west >= 180, _WIDE)
    shapes[faults != ""] = None
    own = shapely.bounds(shapes)
    _note(faults, _is_outside(own, given), _OUTSIDE)
    made = np.where(np.isnan(given[:, :1]), _wrapped(own), cover(given, own.reshape(-1, 2, 2)))
    bounds = np.where(shapely.is_missing(shapes)[:, None], given, made)
    return pa.array(_wkb(shapes), pa.binary()), bounds, faults


def _note(faults: npt.NDArray[np.object_], wrong: npt.NDArray[np.bool_], fault: str) -> None:
    """Note a fault of rows that have none yet."""
    faults[wrong & (faults == "")] = fault


def _unwrapped(shapes: _Shapes) -> _Shapes:
    """Longitudes of polygons that cross the 180th meridian go on beyond 180."""
    import shapely

    west, _, east, _ = shapely.bounds(shapes).T
    for row in np.flatnonzero(east - west > 180):
        rings = [shapes[row].exterior, *shapes[row].interiors]
        jumps = [np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])).max() for ring in rings]
        if max(jumps) > 180:
            shapes[row] = shapely.transform(shapes[row], lambda xy: xy + 360 * (xy < 0) * (1, 0))
    return shapes


def _wrapped(bounds: Floats) -> Floats:
    """Boxes with longitudes up to 180 again."""
    return bounds - 360 * (bounds > 180)


def _is_outside(own: Floats, given: Floats) -> npt.NDArray[np.bool_]:
    """Which boxes of footprints reach out of the boxes that were given."""
    west, south, east, north = given.T
    with np.errstate(invalid="ignore"):
        east = np.where(east < west, east + 360, east)
        low, high = np.stack([west, south], 1), np.stack([east, north], 1)
        outside = (own[:, :2] < low - _ROUNDED) | (own[:, 2:] > high + _ROUNDED)
    return np.asarray(outside.any(1))


def _wkb(shapes: _Shapes) -> _Shapes:
    """Counter-clockwise WKB of polygons, cut at the 180th meridian; None for None."""
    import shapely

    shapes = shapely.orient_polygons(shapes)
    beyond = np.flatnonzero(shapely.bounds(shapes)[:, 2] > 180)
    if len(beyond):
        shapes[beyond] = wrap_polygons(shapes[beyond])
    wkb: _Shapes = shapely.to_wkb(shapes, byte_order=1)
    return wkb


def _refuse(keys: pa.ChunkedArray, key: str, faults: npt.NDArray[np.object_], where: str) -> None:
    """Refuse wrong rows; names the first one by its key, and how many are."""
    rows = np.flatnonzero(faults != "")
    if len(rows):
        names = keys.take(rows).to_pylist()
        first = min(range(len(rows)), key=names.__getitem__)
        fault = faults[rows[first]]
        raise UsageError(f"{where}, {key} {names[first]!r}: {fault} (wrong rows: {len(rows)})")
