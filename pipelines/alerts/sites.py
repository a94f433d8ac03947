"""Neighbouring alerts of one label are one site.

Two cells of H3 are neighbours if they share an edge. A place without a position stands alone.
"""

from typing import Any

import h3ronpy
import numpy as np
import numpy.typing as npt
import pyarrow as pa

_GRID = 1e-9  # degrees: 0.1 mm
Ints = npt.NDArray[np.int64]
Cells = npt.NDArray[np.uint64]


def group_neighbours(cells: Cells) -> Ints:
    """The groups of cells that are connected by neighbours.

    Args:
        cells: uint64 [n], each once.

    Returns:
        int64 [n]: the position of the first cell of each cell's group.
    """
    if not len(cells):
        return np.empty(0, np.int64)
    order = np.argsort(cells)
    found = pa.array(h3ronpy.grid_disk(pa.array(cells, pa.uint64()), 1))
    owners = np.repeat(np.arange(len(cells)), found.value_lengths().to_numpy())
    around = found.flatten().to_numpy()
    at = np.minimum(np.searchsorted(cells, around, sorter=order), len(cells) - 1)
    here = cells[order[at]] == around
    return connect(len(cells), owners[here], order[at[here]])


def connect(count: int, one: Ints, other: Ints) -> Ints:
    """Connected components: for each of `count` nodes, the smallest node that edges lead to.

    Args:
        one, other: int64 [e], the ends of the edges.
    """
    group: Ints = np.arange(count)
    while True:
        ends = group[one], group[other]
        lowest = np.minimum(*ends)
        if (ends[0] == ends[1]).all():
            return group
        for end in ends:  # a root takes the smallest root that it is connected with
            np.minimum.at(group, end, lowest)
        while (group != (further := group[group])).any():
            group = further


def join_outlines(geometry: npt.NDArray[Any], groups: Ints) -> npt.NDArray[Any]:
    """The union of the outlines of each group's cells, as WKB.

    Args:
        geometry: [n] of WKB, in the order of the groups.
        groups: int64 [g], where each group begins.

    Returns:
        [g]: polygons and multipolygons, counter-clockwise.
    """
    import shapely

    joined = geometry[groups]
    sizes = np.diff(groups, append=len(geometry))
    for group in np.flatnonzero(sizes > 1):
        start = groups[group]
        shapes = shapely.from_wkb(geometry[start : start + sizes[group]])
        joined[group] = shapely.to_wkb(shapely.orient_polygons(_union(shapes)), byte_order=1)
    return joined


def _union(shapes: npt.NDArray[Any]) -> Any:
    """The union of cells. Those on an edge of H3's icosahedron have corners in their sides, which
    differ a little from cell to cell: they are joined on a grid, which takes ten times as long."""
    import shapely

    try:
        return shapely.coverage_union_all(shapes)
    except shapely.errors.GEOSException:
        return shapely.union_all(shapes, grid_size=_GRID)
