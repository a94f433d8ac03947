"""Tables of alerts made by hand: rows of `alerts`, `sites`, `alert_changes` and `alert_updates`."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import shapely

from pipelines.tables.commits import commit_files, next_turn
from pipelines.tables.evolution import ensure_table
from pipelines.tables.parquet_files import write_table
from schemas.alert_tables import (
    ALERT_AREAS,
    ALERT_CHANGES,
    ALERT_TABLES,
    ALERT_UPDATES,
    ALERTS,
    SITES,
)
from schemas.render import arrow_schema
from schemas.table import Table
from tests.support.published_runs import at

Row = dict[str, Any]
HECTARES = 10.5


def add_rows(output: str, table: Table, rows: Iterable[Mapping[str, Any]] | pa.Table) -> None:
    """Add rows to a table that has no partitions."""
    delta = ensure_table(output, table)
    schema = arrow_schema(table)
    content = (
        rows.select(schema.names).cast(schema)
        if isinstance(rows, pa.Table)
        else pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    )
    files = []
    if content.num_rows:
        files = [write_table(output, table.name, f"{uuid.uuid4().hex}.parquet", content)]
    commit_files(delta, files, {}, [next_turn(delta)], False, {})


def alert(number: int, label: str = "road", status: str = "low", **more: Any) -> Row:
    """A row of alerts in a cell of its own, which is a site of its own."""
    lat, lon = -6.0 + 0.02 * (number // 50), -55.0 + 0.02 * (number % 50)
    cell = h3.latlng_to_cell(lat, lon, 9)
    alert_id = str(uuid.UUID(int=number + 1))
    detected = more.pop("first_detected", at(2, 14))
    return {
        "alert_id": alert_id,
        "site_id": None if status == "dropped" else alert_id,
        "place_id": cell,
        "label": label,
        "status": status,
        "confidence": 3 if status in ("high", "ended") else 2,
        "first_detected": detected,
        "previous_clear": at(1, 14),
        "confirmed_at": at(4, 14) if status in ("high", "ended") else None,
        "last_seen": at(4, 14),
        "last_looked": at(5, 14),
        "ended_at": at(9, 14) if status == "ended" else None,
        "dropped_at": at(8, 14) if status == "dropped" else None,
        "looks": 4,
        "positives": 3,
        "cloudy_looks": 0,
        "max_score": 0.75,
        "proven": True,
        "before_uri": f"/chips/{number}-before.jpg",
        "after_uri": f"/chips/{number}-after.jpg",
        "areas": [],
        "area_ha": HECTARES,
        "latitude": lat,
        "longitude": lon,
        "geometry": _outline(cell),
        "bbox": _box(cell),
        "model_digest": "model-1",
        "thresholds_digest": "thresholds-1",
        "updated_at": at(10),
        **more,
    }


def unplaced(row: Row) -> Row:
    """The same alert without a position."""
    names = ("area_ha", "latitude", "longitude", "geometry", "bbox")
    return row | dict.fromkeys(names) | {"place_id": row["after_uri"]}


def site_of(alerts: Sequence[Row]) -> Row:
    """The row of sites of some alerts, the first of which names it."""
    first = alerts[0]
    statuses = {row["status"] for row in alerts}
    names = {field.name for field in arrow_schema(SITES)} & first.keys()
    return {
        **{name: first[name] for name in names},
        "status": next(s for s in ("high", "low", "ended") if s in statuses),
        "last_seen": max(row["last_seen"] for row in alerts),
        "alerts": len(alerts),
        "cells": len(alerts),
        "area_ha": first["area_ha"] and sum(row["area_ha"] for row in alerts),
        "positives": max(row["positives"] for row in alerts),
        "pictures": [row["after_uri"] for row in alerts],
    }


def change(row: Row, to_status: str, published_at: datetime, step: int = 1) -> Row:
    """A row of alert_changes."""
    before = {"low": None, "high": "low", "dropped": "low", "ended": "high", "retracted": "low"}
    return {
        **{name: row[name] for name in ("alert_id", "place_id", "label")},
        "step": step,
        "from_status": before[to_status],
        "to_status": to_status,
        "changed_at": row["first_detected"],
        "published_at": published_at,
        "as_of": published_at,
    }


def update(number: int, published_at: datetime, looks: int = 100) -> Row:
    """A row of alert_updates."""
    counts = dict.fromkeys(("areas", "changes", "low", "high", "dropped", "ended", "sites"), 0)
    return {
        "update_number": number,
        "published_at": published_at,
        "as_of": published_at,
        "labels": ["road"],
        "looks": looks,
        **counts,
    }


def verdict(row: Row, said: str, **more: Any) -> Row:
    """A row of verdicts about an alert."""
    names = ("alert_id", "place_id", "label", "first_detected")
    return {
        "verdict_id": f"{row['alert_id']}-{said}",
        **{name: row[name] for name in names},
        "until": row["last_looked"],
        "verdict": said,
        "who": "Ana",
        "judged_at": at(9, 14),
        "recorded_at": at(9, 15),
        **more,
    }


def write_alerts(
    output: str,
    alerts: Sequence[Row],
    changes: Sequence[Row] = (),
    updates: Sequence[Row] = (),
    areas: Mapping[str, Any] | None = None,
) -> None:
    """Write all tables; the sites are those that the alerts name.

    Args:
        areas: shapes of shapely by name.
    """
    by_site: dict[str, list[Row]] = {}
    for row in alerts:
        if row["site_id"]:
            by_site.setdefault(row["site_id"], []).append(row)
    shapes = areas or {}
    rows = [{"name": name, **_shape(shape)} for name, shape in shapes.items()]
    contents = {
        ALERTS: alerts,
        SITES: [site_of(each) for each in by_site.values()],
        ALERT_CHANGES: changes,
        ALERT_UPDATES: updates,
        ALERT_AREAS: rows,
    }
    for table in ALERT_TABLES:
        add_rows(output, table, contents[table])


def many_alerts(output: str, count: int, published_at: datetime) -> None:
    """Alerts that one update found: each a site of its own, all with the outline of one cell, over
    the Amazon."""
    first = alert(0)
    numbers = np.arange(count)
    ids = pa.array([f"{n:032x}" for n in range(count)])
    varied = {
        "alert_id": ids,
        "site_id": ids,
        "place_id": ids,
        "label": pa.array(np.array(["road", "slash_burn", "artisinal_mine"])[numbers % 3]),
        "longitude": pa.array(-72 + 24 * np.random.default_rng(0).random(count)),
        "latitude": pa.array(-14 + 15 * np.random.default_rng(1).random(count)),
        "area_ha": pa.array(numbers.astype(float)),
        "cells": pa.array(np.ones(count, np.int64)),
    }
    for table, row in (
        (ALERTS, first),
        (SITES, site_of([first])),
        (ALERT_CHANGES, change(first, "low", published_at)),
    ):
        columns = {
            field.name: varied.get(
                field.name, pa.repeat(pa.scalar(row.get(field.name), field.type), count)
            )
            for field in arrow_schema(table)
        }
        add_rows(output, table, pa.table(columns))
    add_rows(output, ALERT_UPDATES, [update(1, published_at)])


def _outline(cell: str) -> bytes:
    ring = [(lon, lat) for lat, lon in h3.cell_to_boundary(cell)]
    return bytes(shapely.to_wkb(shapely.Polygon(ring), byte_order=1))


def _box(cell: str) -> dict[str, float]:
    ring = h3.cell_to_boundary(cell)
    lats, lons = zip(*ring, strict=True)
    return {"xmin": min(lons), "ymin": min(lats), "xmax": max(lons), "ymax": max(lats)}


def _shape(shape: Any) -> dict[str, Any]:
    west, south, east, north = shape.bounds
    box = {"xmin": west, "ymin": south, "xmax": east, "ymax": north}
    return {"geometry": shapely.to_wkb(shape, byte_order=1), "bbox": box}
