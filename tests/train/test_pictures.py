"""Pictures show their values, and the same values produce the same file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from train.pictures import Panel, draw_bars, draw_heat_map, draw_image_grid, draw_lines


@pytest.fixture
def drawn(monkeypatch) -> list[Any]:
    """The figures that were saved, in order."""
    figures: list[Any] = []
    save = Figure.savefig

    def record(figure: Any, *args: Any, **kwargs: Any) -> None:
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return figures


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_bar_chart_has_a_bar_and_a_number_for_each_value_and_a_dash_for_none(tmp_path, drawn):
    series = {"ours": [0.25, None], "theirs": [0.5, 1.0]}
    whiskers = {"ours": [(0.1, 0.9), None]}
    draw_bars(tmp_path / "f1.png", ["a", "b"], series, "F1", "F1", "{:.2f}", intervals=whiskers)
    axes = drawn[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0, 0.5, 1.0]
    assert texts(axes) == ["0.25", "-", "0.50", "1.00"]
    assert [tuple(line.get_xdata()) for line in axes.lines] == [(0.1, 0.9)]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["ours", "theirs"]
    tops = [bar.get_y() for bar in axes.patches]
    assert tops[0] < tops[2] < tops[1] < tops[3]  # one row per name, with one bar per series


def test_a_heat_map_has_each_number_in_its_cell_and_nothing_for_nan(tmp_path, drawn):
    values = np.array([[1000, 0], [np.nan, 3]])
    draw_heat_map(tmp_path / "map.png", values, ["a", "b"], ["c", "d"], "counts", logarithmic=True)
    axes = drawn[0].axes[0]
    cells = {(text.get_position()[::-1], text.get_text()) for text in axes.texts}
    assert cells == {((0, 0), "1,000"), ((0, 1), "0"), ((1, 1), "3")}


def test_a_heat_map_too_large_for_numbers_has_a_scale_instead(tmp_path, drawn):
    names = [f"label {i}" for i in range(31)]
    draw_heat_map(tmp_path / "map.png", np.eye(31), names, names, "counts")
    assert [texts(axes) for axes in drawn[0].axes] == [[], []]


@pytest.mark.parametrize("count", [2, 4, 17])
def test_the_title_of_a_heat_map_is_inside_the_picture_and_above_the_cells(tmp_path, drawn, count):
    names = [f"label {i}" for i in range(count)]
    title = "Given wrongly (row) where another label is missed (column)"
    draw_heat_map(tmp_path / "map.png", np.eye(count), names, names, title)
    (axes,) = drawn[0].axes
    (written,) = [text for text in axes.findobj(Text) if text.get_text() == title]
    text, cells, whole = written.get_window_extent(), axes.bbox, drawn[0].bbox
    assert whole.x0 <= text.x0 < text.x1 <= whole.x1
    assert cells.y1 <= text.y0 < text.y1 <= whole.y1


def test_lines_have_a_gap_at_none_and_one_colour_per_name_in_all_panels(tmp_path, drawn):
    first = Panel("loss", "epoch", {"one": (range(1, 4), [1, None, 3]), "two": ([1], [2])})
    second = Panel("F1", "epoch", {"two": ([1, 2], [0.5, 1])}, marks={"best": 2}, y_range=(0, 1))
    draw_lines(tmp_path / "lines.png", [first, second])
    one, two = drawn[0].axes[0].lines
    np.testing.assert_array_equal(one.get_ydata(), [1, np.nan, 3])
    assert drawn[0].axes[1].lines[0].get_color() == two.get_color() != one.get_color()
    assert drawn[0].axes[1].get_ylim() == (0, 1)


def test_an_image_grid_shows_every_picture_pixel_by_pixel_in_its_place(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(5)]
    captions = ["one", "two words that need two lines", "three", "four", "five"]
    path = tmp_path / "grid.png"
    draw_image_grid(path, [*images, None], [*captions, "six"], "Six", columns=3, side_px=32)
    sheet = np.asarray(Image.open(path).convert("RGB"))
    places = {
        i: (top, left)
        for i, image in enumerate(images)
        for top in range(sheet.shape[0] - 31)
        for left in range(sheet.shape[1] - 31)
        if np.array_equal(sheet[top : top + 32, left : left + 32], image)
    }
    assert places.keys() == set(range(5))
    tops, lefts = zip(*places.values(), strict=True)
    assert tops[0] == tops[1] == tops[2] < tops[3] == tops[4]
    assert lefts[0] == lefts[3] < lefts[1] == lefts[4] < lefts[2]


def test_the_same_values_produce_the_same_bytes_and_others_do_not(tmp_path):
    def bars(value: float) -> bytes:
        path: Path = tmp_path / "bars.png"
        draw_bars(path, ["$x_1$ is no formula"], {"": [value]}, "chips", "chips")
        return path.read_bytes()

    assert bars(3) == bars(3) != bars(4)
