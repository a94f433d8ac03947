"""Where a GeoTIFF chip is on Earth: its extent by the header, bounding boxes of a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ChipRejected
from pipelines.imaging.geotiff import open_tif, translating_gdal_errors
from pipelines.imaging.tiff_layout import TiffLayout

Bounds = npt.NDArray[np.float64]
Extent = tuple[float, float, float, float]

_WGS84 = "EPSG:4326"
_EDGE_POINTS = 5
"""Points on each edge of a chip that are projected. Between them an edge 10 km long bends by less
than 10 cm; GDAL's usual 21 cost four times as much."""
_POLAR_DEGREES = 89  # near a pole, an edge may reach beyond its projected points


@dataclass(frozen=True)
class Place:
    """The extent of a chip in its coordinate system.

    Attributes:
        crs: its coordinate system (a rasterio CRS; one object for all chips of a system).
        extent: west, south, east, north in that system.
    """

    crs: Any
    extent: Extent


def read_place(data: bytes, layout: TiffLayout) -> Place | None:
    """The place of a GeoTIFF; None if the file has none.

    Raises:
        ChipRejected: GDAL is needed to read the place, and fails.
    """
    if not layout.crs_tags:
        return None
    if layout.extent is not None:
        crs = _read_crs(_TifOfCrs(layout.crs_tags, data))
        return None if crs is None else Place(crs, layout.extent)
    with open_tif(data) as source:
        if source.crs is None or source.transform.is_identity:
            return None
        return Place(source.crs, tuple(source.bounds))


def bounds_of(places: Sequence[Place | None]) -> Bounds:
    """`float64 [n, 4]`: west, south, east, north of each chip in WGS 84 degrees; NaN for a
    chip without a place on Earth. West is greater than east if it crosses the 180th meridian.
    """
    bounds = np.full((len(places), 4), np.nan)
    rows_of_crs: dict[int, list[int]] = {}
    for row, place in enumerate(places):
        if place is not None:
            rows_of_crs.setdefault(id(place.crs), []).append(row)
    for rows in rows_of_crs.values():
        found = [place for row in rows if (place := places[row]) is not None]
        bounds[rows] = _project(found[0].crs, np.array([place.extent for place in found]))
    return bounds


@dataclass(frozen=True)
class _TifOfCrs:
    """A tif, compared by its coordinate system only: a cache key."""

    crs_tags: tuple[tuple[float, ...], ...]
    data: bytes = field(compare=False)


@lru_cache(maxsize=16)
def _read_crs(tif: _TifOfCrs) -> Any:
    """The coordinate system, or None. It is cached: opening a chip with GDAL takes longer than all
    the rest, and an archive has few systems."""
    with open_tif(tif.data) as source:
        return source.crs


def _project(crs: Any, extents: Bounds) -> Bounds:
    """Bounding boxes `float64 [n, 4]` in degrees of extents `[n, 4]` in one coordinate system."""
    try:
        degrees = _to_degrees(crs, *_outlines(extents))
    except ChipRejected:
        degrees = np.full((len(extents), 2, 1), np.nan)
    west, south = degrees.min(2).T
    east, north = degrees.max(2).T
    bounds = np.stack([west, south, east, north], 1)
    polar = (np.abs(bounds[:, [1, 3]]) > _POLAR_DEGREES).any(1)
    with np.errstate(invalid="ignore"):  # infinity less infinity, off the Earth
        plain = np.isfinite(bounds).all(1) & (east - west < 180) & ~polar
    for row in np.flatnonzero(~plain):
        bounds[row] = _project_alone(crs, extents[row])
    return bounds


def _outlines(extents: Bounds) -> tuple[Bounds, Bounds]:
    """x and y `[n, points]` of points along the edges."""
    across, up = _outline()
    west, south, east, north = (column[:, None] for column in extents.T)
    return west + across * (east - west), south + up * (north - south)


@cache
def _outline() -> tuple[Bounds, Bounds]:
    """Points along the edges of the unit square."""
    across, up = np.meshgrid(*2 * [np.linspace(0, 1, _EDGE_POINTS)])
    edge = (across % 1 == 0) | (up % 1 == 0)
    return across[edge], up[edge]


def _to_degrees(crs: Any, x: Bounds, y: Bounds) -> Bounds:
    """Longitudes and latitudes `[n, 2, points]`; infinite where a point is not on Earth."""
    from rasterio.warp import transform

    with translating_gdal_errors():
        longitudes, latitudes = transform(crs, _WGS84, x.ravel(), y.ravel())[:2]
    return np.stack([np.reshape(longitudes, x.shape), np.reshape(latitudes, x.shape)], 1)


def _project_alone(crs: Any, extent: Bounds) -> Bounds:
    """One chip by GDAL's own method, which handles the poles and the 180th meridian."""
    from rasterio.warp import transform_bounds

    try:
        with translating_gdal_errors():
            found = np.array(transform_bounds(crs, _WGS84, *extent))
    except ChipRejected:
        return np.full(4, np.nan)
    return found if np.isfinite(found).all() else np.full(4, np.nan)
