"""The light and the sky of a sample chip."""

import numpy as np

from schemas.labels import PLANET_LABELS
from train.sample import _colours as palette
from train.sample._shapes import FloatArray, cover, cut_noise, noise, shade_of, soften

SKY_LABELS = PLANET_LABELS.sky


def light(picture: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The picture as a camera takes it: blurred by the lens, with a colour cast and some haze."""
    picture = soften(picture) * rng.normal(1, 0.02, 4).astype(np.float32)
    air = np.float32(rng.uniform(0, 0.24))
    picture += air * (shade_of(rng, palette.AIR) - picture)
    picture += np.float32(0.003) * cut_noise(rng, "grain")[..., None]
    return picture


def _sky_haze(picture: FloatArray, rng: np.random.Generator) -> None:
    """A veil that leaves shapes but little contrast."""
    share = np.clip(rng.uniform(0.58, 0.78) + 0.05 * noise(rng, "smooth"), 0.45, 0.88)
    cover(picture, share, shade_of(rng, palette.HAZE, 0.07))


def _sky_partly_cloudy(picture: FloatArray, rng: np.random.Generator) -> None:
    """Some bright clouds; the sun is to one side, so each throws a shadow to the other side."""
    shape = noise(rng, "cloud") + np.float32(0.06) * cut_noise(rng, "grain")
    threshold = np.quantile(shape[::4, ::4], 1 - rng.uniform(0.12, 0.42))
    cloud = np.clip((shape - threshold) / rng.uniform(0.5, 1.1), 0, 0.97)
    shift = rng.integers(14, 34, 2) * rng.choice((-1, 1), 2)
    shadow = np.roll(cloud, (int(shift[0]), int(shift[1])), (0, 1))
    picture *= (1 - np.float32(0.55) * shadow)[..., None]
    light = np.clip(0.92 + 0.07 * (shape - threshold), 0.8, 1.05)
    cover(picture, cloud, light[..., None] * shade_of(rng, palette.CLOUD, 0.03))


def _sky_cloudy(picture: FloatArray, rng: np.random.Generator) -> None:
    """Cloud nearly everywhere: a flat sheet, or one with thin areas."""
    billow = rng.choice((0.0, 0.04, 0.1)) * noise(rng, "cloud")
    share = np.clip(rng.uniform(0.93, 1.02) + billow, 0.6, 1)
    light = rng.uniform(0.74, 0.98) * (1 + 0.5 * billow) + 0.02 * noise(rng, "smooth")
    cover(picture, share, light[..., None] * shade_of(rng, palette.CLOUD, 0.03))


SKY = {"haze": _sky_haze, "partly_cloudy": _sky_partly_cloudy, "cloudy": _sky_cloudy}
