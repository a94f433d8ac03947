"""Alerts, sites and changes as files for the programs that people use: maps and spreadsheets."""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from pipelines.alerts.areas import names_of_places
from pipelines.errors import UsageError
from pipelines.tables.parquet_files import parquet_bytes
from pipelines.wording import no_formula
from schemas.alert_tables import ALERT_AREAS

What = Literal["alerts", "sites", "changes"]

GFW_BYTES, GFW_POLYGONS = 1_000_000, 1000
"""What a file may have that Global Forest Watch takes."""

_CHECKED = """
checked AS (
  SELECT {id}, arg_max(verdict, judged_at) AS checked, arg_max(who, judged_at) AS checked_by,
    max(judged_at) AS checked_at
  FROM newest_verdicts WHERE {id} IS NOT NULL GROUP BY {id}
)
"""
_ROWS = """
WITH {checked}
SELECT {table}.* EXCLUDE (geometry, bbox), checked, checked_by, checked_at, geometry, bbox
FROM {table} LEFT JOIN checked USING ({id})
WHERE ($since IS NULL OR updated_at >= $since) AND ($area IS NULL OR list_contains(areas, $area))
ORDER BY first_detected DESC, {id}
"""
_CHANGES = """
SELECT alert_changes.*, latitude, longitude, geometry, bbox
FROM alert_changes LEFT JOIN places USING (place_id)
WHERE $since IS NULL OR published_at >= $since
ORDER BY published_at DESC, alert_id, step
"""
_TO_FILL_IN = ("verdict", "who", "when", "note")
_GFW_COLUMNS = (
    *("alert_id", "site_id", "label", "status", "to_status", "confidence"),
    *("first_detected", "last_seen", "changed_at", "area_ha", "areas"),
)
_DIGITS = 6  # of degrees: 10 cm


class File(NamedTuple):
    """A file to write: what follows the name that was asked for, such as "-2"; and its content."""

    suffix: str
    content: bytes


def select_rows(
    connection: duckdb.DuckDBPyConnection, what: What, since: datetime | None, area: str | None
) -> pa.Table:
    """The rows to export, the newest first; alerts and sites with what officers found.

    Args:
        connection: see `pipelines.alerts.published.open_alerts`.
        since: only rows that were changed or published from then on.
        area: only what touches the area with this name.
    """
    if what == "changes":
        rows = connection.sql(_CHANGES, params={"since": since}).to_arrow_table()
        return rows if area is None else _touching(connection, rows, area)
    key = {"alerts": "alert_id", "sites": "site_id"}[what]
    sql = _ROWS.format(table=what, id=key, checked=_CHECKED.format(id=key))
    return connection.sql(sql, params={"since": since, "area": area}).to_arrow_table()


def _touching(connection: duckdb.DuckDBPyConnection, rows: pa.Table, area: str) -> pa.Table:
    sql = f"SELECT name, geometry FROM {ALERT_AREAS.name} WHERE name = ?"
    areas = connection.sql(sql, params=[area]).to_arrow_table()
    names = names_of_places(areas, rows["geometry"].combine_chunks())
    return rows.filter(pc.greater(pc.list_value_length(names), 0))


def as_geojson(rows: pa.Table) -> bytes:
    """GeoJSON (RFC 7946)."""
    return _collection(list(_features(rows, rows.drop_columns(_shape_names(rows)))))


def as_gfw(rows: pa.Table) -> Iterator[File]:
    """GeoJSON files within the limits of Global Forest Watch, numbered from 1. Rows without a
    position are left out."""
    placed = rows.filter(pc.is_valid(rows["geometry"]))
    kept = placed.select([name for name in _GFW_COLUMNS if name in placed.column_names])
    polygons = shapely.get_num_geometries(_shapes(placed))
    some: list[str] = []
    size, parts, number = len(_collection([])), 0, 1
    for feature, count in zip(_features(placed, kept, most=GFW_BYTES // 2), polygons, strict=True):
        length = len(feature.encode()) + 2
        if some and (size + length > GFW_BYTES or parts + count > GFW_POLYGONS):
            yield File(f"-{number}", _collection(some))
            some, size, parts, number = [], len(_collection([])), 0, number + 1
        some.append(feature)
        size, parts = size + length, parts + int(count)
    yield File(f"-{number}", _collection(some))


def as_csv(rows: pa.Table) -> bytes:
    """A csv for spreadsheets: UTF-8 with a byte order mark, no geometry, and empty columns for
    verdicts, as `record_verdicts` reads them. Text that a spreadsheet would take for a formula
    begins with an apostrophe."""
    plain = _plain(rows.drop_columns(_shape_names(rows)))
    head = [*plain.column_names, *(_TO_FILL_IN if "step" not in plain.column_names else ())]
    file = io.StringIO()
    writer = csv.DictWriter(file, head, restval="")
    writer.writeheader()
    for row in plain.to_pylist():
        writer.writerow({name: _cell(row[name]) for name in row})
    return file.getvalue().encode("utf-8-sig")


def as_geoparquet(rows: pa.Table) -> bytes:
    """GeoParquet 1.1."""
    return parquet_bytes(rows)


def with_gdal(driver: str, ending: str) -> Callable[[pa.Table], bytes]:
    """A function that writes rows with a driver of GDAL's."""

    def write(rows: pa.Table) -> bytes:
        try:
            import pyogrio
        except ImportError as error:
            raise UsageError(f"--to FILE{ending} needs pyogrio: install the extra geo") from error
        shapes = pa.array(shapely.to_wkb(_as_multipolygons(_shapes(rows))), pa.binary())
        table = _plain(rows.drop_columns(_shape_names(rows))).append_column("geometry", shapes)
        # FlatGeobuf's index has no place for rows without a position.
        options = {"SPATIAL_INDEX": "NO"} if driver == "FlatGeobuf" and shapes.null_count else {}
        with tempfile.TemporaryDirectory(prefix="export-") as folder:
            path = Path(folder, f"alerts{ending}")
            pyogrio.write_arrow(
                table, path, driver=driver, layer="alerts", geometry_name="geometry",
                geometry_type="MultiPolygon", crs="OGC:CRS84", **options,
            )  # fmt: skip
            return path.read_bytes()

    return write


FORMATS: Mapping[str, Callable[[pa.Table], bytes]] = {
    ".geojson": as_geojson,
    ".gpkg": with_gdal("GPKG", ".gpkg"),
    ".csv": as_csv,
    ".fgb": with_gdal("FlatGeobuf", ".fgb"),
    ".parquet": as_geoparquet,
}
"""The end of a file's name to what writes it."""


def _shape_names(rows: pa.Table) -> list[str]:
    return [name for name in ("geometry", "bbox") if name in rows.column_names]


def _shapes(rows: pa.Table) -> npt.NDArray[np.object_]:
    shapes: npt.NDArray[np.object_] = shapely.from_wkb(rows["geometry"].to_numpy())
    return shapes


def _as_multipolygons(shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """A layer has one type of geometry."""
    found = [None if s is None else shapely.multipolygons(shapely.get_parts(s)) for s in shapes]
    return np.array(found, object)


def _plain(rows: pa.Table) -> pa.Table:
    """Rows without lists, which most formats do not have: `a; b`."""
    for n, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            text = pc.binary_join(rows[field.name].cast(pa.list_(pa.string())), "; ")
            rows = rows.set_column(n, field.name, text)
    return rows


def _features(rows: pa.Table, kept: pa.Table, most: int = 0) -> Iterator[str]:
    """Each row as a feature of GeoJSON.

    Args:
        kept: the columns that become properties.
        most: letters of a geometry at most, which is made simpler then; 0: no limit.
    """
    shapes = shapely.set_precision(_shapes(rows), 10.0**-_DIGITS, mode="pointwise")
    for shape, properties in zip(shapes, kept.to_pylist(), strict=True):
        geometry, tolerance = shapely.to_geojson(shape) or "null", 10.0**-_DIGITS
        while most and len(geometry) > most:
            tolerance *= 4
            geometry = shapely.to_geojson(shapely.simplify(shape, tolerance))
        text = json.dumps(properties, ensure_ascii=False, default=_json)
        yield f'{{"type": "Feature", "geometry": {geometry}, "properties": {text}}}'


def _collection(features: list[str]) -> bytes:
    inside = ",\n".join(features)
    return f'{{"type": "FeatureCollection", "features": [\n{inside}\n]}}\n'.encode()


def _json(value: Any) -> str:
    return _time(value) if isinstance(value, datetime) else str(value)


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return _time(value)
    return no_formula(value) if isinstance(value, str) else value
