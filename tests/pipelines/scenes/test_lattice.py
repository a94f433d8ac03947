"""Tests of `pipelines.scenes.lattice`."""

import itertools
import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from pipelines.scenes.lattice import (
    Cut,
    Edge,
    Grid,
    Window,
    cut_windows,
    parse_window,
    window_uri,
)

UTM = "EPSG32720"
RESOLUTIONS = (0.3, 0.5, 3.0, 10.0, 10 / 3, 8.983152841195215e-05, 1 / 3600)
LATTICE_PX = st.integers(-40_000_000, 40_000_000)


def grid(x: float, y: float, width: int = 700, height: int = 600, res: float = 10.0) -> Grid:
    return Grid(width, height, (res, 0.0, x, 0.0, -res, y), UTM)


def places(found: Grid, cut: Cut) -> dict[str, tuple[float, float]]:
    """Chip id to the coordinates of the window's first corner."""
    windows = cut_windows(found, cut)
    move = Affine(*found.transform)
    starts = zip(windows.x_px.tolist(), windows.y_px.tolist(), strict=True)
    corners = [move @ start for start in starts]
    assert len(set(windows.chip_ids)) == len(corners)
    return dict(zip(windows.chip_ids, corners, strict=True))


def test_a_sentinel_tile_is_cut_where_the_lattice_begins_not_where_the_tile_does() -> None:
    found = places(grid(600_000, 9_000_040, width=10_980, height=10_980), Cut(256))
    xs = {x for x, _ in found.values()}
    assert min(xs) == 601_600  # the first multiple of 2,560 m after 600,000
    assert all(x % 2560 == 0 for x in xs)
    assert max(y for _, y in found.values()) == 8_998_400
    assert len(found) == 42 * 42


def test_negative_coordinates_continue_the_lattice_over_zero() -> None:
    found = places(grid(-3_000, 3_000, width=600, height=600), Cut(128))
    assert {x for x, _ in found.values()} == {-2560, -1280, 0, 1280}
    assert {y for _, y in found.values()} == {2560, 1280, 0, -1280}
    assert min(found) == f"{UTM}_10_128_-1_-1"


@given(
    column=LATTICE_PX,
    row=LATTICE_PX,
    dx=st.integers(-500, 500),
    dy=st.integers(-500, 500),
    off=st.tuples(st.floats(-0.49, 0.49), st.floats(-0.49, 0.49)),
    res=st.sampled_from(RESOLUTIONS),
    wrong=st.floats(-1e-9, 1e-9),
    angle=st.sampled_from((0.0, 0.0, 30.0, 90.0, -12.5, 179.0)),
    south_up=st.booleans(),
    cut_px=st.integers(60, 200),
    overlap=st.integers(0, 15),
)
def test_two_scenes_of_one_grid_have_the_same_footprints_where_they_meet(
    column: int,
    row: int,
    dx: int,
    dy: int,
    off: tuple[float, float],
    res: float,
    wrong: float,
    angle: float,
    south_up: bool,
    cut_px: int,
    overlap: int,
) -> None:
    turn = Affine.rotation(angle) @ Affine.scale(res, res if south_up else -res)
    first = turn @ Affine.translation(column + off[0], row + off[1])
    other = first @ Affine.translation(dx, dy) @ Affine.scale(1 + wrong)
    cut = Cut(cut_px, overlap)
    one, two = (places(Grid(700, 600, tuple(t)[:6], UTM), cut) for t in (first, other))
    common = one.keys() & two.keys()
    assert len(common) >= max(0, (700 - abs(dx)) // cut.step_px - 2) * max(
        0, (600 - abs(dy)) // cut.step_px - 2
    )
    for name in common:
        assert math.dist(one[name], two[name]) < 0.5 * res
    # and nothing else is at these places
    apart = [
        math.dist(xy, uv) for n, xy in one.items() for m, uv in list(two.items())[:3] if n != m
    ]
    assert not apart or min(apart) > 0.9 * cut.step_px * res


@given(x=st.floats(-2e7, 2e7), y=st.floats(-2e7, 2e7), res=st.sampled_from(RESOLUTIONS))
def test_a_window_is_half_a_pixel_off_the_lattice_at_most(x: float, y: float, res: float) -> None:
    for left, top in places(grid(x * res, y * res, res=res), Cut(100)).values():
        for value in (left, top):
            steps = value / (100 * res)
            assert abs(steps - round(steps)) * 100 <= 0.5 + 1e-5


@pytest.mark.parametrize("edge", ["shift", "pad"])
@given(
    x=LATTICE_PX,
    y=LATTICE_PX,
    width=st.integers(1, 300),
    cut_px=st.integers(30, 90),
    overlap=st.integers(0, 25),
)
def test_windows_over_the_edge_show_the_whole_scene_and_none_too_many(
    edge: Edge, x: int, y: int, width: int, cut_px: int, overlap: int
) -> None:
    cut = Cut(cut_px, overlap, edge)
    windows = cut_windows(grid(10.0 * x, 10.0 * y, width, 90), cut)
    if edge == "shift" and min(width, 90) < cut_px:
        assert not len(windows.x_px) or width >= cut_px
        return
    seen = np.zeros(width, int)
    for start in set(windows.x_px.tolist()):
        assert edge == "pad" or 0 <= start <= width - cut_px
        seen[max(start, 0) : start + cut_px] += 1
    assert seen.all()
    starts = sorted(set(windows.x_px.tolist()))
    assert all(after - before <= cut.step_px for before, after in itertools.pairwise(starts))
    assert starts[0] > -cut.step_px
    assert len(starts) < 2 or starts[-2] + cut_px < width


def test_a_dropped_edge_leaves_only_whole_windows() -> None:
    windows = cut_windows(grid(0, 0, 700, 600), Cut(256, 56))
    assert windows.x_px.tolist() == [0, 200, 400] * 2
    assert windows.y_px.tolist() == [0] * 3 + [200] * 3
    assert windows.chip_ids[4] == f"{UTM}_10_256-56_1_1"


def test_the_id_of_a_moved_window_says_how_far_it_was_moved() -> None:
    windows = cut_windows(grid(100, 0, 300, 256), Cut(256, 0, "shift"))
    assert windows.x_px.tolist() == [0, 44]
    assert windows.chip_ids == [f"{UTM}_10_256_0_0_moved_10_0", f"{UTM}_10_256_1_0_moved_-202_0"]


def test_scenes_of_another_grid_have_other_ids() -> None:
    others = [
        Grid(700, 600, (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), "EPSG32721"),
        Grid(700, 600, (10.0, 0.0, 0.0, 0.0, 10.0, 0.0), UTM),
        Grid(700, 600, (0.0, 10.0, 0.0, 10.0, 0.0, 0.0), UTM),
        Grid(700, 600, (10.0, 0.0, 0.0, 0.0, -20.0, 0.0), UTM),
        Grid(700, 600, (10.01, 0.0, 0.0, 0.0, -10.01, 0.0), UTM),
    ]
    ids = [cut_windows(each, Cut(256)).chip_ids[0] for each in (grid(0, 0), *others)]
    assert len(set(ids)) == len(ids)
    assert ids[0] == f"{UTM}_10_256_0_0"
    assert ids[4] == f"{UTM}_10x20_256_0_0"


@given(st.text(min_size=1), st.integers(-999_999, 999_999), st.integers(0, 999_999))
def test_an_address_of_a_window_can_be_read_back(scene: str, x: int, y: int) -> None:
    window = Window(x, y, 256, 100)
    assert parse_window(window_uri(scene, window)) == (scene, window)


@pytest.mark.parametrize("uri", ["a.tif", "a.tif#1,2,3", "a.tif#1,2,0,4", "a#x.tif", "#1,2,3,4"])
def test_other_addresses_name_no_window(uri: str) -> None:
    assert parse_window(uri) is None


@pytest.mark.parametrize(("cut_px", "overlap"), [(256, 256), (256, -1), (0, 0)])
def test_an_impossible_cut_is_refused(cut_px: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        Cut(cut_px, overlap)
