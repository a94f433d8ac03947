"""Sidecar files: the time, scene and place of chips whose files do not have them.

A whole sidecar is checked before anything is listed. One bad row refuses it: otherwise no one would
notice a missing bounding box.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.planning._footprints import WKT, with_footprints
from pipelines.planning._row_checks import BOUNDS_FAULTS, refuse_faults
from pipelines.planning.user_tables import cast_columns, read_columns
from pipelines.storage import store
from schemas.chip_columns import BOUNDS, GEOMETRY
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST

KEYS = ("chip_uri", "chip_id")
GIVEN = ("scene_id", "observed_at", *BOUNDS)
"""Columns of the manifest that a sidecar may add, next to `footprint_wkt`."""

_PLACE = (*BOUNDS, GEOMETRY.name)

_MANIFEST = file_schema(CHIP_MANIFEST)
_FAULTS = {
    "it is empty": "coalesce(named, '') = ''",
    "it occurs more than once": "times > 1",
    **BOUNDS_FAULTS,
}


@dataclass(frozen=True)
class Sidecar:
    """A sidecar's rows.

    Attributes:
        uri: address of the file.
        key: the column that identifies chips, one of KEYS.
        rows: the key, all columns of GIVEN and `geometry`, null if the sidecar has no value; each
            key once.
    """

    uri: str
    key: str
    rows: pa.Table


def read_sidecar(uri: str) -> Sidecar:
    """Read and check a csv or Parquet file.

    Raises:
        UsageError: it cannot be read, has no key or two, adds no column, or has a wrong row.
    """
    where = f"sidecar {uri!r}"
    given = read_columns(uri, "sidecar", (*KEYS, *GIVEN, WKT.name), KEYS, "--sidecar")
    names = set(given.column_names)
    if names.issuperset(KEYS):
        raise UsageError(f"{where} has both chip_uri and chip_id: keep one of them as the key")
    if not names.intersection((*GIVEN, WKT.name)):
        raise UsageError(f"{where} adds no column: it may have {', '.join((*GIVEN, WKT.name))}")
    if 0 < len(names.intersection(BOUNDS)) < len(BOUNDS):
        raise UsageError(f"{where} has half a bounding box: it needs {', '.join(BOUNDS)}")
    if not given.num_rows:
        raise UsageError(f"{where} has no rows")
    key = next(name for name in KEYS if name in names)
    columns = _typed(given, key, uri, where)
    rows = columns.drop_columns(WKT.name)
    refuse_faults(rows, key, _FAULTS, where)
    return Sidecar(uri, key, with_footprints(rows, columns[WKT.name], key, where))


def check_named(connection: duckdb.DuckDBPyConnection, sidecar: Sidecar, listed: str) -> None:
    """Register a sidecar as the table `sidecar`, if it names any listed chip.

    Args:
        listed: a query for the listed chips.

    Raises:
        UsageError: no listed chip has one of its keys: they are probably in another form.
    """
    connection.register("sidecar", sidecar.rows)
    key = sidecar.key
    if connection.sql(
        f"SELECT 1 FROM ({listed}) SEMI JOIN sidecar USING ({key}) LIMIT 1"
    ).fetchall():
        return
    here, there = (
        connection.sql(f"SELECT min({key}) FROM ({rows})").fetchall()[0][0]
        for rows in ("SELECT * FROM sidecar", listed)
    )
    raise UsageError(
        f"sidecar {sidecar.uri!r} names no chip that is listed: its {key} are like {here!r}, "
        f"those listed like {there!r}"
    )


def joined(sidecar: Sidecar, query: str) -> str:
    """SQL: the rows of a query with the sidecar's values; box and footprint are replaced as a
    whole."""
    given = [f"coalesce(sidecar.{n}, chips.{n}) AS {n}" for n in GIVEN if n not in BOUNDS]
    whole = "CASE WHEN sidecar.lon_min IS NULL THEN chips.{n} ELSE sidecar.{n} END AS {n}"
    given += [whole.format(n=name) for name in _PLACE]
    return (
        f"SELECT chips.* REPLACE ({', '.join(given)}) FROM ({query}) AS chips "
        f"LEFT JOIN sidecar ON chips.{sidecar.key} = sidecar.{sidecar.key}"
    )


def _typed(given: pa.Table, key: str, uri: str, where: str) -> pa.Table:
    fields = [*(_MANIFEST.field(name) for name in (key, *GIVEN)), WKT]
    columns = cast_columns(given, fields, store.parent_uri(uri), where)
    return pa.table({f.name: columns.get(f.name, pa.nulls(given.num_rows, f.type)) for f in fields})
