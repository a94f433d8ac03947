"""The ground of a sample chip: one function for each label that can be seen on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.sample import _colours as palette
from train.sample._shapes import (
    CHIP_SIDE_PX,
    FloatArray,
    Line,
    Stencil,
    blob,
    cover,
    cut_noise,
    meander,
    noise,
    pixel_grid,
    places_on,
    rectangle,
    shade_of,
    shades,
    turned_line,
)
from train.sample._sky import SKY_LABELS


@dataclass(frozen=True)
class Layout:
    """What several labels share: houses are along the roads, mines along the river."""

    labels: frozenset[str]
    river: Line
    roads: list[Line]

    @property
    def crowded(self) -> bool:
        """Whether there are too many labels for a wide river or a lake."""
        return len(self.labels) > 4


Draw = Callable[[FloatArray, Layout, np.random.Generator], None]


def _forest(rng: np.random.Generator) -> FloatArray:
    """Closed canopy: crowns lit from one side, a few pale crowns, gentle hills."""
    canopy = noise(rng, "canopy")
    light = rng.uniform(0.13, 0.23) * (canopy + 0.8 * np.clip(canopy - 2.2, 0, 1.5))
    light += rng.uniform(0.01, 0.04) * (noise(rng, "smooth") + noise(rng, "cloud"))
    by_band = np.array([1.3, 1.0, 0.8, 1.0], np.float32)  # sunlit leaves are warmer than shade
    lit = np.clip(1 + light[..., None] * by_band, 0.3, 2.2)
    forest: FloatArray = (lit * shade_of(rng, palette.FOREST, 0.12)).astype(np.float32)
    return forest


def _open_ground(
    rng: np.random.Generator, colours: Sequence[FloatArray], texture: float
) -> FloatArray:
    """Ground without trees, its colour between two of the given ones."""
    one, other = shades(rng, colours, 2)
    drift = np.clip(0.5 + 0.3 * noise(rng, "smooth") + 0.15 * noise(rng, "cloud"), 0, 1)
    light = 1 + texture * (cut_noise(rng, "grain") + cut_noise(rng, "cloud"))
    picture: FloatArray = (one + drift[..., None] * (other - one)) * light[..., None]
    return picture.astype(np.float32)


def draw_base(labels: frozenset[str], rng: np.random.Generator) -> FloatArray:
    """The ground below everything else; without forest it depends on the other labels."""
    if "primary" in labels or labels <= set(SKY_LABELS):
        return _forest(rng)
    if only_water(labels):
        return _open_ground(rng, [shade_of(rng, palette.DARK_WATER + palette.MUDDY_WATER)], 0.01)
    return _open_ground(
        rng, [shade_of(rng, palette.SOIL)] if "bare_ground" in labels else palette.SCRUB, 0.05
    )


def only_water(labels: frozenset[str]) -> bool:
    return labels - set(SKY_LABELS) == {"water"}


def _draw_agriculture(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """Large fields with straight edges, on a turned grid of uneven cells; some show rows."""
    turn, (x, y) = rng.uniform(0, np.pi), pixel_grid()
    across, along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    ragged = np.float32(rng.uniform(0, 2.5)) * noise(rng, "cloud")
    cell = _strips(rng, across + ragged) * 5 + _strips(rng, along + ragged)
    rows = np.sin(across * (2 * np.pi / rng.uniform(6, 11))) * rng.choice((0, 0, 0.06), 25)[cell]
    mottle = rng.uniform(0.03, 0.10) * noise(rng, "cloud") + 0.03 * cut_noise(rng, "grain")
    field = shades(rng, palette.FIELD, 25)[cell] * (1 + rows + mottle)[..., None]
    tilled = _tilled(rng, cell)
    picture[tilled] = field[tilled]


def _strips(rng: np.random.Generator, axis: FloatArray) -> npt.NDArray[np.intp]:
    """The number of the strip, 0 to 4, of each pixel along a turned axis."""
    share = np.arange(1, 5) / 5 + rng.uniform(-0.06, 0.06, 4)
    low, high = float(axis.min()), float(axis.max())
    return np.searchsorted(low + (high - low) * share, axis).astype(np.intp)


def _tilled(rng: np.random.Generator, cell: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which pixels are field: cells in random order until they cover a good part of the chip."""
    area, order = np.bincount(cell.ravel(), minlength=25), rng.permutation(25)
    before = np.concatenate(([0], np.cumsum(area[order])[:-1]))
    taken = np.zeros(25, np.bool_)
    taken[order[before < rng.uniform(0.25, 0.7) * area.sum()]] = True
    tilled: npt.NDArray[np.bool_] = taken[cell]
    return tilled


def _draw_cultivation(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """A few small uneven plots near each other, each with its own crop."""
    stencil, count, centre = Stencil(), int(rng.integers(5, 10)), rng.uniform(70, 186, 2)
    for colour in shades(rng, palette.PLOT, count):
        x, y = np.clip(rng.normal(centre, 52), 14, CHIP_SIDE_PX - 14)
        stencil.fill(blob(rng, x, y, rng.uniform(10, 19), 0.2), colour)
    stencil.paint(picture, rng, 0.09, ragged_px=1.6)


def _draw_blooming(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """Single crowns in flower, yellow or white, scattered over the forest."""
    stencil, count = Stencil(), int(rng.integers(40, 110))
    colours = shades(rng, [shade_of(rng, palette.BLOSSOM)], count, 0.14)
    places = rng.uniform(0, CHIP_SIDE_PX, (count, 2))
    for colour, (x, y) in zip(colours, places, strict=True):
        stencil.fill(blob(rng, x, y, rng.uniform(1.4, 3.4), 0.15), colour)
    stencil.paint(picture, rng, 0.08)


def _draw_water(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """A winding river, sometimes a wide one, or some lakes."""
    if not layout.crowded and rng.random() < 0.25:
        _draw_lakes(picture, rng)
    else:
        wide = not layout.crowded and rng.random() < 0.35
        width_px = int(rng.uniform(50, 110) if wide else rng.uniform(8, 24))
        _draw_river(picture, layout.river, width_px, rng)


def _draw_river(picture: FloatArray, line: Line, width_px: int, rng: np.random.Generator) -> None:
    sand, water = Stencil(), Stencil()
    if rng.random() < 0.5:  # banks that are visible in places
        sand.stroke(line, width_px, shade_of(rng, palette.SAND))
        sand.paint(picture, rng, 0.06, ragged_px=5)
    water.stroke(line, width_px, shade_of(rng, palette.MUDDY_WATER + palette.DARK_WATER))
    water.paint(picture, rng, 0.012, ragged_px=1.2)


def _draw_lakes(picture: FloatArray, rng: np.random.Generator) -> None:
    stencil, water = Stencil(), shade_of(rng, palette.MUDDY_WATER + palette.DARK_WATER)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(40, 216, 2)
        stencil.fill(blob(rng, x, y, rng.uniform(20, 46), 0.25), water)
    stencil.paint(picture, rng, 0.012, ragged_px=2)


def _draw_bare_ground(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """One or two patches of naked soil or sand, with uneven edges and little texture."""
    stencil = Stencil()
    for colour in shades(rng, palette.SOIL + palette.SAND, int(rng.integers(1, 3))):
        x, y = rng.uniform(60, 196, 2)
        stencil.fill(blob(rng, x, y, rng.uniform(32, 66), 0.35), colour)
    stencil.paint(picture, rng, 0.05, ragged_px=6)


def _draw_blow_down(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """Trees felled by a downburst: a fan of pale streaks from the point of impact."""
    (x, y), heading = pixel_grid(), rng.uniform(0, 2 * np.pi)
    length_px, half = rng.uniform(130, 210), rng.uniform(0.4, 0.75)
    apex = rng.uniform(90, 166, 2) - length_px / 2 * np.array([np.cos(heading), np.sin(heading)])
    east, south = x - apex[0], y - apex[1]
    reach = np.hypot(east, south) / length_px + 0.10 * noise(rng, "cloud")
    bearing = np.mod(np.arctan2(south, east) - heading + np.pi, 2 * np.pi) - np.pi
    aside = np.abs(bearing) / half + 0.16 * noise(rng, "cloud")
    streaks = np.interp(bearing, np.linspace(-1.2, 1.2, 60), rng.normal(0, 1, 60))
    felled = 0.55 + 0.25 * streaks + 0.35 * noise(rng, "cloud") + 0.35 * noise(rng, "canopy")
    edge = np.clip((1 - reach) * 4, 0, 1) * np.clip((1 - aside) * 3, 0, 1)
    share = (np.clip(felled, 0, 0.95) * edge).astype(np.float32)
    cover(picture, share, shade_of(rng, palette.FALLEN))


def _draw_slash_burn(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """Burnt plots: black to dark brown inside a scorched rim, with streaks of ash."""
    stencil, ash = Stencil(), np.zeros((CHIP_SIDE_PX, CHIP_SIDE_PX), np.float32)
    for _ in range(int(rng.integers(2, 5))):
        (x, y), radius_px = rng.uniform(40, 216, 2), rng.uniform(22, 42)
        stencil.fill(blob(rng, x, y, radius_px + 5, 0.2), shade_of(rng, palette.SCORCHED))
        stencil.fill(blob(rng, x, y, radius_px, 0.2), shade_of(rng, palette.CHAR))
        ash += np.hypot(pixel_grid()[0] - x, pixel_grid()[1] - y) < radius_px * 0.8
    stencil.paint(picture, rng, 0.18, ragged_px=3)
    streaks = np.clip(0.5 * noise(rng, "cloud") + 0.3 * cut_noise(rng, "grain") - 0.6, 0, 0.5)
    share = (streaks * np.minimum(ash, 1)).astype(np.float32)
    cover(picture, share, palette.ASH)


def _draw_selective_logging(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """Thin tracks that branch through standing forest, with small gaps where trees were taken."""
    stencil, tracks, colour = Stencil(), [meander(rng, 14)], shade_of(rng, palette.TRACK)
    for x, y in places_on(rng, tracks, int(rng.integers(5, 9)), 0):
        away, along = rng.uniform(0, 2 * np.pi), np.arange(0.0, rng.uniform(40, 95), 8)
        aside = np.cumsum(rng.normal(0, 2.2, len(along)))
        tracks.append(turned_line(along, aside, away, x, y))
    for track in tracks:
        stencil.stroke(track, 2, colour)
    gaps = shades(rng, palette.GAP, 30)
    for gap, (x, y) in zip(gaps, places_on(rng, tracks, len(gaps), 6), strict=True):
        stencil.fill(blob(rng, x, y, rng.uniform(1.8, 4.6), 0.2), gap)
    stencil.paint(picture, rng, 0.12, ragged_px=0.6)


def _draw_road(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """Straight roads of earth or asphalt, paler than what they cross."""
    stencil, colour, width_px = Stencil(), shade_of(rng, palette.ROAD), int(rng.integers(3, 6))
    for order, road in enumerate(layout.roads):
        stencil.stroke(road, max(2, width_px - order), colour)
    stencil.paint(picture, rng, 0.05, ragged_px=0.4)


def _draw_conventional_mine(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """One large pit: terraces down to a pond, pale and shaded in turn."""
    stencil, steps, rock = Stencil(), int(rng.integers(5, 9)), shade_of(rng, palette.TERRACE)
    middle, radius_px, drift = rng.uniform(100, 156, 2), rng.uniform(62, 92), rng.normal(0, 14, 2)
    outline = np.array(blob(rng, 0, 0, radius_px, 0.2))
    for step in range(steps):
        depth = step / steps
        ring = outline * (1 - depth) * rng.uniform(0.94, 1.06) + drift * depth + middle
        light = np.float32((1.0 if step % 2 == 0 else 0.68) * (1 - 0.25 * depth))
        stencil.fill([(float(x), float(y)) for x, y in ring], rock * light)
    x, y = middle + drift
    stencil.fill(blob(rng, x, y, radius_px * 0.16), shade_of(rng, palette.PIT_POND))
    stencil.paint(picture, rng, 0.06, ragged_px=2.2)


def _draw_artisinal_mine(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """Many small pale pits, most with a muddy pond, strung along a stream or its dry bed."""
    stencil, count = Stencil(), int(rng.integers(22, 42))
    bed = palette.MUDDY_WATER if "water" in layout.labels else palette.SCORCHED
    stencil.stroke(layout.river, int(rng.integers(4, 8)), shade_of(rng, bed))
    colours = shades(rng, palette.PIT_RIM, count), shades(rng, palette.PIT_POND, count)
    places = places_on(rng, [layout.river], count, 14)
    for rim, pond, (x, y) in zip(*colours, places, strict=True):
        radius_px = rng.uniform(4, 12)
        stencil.fill(blob(rng, x, y, radius_px, 0.25), rim)
        if rng.random() < 0.6:
            stencil.fill(blob(rng, x, y, radius_px * 0.5, 0.2), pond)
    stencil.paint(picture, rng, 0.10, ragged_px=2.2)


def _draw_habitation(picture: FloatArray, layout: Layout, rng: np.random.Generator) -> None:
    """Hamlets along the roads."""
    for x, y in places_on(rng, layout.roads, int(rng.integers(1, 4)), 5):
        _draw_hamlet(picture, x, y, rng)


def _draw_hamlet(picture: FloatArray, x: float, y: float, rng: np.random.Generator) -> None:
    """Roofs, white, grey or rust, in uneven rows on trodden ground."""
    yard, roofs = Stencil(), Stencil()
    turn, pitch_px = rng.uniform(0, np.pi), rng.uniform(9, 13)
    yard.fill(blob(rng, x, y, pitch_px * 2.9, 0.2), shade_of(rng, palette.YARD))
    yard.paint(picture, rng, 0.10, ragged_px=5)
    lots = np.stack(np.meshgrid(np.arange(-2.0, 3), np.arange(-2.0, 3)), -1).reshape(-1, 2)
    lots = lots[rng.random(len(lots)) < rng.uniform(0.5, 0.9)] * pitch_px
    along, aside = (lots + rng.normal(0, 1.6, lots.shape)).T
    places = turned_line(along, aside, turn, x, y)
    for (east, south), roof in zip(places, shades(rng, palette.ROOF, len(lots)), strict=True):
        width_px, height_px = rng.uniform(3.5, 7.5, 2)
        roofs.fill(rectangle(east, south, width_px, height_px, turn), roof)
    roofs.paint(picture, rng, 0.05)


# In order of painting: what would hide the rest first, what must stay visible last.
GROUND: dict[str, Draw] = {
    "agriculture": _draw_agriculture,
    "cultivation": _draw_cultivation,
    "blooming": _draw_blooming,
    "water": _draw_water,
    "bare_ground": _draw_bare_ground,
    "blow_down": _draw_blow_down,
    "slash_burn": _draw_slash_burn,
    "selective_logging": _draw_selective_logging,
    "road": _draw_road,
    "conventional_mine": _draw_conventional_mine,
    "artisinal_mine": _draw_artisinal_mine,
    "habitation": _draw_habitation,
}
