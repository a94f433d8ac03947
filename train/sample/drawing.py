"""Draws the scene of a sample chip from its labels, as a satellite would see it.

First the ground is drawn (forest, or scrub without forest), then what people and weather did to it
(fields, rivers, roads, pits, burns), then the light, then the sky. A function draws each label and
takes its shapes, colours and positions from a random generator: no two chips look alike, but the
label stays visible, even when the chip is reduced to 64 px.

A picture is `float32 [256, 256, 4]`: apparent reflectance (0 to 1, as seen through the air) in the
order red, green, blue, near infrared. Reflectance 0.5 is shown as white.
"""

from collections.abc import Iterable

import numpy as np

from train.sample._ground import GROUND, Layout, draw_base, only_water
from train.sample._shapes import FloatArray, meander, road_lines
from train.sample._sky import SKY, SKY_LABELS, light

LABELS = tuple(sorted((*GROUND, "primary", *SKY_LABELS)))


def draw_chip(
    labels: Iterable[str], rng: np.random.Generator, sky_rng: np.random.Generator | None = None
) -> FloatArray:
    """Draw a chip on which `labels`, exactly one of them a sky label, can be seen.

    Returns reflectance `float32 [256, 256, 4]`, 0 to 1: red, green, blue, near infrared. It depends
    only on the labels and the states of `rng` and `sky_rng`.

    Args:
        sky_rng: for light and sky, so that another one draws the same ground on another day; `rng`
            by default.
    """
    wanted = frozenset(labels)
    _check_labels(wanted)
    layout = Layout(wanted, meander(rng), road_lines(rng))
    picture = draw_base(wanted, rng)
    for label, draw in GROUND.items():
        if label in wanted and not only_water(wanted):
            draw(picture, layout, rng)
    sky_rng = sky_rng or rng
    picture = light(picture, sky_rng)
    for label, draw_sky in SKY.items():
        if label in wanted:
            draw_sky(picture, sky_rng)
    return np.clip(picture, 0, 1)


def _check_labels(labels: frozenset[str]) -> None:
    unknown = sorted(labels - set(LABELS))
    if unknown:
        raise ValueError(f"cannot draw {', '.join(unknown)}: the labels are {', '.join(LABELS)}")
    sky = sorted(labels & set(SKY_LABELS))
    if len(sky) != 1:
        raise ValueError(f"a chip has exactly one of {', '.join(SKY_LABELS)}; got {sky}")
