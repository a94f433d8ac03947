"""Sites are groups of neighbouring cells."""

from random import Random

import h3
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.alerts.sites import connect, group_neighbours, join_outlines
from pipelines.places.cells import cell_outlines

CENTRE = h3.latlng_to_cell(-10, -60, 9)


def numbers(cells) -> np.ndarray:
    return np.array([h3.str_to_int(cell) for cell in cells], np.uint64)


def walked(cells: list[str]) -> list[int]:
    """The first cell of each cell's group, found by walking from neighbour to neighbour."""
    first: dict[str, int] = {}
    for number, cell in enumerate(cells):
        if cell in first:
            continue
        ahead = [cell]
        while ahead:
            here = ahead.pop()
            if here in cells and here not in first:
                first[here] = number
                ahead += h3.grid_ring(here, 1)
    return [first[cell] for cell in cells]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "middle",
    [CENTRE, h3.latlng_to_cell(-17, 180, 9), h3.get_pentagons(9)[3], h3.latlng_to_cell(90, 0, 9)],
)
def test_cells_that_share_edges_are_one_group(seed, middle):
    draw = Random(seed)
    cells = draw.sample(sorted(h3.grid_disk(middle, 6)), draw.choice([1, 20, 40, 70]))
    assert group_neighbours(numbers(cells)).tolist() == walked(cells)


def test_a_long_row_of_cells_is_one_group():
    row = h3.grid_path_cells(CENTRE, h3.latlng_to_cell(-10.5, -60.5, 9))
    shuffled = Random(1).sample(row, len(row))
    assert len(row) > 100
    assert set(group_neighbours(numbers(shuffled)).tolist()) == {0}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=25))
def test_nodes_are_connected_like_in_a_search(edges):
    one, other = (np.array([edge[n] for edge in edges], np.int64) for n in (0, 1))
    reached = {node: {node} for node in range(20)}
    for _ in range(20):
        for a, b in edges:
            reached[a] |= reached[b]
            reached[b] |= reached[a]
    assert connect(20, one, other).tolist() == [min(reached[node]) for node in range(20)]


@pytest.mark.parametrize("middle", [CENTRE, h3.latlng_to_cell(-17, 180, 9), h3.get_pentagons(9)[3]])
def test_the_outline_of_a_group_is_the_union_of_its_cells(middle):
    ring = [cell for cell in h3.grid_disk(middle, 3) if cell != middle]
    alone = h3.grid_ring(middle, 6)[:1]
    outlines = cell_outlines(numbers([*ring, *alone]))[0].to_numpy(zero_copy_only=False)
    joined = shapely.from_wkb(join_outlines(outlines, np.array([0, len(ring)])))
    union = shapely.union_all(shapely.from_wkb(outlines[:-1]))
    assert shapely.is_valid(joined).all()
    assert joined[0].symmetric_difference(union).area < 1e-12
    assert joined[0].area == pytest.approx(union.area)
    assert joined[1].equals(shapely.from_wkb(outlines[-1]))
    polygons = shapely.get_parts(joined)
    assert all(polygon.exterior.is_ccw for polygon in polygons)
    assert not any(hole.is_ccw for polygon in polygons for hole in polygon.interiors)


def test_cells_on_an_edge_of_the_icosahedron_are_joined_without_gaps():
    """Their outlines have up to two corners more, and do not fit exactly."""
    cells = h3.grid_disk("898ae00c58fffff", 2)
    assert {len(h3.cell_to_boundary(cell)) for cell in cells} == {6, 7, 8}
    outlines = cell_outlines(numbers(cells))[0].to_numpy(zero_copy_only=False)
    (joined,) = shapely.from_wkb(join_outlines(outlines, np.array([0])))
    assert joined.is_valid
    assert (joined.geom_type, len(joined.interiors)) == ("Polygon", 0)
    assert joined.area == pytest.approx(shapely.area(shapely.from_wkb(outlines)).sum(), rel=1e-6)


def test_without_cells_there_are_no_groups():
    assert group_neighbours(numbers([])).tolist() == []
