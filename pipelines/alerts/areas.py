"""Areas that alerts name, such as parks, territories and districts: read from a file of the user's,
and found at the places of alerts.

A file is opened by what its first bytes say: GDAL would open much else, files and addresses that a
file names included.
"""

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from pipelines.alerts.outlines import boxes_of
from pipelines.errors import ObjectTooLarge, UsageError, as_usage_error
from pipelines.storage import store
from pipelines.tables.geometry import wrap_polygons
from pipelines.wording import count_of
from schemas.alert_tables import ALERT_AREAS
from schemas.render import arrow_schema

MOST_BYTES = 2**30
"""The most bytes that a file of areas may have."""

NAME = "name"
_SHOWN = 8
_POLYGONS = (3, 6)  # shapely's types Polygon and MultiPolygon
_COLLECTION = 7
Shapes = npt.NDArray[np.object_]


class Areas(NamedTuple):
    """The areas of a file.

    Attributes:
        rows: rows of the table `alert_areas`.
        notes: what was converted, repaired and left out, a line each.
    """

    rows: pa.Table
    notes: list[str]


class _Read(NamedTuple):
    names: list[Any]
    shapes: Shapes
    crs: Any  # None if the file names none


def read_areas(uri: str) -> Areas:
    """The polygons of a GeoJSON, GeoPackage or GeoParquet file, in WGS 84.

    Raises:
        UsageError: it cannot be read, has no column `name`, or no polygons.
    """
    with as_usage_error("--areas"):
        try:
            data = store.read_bytes(uri, MOST_BYTES)
        except ObjectTooLarge as error:
            raise UsageError(f"--areas: {error}") from error
    where = f"--areas {uri!r}"
    found = _read(data, where)
    notes: list[str] = []
    shapes = _repaired(_in_degrees(found, where, notes), notes)
    named = np.array([isinstance(name, str) and bool(name.strip()) for name in found.names], bool)
    fine = np.array([shape is not None for shape in shapes], bool)
    if count := int((fine & ~named).sum()):
        notes.append(f"{count_of(count, 'area')} without a name left out")
    if not (fine & named).any():
        raise UsageError(f"{where} has no polygons with a name")
    kept = np.flatnonzero(fine & named).tolist()
    names = [found.names[n].strip() for n in kept]
    return Areas(_rows(names, shapes[kept]), notes)


def names_of_places(areas: pa.Table, places: pa.Array) -> pa.Array:
    """The names of the areas that each place touches, list<string> [n], by name; no names without a
    geometry.

    Args:
        areas: rows of `alert_areas`.
        places: WKB, binary [n].
    """
    names = np.array(areas[NAME].to_pylist(), dtype=object)
    shapes = shapely.from_wkb(areas["geometry"].to_numpy())
    tree = shapely.STRtree(shapely.from_wkb(places.to_numpy(zero_copy_only=False)))
    area, place = tree.query(shapes, predicate="intersects")
    # A name may be of several areas.
    unique, number = np.unique(names.astype(str), return_inverse=True)
    pairs = np.unique(np.column_stack([place, number[area]]), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=len(places)) if len(pairs) else [0] * len(places)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = pa.array(unique[pairs[:, 1]].tolist(), pa.string())
    kind = arrow_schema(ALERT_AREAS).field(NAME).with_name("element")
    return pa.ListArray.from_arrays(pa.array(offsets), values).cast(
        pa.list_(kind.with_nullable(True))
    )


def _read(data: bytes, where: str) -> _Read:
    if data.startswith(b"SQLite format 3\0") and data[68:72] in (b"GPKG", b"GP10", b"GP11"):
        return _from_geopackage(data, where)
    if data.startswith(b"PAR1"):
        return _from_geoparquet(data, where)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _from_geojson(data, where)
    raise UsageError(f"{where} is not a GeoJSON, GeoPackage or GeoParquet file")


def _from_geojson(data: bytes, where: str) -> _Read:
    try:
        content = json.loads(data)
        features = content["features"]
        properties = [feature["properties"] or {} for feature in features]
        texts = [json.dumps(feature.get("geometry")) for feature in features]
        known = sorted({key for each in properties for key in each})
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{where} is not a GeoJSON FeatureCollection") from error
    key = _name_column(known, where)
    shapes = shapely.from_geojson([None if t == "null" else t for t in texts], on_invalid="ignore")
    names = [each.get(key) for each in properties]
    return _Read(names, np.asarray(shapes, object), _legacy_crs(content))


def _legacy_crs(content: Any) -> Any:
    """The `crs` member of files older than RFC 7946."""
    crs = content.get("crs")
    named = crs.get("properties") if isinstance(crs, dict) else None
    return named.get("name") if isinstance(named, dict) else "OGC:CRS84"


def _from_geopackage(data: bytes, where: str) -> _Read:
    pyogrio = _library("pyogrio")
    # GDAL warns about a GeoPackage whose name ends otherwise.
    with _translated(where), tempfile.TemporaryDirectory(prefix="areas-") as folder:
        path = Path(folder, "areas.gpkg")
        path.write_bytes(data)
        layers = [name for name, kind in pyogrio.list_layers(path) if kind]
        if len(layers) != 1:
            named = ", ".join(map(repr, layers[:_SHOWN])) or "none"
            raise UsageError(f"{where} must have one layer with polygons, not {named}")
        frame = pyogrio.read_dataframe(path, layer=layers[0])
    return _from_frame(frame, where)


def _from_geoparquet(data: bytes, where: str) -> _Read:
    geopandas = _library("geopandas")
    with _translated(where):
        frame = geopandas.read_parquet(io.BytesIO(data))
    return _from_frame(frame, where)


def _from_frame(frame: Any, where: str) -> _Read:
    key = _name_column([str(column) for column in frame.columns], where)
    names = frame[key].astype(object).where(frame[key].notna(), None).tolist()
    return _Read(names, np.asarray(frame.geometry.array, object), frame.crs)


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"--areas needs {name}: install the extra geo") from error


class _translated:
    """Turns the errors of GDAL and geopandas into usage errors."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, UsageError):
            first = next(iter(str(error).splitlines()), kind.__name__)
            raise UsageError(f"{self._where} cannot be read: {first[:300]}") from error


def _name_column(columns: list[str], where: str) -> str:
    found = [column for column in columns if column.lower() == NAME]
    exact = [column for column in found if column == NAME]
    if len(exact or found) == 1:
        return (exact or found)[0]
    shown = ", ".join(map(repr, columns[:_SHOWN])) + (" ..." if len(columns) > _SHOWN else "")
    raise UsageError(f"{where} needs a column 'name'; its columns: {shown or 'none'}")


def _in_degrees(found: _Read, where: str, notes: list[str]) -> Shapes:
    """The shapes in WGS 84."""
    shapes = shapely.force_2d(found.shapes)
    if found.crs is None:
        notes.append("the file names no coordinate system: longitude and latitude are assumed")
        return _checked(shapes, where)
    pyproj = _library("pyproj")
    try:
        crs = pyproj.CRS.from_user_input(found.crs)
    except pyproj.exceptions.CRSError as error:
        raise UsageError(f"{where} has an unknown coordinate system: {found.crs!r}") from error
    if not crs.equals(pyproj.CRS("OGC:CRS84"), ignore_axis_order=True):
        to_degrees = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
        shapes = shapely.transform(shapes, lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
        notes.append(f"converted from {crs.name}")
    return _checked(shapes, where)


def _checked(shapes: Shapes, where: str) -> Shapes:
    """The shapes, if they are on Earth. Longitudes up to 540 continue beyond 180 degrees."""
    points = shapely.get_coordinates(shapes)
    lon, lat = points.T
    if not ((lon >= -180) & (lon <= 540) & (np.abs(lat) <= 90)).all():
        raise UsageError(f"{where} has points that are not longitude and latitude in degrees")
    return shapes


def _repaired(shapes: Shapes, notes: list[str]) -> Shapes:
    """Valid polygons, counter-clockwise, cut at 180 degrees; None for everything else."""
    kinds = shapely.get_type_id(shapes)
    others = ~np.isin(kinds, _POLYGONS) | shapely.is_empty(shapes)
    if count := int(others.sum()):
        notes.append(f"{count_of(count, 'feature')} without a polygon left out")
    kept = shapes.copy()
    kept[others] = None
    broken = np.flatnonzero(~others & ~shapely.is_valid(kept))
    if len(broken):
        notes.append(f"{count_of(len(broken), 'invalid polygon')} repaired")
    for n in broken.tolist():
        parts = [p for p in _polygons(shapely.make_valid(kept[n])) if p.area > 0]
        kept[n] = shapely.union_all(parts) if parts else None
    beyond = np.flatnonzero(shapely.bounds(kept)[:, 2] > 180)
    if len(beyond):
        kept[beyond] = wrap_polygons(kept[beyond])
    oriented: Shapes = shapely.orient_polygons(kept)
    return oriented


def _polygons(shape: Any) -> Iterator[Any]:
    if shapely.get_type_id(shape) == _POLYGONS[0]:
        yield shape
    elif shapely.get_type_id(shape) in (_POLYGONS[1], _COLLECTION):
        for part in shape.geoms:
            yield from _polygons(part)


def _rows(names: list[str], shapes: Shapes) -> pa.Table:
    columns = [
        pa.array(names, pa.string()),
        pa.array(shapely.to_wkb(shapes, byte_order=1).tolist(), pa.binary()),
        boxes_of(shapes),
    ]
    rows = pa.table(columns, names=[NAME, "geometry", "bbox"]).cast(arrow_schema(ALERT_AREAS))
    return rows.sort_by([(NAME, "ascending"), ("geometry", "ascending")])
