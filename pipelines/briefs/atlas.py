"""Outlines of countries around the data, from world-atlas (Natural Earth, 1:50 million).

The file is TopoJSON: borders are shared arcs of differences between quantised points. Its rings
go on across 180 degrees without a cut, and that of Antarctica goes around the pole.
"""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

Shapes = npt.NDArray[np.object_]
Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; east is over 180 if the box crosses the 180th meridian."""


def countries_in(box: Box) -> list[Any]:
    """Polygons and multipolygons of the land in a box, in degrees; longitudes continue beyond
    180, as those of the box do."""
    west, south, east, north = box
    parts = []
    for turn in (-360, 0, 360):
        clipped = shapely.clip_by_rect(_countries(), west - turn, south, east - turn, north)
        clipped = clipped[~shapely.is_empty(clipped)]
        parts += shapely.transform(clipped, lambda xy, turn=turn: xy + np.array([turn, 0])).tolist()
    return parts


@cache
def _countries() -> Shapes:
    """All countries."""
    text = files("pipelines.briefs").joinpath("vendor", "countries-50m.json").read_text("utf-8")
    atlas = json.loads(text)
    scale, origin = (np.array(atlas["transform"][name]) for name in ("scale", "translate"))
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + origin for arc in atlas["arcs"]]
    shapes = [_shape(each, arcs) for each in atlas["objects"]["countries"]["geometries"]]
    found: Shapes = shapely.make_valid(np.array(shapes, object))
    return found


def _shape(country: dict[str, Any], arcs: list[npt.NDArray[np.float64]]) -> Any:
    polygons = country["arcs"] if country["type"] == "MultiPolygon" else [country["arcs"]]
    made = [[_ring(ring, arcs) for ring in polygon] for polygon in polygons]
    return shapely.multipolygons([shapely.Polygon(outer, holes) for outer, *holes in made])


def _ring(numbers: Iterable[int], arcs: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The points of a ring: arcs, each of which begins where the one before ends. Arc ~n is arc n
    backwards. Longitudes may continue beyond 180."""
    points = [arcs[n] if n >= 0 else arcs[~n][::-1] for n in numbers]
    ring = np.concatenate([points[0], *(each[1:] for each in points[1:])])
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    if abs(ring[-1, 0] - ring[0, 0]) > 180:
        ring = np.concatenate([ring, [(ring[-1, 0], -90), (ring[0, 0], -90)]])
    return ring
