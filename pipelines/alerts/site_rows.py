"""The rows of the table `sites`, made from those of `alerts`."""

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
_SAME = """
WITH before AS (
  SELECT site_id, count(*) AS alerts FROM old_active WHERE site_id IS NOT NULL GROUP BY site_id
),
now AS (
  SELECT active.site_id, any_value(old_active.site_id) AS old_id, count(*) AS alerts
  FROM active JOIN old_active USING (alert_id)
  GROUP BY active.site_id HAVING count(DISTINCT old_active.site_id) = 1
),
sizes AS (SELECT site_id, count(*) AS alerts FROM active GROUP BY site_id)
SELECT now.site_id, geometry
FROM now JOIN sizes USING (site_id, alerts)
JOIN before ON before.site_id = old_id AND before.alerts = now.alerts
JOIN old_outlines ON old_outlines.site_id = old_id
WHERE geometry IS NOT NULL
ORDER BY now.site_id
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
    connection: duckdb.DuckDBPyConnection,
    alerts: pa.Table,
    old_alerts: pa.Table,
    old_sites: pa.Table,
) -> pa.Table:
    """The sites of alerts, by id; without `updated_at`.

    Args:
        alerts: rows of `alerts` with `site_id`.
        old_alerts, old_sites: rows from before. A site of the same alerts keeps its outline:
            uniting cells takes time.
    """
    active = alerts.filter(pc.is_valid(alerts["site_id"]))
    connection.register("active", active.drop_columns(["geometry", "bbox"]))
    connection.register("old_active", old_alerts.select(["alert_id", "site_id"]))
    connection.register("old_outlines", old_sites.select(["site_id", "geometry"]))
    rows = connection.sql(_SQL).to_arrow_table()
    kept = connection.sql(_SAME).to_arrow_table()
    geometry, bbox = _outlines(active, rows["site_id"], kept)
    rows = rows.append_column("geometry", geometry).append_column("bbox", bbox)
    schema = arrow_schema(SITES)
    schema = schema.remove(schema.get_field_index("updated_at"))
    return rows.select(schema.names).cast(schema)


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


def _outlines(
    active: pa.Table, sites: pa.ChunkedArray, kept: pa.Table
) -> tuple[pa.Array, pa.Array]:
    """The outline and the box of each site; null without a position.

    Args:
        kept: columns site_id and geometry, of sites whose outline is known.
    """
    is_new = pc.invert(pc.is_in(active["site_id"], kept["site_id"].combine_chunks()))
    placed = active.filter(pc.and_(is_new, pc.is_valid(active["geometry"])))
    pairs = placed.select(["site_id", "place_id"]).group_by(["site_id", "place_id"]).aggregate([])
    pairs = pairs.sort_by([("site_id", "ascending"), ("place_id", "ascending")])
    ids = pairs["site_id"].to_numpy().astype(object)
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])[: len(ids)])
    cells = cells_named(pairs["place_id"].combine_chunks())
    joined = join_outlines(cell_outlines(cells)[0].to_numpy(zero_copy_only=False), starts)
    outlines = [*kept["geometry"].to_pylist(), *joined.tolist()]
    at = pc.index_in(sites, pa.array([*kept["site_id"].to_pylist(), *ids[starts]], pa.string()))
    boxes = boxes_of(shapely.from_wkb(np.array(outlines, dtype=object)))
    return pa.array(outlines, pa.binary()).take(at), boxes.take(at)
