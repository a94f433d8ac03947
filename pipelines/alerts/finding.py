"""The alerts of some places, as rows of the table `alerts`, without the columns that depend on
other rows or on the time of the update."""

import uuid
from collections.abc import Iterator
from datetime import date

import h3ronpy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.alerts.looks import Counted, LookReader
from pipelines.alerts.rule import NEVER_US, Alerts, Histories, Ints, find_alerts
from pipelines.places.cells import cells_named
from schemas.alert_tables import DROPPED, ENDED, STATUSES

NAMESPACE = uuid.UUID("6e1f3c1e-7a52-5b0b-9d5e-3f7c7c0f4a15")
"""The namespace of `alert_id`."""

MOST_LOOKS = 20_000_000
"""Looks that are in memory at once, about; more places are read in parts."""

_EPOCH = date(1970, 1, 1)
_TIME = pa.timestamp("us", "UTC")
_M2_OF_HA = 10_000


def find_in_places(
    reader: LookReader, places: pa.Array, as_of_us: int, baseline: date | None, at_once: int
) -> Iterator[tuple[Counted, pa.Table]]:
    """The alerts of places, in parts.

    Args:
        places: string [n].
        at_once: places to begin with in a part; fewer if they have many looks.
    """
    start = 0
    while start < len(places):
        part = places.slice(start, at_once)
        counted = reader.read(part, as_of_us)
        if counted.looks > MOST_LOOKS and len(part) > 1:
            at_once = max(1, len(part) // 2)
            continue
        found = [_of_label(reader, label, part, as_of_us, baseline) for label in reader.labels]
        yield counted, _on_the_ground(reader, pa.concat_tables(found))
        start += len(part)


def _of_label(
    reader: LookReader, label: str, places: pa.Array, as_of_us: int, baseline: date | None
) -> pa.Table:
    seen = reader.histories(label)
    n, day, us = (seen[name].to_numpy() for name in ("n", "day", "us"))
    positive = seen["positive"].to_numpy()
    starts = np.flatnonzero(np.diff(n, prepend=-1))
    lengths = np.diff(starts, append=len(n))
    until = -1 if baseline is None else (baseline - _EPOCH).days
    before = np.zeros(len(n), bool) if baseline is None else day <= until
    found = find_alerts(Histories(lengths, positive, us, before), as_of_us)
    numbers = n[found.first]
    asked = pa.table(
        {
            "a": np.arange(len(numbers)),
            "n": numbers,
            "first_day": day[found.first],
            "previous_day": day[found.previous],
            "first_us": us[found.first],
        }
    )
    scores = np.where(positive, seen["score"].to_numpy(), -np.inf).astype(np.float32)
    rows = _rows(found, us, scores, places.take(pa.array(numbers)), label)
    pictures = reader.details(label, asked)
    for name in pictures.column_names:
        rows = rows.append_column(name, pictures[name])
    return rows.append_column("n", pa.array(numbers))


def _on_the_ground(reader: LookReader, rows: pa.Table) -> pa.Table:
    """Rows with their positions."""
    ground = reader.ground(rows["n"].to_numpy())
    for name in ground.column_names:
        rows = rows.append_column(name, ground[name])
    return rows.append_column("area_ha", _areas_ha(rows["place_id"], rows["geometry"]))


def _rows(found: Alerts, us: Ints, scores: np.ndarray, places: pa.Array, label: str) -> pa.Table:
    statuses = pa.array(STATUSES).take(pa.array(found.status))
    closed = _times(found.closed_us)
    nothing = pa.scalar(None, _TIME)
    first = us[found.first]
    return pa.table(
        {
            "alert_id": alert_ids(places, label, first),
            "place_id": places,
            "label": pa.repeat(label, len(first)),
            "status": statuses,
            "first_detected": _times(first),
            "previous_clear": _times(us[found.previous]),
            "confirmed_at": _times(_at(us, found.confirmed)),
            "last_seen": _times(us[found.last_seen]),
            "last_looked": _times(us[found.last_looked]),
            "dropped_at": pc.if_else(pc.equal(statuses, DROPPED), closed, nothing),
            "ended_at": pc.if_else(pc.equal(statuses, ENDED), closed, nothing),
            "looks": found.last_looked - found.first + 1,
            "positives": found.positives,
            "max_score": _highest(scores, found.first, found.last_looked),
        }
    )


def alert_ids(places: pa.Array, label: str, first_us: Ints) -> pa.Array:
    """UUIDs (version 5) of place, label and first detection, string [n]."""
    times = pc.strftime(_times(first_us), "%Y-%m-%dT%H:%M:%SZ")
    texts = zip(places.to_pylist(), times.to_pylist(), strict=True)
    ids = [str(uuid.uuid5(NAMESPACE, f"{place}\n{label}\n{time}")) for place, time in texts]
    return pa.array(ids, pa.string())


def _highest(scores: np.ndarray, first: Ints, last: Ints) -> np.ndarray:
    """The highest score from one look to another, both included."""
    if not len(first):
        return np.empty(0, np.float32)
    edges = np.column_stack([first, last + 1]).ravel()
    highest: np.ndarray = np.maximum.reduceat(np.append(scores, np.float32(-np.inf)), edges)[::2]
    return highest


def _at(us: Ints, looks: Ints) -> Ints:
    """Times of looks; `NEVER_US` for a missing look."""
    return np.where(looks < 0, NEVER_US, us[looks]) if len(us) else looks


def _times(us: Ints) -> pa.Array:
    """Timestamps; null for `NEVER_US`."""
    return pa.array(us, pa.int64(), mask=us == NEVER_US).cast(_TIME)


def _areas_ha(places: pa.ChunkedArray, geometry: pa.ChunkedArray) -> pa.Array:
    """The area of each cell in hectares, null for places that are not cells."""
    is_cell = geometry.is_valid().to_numpy()
    areas = np.full(len(is_cell), np.nan)
    cells = cells_named(places.filter(pa.array(is_cell)).combine_chunks())
    areas[is_cell] = pa.array(h3ronpy.cells_area_m2(pa.array(cells, pa.uint64()))).to_numpy()
    return pa.array(areas / _M2_OF_HA, mask=~is_cell)
