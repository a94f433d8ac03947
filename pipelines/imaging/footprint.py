"""Where GeoTIFF chips are on Earth: bounding boxes and outlines of a whole batch, in WGS 84."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ChipRejected
from pipelines.imaging.geotiff import open_tif, translating_gdal_errors
from pipelines.imaging.tiff_layout import TiffLayout
from pipelines.imaging.tiff_position import CrsTags, Position, Transform, tif_of_crs

Bounds = npt.NDArray[np.float64]
"""`[n, 4]`: west, south, east, north."""
Rings = npt.NDArray[np.float64]
"""`[n, 4, 2]`: x and y, or longitude and latitude, of the corners of the first row's first and last
pixel, then of the last row's last and first pixel."""

_WGS84 = "EPSG:4326"
_EDGE_POINTS, _MORE_EDGE_POINTS, _WIDE_DEGREES = 5, 23, 0.05
"""Points on each edge of a chip that are projected. Between 5 an edge of 0.05 degrees bends by less
than 5 cm; those of wide chips have 23, as GDAL's, which cost four times as much."""
_RIGHT, _DOWN = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])  # the corners of `Rings`
_POLAR_DEGREES = 89  # near a pole, an edge may reach beyond its projected points


@dataclass(frozen=True)
class Place:
    """The pixel grid of a chip in its coordinate system.

    Attributes:
        crs: its coordinate system (a rasterio CRS; one object for all chips of a system).
        transform: from pixels to that system.
        width_px, height_px: size of the grid.
    """

    crs: Any
    transform: Transform
    width_px: int
    height_px: int


def read_place(layout: TiffLayout) -> Place | None:
    """The place of a GeoTIFF; None if it has none, or none that GDAL can read.

    Ground points are replaced by the transform that fits them best, as rasterio's `from_gcps` does.
    """
    return place_of(layout.position, layout.width_px, layout.height_px)


def place_of(position: Position | None, width_px: int, height_px: int) -> Place | None:
    """The place of a grid of pixels, as `read_place` returns it."""
    if position is None:
        return None
    crs, transform = _read_crs(position.crs_tags), position.transform or _fit(position)
    if crs is None or transform is None:
        return None
    a, b, _, d, e, _ = transform
    if a * e == b * d:  # a line
        return None
    return Place(crs, transform, width_px, height_px)


def bounds_of(places: Sequence[Place | None]) -> Bounds:
    """The bounding boxes of `footprints_of`."""
    return footprints_of(places)[0]


def footprints_of(places: Sequence[Place | None]) -> tuple[Bounds, Rings]:
    """Bounding boxes `[n, 4]` and outlines `[n, 4, 2]` of chips in WGS 84 degrees; NaN for a chip
    without a place on Earth.

    A box is that of the grid's box in its own system, as for rasterio: of a rotated chip, it is
    larger than the outline's. West is greater than east if it crosses the 180th meridian.

    An outline has the four corners of the pixel grid, so that of a rotated chip is rotated. Its
    westernmost longitude is between -180 and 180, and the others follow without a jump: across the
    180th meridian they go on to 180.1. It is NaN for a chip that contains a pole, or is 180 degrees
    wide or more: no four corners describe it.
    """
    bounds, rings = np.full((len(places), 4), np.nan), np.full((len(places), 4, 2), np.nan)
    rows_of_crs: dict[int, list[int]] = {}
    for row, place in enumerate(places):
        if place is not None:
            rows_of_crs.setdefault(id(place.crs), []).append(row)
    for rows in rows_of_crs.values():
        found = [place for row in rows if (place := places[row]) is not None]
        bounds[rows], rings[rows] = _project(found[0].crs, _corners(found))
    return bounds, rings


def footprints_of_windows(place: Place, windows: npt.NDArray[np.int64]) -> tuple[Bounds, Rings]:
    """Bounding boxes and outlines of windows of a scene, as `footprints_of` returns them.

    Args:
        place: the scene's.
        windows: `[n, 4]`: x, y, width and height in its pixels; they may reach out of it.
    """
    return _project(place.crs, _corners_of_windows(place.transform, windows))


@lru_cache(maxsize=256)
def _read_crs(crs_tags: CrsTags) -> Any:
    """The coordinate system, or None. It is cached: asking GDAL takes longer than all the rest, and
    an archive has few systems."""
    try:
        with open_tif(tif_of_crs(crs_tags)) as source:
            return source.crs
    except (ChipRejected, struct.error):
        return None


def _fit(position: Position) -> Transform | None:
    """The transform that fits ground points best; None if none does."""
    from rasterio.control import GroundControlPoint
    from rasterio.transform import from_gcps

    points = [
        GroundControlPoint(row, column, x, y, id="") for column, row, x, y in position.ground_points
    ]
    try:
        with translating_gdal_errors():
            fitted: Transform = tuple(from_gcps(points))[:6]
    except ChipRejected:
        return None
    return fitted


def _corners(places: list[Place]) -> Rings:
    """The corners of pixel grids in their system."""
    grids = np.array([(*place.transform, place.width_px, place.height_px) for place in places])
    a, b, c, d, e, f, width, height = grids.T[..., None]
    right, down = width * _RIGHT, height * _DOWN
    return np.stack([a * right + b * down + c, d * right + e * down + f], 2)


def _corners_of_windows(transform: Transform, windows: npt.NDArray[np.int64]) -> Rings:
    """The corners of windows `[n, 4]` of one pixel grid in its system."""
    a, b, c, d, e, f = transform
    left, top, width, height = windows.T[..., None]
    right, down = left + width * _RIGHT, top + height * _DOWN
    return np.stack([a * right + b * down + c, d * right + e * down + f], 2)


def _project(crs: Any, corners: Rings) -> tuple[Bounds, Rings]:
    """Bounding boxes and outlines in degrees of pixel grids in one coordinate system."""
    extents = np.hstack([corners.min(1), corners.max(1)])
    degrees = _to_degrees(crs, _edges(extents, _EDGE_POINTS))
    bounds = np.hstack([degrees.min(1), degrees.max(1)])
    polar = (np.abs(bounds[:, [1, 3]]) > _POLAR_DEGREES).any(1)
    with np.errstate(invalid="ignore"):  # infinity less infinity, off the Earth
        plain = np.isfinite(bounds).all(1) & (bounds[:, 2] - bounds[:, 0] < 180) & ~polar
        wide = plain & (bounds[:, 2:] - bounds[:, :2] > _WIDE_DEGREES).any(1)
    if wide.any():
        finer = _to_degrees(crs, _edges(extents[wide], _MORE_EDGE_POINTS))
        bounds[wide] = np.hstack([finer.min(1), finer.max(1)])
    for row in np.flatnonzero(~plain):
        bounds[row] = _project_alone(crs, extents[row])
    bounds = _wrap(bounds)
    rings, tilted = _corners_of_edges(corners, extents, degrees)
    if tilted.any():
        rings[tilted] = _to_degrees(crs, corners[tilted])
    return bounds, _unwrap(rings, bounds)


def _edges(extents: Bounds, on_edge: int) -> Rings:
    """Points `[n, points, 2]` along the edges of boxes, `on_edge` on each."""
    low, high = extents[:, None, :2], extents[:, None, 2:]
    with np.errstate(invalid="ignore"):  # a hostile place is infinite
        points: Rings = low + _unit_edges(on_edge) * (high - low)
    return points


@cache
def _unit_edges(on_edge: int) -> Rings:
    """Points `[points, 2]` along the edges of the unit square, row by row."""
    points = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, on_edge)]), 2).reshape(-1, 2)
    edges: Rings = points[(points % 1 == 0).any(1)]
    return edges


def _corners_of_edges(
    corners: Rings, extents: Bounds, points: Rings
) -> tuple[Rings, npt.NDArray[np.bool_]]:
    """The corners among the points along the edges of their boxes, and which grids are tilted: have
    their corners elsewhere."""
    high = corners == extents[:, None, 2:]
    tilted = ~(high | (corners == extents[:, None, :2])).all((1, 2))
    index = np.flatnonzero((_unit_edges(_EDGE_POINTS) % 1 == 0).all(1)).reshape(
        2, 2
    )  # by north, east
    at = index[high[..., 1].astype(int), high[..., 0].astype(int)]
    return np.take_along_axis(points, at[..., None], 1), tilted


def _to_degrees(crs: Any, points: Rings) -> Rings:
    """Longitudes and latitudes `[n, points, 2]`; not finite where a point is not on Earth."""
    from rasterio.warp import transform

    x, y = points[..., 0].ravel(), points[..., 1].ravel()
    try:
        with translating_gdal_errors():
            degrees = np.transpose(transform(crs, _WGS84, x, y)[:2])
    except ChipRejected:  # a single chip can be the cause
        if len(points) == 1:
            return np.full(points.shape, np.nan)
        return np.concatenate([_to_degrees(crs, half) for half in np.array_split(points, 2)])
    return degrees.reshape(points.shape)


def _project_alone(crs: Any, extent: Bounds) -> Bounds:
    """One chip by GDAL's own method, which handles the poles and the 180th meridian."""
    from rasterio.warp import transform_bounds

    try:
        with translating_gdal_errors():
            found = np.array(transform_bounds(crs, _WGS84, *extent))
    except ChipRejected:
        return np.full(4, np.nan)
    return found if np.isfinite(found).all() else np.full(4, np.nan)


def _wrap(bounds: Bounds) -> Bounds:
    """Longitudes from -180 to 180 of grids whose own run to 360, and latitudes that end at the
    poles, though a row of pixels reaches over them."""
    west, south, east, north = bounds.T
    turns = np.where(np.abs([west, east]).max(0) > 180, np.floor((west + 180) / 360), 0)
    west, east = west - 360 * turns, east - 360 * turns
    whole, across = east - west >= 360, east > 180
    west, east = np.where(whole, -180, west), np.where(whole, 180, east - 360 * across)
    wrapped = np.stack([west, np.maximum(south, -90), east, np.minimum(north, 90)], 1)
    wrapped[(np.abs(turns) > 1) | (south > 90) | (north < -90)] = np.nan
    return wrapped


def _unwrap(rings: Rings, bounds: Bounds) -> Rings:
    """Outlines without jumps in longitude, NaN if unknown: see `footprints_of`."""
    longitudes = rings[..., 0]
    with np.errstate(invalid="ignore"):
        turns = np.round(np.diff(longitudes, append=longitudes[:, :1]) / 360)
        longitudes = longitudes - 360 * (np.cumsum(turns, 1) - turns)
        longitudes -= 360 * np.floor((longitudes.min(1, keepdims=True) + 180) / 360)
    rings = np.stack([longitudes, np.clip(rings[..., 1], -90, 90)], 2)
    width = bounds[:, 2] - bounds[:, 0]
    narrow = (width + 360 * (width < 0) < 180) & (turns.sum(1) == 0)
    rings[~narrow | ~np.isfinite(rings).all((1, 2))] = np.nan
    return rings
