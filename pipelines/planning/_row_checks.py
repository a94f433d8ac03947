"""Checks of the rows of a user's table, before any work starts; the first wrong row is named.

Without them no one would notice one impossible bounding box among ten million, and programs that
read the tables fail on a time outside the calendar.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import databases
from pipelines.errors import UsageError
from schemas.chip_columns import BOUNDS

BOUNDS_FAULTS = {
    "its bounding box is incomplete": (
        "(lon_min IS NULL)::INT + (lat_min IS NULL)::INT + (lon_max IS NULL)::INT "
        "+ (lat_max IS NULL)::INT IN (1, 2, 3)"
    ),
    "a longitude is not between -180 and 180": (
        "NOT (lon_min BETWEEN -180 AND 180 AND lon_max BETWEEN -180 AND 180)"
    ),
    "a latitude is not between -90 and 90": (
        "NOT (lat_min BETWEEN -90 AND 90 AND lat_max BETWEEN -90 AND 90)"
    ),
    "lat_min is greater than lat_max": "lat_min > lat_max",
}
"""Faults of a bounding box, each with the SQL that finds it; needs all columns of BOUNDS."""

_FIRST_TIME = datetime(1, 1, 1, tzinfo=UTC)
_LAST_TIME = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def refuse_faults(rows: pa.Table, key: str, faults: Mapping[str, str], where: str) -> None:
    """Refuse wrong rows.

    Args:
        key: the column that identifies a row.
        faults: what can be wrong with a row, each with the SQL that finds it; the first that is
            true is reported. It may use `named`, the key, and `times`, how often the key occurs.

    Raises:
        UsageError: a row is wrong; names the first one by its key, and how many are.
    """
    connection = databases.connect()
    connection.register("given", rows)
    cases = " ".join(f"WHEN {test} THEN '{fault}'" for fault, test in faults.items())
    counted = "count(*) OVER (PARTITION BY named)" if "times" in cases else "1"
    named = f'(SELECT *, "{key}" AS named, {counted} AS times FROM given)'
    wrong = f"SELECT named, CASE {cases} END AS fault FROM {named} WHERE fault IS NOT NULL"
    found = connection.sql(f"SELECT *, count(*) OVER () FROM ({wrong}) ORDER BY named LIMIT 1")
    for wrong_row, fault, count in found.fetchall():
        raise UsageError(f"{where}, {key} {wrong_row!r}: {fault} (wrong rows: {count})")


def with_bounds(rows: pa.Table) -> pa.Table:
    """The same rows, with nulls in the columns of BOUNDS that were missing."""
    for name in BOUNDS:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.float64()))
    return rows


def refuse_endless_times(times: pa.ChunkedArray, where: str) -> None:
    """Refuse times that SQL allows and a calendar does not: `infinity`, the year 290000.

    Raises:
        UsageError: a time is before the year 1, or after 9999.
    """
    first, last = (pa.scalar(time, times.type) for time in (_FIRST_TIME, _LAST_TIME))
    outside = pc.or_(pc.less(times, first), pc.greater(times, last))
    if wrong := pc.sum(outside).as_py():
        raise UsageError(f"{where}: a time is not in the years 1 to 9999 (wrong rows: {wrong})")
