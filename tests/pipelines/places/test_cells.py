"""Cells of footprints, against the package h3 and shapely."""

import math
import struct

import h3
import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from pipelines.places.cells import (
    MOST_CELLS,
    areas_m2,
    cell_area_m2,
    cell_centres,
    cell_names,
    cell_outlines,
    cells_named,
    cells_of,
    choose_resolution,
)

BOX_768_M = shapely.box(-60, -3, -60 + 0.00691, -3 + 0.00695)


def wkb(*shapes: shapely.Geometry | None) -> pa.Array:
    return pa.array(
        [None if each is None else shapely.to_wkb(each) for each in shapes], pa.binary()
    )


def names_of(shape: shapely.Geometry, resolution: int) -> list[str]:
    cells = cells_of(wkb(shape), resolution).cells
    return sorted(cell_names(cells).to_pylist())


def numbers(*names: str) -> np.ndarray:
    return np.array([h3.str_to_int(name) for name in names], np.uint64)


def centres_inside(shape: shapely.Geometry, resolution: int, shift: float = 0) -> set[str]:
    """The cells whose centre is in a shape, by looking at each cell near it. With a shift, the
    shape's longitudes are those of its place plus the shift, from 0 to 360."""
    west, south, east, north = shape.bounds
    middle = (south + north) / 2, (west + east) / 2 - shift
    first = h3.latlng_to_cell(*middle, resolution)
    radius = max(
        h3.great_circle_distance(middle, (lat, lon - shift), unit="m")
        for lat in (south, middle[0], north)
        for lon in (west, middle[1], east)
    )
    steps = int(radius / math.sqrt(h3.average_hexagon_area(resolution, "m^2"))) * 2 + 3
    found = set()
    for cell in h3.grid_disk(first, steps):
        lat, lon = h3.cell_to_latlng(cell)
        if shift:
            lon = (lon + shift) % 360
        if shapely.contains_xy(shape, lon, lat):
            found.add(cell)
    return found


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[shapely.Polygon], int]:
    """Neighbouring chips of one scene, rotated and of any size; and a resolution."""
    resolution = draw(st.integers(6, 10))
    side_m = math.sqrt(cell_area_m2(resolution)) * draw(st.floats(0.5, 4))
    lon, lat = draw(st.floats(-170, 170)), draw(st.floats(-75, 75))
    angle = draw(st.floats(0, 2 * math.pi))
    stretch = draw(st.floats(0.5, 2))
    columns, rows = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    x, y = np.meshgrid(np.arange(columns + 1) * side_m * stretch, np.arange(rows + 1) * side_m)
    lons = lon + (x * math.cos(angle) - y * math.sin(angle)) / 111_320 / math.cos(math.radians(lat))
    lats = lat + (x * math.sin(angle) + y * math.cos(angle)) / 111_320
    corners = np.stack([lons, lats], axis=-1)
    chips = [
        shapely.Polygon(
            [corners[j, i], corners[j, i + 1], corners[j + 1, i + 1], corners[j + 1, i]]
        )
        for j in range(rows)
        for i in range(columns)
    ]
    return chips, resolution


@given(cuts())
def test_the_chips_of_any_cut_share_its_cells_and_each_cell_is_in_one_chip(
    cut: tuple[list[shapely.Polygon], int],
) -> None:
    chips, resolution = cut
    found = cells_of(wkb(*chips), resolution)
    by_centre = [centres_inside(chip, resolution) for chip in chips]
    assert not found.refused.any()
    for row, (chip, expected) in enumerate(zip(chips, by_centre, strict=True)):
        names = cell_names(found.cells[found.rows == row]).to_pylist()
        middle = (np.array(chip.bounds[:2]) + chip.bounds[2:]) / 2
        assert len(names) == len(set(names))
        assert set(names) == expected or (
            not expected and names == [h3.latlng_to_cell(middle[1], middle[0], resolution)]
        )
    assert sum(map(len, by_centre)) == len(set().union(*by_centre))


@given(st.floats(0, 0.01), st.floats(0, 0.01), st.floats(0.004, 0.02))
def test_chips_cut_at_another_origin_and_size_meet_the_same_cells(
    east: float, north: float, side: float
) -> None:
    scene = shapely.box(-60.05, -3.05, -60, -3)

    def cells_inside(origin: tuple[float, float], side: float) -> set[int]:
        """The cells of the chips that touch the scene, without those outside of it."""
        west, south = np.meshgrid(
            np.arange(origin[0] - 0.04, -59.98, side), np.arange(origin[1] - 0.04, -2.98, side)
        )
        chips = shapely.box(west.ravel(), south.ravel(), west.ravel() + side, south.ravel() + side)
        found = cells_of(pa.array(shapely.to_wkb(chips), pa.binary()), 9).cells
        assert len(np.unique(found)) == len(found)
        lat, lon = cell_centres(found).T
        return set(found[shapely.contains_xy(scene, lon, lat)].tolist())

    first = cells_inside((-60.05, -3.05), 0.007)
    assert first == {h3.str_to_int(cell) for cell in centres_inside(scene, 9)}
    assert cells_inside((-60.05 - east, -3.05 - north), side) == first


@given(st.floats(-80, 80).map(lambda lat: round(lat, 6)), st.floats(179.98, 180), st.integers(7, 9))
def test_chips_across_180_degrees_have_their_cells_on_both_sides(
    south: float, west: float, resolution: int
) -> None:
    side = 0.02
    whole = [
        shapely.box(west + n * side, south, west + (n + 1) * side, south + side) for n in (0, 1)
    ]
    chips = [_cut_at_180(each) for each in whole]
    found = cells_of(wkb(*chips), resolution)
    for row, shape in enumerate(whole):
        middle = south + side / 2, west + (row + 0.5) * side - 360
        expected = centres_inside(shape, resolution, shift=360)
        expected = expected or {h3.latlng_to_cell(*middle, resolution)}
        assert set(cell_names(found.cells[found.rows == row]).to_pylist()) == expected


def _cut_at_180(shape: shapely.Polygon) -> shapely.Geometry:
    east = shapely.intersection(shape, shapely.box(180, -90, 540, 90))
    west = shapely.intersection(shape, shapely.box(-180, -90, 180, 90))
    parts = [*([west] if west.area else []), shapely.affinity.translate(east, -360)]
    parts = [part for part in parts if part.area]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


@pytest.mark.parametrize("sign", [1, -1])
def test_chips_around_a_pole_share_its_cells(sign: int) -> None:
    def strip(west: float, east: float, lowest: float) -> shapely.Polygon:
        south, north = sorted((sign * lowest, sign * 90))
        return shapely.box(west, south, east, north)

    chips = [strip(west, west + 60, 89.8) for west in range(-180, 180, 60)]
    found = cells_of(wkb(*chips), 6).cells
    disk = h3.grid_disk(h3.latlng_to_cell(sign * 90, 0, 6), 20)
    expected = {cell for cell in disk if sign * h3.cell_to_latlng(cell)[0] > 89.8}
    assert sorted(cell_names(found).to_pylist()) == sorted(expected)
    assert names_of(strip(-180, 180, 89.8), 6) == sorted(expected)
    ring = strip(-180, 180, 89.8) - strip(-180, 180, 89.9)
    inner = {cell for cell in expected if sign * h3.cell_to_latlng(cell)[0] > 89.9}
    assert set(names_of(ring, 6)) == expected - inner


def test_a_hole_has_no_cells() -> None:
    outer = shapely.box(-60, -3, -59.9, -2.9)
    hole = shapely.box(-59.98, -2.98, -59.92, -2.92)
    with_hole = shapely.difference(outer, hole)
    assert set(names_of(with_hole, 8)) == centres_inside(with_hole, 8)
    assert set(names_of(with_hole, 8)) < set(names_of(outer, 8))


def test_a_chip_smaller_than_a_cell_is_the_cell_of_its_centre() -> None:
    tiny = shapely.box(-60, -3, -59.9999, -2.9999)
    assert names_of(tiny, 7) == [h3.latlng_to_cell(-2.99995, -59.99995, 7)]
    point = shapely.Polygon([(-60, -3)] * 4)
    assert names_of(point, 9) == [h3.latlng_to_cell(-3, -60, 9)]


def test_what_has_no_polygon_or_too_many_cells_has_no_cells() -> None:
    large = shapely.box(-60, -3, -59, -2)  # 12,000 square kilometres
    long = shapely.Polygon([(-60, -3), (0, 3), (0, 3.0000001), (-60, -2.9999999)])
    values = [
        *wkb(large, long, BOX_768_M, None, shapely.Point(1, 1), shapely.box(179, 0, 181, 1)),
        *map(pa.scalar, (b"", b"\x01", b"not a polygon at all, but long enough", b"\xff" * 93)),
        pa.scalar(shapely.to_wkb(BOX_768_M)[:-1]),
        pa.scalar(_wkb_of((0, 0), (0, math.nan), (1, 1), (0, 0))),
        pa.scalar(_wkb_of((0, 0), (0, 1), (1, 1), (1, 0))),  # not closed
        pa.scalar(shapely.to_wkb(shapely.Polygon())),
    ]
    found = cells_of(pa.array([each.as_py() for each in values], pa.binary()), 9)
    assert found.refused.tolist() == [True, True, False, False, *[True] * 10]
    assert set(found.rows.tolist()) == {2}
    assert large.area * 111_000**2 / cell_area_m2(9) > MOST_CELLS


def _wkb_of(*points: tuple[float, float]) -> bytes:
    """A polygon of any ring."""
    head = struct.pack("<BIII", 1, 3, 1, len(points))
    return head + np.array(points, "<f8").tobytes()


def test_big_endian_wkb_and_heights_are_read_too() -> None:
    high = shapely.force_3d(BOX_768_M, 100)
    texts = [shapely.to_wkb(each, byte_order=n) for each in (BOX_768_M, high) for n in (0, 1)]
    found = cells_of(pa.array(texts, pa.binary()), 9)
    assert len({tuple(found.cells[found.rows == row]) for row in range(4)}) == 1
    assert len(found.cells) == 4 * len(names_of(BOX_768_M, 9)) > 0


def test_nothing_has_no_cells() -> None:
    assert [len(part) for part in cells_of(pa.array([], pa.binary()), 9)] == [0, 0, 0]
    assert [len(part) for part in cells_of(wkb(None, None), 9)] == [0, 0, 2]
    assert cell_outlines(np.empty(0, np.uint64))[1].shape == (0, 4)


def test_slices_and_chunks_give_the_same_cells() -> None:
    boxes = wkb(None, *(shapely.box(x, 0, x + 0.01, 0.01) for x in np.arange(0, 1, 0.01)))
    whole = cells_of(boxes, 8)
    part = cells_of(boxes.slice(40, 10), 8)
    chosen = (whole.rows >= 40) & (whole.rows < 50)
    assert part.rows.tolist() == (whole.rows[chosen] - 40).tolist()
    assert part.cells.tolist() == whole.cells[chosen].tolist()


# ------------------------------------------------------------------------------- resolution


def test_chips_of_768_m_have_cells_of_resolution_9() -> None:
    assert choose_resolution(np.array([768.0**2])) == 9


@given(st.lists(st.floats(1e-3, 1e14), min_size=1))
def test_the_resolution_is_the_coarsest_with_cells_of_at_most_a_quarter_of_the_median_footprint(
    areas: list[float],
) -> None:
    chosen = choose_resolution(np.array([*areas, np.nan]))
    quarter = np.median(areas) / 4
    fits = [n for n in range(16) if 4 * math.pi * 6_371_007.18**2 / h3.get_num_cells(n) <= quarter]
    assert chosen == (fits[0] if fits else 15)


def test_without_footprints_there_is_no_resolution() -> None:
    assert choose_resolution(np.array([])) is None
    assert choose_resolution(np.array([np.nan])) is None


@given(st.floats(-179, 178), st.floats(-85, 84), st.floats(0.001, 1), st.floats(0.001, 1))
def test_the_area_of_a_footprint_is_that_on_the_ellipsoid_within_a_hundredth(
    west: float, south: float, width: float, height: float
) -> None:
    box = shapely.box(west, south, west + width, south + height)
    hole = shapely.affinity.scale(box, 0.5, 0.5)
    other = shapely.affinity.translate(hole, -3 * width)
    if other.bounds[0] < -180:
        other = hole
    shapes = [box, box - hole, shapely.MultiPolygon([box - hole, other])]
    expected = [
        Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(each, 0.01))[0]
        for each in map(shapely.normalize, shapes)
    ]
    assert areas_m2(wkb(*shapes)) == pytest.approx(np.abs(expected), rel=0.01)


def test_what_is_not_a_polygon_has_no_area() -> None:
    assert np.isnan(areas_m2(wkb(None, shapely.Point(1, 1)))).all()


# ----------------------------------------------------------------------------------- outlines


@pytest.mark.parametrize("resolution", [0, 1, 2])
def test_the_outlines_of_all_cells_cover_the_earth_once(resolution: int) -> None:
    names = [
        child for cell in h3.get_res0_cells() for child in h3.cell_to_children(cell, resolution)
    ]
    outlines, boxes = cell_outlines(numbers(*names))
    shapes = shapely.from_wkb(outlines.to_numpy(zero_copy_only=False))
    assert shapely.is_valid(shapes).all()
    assert shapely.area(shapes).sum() == pytest.approx(360 * 180)
    assert shapely.area(shapely.union_all(shapes)) == pytest.approx(360 * 180)
    parts = shapely.get_parts(shapes)
    assert shapely.is_ccw(shapely.get_exterior_ring(parts)).all()
    crossing = boxes[:, 0] > boxes[:, 2]
    assert (crossing == (shapely.get_type_id(shapes) == 6)).all()
    assert crossing.any()
    assert (boxes[~crossing] == shapely.bounds(shapes[~crossing])).all()
    for shape, box in zip(shapes[crossing], boxes[crossing], strict=True):
        bounds = shapely.bounds(shape.geoms)
        assert sorted(bounds[:, 0]) == [-180, box[0]]
        assert sorted(bounds[:, 2]) == [box[2], 180]
        assert (box[1], box[3]) == (shape.bounds[1], shape.bounds[3])


@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 15))
def test_a_cell_has_the_outline_centre_and_name_that_h3_gives_it(
    lat: float, lon: float, resolution: int
) -> None:
    name = h3.latlng_to_cell(lat, lon, resolution)
    cells = numbers(name)
    (centre,) = cell_centres(cells).tolist()
    assert centre == pytest.approx(h3.cell_to_latlng(name))
    assert cell_names(cells).to_pylist() == [name]
    assert cells_named(pa.array([name])).tolist() == cells.tolist()
    outlines, boxes = cell_outlines(cells)
    shape = shapely.from_wkb(outlines[0].as_py())
    corners = [(lon, lat) for lat, lon in h3.cell_to_boundary(name)]
    if boxes[0, 2] - boxes[0, 0] < 180 and boxes[0, 0] < boxes[0, 2]:
        assert np.allclose(shape.bounds, shapely.Polygon(corners).bounds, atol=1e-9)
    found = shapely.get_coordinates(shape)
    for east, north in corners:
        along = (np.abs(found[:, 0] - east) + 180) % 360 - 180
        away = np.hypot(along * math.cos(math.radians(north)), found[:, 1] - north)
        assert away.min() < 1e-7  # 1 cm; longitudes are less exact at the poles
