"""The rows of the table `sites`, made from those of `alerts`."""

from collections.abc import Mapping

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from pipelines.alerts.outlines import boxes_of
from pipelines.alerts.sites import group_neighbours, join_outlines
from pipelines.places.cells import cell_outlines, cells_named
from schemas.alert_tables import DROPPED, ENDED, HIGH, LOW, SITES
from schemas.render import arrow_schema

Ints = npt.NDArray[np.int64]
_CELL_BYTES = 8
_ORDER = [("label", "ascending"), ("first_detected", "ascending"), ("alert_id", "ascending")]
_SQL = f"""
SELECT
  site_id,
  any_value(label) AS label,
  CASE WHEN bool_or(status = '{HIGH}') THEN '{HIGH}'
    WHEN bool_or(status = '{LOW}') THEN '{LOW}' ELSE '{ENDED}' END AS status,
  min(first_detected) AS first_detected,
  max(last_seen) AS last_seen,
  count(*) AS alerts,
  count(*) FILTER (new_place) AS cells,
  list_sum(list(area_ha ORDER BY place_id) FILTER (new_place)) AS area_ha,
  max(positives) AS positives,
  max(max_score) AS max_score,
  bool_or(proven) AS proven,
  any_value(before_uri) FILTER (alert_id = site_id) AS before_uri,
  any_value(after_uri) FILTER (alert_id = site_id) AS after_uri,
  list(after_uri ORDER BY first_detected, alert_id) FILTER (new_picture) AS pictures,
  list_sort(list_distinct(flatten(list(areas)))) AS areas,
  any_value(latitude) FILTER (alert_id = site_id) AS latitude,
  any_value(longitude) FILTER (alert_id = site_id) AS longitude
FROM (
  SELECT *,
    row_number() OVER (PARTITION BY site_id, place_id ORDER BY alert_id) = 1 AS new_place,
    row_number() OVER (
      PARTITION BY site_id, after_uri ORDER BY first_detected, alert_id
    ) = 1 AS new_picture
  FROM active
)
GROUP BY site_id ORDER BY site_id
"""


def with_sites(alerts: pa.Table) -> pa.Table:
    """Rows of `alerts` with their `site_id`, by label, first detection and id.

    Args:
        alerts: rows without `site_id`.
    """
    alerts = alerts.sort_by(_ORDER)
    active = pc.not_equal(alerts["status"], DROPPED).to_numpy()
    sites = np.full(alerts.num_rows, -1, np.int64)
    labels = alerts["label"].to_numpy()
    for label in np.unique(labels.astype(str)):
        rows = np.flatnonzero(active & (labels == label))
        sites[rows] = rows[_groups(alerts["place_id"].take(rows), alerts["geometry"].take(rows))]
    ids = alerts["alert_id"].take(pa.array(sites, mask=sites < 0))
    return alerts.append_column("site_id", ids)


def site_rows(
    connection: duckdb.DuckDBPyConnection, alerts: pa.Table, known: Mapping[bytes, bytes]
) -> pa.Table:
    """The sites of alerts, by id; without `updated_at`.

    Args:
        alerts: rows of `alerts` with `site_id`.
        known: outlines of sites from before, see `outlines_by_cells`.
    """
    active = alerts.filter(pc.is_valid(alerts["site_id"]))
    connection.register("active", active.drop_columns(["geometry", "bbox"]))
    rows = connection.sql(_SQL).to_arrow_table()
    geometry, bbox = _outlines(active, rows["site_id"], known)
    rows = rows.append_column("geometry", geometry).append_column("bbox", bbox)
    schema = arrow_schema(SITES)
    schema = schema.remove(schema.get_field_index("updated_at"))
    return rows.select(schema.names).cast(schema)


def outlines_by_cells(alerts: pa.Table, sites: pa.Table) -> dict[bytes, bytes]:
    """The stored outlines of sites with several cells, by these cells: uniting them takes time."""
    cells, starts, ids = _cells_by_site(alerts.filter(pc.is_valid(alerts["site_id"])))
    stored = dict(zip(sites["site_id"].to_pylist(), sites["geometry"].to_pylist(), strict=True))
    keys = zip(_keys(cells, starts), ids, strict=True)
    return {key: stored[site] for key, site in keys if len(key) > _CELL_BYTES and site in stored}


def _groups(places: pa.ChunkedArray, geometry: pa.ChunkedArray) -> Ints:
    """For each alert of a label, in order: the first alert of its site."""
    names, first, number = np.unique(
        places.to_numpy().astype(object), return_index=True, return_inverse=True
    )
    group = np.arange(len(names))
    is_cell = geometry.is_valid().to_numpy()[first]
    cells = np.flatnonzero(is_cell)
    if len(cells):
        found = cells_named(pa.array(names[cells].tolist(), pa.string()))
        group[cells] = cells[group_neighbours(found)]
    earliest = np.full(len(names), len(number), np.int64)
    np.minimum.at(earliest, group, first)
    chosen: Ints = earliest[group][number]
    return chosen


def _cells_by_site(active: pa.Table) -> tuple[npt.NDArray[np.uint64], Ints, list[str]]:
    """The cells of each site, those of one after those of the other, each once; where each site
    begins; and its id."""
    placed = active.filter(pc.is_valid(active["geometry"])).select(["site_id", "place_id"])
    pairs = placed.group_by(["site_id", "place_id"]).aggregate([])
    pairs = pairs.sort_by([("site_id", "ascending"), ("place_id", "ascending")])
    ids = pairs["site_id"].to_numpy().astype(object)
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.empty(0, int)
    return cells_named(pairs["place_id"].combine_chunks()), starts, ids[starts].tolist()


def _keys(cells: npt.NDArray[np.uint64], starts: Ints) -> list[bytes]:
    ends = np.append(starts, len(cells))[1:]
    return [cells[a:b].tobytes() for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


def _outlines(
    active: pa.Table, sites: pa.ChunkedArray, known: Mapping[bytes, bytes]
) -> tuple[pa.Array, pa.Array]:
    """The outline and the box of each site; null without a position."""
    cells, starts, ids = _cells_by_site(active)
    outlines = np.array([known.get(key) for key in _keys(cells, starts)], dtype=object)
    new = np.array([outline is None for outline in outlines], bool)
    sizes = np.diff(starts, append=len(cells))
    of_new = cell_outlines(cells[np.repeat(new, sizes)])[0].to_numpy(zero_copy_only=False)
    outlines[new] = join_outlines(of_new, np.cumsum(sizes[new]) - sizes[new])
    at = pc.index_in(sites, pa.array(ids, pa.string()))
    boxes = boxes_of(shapely.from_wkb(outlines))
    return pa.array(outlines.tolist(), pa.binary()).take(at), boxes.take(at)
