"""Every chart and picture sheet of the trainer, in one style.

Bars, heat maps and lines carry their numbers or a legend, so that none depends on colour alone;
the colours are Okabe and Ito's (2008, https://jfly.uni-koeln.de/color/), which remain distinct
with every common colour blindness. At 100 pixels per inch, text is readable at full size. The same
data produce the same bytes.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.imaging.band_names import shown_colours
from pipelines.imaging.resize import Pixels

Points = tuple[Sequence[float], Sequence[float | None]]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of series, in the order of their use."""

BAND_COLOURS = {"red": "#D55E00", "green": "#009E73", "blue": "#0072B2", "near_infrared": "#CC79A7"}

DPI = 100
_STYLE = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "image.cmap": "Blues",
    "text.parse_math": False,  # a label may hold a dollar sign
}
_MOST_NUMBERED = 30  # with more rows or columns in a heat map, numbers would not fit
_LETTERS_IN_A_CELL = 6
_GAP_PX, _LINE_PX, _TITLE_PX = 8, 13, 30


@dataclass(frozen=True)
class Panel:
    """Lines over one pair of axes.

    Attributes:
        title, x_name, y_name: texts; the title says what is shown.
        lines: x and y values by the name in the legend; a y of None leaves a gap.
        marks: x values of dotted vertical lines by their name in the legend.
        y_range: lowest and highest y; by default from the values.
    """

    title: str
    x_name: str
    lines: Mapping[str, Points]
    y_name: str = ""
    marks: Mapping[str, float] = field(default_factory=dict)
    y_range: tuple[float, float] | None = None


def draw_bars(
    path: Path,
    names: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    title: str,
    x_name: str,
    value_format: str = "{:,.0f}",
    colours: Mapping[str, str] | None = None,
    intervals: Mapping[str, Sequence[tuple[float, float] | None]] | None = None,
    x_range: tuple[float, float] | None = None,
) -> None:
    """Draw horizontal bars: one row per name, with a bar and a number for each series.

    Args:
        series: a value for each name, by the name in the legend (without a legend if there is
            only one series); None, shown as a dash, if there is no value.
        colours: by series; by default `COLOURS` in their order.
        intervals: (low, high) for values of a series, drawn as whiskers.
        x_range: ends of the scale; by default from the values.
    """
    bars = len(names) * len(series)
    size = (9, 1.4 + 0.2 * bars + 0.12 * len(names))
    with _figure(path, size) as figure:
        axes = figure.add_subplot()
        for i, (name, values) in enumerate(series.items()):
            colour = (colours or {}).get(name, COLOURS[i % len(COLOURS)])
            thickness = 0.8 / len(series)
            at = np.arange(len(names)) + (i - (len(series) - 1) / 2) * thickness
            whiskers = (intervals or {}).get(name, [None] * len(names))
            lengths = np.nan_to_num(_numbers(values))
            axes.barh(at, lengths, height=thickness * 0.92, color=colour, label=name)
            _add_whiskers(axes, at, whiskers)
            _add_bar_numbers(axes, at, _numbers(values), whiskers, value_format)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set(title=title, xlabel=x_name)
        axes.margins(x=0.1)
        if x_range is not None:
            axes.set_xlim(*x_range)
        axes.grid(axis="x")
        axes.xaxis.set_major_formatter("{x:,g}")
        if len(series) > 1:
            figure.legend(loc="outside lower center", ncols=min(len(series), 5))


def draw_heat_map(
    path: Path,
    values: npt.NDArray[Any],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    x_name: str = "",
    y_name: str = "",
    value_format: str = "{:,.0f}",
    logarithmic: bool = False,
    marked: tuple[int, int] | None = None,
) -> None:
    """Draw `[rows, columns]` as shades with the numbers in them; NaN is left empty.

    Args:
        logarithmic: shade by the logarithm, for counts with a few far larger ones; 0 is white.
        marked: row and column of a cell to frame.
    """
    numbered = max(len(rows), len(columns)) <= _MOST_NUMBERED
    cell = 0.55 if numbered else 0.25
    size = (3 + cell * len(columns), 2.4 + cell * (0.75 if numbered else 1) * len(rows))
    with _figure(path, size) as figure:
        axes = figure.add_subplot()
        shades = np.log10(np.maximum(values, 0) + 1) if logarithmic else np.asarray(values, float)
        picture = axes.imshow(shades, aspect="auto")
        upright = max(map(len, columns)) > _LETTERS_IN_A_CELL or not numbered
        axes.set_xticks(range(len(columns)), columns, rotation=90 if upright else 0)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_title(title, wrap=True)
        axes.set(xlabel=x_name, ylabel=y_name)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if numbered:
            _add_cell_numbers(axes, picture, np.asarray(values, float), value_format)
        else:
            figure.colorbar(picture, label="log10(1 + value)" if logarithmic else "")
        if marked is not None:
            _add_frame(axes, *marked)


def draw_lines(path: Path, panels: Sequence[Panel], columns: int = 2) -> None:
    """Draw panels of lines, a grid of them; lines of one name have one colour in all panels."""
    across = min(columns, len(panels))
    down = math.ceil(len(panels) / across)
    names = dict.fromkeys(name for panel in panels for name in panel.lines)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    with _figure(path, (max(5 * across, 6), 3.6 * down)) as figure:
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _add_panel(axes, panel, colours)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()


def draw_image_grid(
    path: Path,
    images: Sequence[Pixels | None],
    captions: Sequence[str],
    title: str,
    columns: int = 6,
    side_px: int = 144,
) -> None:
    """Draw pictures side by side, each with its caption below.

    Args:
        images: `uint8 [H, W, 3]` RGB, or None for an empty cell.
        captions: one for each picture, wrapped to its width.
        side_px: side of a picture on the sheet; each is resized to it.
    """
    letters = max(8, side_px // 6)
    lines = [textwrap.wrap(caption, letters) for caption in captions]
    starts = range(0, len(images), columns)
    rows = [range(start, min(start + columns, len(images))) for start in starts]
    heights = [side_px + 2 * _GAP_PX + _LINE_PX * max(len(lines[i]) for i in row) for row in rows]
    width = max(min(columns, len(images)) * (side_px + _GAP_PX) + _GAP_PX, 9 * len(title))
    height = _TITLE_PX + sum(heights)
    with _figure(path, (width / DPI, height / DPI), layout=None) as figure:
        figure.text(_GAP_PX / width, 1 - 20 / height, title, fontsize=12)
        top = height - _TITLE_PX
        for row, row_height in zip(rows, heights, strict=True):
            for column, i in enumerate(row):
                left = _GAP_PX + column * (side_px + _GAP_PX)
                box = (left / width, (top - side_px) / height, side_px / width, side_px / height)
                _add_image(figure, box, images[i])
                at = (left / width, (top - side_px - 4) / height)
                figure.text(*at, "\n".join(lines[i]), fontsize=8, va="top", linespacing=1.15)
            top -= row_height


def as_rgb(pixels: npt.NDArray[Any], bands: Sequence[str]) -> npt.NDArray[Any]:
    """What is shown as red, green, blue of `[..., bands]`."""
    return pixels[..., list(shown_colours(bands))]


@contextmanager
def _figure(path: Path, size: tuple[float, float], layout: Any = "constrained") -> Iterator[Any]:
    """A figure in the house style, saved at the end; without window system or global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout=layout)
        yield figure
        figure.savefig(path, format="png", metadata={"Software": None})


def _numbers(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _add_whiskers(axes: Any, at: Any, intervals: Sequence[tuple[float, float] | None]) -> None:
    for height, interval in zip(at, intervals, strict=True):
        if interval is not None:
            axes.plot(interval, (height, height), color="black", linewidth=1.2, marker="|")


def _add_bar_numbers(
    axes: Any,
    at: Any,
    values: npt.NDArray[np.float64],
    intervals: Sequence[tuple[float, float] | None],
    value_format: str,
) -> None:
    for height, value, interval in zip(at, values, intervals, strict=True):
        text = "-" if math.isnan(value) else value_format.format(value)
        end = max(0 if math.isnan(value) else value, interval[1] if interval else 0)
        axes.annotate(
            text, (end, height), (4, 0), textcoords="offset points", va="center", fontsize=8
        )


def _add_cell_numbers(
    axes: Any, picture: Any, values: npt.NDArray[np.float64], value_format: str
) -> None:
    for (row, column), value in np.ndenumerate(values):
        if not math.isnan(value):
            red, green, blue, _ = picture.to_rgba(picture.get_array()[row, column])
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axes.text(
                column,
                row,
                value_format.format(value),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
                in_layout=False,  # it is inside its cell, and measuring them all takes seconds
            )


def _add_frame(axes: Any, row: int, column: int) -> None:
    from matplotlib.patches import Rectangle

    corner = (column - 0.5, row - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=2.5))


def _add_panel(axes: Any, panel: Panel, colours: Mapping[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, (x, y) in panel.lines.items():
        axes.plot(x, _numbers(y), marker=".", label=name, color=colours[name])
    for name, at in panel.marks.items():
        axes.axvline(at, color="#777777", linestyle=":", label=name)
    axes.set(title=panel.title, xlabel=panel.x_name, ylabel=panel.y_name)
    if panel.y_range is not None:
        axes.set_ylim(*panel.y_range)
    if all(isinstance(x, int) for xs, _ in panel.lines.values() for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid()
    if len(panel.lines) + len(panel.marks) > 1:
        axes.legend()


def _add_image(figure: Any, box: tuple[float, float, float, float], image: Pixels | None) -> None:
    axes = figure.add_axes(box)
    axes.set_axis_off()
    if image is None:
        axes.text(0.5, 0.5, "none", ha="center", va="center", color="#777777")
    else:
        axes.imshow(image)
