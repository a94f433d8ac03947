"""Footprints as GeoParquet columns, compared with what shapely makes of the same boxes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tables.geometry import (
    Floats,
    arrange,
    bounds_of,
    cover,
    curve_positions,
    map_order,
    rings_of_bounds,
    with_geometry,
    without_folds,
    wkb_of_rings,
)
from schemas.chip_columns import BOUNDS
from schemas.render import file_schema
from schemas.tables import QUARANTINE

EDGES = ("xmin", "ymin", "xmax", "ymax")
NAN = float("nan")

longitudes = st.one_of(st.sampled_from([-180.0, 180.0, 0.0, 1e-9]), st.floats(-180, 180))
latitudes = st.one_of(st.sampled_from([-90.0, 90.0, 0.0]), st.floats(-90, 90))


def rows_of(*boxes: tuple[float, float, float, float] | None) -> pa.Table:
    """Rows of `quarantine` with these bounding boxes, west, south, east, north."""
    rows = [
        {"chip_uri": f"/{n}", **(dict(zip(BOUNDS, box, strict=True)) if box else {})}
        for n, box in enumerate(boxes)
    ]
    return pa.Table.from_pylist(rows, file_schema(QUARANTINE))


def shapes_of(rows: pa.Table) -> list[shapely.Geometry | None]:
    return [shapely.from_wkb(wkb) if wkb else None for wkb in rows["geometry"].to_pylist()]


def boxes_of(bounds: tuple[float, ...]) -> shapely.Geometry:
    """The same box by shapely, cut at 180 degrees."""
    west, south, east, north = bounds
    if west <= east:
        return shapely.box(*bounds)
    parts = shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
    return shapely.union_all(parts)


def test_a_box_becomes_its_polygon_counter_clockwise_and_its_bbox() -> None:
    rows = with_geometry(rows_of((-55.25, -6.05, -55.24, -6.04), None))
    shape, nothing = shapes_of(rows)
    assert shape.wkt == "POLYGON ((-55.25 -6.05, -55.24 -6.05, -55.24 -6.04, -55.25 -6.04, " + (
        "-55.25 -6.05))"
    )
    assert nothing is None
    box = {"xmin": -55.25, "ymin": -6.05, "xmax": -55.24, "ymax": -6.04}
    assert rows["bbox"].to_pylist() == [box, None]
    assert rows.schema == file_schema(QUARANTINE)


def test_a_box_across_the_180th_meridian_is_cut_there() -> None:
    rows = with_geometry(rows_of((179, -17, -179, -16), (0, 0, 1, 1)))
    shape = shapes_of(rows)[0]
    assert shape.geom_type == "MultiPolygon"
    assert [part.bounds for part in shape.geoms] == [(179, -17, 180, -16), (-180, -17, -179, -16)]
    assert all(part.exterior.is_ccw for part in shape.geoms)
    box = rows["bbox"][0].as_py()
    assert (box["xmin"], box["xmax"]) == (179, pytest.approx(-179, abs=1e-11))
    assert box["xmax"] >= -179


def test_a_given_footprint_stays_and_has_the_bbox_of_the_row() -> None:
    rows = rows_of((0, 0, 2, 2), (5, 5, 6, 6))
    diamond = shapely.Polygon([(1, 0), (2, 1), (1, 2), (0, 1)])
    at = rows.schema.get_field_index("geometry")
    given_wkb = pa.array([shapely.to_wkb(diamond), None], pa.binary())
    shapes = shapes_of(found := with_geometry(rows.set_column(at, "geometry", given_wkb)))
    assert shapes[0] == diamond
    assert shapes[1].equals(shapely.box(5, 5, 6, 6))
    assert [*found["bbox"].to_pylist()[0].values()] == [0, 0, 2, 2]


def test_rows_that_have_both_keep_them_to_the_last_bit() -> None:
    rows = with_geometry(
        rows_of((179.995, -17, -179.995, -16.99), (5, 5, 5, 6), None, (1, 2, 3, 4))
    )
    assert with_geometry(rows) == rows
    some = pa.concat_tables([rows, rows_of((7, 7, 8, 8))])
    assert with_geometry(some).slice(0, 4) == rows
    assert with_geometry(some)["bbox"][4].as_py() == dict(zip(EDGES, (7, 7, 8, 8), strict=True))


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 0), (180, 5, 180, 6), (3, 90, 4, 90), (180, 0, -180, 0), (-180, -90, -180, -90)],
)
def test_a_box_without_an_area_becomes_a_centimetre_wide(box: tuple[float, ...]) -> None:
    rows = with_geometry(rows_of(box))
    (shape,) = shapes_of(rows)
    assert shape.is_valid
    assert 0 < shape.area < 1.5e-7
    assert shape.distance(boxes_of(box) if box[0] <= box[2] else shapely.Point(180, 0)) < 2e-7
    assert shapely.box(*(rows["bbox"][0].as_py()[edge] for edge in EDGES)).covers(shape)


@pytest.mark.parametrize(
    "box", [(0, 5, 1, 4), (-181, 0, 1, 1), (0, 0, 1, 91), (NAN, 0, 1, 1), (0, 0, float("inf"), 1)]
)
def test_a_box_that_is_not_on_earth_has_no_geometry(box: tuple[float, float, float, float]) -> None:
    rows = with_geometry(rows_of(box))
    assert rows["geometry"].null_count == rows["bbox"].null_count == 1


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.tuples(longitudes, latitudes, longitudes, latitudes)), max_size=8
    )
)
def test_polygons_are_valid_counter_clockwise_and_covered_by_their_bbox(boxes) -> None:
    sorted_boxes = [b and (b[0], min(b[1], b[3]), b[2], max(b[1], b[3])) for b in boxes]
    rows = with_geometry(rows_of(*sorted_boxes))
    for box, shape, bbox in zip(
        sorted_boxes, shapes_of(rows), rows["bbox"].to_pylist(), strict=True
    ):
        if box is None:
            assert shape is bbox is None
            continue
        parts = shapely.get_parts(shape)
        assert shape.is_valid
        assert all(part.exterior.is_ccw and part.area > 0 for part in parts)
        assert (shape.bounds[0] >= -180) & (shape.bounds[2] <= 180)
        west, east = bbox["xmin"], bbox["xmax"]
        assert (bbox["ymin"] <= shape.bounds[1]) & (shape.bounds[3] <= bbox["ymax"])
        for part in parts:
            inside = (part.bounds[0] >= west) | (part.bounds[2] <= east)
            assert inside if east < west else west <= part.bounds[0] <= part.bounds[2] <= east
        if 1e-6 < (box[2] - box[0]) % 360 < 359 and box[3] - box[1] > 1e-6:
            assert shapely.symmetric_difference(shape, boxes_of(box)).area < 1e-6


def test_a_clockwise_ring_is_turned_and_a_ring_with_nan_is_null() -> None:
    ring = rings_of_bounds(np.array([[10.0, 10.0, 11.0, 12.0]]))
    clockwise = np.concatenate([ring[:, ::-1], np.full_like(ring, np.nan), ring])
    first, unknown, last = wkb_of_rings(clockwise).to_pylist()
    assert unknown is None
    for wkb in (first, last):
        assert shapely.from_wkb(wkb).exterior.is_ccw
        assert shapely.from_wkb(wkb).equals(shapely.box(10, 10, 11, 12))


def test_a_folded_ring_is_no_footprint_and_a_convex_one_of_either_turn_is() -> None:
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    rings = np.stack([square, square[::-1], square[[0, 2, 1, 3]], square * [1, 0], square * np.inf])
    with np.errstate(invalid="ignore"):
        kept = np.isfinite(without_folds(rings)).all((1, 2))
    assert kept.tolist() == [True, True, False, False, False]


def test_a_box_is_made_so_large_that_it_contains_its_ring() -> None:
    bounds = np.array([[0.0, 0, 1, 1], [179.5, 0, -179.5, 1], [0, 0, 1, 1], [NAN] * 4])
    rings = rings_of_bounds(np.array([[-0.1, 0.2, 0.9, 1.3], [179, 0.2, -179, 0.8], [NAN] * 4]))
    found = cover(bounds, np.concatenate([rings, rings[2:]]))
    assert found[:3].tolist() == [[-0.1, 0, 1, 1.3], [179, 0, -179, 1], [0, 0, 1, 1]]
    assert np.isnan(found[3]).all()


def test_neighbours_on_the_curve_are_neighbours_on_the_ground() -> None:
    """On a grid of cells, each step of the curve goes to an adjacent cell, and reaches all."""
    side = 16
    steps = [360 / side, 180 / side]
    cells = np.array([(x, y) for x in range(side) for y in range(side)])
    low = cells * steps - [180, 90]
    order = map_order(np.concatenate([low, low + steps], 1))
    jumps = np.abs(np.diff(cells[order], axis=0)).sum(1)
    assert sorted(order) == list(range(side * side))
    assert (jumps == 1).all()


def test_a_box_across_180_degrees_is_ordered_by_its_own_centre() -> None:
    bounds = np.array([[179.0, 0, -177, 2], [-180, 0, -178, 2], [178, 0, 180, 2]])
    position, *_ = curve_positions(bounds)
    assert position == curve_positions(np.array([[-179.5, 0, -178.5, 2]]))[0]


def test_rows_without_a_position_come_last_in_the_order_that_they_had() -> None:
    rows, placed = arrange(rows_of(None, (50, 50, 51, 51), None, (-50, -50, -49, -49)))
    assert placed == 2
    assert rows["chip_uri"].to_pylist() == ["/3", "/1", "/0", "/2"]
    unplaced, none = arrange(rows_of(None, None))
    assert (unplaced["chip_uri"].to_pylist(), none) == (["/0", "/1"], 0)


def test_a_table_without_box_columns_is_ordered_by_its_bbox() -> None:
    rows, _ = arrange(rows_of((50, 50, 51, 51), (-50, -50, -49, -49)))
    bare = rows.select(["chip_uri", "geometry", "bbox"])
    assert np.array_equal(bounds_of(bare), bounds_of(rows))
    assert arrange(bare.take([1, 0]))[0]["chip_uri"].to_pylist() == ["/1", "/0"]


def grid(side: int) -> Floats:
    """Bounds of side x side chips of 0.01 degrees, row by row."""
    west, south = (part.ravel() / 100 for part in np.meshgrid(np.arange(side), np.arange(side)))
    return np.stack([west - 60, south - 10, west - 59.99, south - 9.99], 1)


def test_a_piece_of_the_order_is_a_compact_area() -> None:
    bounds = grid(64)
    pieces = np.split(bounds[map_order(bounds)], 8)
    sizes = [np.ptp(piece[:, 0]) * np.ptp(piece[:, 1]) for piece in pieces]
    whole = np.ptp(bounds[:, 0]) * np.ptp(bounds[:, 1])
    assert sum(sizes) < 2.5 * whole  # row by row, it would be 1; at random, 8
    assert max(np.ptp(piece[:, 0]) for piece in pieces) < 0.9 * np.ptp(bounds[:, 0])
