"""The geometries of an answer as GeoJSON (RFC 7946): WGS 84, outer rings counter-clockwise, cut at
180 degrees.

A row's geometry is its polygon or other shape: a column of DuckDB's type GEOMETRY, or of WKB. If it
has none, its box: `bbox`, or `lon_min`, `lat_min`, `lon_max` and `lat_max`. If it has none either,
the point at `longitude` and `latitude`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from pipelines.errors import UsageError

Shapes = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]

_BOX = ("lon_min", "lat_min", "lon_max", "lat_max")
_POINT = ("longitude", "latitude")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NEEDED = (
    "geojson needs a geometry: a column of GEOMETRY or WKB, or a bbox, or "
    f"{', '.join(_BOX)}, or {' and '.join(_POINT)}"
)


def geometries(answer: pa.Table) -> tuple[list[str], set[str]]:
    """The geometry of each row as JSON, `null` without one; and the columns that they replace.

    Raises:
        UsageError: the answer has no geometry, or several.
    """
    shape = _shape_column(answer)
    found = [_shapes_of(answer[shape])] if shape else []
    replaced = {shape} if shape else set()
    if "bbox" in answer.column_names and pa.types.is_struct(answer.schema.field("bbox").type):
        found.append(_boxes(_numbers(answer["bbox"].combine_chunks().flatten())))
        replaced |= set() if shape else {"bbox"}
    if set(_BOX) <= {*answer.column_names}:
        found.append(_boxes(_numbers([answer[name] for name in _BOX])))
    if set(_POINT) <= {*answer.column_names}:
        found.append(_points(_numbers([answer[name] for name in _POINT])))
    if not found:
        raise UsageError(_NEEDED)
    shapes = found[0]
    for others in found[1:]:
        shapes = np.where(shapely.is_missing(shapes), others, shapes)
    return [text or "null" for text in shapely.to_geojson(shapes).tolist()], replaced


def _shape_column(answer: pa.Table) -> str:
    """The column with shapes, "" if there is none."""
    named = [field.name for field in answer.schema if _is_geometry(field)]
    named = named or [
        field.name
        for field in answer.schema
        if _is_binary(field.type) and _is_wkb(answer[field.name])
    ]
    if len(named) > 1 and "geometry" in named:
        return "geometry"
    if len(named) > 1:
        raise UsageError(f"geojson has one geometry a row: select one of {', '.join(named)}")
    return named[0] if named else ""


def _is_geometry(field: pa.Field) -> bool:
    """Whether DuckDB says that a column is of its type GEOMETRY, which Arrow has as WKB."""
    return (field.metadata or {}).get(b"ARROW:extension:name") == b"geoarrow.wkb"


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_wkb(column: pa.ChunkedArray) -> bool:
    """Whether all values are WKB, or there are none."""
    shapes = shapely.from_wkb(column.to_numpy(), on_invalid="ignore")
    return bool(shapely.is_missing(shapes).sum() == column.null_count)


def _shapes_of(column: pa.ChunkedArray) -> Shapes:
    """Values of WKB; None for one with a coordinate that is not finite, which JSON cannot have."""
    shapes: Shapes = shapely.orient_polygons(shapely.from_wkb(column.to_numpy()))
    points, rows = shapely.get_coordinates(shapes, return_index=True)
    shapes[rows[~np.isfinite(points).all(axis=1)]] = None
    return shapes


def _numbers(columns: Sequence[pa.ChunkedArray | pa.Array]) -> Floats:
    """Columns next to each other, float64 [n, k], NaN for nulls."""
    chunked = [pa.chunked_array([c]) if isinstance(c, pa.Array) else c for c in columns]
    return np.column_stack([pc.cast(column, pa.float64()).to_numpy() for column in chunked])


def _boxes(bounds: Floats) -> Shapes:
    """The box of each row of float64 [n, 4]; None where a side is unknown or not a coordinate."""
    shapes = np.full(len(bounds), None, object)
    known = _are_coordinates(bounds)
    west, south, east, north = bounds.T
    plain, crossing = known & (west <= east), known & (west > east)
    shapes[plain] = shapely.box(*bounds[plain].T)
    left = shapely.box(west[crossing], south[crossing], 180, north[crossing])
    right = shapely.box(-180, south[crossing], east[crossing], north[crossing])
    shapes[crossing] = shapely.multipolygons(np.column_stack([left, right]))
    return shapes


def _points(positions: Floats) -> Shapes:
    """The point of each row of float64 [n, 2]; None where it is unknown or not a coordinate."""
    shapes = np.full(len(positions), None, object)
    known = _are_coordinates(positions)
    shapes[known] = shapely.points(positions[known])
    return shapes


def _are_coordinates(numbers: Floats) -> npt.NDArray[np.bool_]:
    limits = np.tile([180, 90], numbers.shape[1] // 2)
    known: npt.NDArray[np.bool_] = np.all(np.abs(numbers) <= limits, axis=1)  # NaN is not
    return known
