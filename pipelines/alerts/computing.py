"""The rows of `alerts` and `sites`: those of places with other pictures are computed, all others
are kept, and then what depends on several rows, or on tables next to the looks, is filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.alerts.areas import names_of_places
from pipelines.alerts.finding import find_in_places
from pipelines.alerts.looks import Counted, LookReader
from pipelines.alerts.pictures import epoch_us
from pipelines.alerts.rule import PATIENCE_US
from pipelines.alerts.site_rows import site_rows, with_sites
from pipelines.alerts.state import State
from schemas.alert_tables import ALERTS, DROPPED, LOW, SITES
from schemas.render import arrow_schema

Trust = Mapping[tuple[str, str], bool | None]
"""Model and label to whether the label is proven."""

_PLACES_AT_ONCE = 1_000_000
_SCHEMA = arrow_schema(ALERTS)
_FINISHED = ("site_id", "updated_at")
_FOUND = pa.schema([field for field in _SCHEMA if field.name not in _FINISHED])


class Found(NamedTuple):
    """Alerts, without their sites and the time of the update.

    Attributes:
        rows: columns of `alerts`.
        places: number of places that were computed.
        counted: what was read for them.
    """

    rows: pa.Table
    places: int
    counted: Counted


@dataclass(frozen=True)
class Surroundings:
    """What alerts are compared with, next to the looks.

    Attributes:
        areas: rows of `alert_areas`.
        areas_changed: whether they differ from those that kept rows were compared with.
        trust: what `models` says.
    """

    areas: pa.Table
    areas_changed: bool
    trust: Trust


def find_alerts(
    connection: duckdb.DuckDBPyConnection,
    reader: LookReader,
    state: State,
    only_asked: bool,
    old: pa.Table,
    around: Surroundings,
) -> Found:
    """The alerts of all places.

    Args:
        only_asked: whether only the places are computed that the reader was asked for; the others
            keep their rows.
        old: the rows of `alerts` from before.
    """
    if not only_asked:
        reader.ask_all_places()
        kept = old.slice(0, 0)
    else:
        connection.register("old_alerts", old)
        connection.execute("SET preserve_insertion_order = true")
        kept = connection.sql("FROM old_alerts ANTI JOIN places_asked USING (place_id)")
        kept = kept.to_arrow_table()
        connection.execute("SET preserve_insertion_order = false")
    places, counts, tables = reader.places_asked(), [], []
    as_of_us = epoch_us(state.as_of)
    for counted, found in find_in_places(
        reader, places, as_of_us, state.options.baseline, _PLACES_AT_ONCE
    ):
        counts.append(counted)
        tables.append(_around(found, around))
    kept = _around(kept, around, around.areas_changed)
    rows = pa.concat_tables([table.select(_FOUND.names).cast(_FOUND) for table in [kept, *tables]])
    return Found(_expired(rows, as_of_us), len(places), _together(counts))


def completed(
    connection: duckdb.DuckDBPyConnection,
    rows: pa.Table,
    old_alerts: pa.Table,
    old_sites: pa.Table,
    now: datetime,
) -> tuple[pa.Table, pa.Table]:
    """The rows of `alerts` and of `sites`, by their ids."""
    alerts = with_sites(rows).sort_by("alert_id")
    sites = site_rows(connection, alerts, old_alerts, old_sites)
    return (
        _dated(connection, alerts, old_alerts, now).select(_SCHEMA.names).cast(_SCHEMA),
        _dated(connection, sites, old_sites, now).cast(arrow_schema(SITES)),
    )


def _around(rows: pa.Table, around: Surroundings, areas_too: bool = True) -> pa.Table:
    """Rows with what depends on other tables and on the status."""
    keys = zip(rows["model_digest"].to_pylist(), rows["label"].to_pylist(), strict=True)
    proven = pa.array([around.trust.get(key) for key in keys], pa.bool_())
    rows = _with(rows, "proven", proven)
    if areas_too:
        geometry = rows["geometry"].combine_chunks()
        rows = _with(rows, "areas", names_of_places(around.areas, geometry))
    confirmed = pc.is_valid(rows["confirmed_at"])
    return _with(rows, "confidence", pc.if_else(confirmed, 3, 2).cast(pa.int64()))


def _expired(rows: pa.Table, as_of_us: int) -> pa.Table:
    """Alerts that are low for more than 180 days are dropped. Of those that were kept, nothing else
    can have changed."""
    first_us = rows["first_detected"].cast(pa.int64()).to_numpy()
    low = pc.equal(rows["status"], LOW).to_numpy()
    late = low & (as_of_us - first_us > PATIENCE_US)
    if not late.any():
        return rows
    time = rows.schema.field("dropped_at").type
    ends = pc.add(rows["first_detected"], pa.scalar(timedelta(microseconds=PATIENCE_US)))
    mask = pa.chunked_array([pa.array(late)])
    rows = _with(rows, "dropped_at", pc.if_else(mask, ends.cast(time), rows["dropped_at"]))
    return _with(rows, "status", pc.if_else(mask, DROPPED, rows["status"]))


def _dated(
    connection: duckdb.DuckDBPyConnection, rows: pa.Table, old: pa.Table, now: datetime
) -> pa.Table:
    """Rows with the time of the update that last changed them.

    Args:
        rows: sorted by the first of their columns, which names them.
    """
    key = "alert_id" if "alert_id" in rows.column_names else "site_id"
    connection.register("new_rows", rows)
    connection.register("old_rows", old)
    same = " AND ".join(f"n.{c} IS NOT DISTINCT FROM o.{c}" for c in rows.column_names)
    found = connection.sql(
        f"""SELECT o.updated_at FROM new_rows AS n
        LEFT JOIN old_rows AS o ON o.{key} = n.{key} AND {same} ORDER BY n.{key}"""
    ).to_arrow_table()["updated_at"]
    time = _SCHEMA.field("updated_at").type
    return rows.append_column("updated_at", pc.fill_null(found.cast(time), pa.scalar(now, time)))


def _together(counts: Sequence[Counted]) -> Counted:
    later = frozenset().union(*(counted.later_runs for counted in counts))
    return Counted(
        looks=sum(counted.looks for counted in counts),
        undated=sum(counted.undated for counted in counts),
        future=sum(counted.future for counted in counts),
        later_runs=later,
    )


def _with(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    at = rows.schema.get_field_index(name)
    return rows.append_column(name, column) if at < 0 else rows.set_column(at, name, column)
