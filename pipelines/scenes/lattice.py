"""Which windows of a scene are chips: those of a lattice that all scenes of a grid share.

The lattice is along a scene's own rows and columns, and starts where the coordinate system has its
0, 0. So two scenes with the same coordinate system, rotation and resolution are cut at the same
places, wherever each of them begins:

      0,0 of the coordinate system
       +-------+-------+-------+-------+
       |       |       |       |       |     step = (cut_px - overlap_px) pixels
       +-------+--.....+.......+..-----+
       |       |  :    |       | :     |     ..... a scene; with edge `drop` only its whole
       +-------+--:----+-------+-:-----+           windows are chips
                  :....|.......|.:

No pixel is resampled. If a scene's pixels are off the lattice, its windows start at the nearest
pixel, half a pixel off at most (docs/decisions/scenes.md).
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.imaging.tiff_position import Transform

Edge = Literal["drop", "shift", "pad"]
"""What happens to windows over the edge of a scene: they are left out; moved inwards, as far as
needed; or filled with no data."""

Pixels = npt.NDArray[np.int64]

_TIE_PX = 1e-6
"""Pixels that are this close to half-way between two places of the lattice go to the first one, in
every scene: rounding errors of the transform must not decide."""

_WINDOW = re.compile(r"(.+)#(-?\d{1,9}),(-?\d{1,9}),(\d{1,9}),(\d{1,9})", re.DOTALL)


@dataclass(frozen=True)
class Cut:
    """How scenes are cut into chips.

    Attributes:
        cut_px: side of a chip.
        overlap_px: pixels that two neighbouring chips share, less than `cut_px`.
        edge: what happens to windows over the edge.
    """

    cut_px: int
    overlap_px: int = 0
    edge: Edge = "drop"

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_px < self.cut_px:
            raise ValueError(f"an overlap of {self.overlap_px} px for chips of {self.cut_px} px")

    @property
    def step_px(self) -> int:
        """Distance between the starts of two neighbouring chips."""
        return self.cut_px - self.overlap_px


@dataclass(frozen=True)
class Grid:
    """The pixel grid of a scene.

    Attributes:
        width_px, height_px: its size.
        transform: from pixels to the coordinate system.
        name: of the coordinate system; of the scene if it has none.
    """

    width_px: int
    height_px: int
    transform: Transform
    name: str


@dataclass(frozen=True)
class Windows:
    """Windows of a scene, in the order of rows, then columns.

    Attributes:
        x_px, y_px: `int64 [n]`, first column and row of each; negative with edge `pad`.
        size_px: their side.
        chip_ids: names of their places on the lattice.
    """

    x_px: Pixels
    y_px: Pixels
    size_px: int
    chip_ids: list[str]


class Window(NamedTuple):
    """A window: first column and row, columns, rows."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int


def cut_windows(grid: Grid, cut: Cut) -> Windows:
    """The windows of a scene that are chips.

    A `chip_id` names the lattice, then the column and the row of the window's place: two scenes of
    the same ground have the same. A window that was moved has the distance in pixels at its end.
    """
    origin = crs_origin(grid.transform)
    columns = _starts(grid.width_px, origin[0], cut)
    rows = _starts(grid.height_px, origin[1], cut)
    lattice = _lattice_name(grid, cut)
    across = [f"_{number}" for number in columns.numbers]
    moved = [
        ("" if not c and not r else f"_moved_{c}_{r}") for r in rows.moved for c in columns.moved
    ]
    places = [f"{lattice}{column}_{row}" for row in rows.numbers for column in across]
    ids = [place + move for place, move in zip(places, moved, strict=True)]
    y_px, x_px = (
        np.repeat(rows.pixels, len(columns.pixels)),
        np.tile(columns.pixels, len(rows.pixels)),
    )
    return Windows(x_px, y_px, cut.cut_px, ids)


def window_uri(scene_uri: str, window: Window) -> str:
    """The address of a window.

    >>> window_uri("gs://b/s.tif", Window(0, -16, 256, 256))
    'gs://b/s.tif#0,-16,256,256'
    """
    return f"{scene_uri}#{','.join(map(str, window))}"


def parse_window(uri: str) -> tuple[str, Window] | None:
    """The scene and the window of an address; None if it names no window.

    >>> parse_window("s.tif#0,-16,256,256")
    ('s.tif', Window(x_px=0, y_px=-16, width_px=256, height_px=256))
    """
    found = _WINDOW.fullmatch(uri)
    if not found:
        return None
    x, y, width, height = map(int, found.groups()[1:])
    return (found[1], Window(x, y, width, height)) if width and height else None


class _Starts(NamedTuple):
    """Windows along one axis: first pixel, place on the lattice, and how far it was moved."""

    pixels: Pixels
    numbers: list[int]
    moved: list[int]


def _starts(length: int, origin: int, cut: Cut) -> _Starts:
    """The windows along an axis of `length` pixels on a lattice that starts at pixel `origin`."""
    size, step = cut.cut_px, cut.step_px
    first = -(origin // step)  # the first place at pixel 0 or after it
    last = (length - size - origin) // step  # the last one whose window ends inside
    numbers = np.arange(first, last + 1)
    if cut.edge != "drop" and (cut.edge == "pad" or length >= size):
        numbers = _with_edges(numbers, length, origin, cut)
    pixels = numbers * step + origin
    inside = np.clip(pixels, 0, length - size) if cut.edge == "shift" else pixels
    return _Starts(inside, numbers.tolist(), (inside - pixels).tolist())


def _with_edges(numbers: Pixels, length: int, origin: int, cut: Cut) -> Pixels:
    """Add the windows over the edges that show what no whole window shows."""
    first = -origin // cut.step_px  # the last place at pixel 0 or before it
    last = -((origin + cut.cut_px - length) // cut.step_px)  # the first that reaches the end
    return np.arange(first, max(first, last) + 1)


def crs_origin(transform: Transform) -> tuple[int, int]:
    """The pixel (column, row) whose corner is the nearest to 0, 0 of the coordinate system.

    Raises:
        ValueError, OverflowError, ZeroDivisionError: there is none.
    """
    a, b, c, d, e, f = transform
    scale = a * e - b * d
    column, row = (b * f - c * e) / scale, (c * d - a * f) / scale
    return math.ceil(column - 0.5 - _TIE_PX), math.ceil(row - 0.5 - _TIE_PX)


def _lattice_name(grid: Grid, cut: Cut) -> str:
    """Names what two scenes must share to have the same places."""
    a, b, _, d, e, _ = grid.transform
    across, down = math.hypot(a, d), math.hypot(b, e)
    sizes = (
        f"{across:.8g}" if math.isclose(across, down, rel_tol=1e-8) else f"{across:.8g}x{down:.8g}"
    )
    turned = (
        ""
        if (a, b, d) == (across, 0, 0) and e < 0
        else _turn_name(a / across, d / across, b / down, e / down)
    )
    overlap = f"-{cut.overlap_px}" if cut.overlap_px else ""
    return f"{grid.name}_{sizes}{turned}_{cut.cut_px}{overlap}"


def _turn_name(*axes: float) -> str:
    """A short name of the directions of columns and rows, of unit length."""
    text = ",".join(f"{value + 0.0:.7f}" for value in axes).replace("-0.0000000", "0.0000000")
    return f"_t{hashlib.sha256(text.encode()).hexdigest()[:8]}"
