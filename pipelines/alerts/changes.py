"""Which changes of alerts are new: the difference between what was published and what is found.

What was published is the last row of each alert in `alert_changes`. That table is the record: an
update that died after it wrote its changes, and before it replaced `alerts`, writes none twice.
"""

from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from schemas.alert_tables import ALERT_CHANGES, DROPPED, ENDED, HIGH, LOW, RETRACTED
from schemas.render import arrow_schema

Path = list[tuple[str, datetime]]
"""Statuses of an alert in order, each with when it began."""

_DIFFERENT = f"""
WITH last AS (
  SELECT alert_id, max(step) AS step, arg_max(to_status, step) AS published,
    any_value(place_id) AS place_id, any_value(label) AS label, min(changed_at) AS began
  FROM published_changes GROUP BY alert_id
)
SELECT alert_id, coalesce(found.place_id, last.place_id) AS place_id,
  coalesce(found.label, last.label) AS label, coalesce(step, 0) AS step, published, began,
  status, first_detected, confirmed_at, dropped_at, ended_at
FROM current_alerts AS found FULL JOIN last USING (alert_id)
WHERE coalesce(status, '{RETRACTED}') <> coalesce(published, '')
ORDER BY alert_id
"""


def new_changes(
    connection: duckdb.DuckDBPyConnection,
    published: Any,
    alerts: pa.Table,
    now: datetime,
    as_of: datetime,
) -> pa.Table:
    """Rows for `alert_changes`, by alert and step.

    Args:
        published: the rows that `alert_changes` has: a table or a dataset.
        alerts: the rows of `alerts` from now on.
        now, as_of: the time of this update, and the time that it looks at.
    """
    names = ["alert_id", "place_id", "label", "status", "first_detected"]
    names += ["confirmed_at", "dropped_at", "ended_at"]
    connection.register("current_alerts", alerts.select(names))
    connection.register("published_changes", published)
    rows = []
    for each in connection.sql(_DIFFERENT).to_arrow_table().to_pylist():
        status, step = each["published"], each["step"]
        for to_status, changed_at in steps_from(status, path_of(each), each["began"]):
            step += 1
            rows.append(
                {
                    **{name: each[name] for name in ("alert_id", "place_id", "label")},
                    "step": step,
                    "from_status": status,
                    "to_status": to_status,
                    "changed_at": changed_at,
                    "published_at": now,
                    "as_of": as_of,
                }
            )
            status = to_status
    return pa.Table.from_pylist(rows, schema=arrow_schema(ALERT_CHANGES))


def path_of(alert: dict[str, Any]) -> Path:
    """The statuses that an alert had until now; none if it is no longer found."""
    times = {LOW: "first_detected", HIGH: "confirmed_at", DROPPED: "dropped_at", ENDED: "ended_at"}
    return [(status, alert[name]) for status, name in times.items() if alert[name] is not None]


def steps_from(published: str | None, path: Path, began: datetime | None) -> Path:
    """The changes from the last status that was published to the last one of a path.

    >>> day = datetime(2026, 1, 1)
    >>> [status for status, _ in steps_from("low", [("low", day), ("high", day)], day)]
    ['high']

    Args:
        published: None for a new alert.
        path: see `path_of`.
        began: the first detection, which the retraction of an alert is dated by.
    """
    if not path:
        return [(RETRACTED, began)] if began else []
    statuses = [status for status, _ in path]
    if published in (None, RETRACTED):
        return path
    if published in statuses:
        return path[statuses.index(published) + 1 :]
    return path[1:] or path
