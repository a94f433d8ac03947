"""Bounding boxes of polygons that may be cut at 180 degrees."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

Shapes = npt.NDArray[np.object_]
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def boxes_of(shapes: Shapes) -> pa.StructArray:
    """The box of each polygon or multipolygon of shapely, as GeoParquet has it: xmin is greater
    than xmax if it crosses 180 degrees."""
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    for n in np.flatnonzero((bounds[:, 0] == -180) & (bounds[:, 2] == 180)).tolist():
        bounds[n] = _across(shapes[n], bounds[n])
    edges = [pa.array(edge) for edge in np.ascontiguousarray(bounds.T)]
    return pa.StructArray.from_arrays(edges, _EDGES)


def _across(shape: Any, bounds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The box of a shape that touches 180 degrees on both sides. If a part of it touches both, or
    is on both sides of 0, its own box is the only one."""
    parts = shapely.bounds(shapely.get_parts(shape))
    east, west = parts[parts[:, 0] >= 0], parts[parts[:, 2] <= 0]
    if len(east) + len(west) < len(parts) or not len(east) or not len(west):
        return bounds
    return np.array([east[:, 0].min(), bounds[1], west[:, 2].max(), bounds[3]])
