"""H3 cells: which of them a footprint covers, their outlines, centres and names.

A footprint stands for the cells whose centre is in it: the chips of a cut share its cells without
overlap, and chips of another cut meet the same cells. A footprint without such a centre stands for
the cell that its own centre is in.

Polygons are in WGS 84, longitude before latitude; those that cross 180 degrees are MultiPolygons,
cut there.
"""

from typing import NamedTuple

import h3ronpy
import h3ronpy.vector
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

Cells = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Shapes = npt.NDArray[np.object_]
"""Shapely's polygons; None for what is not a polygon in WGS 84."""

FINEST = 15
"""The resolutions are 0 to this."""

MOST_CELLS = 10_000
"""A footprint with more cells than this is no place."""

CELLS_IN_A_FOOTPRINT = 4
"""At least how many cells the median footprint covers, about."""

_RADIUS_M = 6_371_007.18  # of the sphere with the area of the WGS 84 ellipsoid
_POLYGONS = (3, 6)  # shapely's types Polygon and MultiPolygon
_SLICE = 65_536  # footprints at a time
_WIDE = 90.0  # degrees; h3 reads a polygon over 180 as one that crosses 180 degrees
_WEST = shapely.box(-180, -90, 180, 90)
_EAST = shapely.box(180, -90, 540, 90)


class Covering(NamedTuple):
    """The cells of n footprints.

    Attributes:
        rows: int64 [k], ascending: the footprint.
        cells: uint64 [k]: a cell of it.
        refused: bool [n]: footprints of more than `MOST_CELLS` cells, or that are not polygons in
            WGS 84; they have no cells. Nulls have none either, and are not refused.
    """

    rows: Ints
    cells: Cells
    refused: npt.NDArray[np.bool_]


def cell_area_m2(resolution: int) -> float:
    """The average area of a cell."""
    return float(4 * np.pi * _RADIUS_M**2 / (2 + 120 * 7**resolution))


def choose_resolution(areas_m2: Floats) -> int | None:
    """The coarsest resolution whose cells are at most a quarter of the median footprint; None
    without footprints.

    Args:
        areas_m2: of footprints; NaN for those that are unknown.
    """
    known = areas_m2[np.isfinite(areas_m2)]
    if not len(known):
        return None
    largest = np.median(known) / CELLS_IN_A_FOOTPRINT
    fitting = (n for n in range(FINEST) if cell_area_m2(n) <= largest)
    return next(fitting, FINEST)


def areas_m2(geometry: pa.Array) -> Floats:
    """Area of each footprint on the sphere, float64 [n]; NaN for nulls and what is not a polygon in
    WGS 84.

    Args:
        geometry: binary [n], WKB.
    """
    return _areas_of(_shapes(geometry))


def cells_of(geometry: pa.Array, resolution: int) -> Covering:
    """The cells of each footprint.

    Args:
        geometry: binary [n], WKB of Polygons and MultiPolygons; nulls have no cells.
    """
    starts = range(0, max(1, len(geometry)), _SLICE)
    parts = [_cells_of_slice(geometry.slice(at, _SLICE), resolution) for at in starts]
    rows = [part.rows + at for part, at in zip(parts, starts, strict=True)]
    cells, refused = [part.cells for part in parts], [part.refused for part in parts]
    return Covering(np.concatenate(rows), np.concatenate(cells), np.concatenate(refused))


def cell_names(cells: Cells) -> pa.Array:
    """The names of cells as H3 writes them, such as 8928308280fffff: string [n]."""
    return pa.array(h3ronpy.cells_to_string(pa.array(cells, pa.uint64()))).cast(pa.string())


def cells_named(names: pa.Array) -> Cells:
    """The cells with these names, uint64 [n]: the reverse of `cell_names`."""
    cells: Cells = pa.array(h3ronpy.cells_parse(names)).to_numpy()
    return cells


def cell_centres(cells: Cells) -> Floats:
    """Latitude and longitude of the centre of each cell, float64 [n, 2]."""
    found = pa.record_batch(h3ronpy.vector.cells_to_coordinates(pa.array(cells, pa.uint64())))
    return np.column_stack([found["lat"].to_numpy(), found["lng"].to_numpy()])


def cell_outlines(cells: Cells) -> tuple[pa.Array, Floats]:
    """The outline of each cell, and its bounds.

    Returns:
        WKB, binary [n]: Polygons with a counter-clockwise ring, MultiPolygons where they cross 180
        degrees; a cell with a pole in it reaches along the whole parallel. And west, south, east
        and north, float64 [n, 4]; west is larger than east across 180 degrees.
    """
    numbers = pa.array(cells, pa.uint64())
    outlines = pa.array(h3ronpy.vector.cells_to_wkb_polygons(numbers)).cast(pa.binary())
    corners = pa.record_batch(h3ronpy.vector.cells_bounds_arrays(numbers))
    bounds = np.column_stack([corners[name] for name in ("minx", "miny", "maxx", "maxy")])
    crossing = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > 180)
    if not len(crossing):
        return outlines, bounds
    texts = outlines.to_pylist()
    for row in crossing.tolist():
        shape, bounds[row] = _cut(shapely.get_coordinates(shapely.from_wkb(texts[row])))
        texts[row] = shapely.to_wkb(shape, byte_order=1)
    return pa.array(texts, pa.binary()), bounds


def _shapes(geometry: pa.Array) -> Shapes:
    """The polygons of WKB, None for everything else."""
    shapes = shapely.from_wkb(geometry.to_numpy(zero_copy_only=False), on_invalid="ignore")
    shapes[~np.isin(shapely.get_type_id(shapes), _POLYGONS) | shapely.is_empty(shapes)] = None
    points, owners = shapely.get_coordinates(shapes, return_index=True)
    shapes[owners[~(np.abs(points) <= (180, 90)).all(axis=1)]] = None  # NaN, too
    found: Shapes = shapely.force_2d(shapes)
    return found


def _cells_of_slice(geometry: pa.Array, resolution: int) -> Covering:
    shapes = _shapes(geometry)
    fitting = _about_cells(shapes, resolution) <= MOST_CELLS
    refused = ~fitting & geometry.is_valid().to_numpy(zero_copy_only=False)
    rows, cells = _cells_inside(shapes, np.flatnonzero(fitting), resolution)
    empty = np.setdiff1d(np.flatnonzero(fitting), rows)
    rows = np.append(rows, empty)
    cells = np.append(cells, _centre_cells(shapes[empty], resolution))
    order = np.argsort(rows, kind="stable")
    return Covering(rows[order], cells[order], refused)


def _cells_inside(shapes: Shapes, rows: Ints, resolution: int) -> tuple[Ints, Cells]:
    """Row and cell of the cells whose centre is in the shapes of some rows."""
    bounds = shapely.bounds(shapes[rows]).reshape(-1, 4)
    wide = bounds[:, 2] - bounds[:, 0] > _WIDE
    narrow = [_centres_inside(shapes[rows[~wide]], resolution)]
    strips = [_centres_in_strips(shapes[row], resolution) for row in rows[wide].tolist()]
    counts = [cells.value_lengths().to_numpy() for cells in [*narrow, *strips]]
    found = np.concatenate([cells.flatten().to_numpy() for cells in [*narrow, *strips]])
    return np.repeat(np.append(rows[~wide], rows[wide]), np.concatenate(counts)), found


def _centres_inside(shapes: Shapes, resolution: int) -> pa.ListArray:
    """The cells whose centre is in each shape, if none is wide."""
    geometry = pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary())
    return pa.array(h3ronpy.vector.wkb_to_cells(geometry, resolution))


def _centres_in_strips(shape: shapely.Geometry, resolution: int) -> pa.ListArray:
    """The cells whose centre is in a wide shape, found between meridians: one list."""
    wests = np.arange(-180, 180, _WIDE / 2)
    strips = shapely.box(wests, -90, wests + _WIDE / 2, 90)
    parts = shapely.get_parts(shapely.intersection(shapely.make_valid(shape), strips))
    polygons = parts[np.isin(shapely.get_type_id(parts), _POLYGONS)]
    cells = _centres_inside(polygons, resolution).flatten().unique()
    return pa.ListArray.from_arrays(pa.array([0, len(cells)], pa.int32()), cells)


def _areas_of(shapes: Shapes) -> Floats:
    """Area on the sphere: in a projection that keeps areas."""

    def project(points: Floats) -> Floats:
        lon, lat = np.radians(points).T
        return np.column_stack([lon, np.sin(lat)])

    areas: Floats = shapely.area(shapely.transform(shapes, project)) * _RADIUS_M**2
    return areas


def _about_cells(shapes: Shapes, resolution: int) -> Floats:
    """About how many cells each shape has, or its outline crosses if these are more; NaN for
    None."""
    area = cell_area_m2(resolution)

    def flatten(points: Floats) -> Floats:
        lon, lat = np.radians(points).T
        return np.column_stack([lon * np.cos(lat), lat])

    lengths_m = shapely.length(shapely.transform(shapes, flatten)) * _RADIUS_M
    more: Floats = np.maximum(_areas_of(shapes) / area, lengths_m / np.sqrt(area))
    return more


def _centre_cells(shapes: Shapes, resolution: int) -> Cells:
    """The cell at the centre of the bounds of each shape, uint64 [n]."""
    if not len(shapes):
        return np.empty(0, np.uint64)
    bounds = shapely.bounds(shapes)
    crossing = (bounds[:, 0] == -180) & (bounds[:, 2] == 180)
    bounds[crossing] = shapely.bounds(shapely.transform(shapes[crossing], _eastwards))
    lon, lat = (bounds[:, :2] + bounds[:, 2:]).T / 2
    found = h3ronpy.vector.coordinates_to_cells(pa.array(lat), pa.array(lon), resolution)
    cells: Cells = pa.array(found).to_numpy()
    return cells


def _eastwards(points: Floats) -> Floats:
    """Points with longitudes from 0 to 360 instead of -180 to 180."""
    return points + np.outer(points[:, 0] < 0, (360, 0))


def _cut(ring: Floats) -> tuple[shapely.Geometry, tuple[float, ...]]:
    """A cell that crosses 180 degrees, or has a pole in it; and its bounds."""
    steps = np.diff(ring[:, 0])
    if abs(np.sum((steps + 180) % 360 - 180)) > 180:
        shape = _around_pole(ring)
        return shape, shape.bounds
    east = shapely.Polygon(_eastwards(ring))
    parts = [shapely.intersection(east, _WEST), shapely.intersection(east, _EAST)]
    shifted = shapely.transform(parts[1], lambda points: points - (360, 0))
    shape = shapely.orient_polygons(shapely.MultiPolygon([parts[0], shifted]))
    return shape, (parts[0].bounds[0], shape.bounds[1], shifted.bounds[2], shape.bounds[3])


def _around_pole(ring: Floats) -> shapely.Polygon:
    """A cell with a pole in it: from 180 degrees west to 180 degrees east."""
    points = ring[np.argsort(ring[:-1, 0])]
    (west, below), (east, above) = points[0], points[-1]
    edge = above + (180 - east) / (360 + west - east) * (below - above)
    pole = np.copysign(90.0, edge)
    path = [(-180, edge), *points, (180, edge), (180, pole), (-180, pole)]
    return shapely.orient_polygons(shapely.Polygon(path))
