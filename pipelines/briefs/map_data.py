"""What the map of a brief draws, as JSON in the page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from pipelines.blocks.document import Svg, visible
from pipelines.briefs.atlas import Box, countries_in
from pipelines.briefs.facts import CHANGES, MAPPED_SITES, PAST, UNCHANGED
from pipelines.briefs.languages import Language
from schemas.alert_tables import ALERT_AREAS, ENDED, HIGH, LOW

COLOURS = ("#d55e00", "#0072b2", "#cc79a7", "#009e73", "#e69f00", "#56b4e9", "#000000")
"""Colours that people with any colour vision can tell apart (Okabe and Ito)."""

STATUSES = (LOW, HIGH, ENDED)
_MARGIN = 0.15  # of the width of the data, on each side
_LEAST_MARGIN = 0.5  # degrees
_GROUPS_A_SIDE = 40
_POINT_DIGITS, _OUTLINE_DIGITS = 5, 3
_MOST_OUTLINE_BYTES = 350_000  # of the countries; the same for areas and for sites
_AREAS = 300
_LOCATOR_DEGREES, _LOCATOR_PX, _LOCATOR_BYTES = 40.0, 208, 60_000
_LEAST_MARK_PX = 8
_TURN = np.array([360, 0])

_POINTS = f"""
SELECT longitude AS lon, latitude AS lat, label, status, change, shown, area_ha AS hectares,
  first_detected, site_id
FROM judged
WHERE importance <= {MAPPED_SITES} AND longitude IS NOT NULL AND change <> '{PAST}'
ORDER BY importance DESC
"""
_OTHERS = f"""
SELECT avg(longitude) AS lon, avg(latitude) AS lat, count(*) AS sites FROM judged
WHERE importance > {MAPPED_SITES} AND longitude IS NOT NULL AND change <> '{PAST}'
GROUP BY round(longitude / $step), round(latitude / $step)
"""
_EXTENT = f"""
SELECT min(longitude), min(latitude), max(longitude), max(latitude),
  min(CASE WHEN longitude < 0 THEN longitude + 360 ELSE longitude END),
  max(CASE WHEN longitude < 0 THEN longitude + 360 ELSE longitude END)
FROM judged WHERE longitude IS NOT NULL AND change <> '{PAST}'
"""
_NAMED_AREAS = f"""
SELECT name, geometry FROM {ALERT_AREAS.name}
WHERE bbox.ymax >= $south AND bbox.ymin <= $north LIMIT {10 * _AREAS}
"""


class OnMap(NamedTuple):
    """The map of a brief.

    Attributes:
        data: what the script `map.js` draws, as JSON that is safe in a `script` element.
        locator: a small drawing of the land around the sites, with a box where they are.
    """

    data: str
    locator: Svg


def draw_map(
    connection: duckdb.DuckDBPyConnection,
    words: Language,
    labels: Sequence[str],
    cards: Mapping[str, int],
    outlines: Mapping[str, bytes],
) -> OnMap | None:
    """What is on the map; None if no site has a position.

    Args:
        connection: has the table `judged`, see `pipelines.briefs.facts.rank_sites`.
        labels: those that are on the map; a point has the number of its label.
        cards: number of the card of a site on the page, by site_id.
        outlines: WKB of sites, by site_id.
    """
    extent = _extent(connection)
    if extent is None:
        return None
    box = _widened(extent)
    points = connection.sql(_POINTS).to_arrow_table()
    step = max(box[2] - box[0], box[3] - box[1]) / _GROUPS_A_SIDE
    others = connection.sql(_OTHERS, params={"step": step}).to_arrow_table().to_pylist()
    data = {
        "box": [round(edge, _POINT_DIGITS) for edge in extent],
        "land": _rings(countries_in(box), _MOST_OUTLINE_BYTES, _OUTLINE_DIGITS),
        "areas": _areas(connection, box),
        "sites": _site_outlines(outlines, cards, box),
        "points": _point_rows(points, words, labels, cards, box),
        "groups": [[*_at(row, box), row["sites"]] for row in others],
        "labels": [visible(words.label(name)) for name in labels],
        "colours": [COLOURS[n % len(COLOURS)] for n in range(len(labels))],
        "statuses": [words.say(f"status_{name}") for name in STATUSES],
        "changes": [words.say(f"change_{name}") for name in (*CHANGES, UNCHANGED)],
        "words": {
            key: words.say(key) for key in ("first_seen", "position", "site", "unproven_badge")
        },
    }
    # In a script element, only "</script" and "<!--" mean anything.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return OnMap(text, _locator(extent, words))


def _locator(extent: Box, words: Language) -> Svg:
    west, south, east, north = extent
    half = max(_LOCATOR_DEGREES, east - west, north - south) / 2
    x, y = (west + east) / 2, (south + north) / 2
    box = (x - half, max(y - half, -85.0), x + half, min(y + half, 85.0))
    scale = _LOCATOR_PX / (2 * half)

    def at(points: Any) -> str:
        pairs = ((scale * (lon - box[0]), scale * (box[3] - lat)) for lat, lon in points)
        return "L".join(f"{right:.1f} {down:.1f}" for right, down in pairs)

    rings = _rings(countries_in(box), _LOCATOR_BYTES, 2)
    land = "".join(f'<path d="M{at(ring)}Z"/>' for ring in rings)
    side = [max(_LEAST_MARK_PX, scale * length) for length in (east - west, north - south)]
    mark = (
        f'<rect x="{scale * (x - box[0]) - side[0] / 2:.1f}" '
        f'y="{scale * (box[3] - y) - side[1] / 2:.1f}" '
        f'width="{side[0]:.1f}" height="{side[1]:.1f}"/>'
    )
    height = scale * (box[3] - box[1])
    return Svg(land + mark, _LOCATOR_PX, height, words.say("map"), "locator")


def _extent(connection: duckdb.DuckDBPyConnection) -> Box | None:
    """The box of all sites: across 180 degrees, if it is smaller there."""
    west, south, east, north, west_0, east_0 = connection.sql(_EXTENT).fetchall()[0]
    if west is None:
        return None
    if east - west > 180 and east_0 - west_0 < east - west:
        west, east = west_0, east_0
    return west, south, east, north


def _widened(extent: Box) -> Box:
    west, south, east, north = extent
    x = max(_LEAST_MARGIN, _MARGIN * (east - west), (north - south) / 2)
    y = max(_LEAST_MARGIN, _MARGIN * (north - south), (east - west) / 4)
    return west - x, max(south - y, -85.0), east + x, min(north + y, 85.0)


def _at(row: Mapping[str, Any], box: Box) -> list[float]:
    """Latitude and longitude, as Leaflet wants them."""
    lon = row["lon"] + 360 if row["lon"] < box[0] else row["lon"]
    return [round(row["lat"], _POINT_DIGITS), round(lon, _POINT_DIGITS)]


def _point_rows(
    points: pa.Table, words: Language, labels: Sequence[str], cards: Mapping[str, int], box: Box
) -> list[list[Any]]:
    """A row a site: latitude, longitude, numbers of label, status and change, whether it is
    proven, when it was first seen, its size, the number of its card (0: it has none)."""
    days: dict[Any, str] = {}
    changes = (*CHANGES, UNCHANGED)
    rows = []
    for row in points.to_pylist():
        day = row["first_detected"].date()
        days.setdefault(day, words.day(day))
        rows.append(
            [
                *_at(row, box),
                labels.index(row["label"]),
                STATUSES.index(row["status"]),
                changes.index(row["change"]),
                int(row["shown"]),
                days[day],
                "" if row["hectares"] is None else words.size(row["hectares"]),
                cards.get(row["site_id"], 0),
            ]
        )
    return rows


def _areas(connection: duckdb.DuckDBPyConnection, box: Box) -> list[list[Any]]:
    """The areas in the box, each with its name and rings; the largest, if there are many."""
    found = connection.sql(_NAMED_AREAS, params={"south": box[1], "north": box[3]}).to_arrow_table()
    shapes = shapely.from_wkb(found["geometry"].to_numpy())
    inside = [
        (name, shapely.clip_by_rect(shape, *box))
        for name, shape in zip(found["name"].to_pylist(), shapes, strict=True)
    ]
    kept = [(name, shape) for name, shape in inside if not shapely.is_empty(shape)]
    kept.sort(key=lambda pair: -pair[1].area)
    kept = kept[:_AREAS]
    most = _MOST_OUTLINE_BYTES // max(len(kept), 1)
    return [[visible(name), _rings([shape], most, 4)] for name, shape in kept]


def _site_outlines(outlines: Mapping[str, bytes], cards: Mapping[str, int], box: Box) -> list[Any]:
    """The rings of the sites that have a card."""
    wkb = [outlines[site] for site in outlines if site in cards]
    shapes = shapely.from_wkb(wkb)
    moved = [
        shapely.transform(s, lambda xy: np.where(xy[:, :1] < box[0], xy + _TURN, xy))
        for s in shapes
    ]
    return _rings(moved, _MOST_OUTLINE_BYTES, _POINT_DIGITS)


def _rings(shapes: Sequence[Any], most_bytes: int, digits: int) -> list[Any]:
    """The rings of polygons as points [latitude, longitude], made simpler until they fit."""
    tolerance = 10.0**-digits
    while True:
        simple = [shapely.simplify(shape, tolerance) for shape in shapes]
        rings = [_points(ring, digits) for shape in simple for ring in _rings_of(shape)]
        if len(json.dumps(rings)) <= most_bytes or tolerance > 1:
            return rings
        tolerance *= 2


def _rings_of(shape: Any) -> list[Any]:
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    return [ring for part in parts for ring in (part.exterior, *part.interiors)]


def _points(ring: Any, digits: int) -> list[list[float]]:
    points: npt.NDArray[np.float64] = shapely.get_coordinates(ring)[:, ::-1]
    found: list[list[float]] = np.round(points, digits).tolist()
    return found
