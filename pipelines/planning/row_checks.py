"""What rows of a user's table cannot be: the first that is wrong is named, before any work starts.

Nobody would look for a bounding box that is not on Earth among ten million, and readers of the
tables stumble over a time that no calendar has.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError
from schemas.tables import BOUNDS

BOUNDS_FAULTS = {
    "its bounding box is not whole": (
        "(lon_min IS NULL)::INT + (lat_min IS NULL)::INT + (lon_max IS NULL)::INT "
        "+ (lat_max IS NULL)::INT IN (1, 2, 3)"
    ),
    "a longitude is not between -180 and 180": (
        "NOT (lon_min BETWEEN -180 AND 180 AND lon_max BETWEEN -180 AND 180)"
    ),
    "a latitude is not between -90 and 90": (
        "NOT (lat_min BETWEEN -90 AND 90 AND lat_max BETWEEN -90 AND 90)"
    ),
    "lat_min is over lat_max": "lat_min > lat_max",
}
"""What is wrong with a bounding box, to the SQL that finds it; needs all columns of BOUNDS."""

_FIRST_TIME = datetime(1, 1, 1, tzinfo=UTC)
_LAST_TIME = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def refuse_faults(rows: pa.Table, key: str, faults: Mapping[str, str], where: str) -> None:
    """Name the first row that is wrong, in order of the keys, and say how many are.

    Args:
        key: the column that names a row.
        faults: what is wrong with a row to the SQL that finds it; the first that holds is told. It
            may use `named`, the key, and `times`, how many rows have it.

    Raises:
        UsageError: a row is wrong.
    """
    connection = duckdb.connect()
    connection.register("given", rows)
    cases = " ".join(f"WHEN {test} THEN '{fault}'" for fault, test in faults.items())
    counted = "count(*) OVER (PARTITION BY named)" if "times" in cases else "1"
    named = f'(SELECT *, "{key}" AS named, {counted} AS times FROM given)'
    wrong = f"SELECT named, CASE {cases} END AS fault FROM {named} WHERE fault IS NOT NULL"
    found = connection.sql(f"SELECT *, count(*) OVER () FROM ({wrong}) ORDER BY named LIMIT 1")
    for wrong_row, fault, count in found.fetchall():
        raise UsageError(f"{where}, {key} {wrong_row!r}: {fault} (wrong rows: {count})")


def with_bounds(rows: pa.Table) -> pa.Table:
    """The same rows, with the columns of BOUNDS that are missing, empty."""
    for name in BOUNDS:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.float64()))
    return rows


def refuse_endless_times(times: pa.ChunkedArray, where: str) -> None:
    """Refuse what SQL can say and a calendar cannot: `infinity`, the year 290000.

    Raises:
        UsageError: a time is before the year 1, or after 9999.
    """
    first, last = (pa.scalar(time, times.type) for time in (_FIRST_TIME, _LAST_TIME))
    outside = pc.or_(pc.less(times, first), pc.greater(times, last))
    if wrong := pc.sum(outside).as_py():
        raise UsageError(f"{where}: a time is not in the years 1 to 9999 (wrong rows: {wrong})")
