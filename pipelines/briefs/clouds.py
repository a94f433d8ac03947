"""How much of the ground could not be seen, because clouds hid it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import shapely

from schemas.alert_tables import ALERT_AREAS

WEEKS = 8
"""Weeks in the chart."""

_PICTURES = """
SELECT date_trunc('week', coalesce(observed_at, chip_scores.modified_at, scored_at))::DATE AS week,
  coalesce($since IS NULL OR scored_at > $since, true) AS is_new,
  coalesce(sky_label = 'cloudy', false) AS hidden,
  sky_label IS NOT NULL AS known,
  {position}
  count(*) AS pictures
FROM chip_scores LEFT JOIN runs ON runs.run_id = chip_scores.run_id
WHERE chip_scores.run_date >= $from_day AND coalesce(runs.kind, 'score') <> 'relabel'
  {within}
GROUP BY ALL
"""
_MIDDLE = """
CASE WHEN lon_min > lon_max AND lon_min + lon_max > 0 THEN (lon_min + lon_max - 360) / 2
  WHEN lon_min > lon_max THEN (lon_min + lon_max + 360) / 2
  ELSE (lon_min + lon_max) / 2 END AS lon,
(lat_min + lat_max) / 2 AS lat,
"""
_WITHIN = "AND lat_max >= $south AND lat_min <= $north"


class Seen(NamedTuple):
    """Pictures, and those of them in which clouds hid the ground."""

    pictures: int
    hidden: int


NOTHING_SEEN = Seen(0, 0)


@dataclass(frozen=True)
class Clouds:
    """What clouds hid.

    Attributes:
        new: pictures that were scored since the time that the brief begins at.
        weeks: pictures by the Monday of the week in which they were taken.
        known: whether the label set has labels for the sky.
    """

    new: Seen = NOTHING_SEEN
    weeks: Mapping[date, Seen] | None = None
    known: bool = False


def count_clouds(
    connection: duckdb.DuckDBPyConnection,
    since: datetime | None,
    as_of: datetime | None,
    area: str | None,
) -> Clouds:
    """Count the pictures that clouds hid: those scored since a time, and by week.

    Args:
        connection: has `chip_scores`, `runs` and `alert_areas`.
    """
    if as_of is None:
        return Clouds()
    first = monday(as_of.date()) - timedelta(weeks=WEEKS - 1)
    asked: dict[str, Any] = {"since": since, "from_day": date.min}
    if since is not None:
        asked["from_day"] = min(first, since.date() - timedelta(days=1))
    if area is None:
        sql = _PICTURES.format(position="", within="")
        rows = connection.sql(sql, params=asked).to_arrow_table()
    else:
        rows = _in_area(connection, asked, area)
    return _summed(rows, first)


def monday(day: date) -> date:
    """The Monday of a week."""
    return day - timedelta(days=day.weekday())


def _in_area(connection: duckdb.DuckDBPyConnection, asked: dict[str, Any], area: str) -> pa.Table:
    """The pictures whose middle is in an area."""
    sql = f"SELECT geometry FROM {ALERT_AREAS.name} WHERE name = ?"
    parts = connection.sql(sql, params=[area]).to_arrow_table()["geometry"]
    shape = shapely.union_all(shapely.from_wkb(parts.to_numpy()))
    _, south, _, north = shape.bounds
    asked |= {"south": south, "north": north}
    sql = _PICTURES.format(position=_MIDDLE, within=_WITHIN)
    rows = connection.sql(sql, params=asked).to_arrow_table()
    shapely.prepare(shape)
    lon, lat = (rows[name].to_numpy() for name in ("lon", "lat"))
    return rows.filter(pa.array(np.asarray(shapely.intersects_xy(shape, lon, lat), bool)))


def _summed(rows: pa.Table, first: date) -> Clouds:
    new = [0, 0]
    weeks: dict[date, list[int]] = {}
    known = False
    for row in rows.select(["week", "is_new", "hidden", "known", "pictures"]).to_pylist():
        known = known or row["known"]
        counts = [row["pictures"], row["pictures"] * row["hidden"]]
        if row["is_new"]:
            new = [a + b for a, b in zip(new, counts, strict=True)]
        if row["week"] >= first:
            before = weeks.get(row["week"], [0, 0])
            weeks[row["week"]] = [a + b for a, b in zip(before, counts, strict=True)]
    return Clouds(Seen(*new), {week: Seen(*weeks[week]) for week in sorted(weeks)}, known)
