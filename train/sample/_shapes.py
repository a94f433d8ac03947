"""Elements of sample scenes: noise, coloured outlines, winding and straight lines.

A picture is `float32 [256, 256, 4]`, reflectance 0 to 1 in the
order red, green, blue, near infrared; positions are in pixels, x to the right and y down.
"""

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

CHIP_SIDE_PX = 256

FloatArray = npt.NDArray[np.float32]
Point = tuple[float, float]
Line = list[Point]

_TILE_PX = 512


# --- Noise: textures made once per process, then cut at random positions -------


@functools.cache
def _noise_tiles() -> dict[str, FloatArray]:
    """Periodic noise of mean 0 and deviation 1 by kind, `float32 [768, 768]`: a tile and a margin.

    The margin repeats the tile, so that a cut anywhere in the tile is a plain slice.
    """
    y = np.fft.fftfreq(_TILE_PX)[:, None]
    x = np.fft.rfftfreq(_TILE_PX)[None, :]
    radius = np.hypot(x, y) + 1e-9
    spectra = {
        # Crowns some 6 px wide, lit from one side: a band of sizes, and its slope along a diagonal.
        "canopy": (0.4j * (x + y) + 0.5 * radius + 0.01) * np.exp(-((radius * 4.6) ** 2)),
        "grain": np.exp(-((radius * 1.6) ** 2)) + 0j,
        "cloud": radius**-1.85 * (radius > 1 / 220) * np.exp(-((radius * 4) ** 2)) + 0j,
        "smooth": radius**-3.0 * (radius > 1 / 300) + 0j,
    }
    white = np.fft.rfft2(np.random.default_rng(17).standard_normal((_TILE_PX, _TILE_PX)))
    return {kind: _tile(white * spectrum) for kind, spectrum in spectra.items()}


def _tile(spectrum: npt.NDArray[np.complex128]) -> FloatArray:
    tile = np.fft.irfft2(spectrum, s=(_TILE_PX, _TILE_PX))
    tile = (tile - tile.mean()) / tile.std()
    return np.pad(tile, ((0, CHIP_SIDE_PX), (0, CHIP_SIDE_PX)), mode="wrap").astype(np.float32)


def cut_noise(rng: np.random.Generator, kind: str) -> FloatArray:
    """A cut of the tile of that kind (canopy, grain, cloud, smooth), `float32 [256, 256]`."""
    top, left = rng.integers(0, _TILE_PX, 2)
    cut = _noise_tiles()[kind][top : top + CHIP_SIDE_PX, left : left + CHIP_SIDE_PX]
    return cut[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]


def noise(rng: np.random.Generator, kind: str) -> FloatArray:
    """The sum of two cuts, so that it hardly repeats; `float32 [256, 256]`, deviation about 1."""
    return np.float32(0.7071) * (cut_noise(rng, kind) + cut_noise(rng, kind).T)


@functools.cache
def pixel_grid() -> tuple[FloatArray, FloatArray]:
    """The x and the y of each pixel, both `float32 [256, 256]`."""
    y, x = np.mgrid[0:CHIP_SIDE_PX, 0:CHIP_SIDE_PX].astype(np.float32)
    return x, y


# --- Colour -------------------------------------------------------------------------------------


def shades(
    rng: np.random.Generator, colours: Sequence[FloatArray], count: int, spread: float = 0.09
) -> FloatArray:
    """`count` colours near the given ones, reflectance `float32 [count, 4]`."""
    picked = np.stack(colours)[rng.integers(0, len(colours), count)]
    brightness = rng.normal(1, spread, (count, 1))
    tint = rng.normal(1, spread / 8, (count, 4))
    return (picked * np.clip(brightness * tint, 0.65, 1.45)).astype(np.float32)


def shade_of(
    rng: np.random.Generator, colours: Sequence[FloatArray], spread: float = 0.09
) -> FloatArray:
    """One colour near one of the given ones, reflectance `float32 [4]`."""
    one: FloatArray = shades(rng, colours, 1, spread)[0]
    return one


def cover(picture: FloatArray, share: FloatArray, colour: FloatArray) -> None:
    """Blend `colour` into the picture, in place; `share` (0 to 1) is its weight at each pixel."""
    picture += share[..., None].astype(np.float32) * (colour - picture)


def soften(picture: FloatArray) -> FloatArray:
    """Blur each pixel with its neighbours, as a lens does."""
    for axis in (0, 1):
        before, after = np.roll(picture, 1, axis), np.roll(picture, -1, axis)
        # A roll brings in the far edge: use the edge itself instead.
        np.moveaxis(before, axis, 0)[0] = np.moveaxis(picture, axis, 0)[0]
        np.moveaxis(after, axis, 0)[-1] = np.moveaxis(picture, axis, 0)[-1]
        picture = np.float32(0.6) * picture + np.float32(0.2) * (before + after)
    return picture


# --- Shapes -------------------------------------------------------------------------------------


class Stencil:
    """Coloured shapes to be painted, at most 255; later ones cover earlier ones."""

    def __init__(self) -> None:
        self._image = Image.new("L", (CHIP_SIDE_PX, CHIP_SIDE_PX), 0)
        self._draw = ImageDraw.Draw(self._image)
        self._colours: list[FloatArray] = []

    def fill(self, outline: Line, colour: FloatArray) -> None:
        self._draw.polygon(outline, fill=self._number(colour))

    def stroke(self, line: Line, width_px: int, colour: FloatArray) -> None:
        number, half = self._number(colour), width_px / 2
        self._draw.line(line, fill=number, width=width_px)
        if width_px > 3:  # otherwise the joints of thick lines would show as notches
            for x, y in line:
                self._draw.ellipse((x - half, y - half, x + half, y + half), fill=number)

    def _number(self, colour: FloatArray) -> int:
        self._colours.append(colour)
        return len(self._colours)

    def paint(
        self,
        picture: FloatArray,
        rng: np.random.Generator,
        texture: float = 0.05,
        ragged_px: float = 0.0,
    ) -> None:
        """Put the shapes on `picture`, in place.

        `texture` is the deviation of their brightness, `ragged_px` that of their edges.
        """
        number = np.asarray(self._image)
        if ragged_px:
            number = number[_astray(rng, ragged_px)]
        inside = number > 0
        mottle = 0.8 * cut_noise(rng, "grain")[inside] + 0.6 * cut_noise(rng, "cloud")[inside]
        light = np.clip(1 + np.float32(texture) * mottle, 0.5, 1.5)
        picture[inside] = np.stack(self._colours)[number[inside] - 1] * light[:, None]


def _astray(
    rng: np.random.Generator, deviation_px: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """For each pixel the row and the column of one near it: reading there makes edges ragged."""
    moved = (
        axis + np.float32(deviation_px) * (noise(rng, "cloud") + 0.1 * cut_noise(rng, "grain"))
        for axis in pixel_grid()
    )
    column, row = (np.clip(np.rint(axis), 0, CHIP_SIDE_PX - 1).astype(np.intp) for axis in moved)
    return row, column


def blob(
    rng: np.random.Generator, x: float, y: float, radius_px: float, wobble: float = 0.3
) -> Line:
    """A closed, uneven outline of 24 points around (x, y)."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    order = np.arange(1, 5)[:, None]
    phase, size = rng.uniform(0, 2 * np.pi, (4, 1)), rng.normal(0, wobble, (4, 1)) / order**0.7
    reach = radius_px * np.clip(1 + (size * np.sin(order * angle + phase)).sum(0), 0.45, 1.8)
    xs, ys = x + reach * np.cos(angle), y + reach * np.sin(angle)
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def rectangle(x: float, y: float, width_px: float, height_px: float, turn: float) -> Line:
    """A rectangle around (x, y), turned by `turn` radians."""
    along = np.array([-1.0, 1, 1, -1]) * width_px / 2
    aside = np.array([-1.0, -1, 1, 1]) * height_px / 2
    return turned_line(along, aside, turn, x, y)


def turned_line(
    along: npt.NDArray[np.float64], aside: npt.NDArray[np.float64], turn: float, x: float, y: float
) -> Line:
    """The points (along, aside), turned by `turn` radians and moved to (x, y)."""
    xs = x + along * np.cos(turn) - aside * np.sin(turn)
    ys = y + along * np.sin(turn) + aside * np.cos(turn)
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def meander(rng: np.random.Generator, bend_px: float = 26) -> Line:
    """A winding line from one edge of the chip to another."""
    turn, (x, y) = rng.uniform(0, np.pi), rng.uniform(70, 186, 2)
    along = np.arange(-300.0, 301.0, 6.0)
    wave_px, phase = rng.uniform((140, 70, 38), (260, 120, 60)), rng.uniform(0, 2 * np.pi, 3)
    size_px = bend_px * rng.uniform(0.5, 1.2) * np.array([1, 0.6, 0.25])
    aside = (size_px * np.sin(2 * np.pi * along[:, None] / wave_px + phase)).sum(1)
    return turned_line(along, aside, turn, x, y)


def road_lines(rng: np.random.Generator) -> list[Line]:
    """A main road through the chip and up to two side roads, all nearly straight."""
    turn, (x, y) = rng.uniform(0, np.pi), rng.uniform(70, 186, 2)
    bend_px = rng.uniform((-30, 0, -30), (30, 0, 30))
    roads = [turned_line(np.array([-300.0, 0, 300]), bend_px, turn, x, y)]
    for _ in range(int(rng.integers(0, 3))):
        shift = rng.uniform(-60, 60)
        start = (x + shift * np.cos(turn), y + shift * np.sin(turn))
        away = turn + rng.choice((-1, 1)) * rng.uniform(1.1, 1.9)
        roads.append(turned_line(np.array([0.0, 300]), np.zeros(2), away, *start))
    return roads


def places_on(rng: np.random.Generator, lines: Iterable[Line], count: int, aside_px: float) -> Line:
    """`count` points inside the chip, about `aside_px` from the given lines."""
    points = np.concatenate([_dense(line) for line in lines])
    inside = points[((points > 20) & (points < CHIP_SIDE_PX - 20)).all(1)]
    chosen = inside[rng.integers(0, len(inside), count)] + rng.normal(0, aside_px, (count, 2))
    return [(float(x), float(y)) for x, y in chosen]


def _dense(line: Line) -> npt.NDArray[np.float64]:
    """The line as 240 points, float64 [240, 2]."""
    corners = np.array(line)
    steps = np.linspace(0, len(corners) - 1, 240)
    return np.stack([np.interp(steps, np.arange(len(corners)), corners[:, k]) for k in (0, 1)], 1)
