"""Augmentation: other views of a chip that have the same labels, made on the fly as TensorFlow
operations on whole `uint8` batches, so that they run where the network runs and never wait.

Every draw is a function of one seed, so a resumed training draws the same as an uninterrupted one.

What is drawn, and why it keeps the labels true:

- Flips and quarter turns (all eight symmetries of the square, exactly): a satellite looks straight
  down, so no direction is special.
- Small rotations, zoom, shift (that is, a crop) and shear, in one bilinear resampling; what is
  outside is filled by reflection, which adds no new kind of ground. They are small enough that
  the object of a label stays in the picture.
- Colour: only gains, one for the chip and one for each band, never an offset. Haze and thin cloud
  are light added to the ground's (path radiance: Chavez 1988), so an offset, or less contrast
  about the mean, turns a clear chip hazy; sun and exposure multiply, and a gain keeps black
  black. On labelled Planet chips the darkest pixels (2nd percentile) of clear chips are at 36 to
  64 of 255 (quartiles), those of haze at 104 and more: the largest gain, 1.2, does not bridge that.
  The bands' own gains are smaller, since a blue cast is the other sign of haze.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pipelines.flags import Number, common_flag, flag

Level = Literal["none", "flips", "standard", "strong"]


@dataclass(frozen=True)
class Augmentation:
    """How chips are varied.

    Attributes:
        rare_strength: rare labels are seen less often, or again and again when they are repeated.
    """

    removed_flags: ClassVar = ("--mix", "--mix_alpha")

    level: Level = common_flag(
        "How chips are varied. flips includes quarter turns; standard and strong also turn, "
        "zoom, shift and colour a little.",
        name="augmentation",
        default="none",
    )
    strength: float = flag(
        "Multiply the ranges of standard and strong by this.",
        Number(float, 0, 2),
        name="augmentation_strength",
        default=1.0,
    )
    rare_strength: float = flag(
        "Multiply the ranges by this too for chips with a rare label.",
        Number(float, 1, 3),
        default=1.5,
    )


@dataclass(frozen=True)
class Ranges:
    """The most that is drawn at strength 1, to either side.

    Attributes:
        degrees: rotation.
        zoom: factor, less 1.
        shift: share of the side.
        shear: pixels per pixel.
        gain: of all bands, less 1.
        band_gain: of each band, less 1.
    """

    degrees: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    gain: float = 0.0
    band_gain: float = 0.0


RANGES: Mapping[Level, Ranges] = {
    "none": Ranges(),
    "flips": Ranges(),
    "standard": Ranges(10, 0.10, 0.06, 0.06, 0.10, 0.015),
    "strong": Ranges(20, 0.25, 0.12, 0.12, 0.20, 0.03),
}


def augment(pixels: Any, strength: Any, seed: Any, options: Augmentation) -> Any:
    """Chips as they may also have looked: `float32 [n, S, S, bands]`, 0 to 255.

    Args:
        pixels: `uint8 [n, S, S, bands]`.
        strength: `float32 [n]`, each chip's factor of the ranges.
        seed: `int32 [2]`.
    """
    import tensorflow as tf

    values = tf.cast(pixels, tf.float32)
    if options.level == "none":
        return values
    ranges = RANGES[options.level]
    count, side = tf.shape(values)[0], values.shape[1]
    matrices = draw_symmetries(count, _fold(seed, 0))
    if options.level != "flips":
        strength = strength * options.strength
        matrices = tf.linalg.matmul(matrices, draw_affine(strength, _fold(seed, 1), ranges))
    moved = resample(values, to_transforms(matrices, side))
    if options.level == "flips":
        return moved
    gains = draw_gains(strength, values.shape[-1], _fold(seed, 2), ranges)
    return tf.clip_by_value(moved * gains, 0.0, 255.0)


def draw_symmetries(count: Any, seed: Any) -> Any:
    """Symmetries of the square, all equally likely: `float32 [n, 3, 3]`, exact."""
    import tensorflow as tf

    bits = tf.random.stateless_uniform([3, count], seed, 0, 2, tf.int32)
    across, down, turned = tf.unstack(tf.cast(bits, tf.float32))
    x, y, straight = 1 - 2 * across, 1 - 2 * down, 1 - turned
    return _stack([[x * straight, x * turned, 0], [y * turned, y * straight, 0], [0, 0, 1]], count)


def draw_affine(strength: Any, seed: Any, ranges: Ranges) -> Any:
    """Rotation, zoom, shear and shift about the centre: `float32 [n, 3, 3]`, shift in sides."""
    import tensorflow as tf

    count = tf.shape(strength)[0]
    draws = tf.random.stateless_uniform([6, count], seed, -1, 1) * strength
    angle = draws[0] * (ranges.degrees * 3.141592653589793 / 180)
    zoom = tf.exp(draws[1] * tf.math.log(1 + ranges.zoom))
    shear = draws[2:4] * ranges.shear
    shift = draws[4:6] * ranges.shift
    cos, sin = tf.cos(angle) * zoom, tf.sin(angle) * zoom
    turned = _stack([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]], count)
    return tf.linalg.matmul(turned, _stack([[1, shear[0], 0], [shear[1], 1, 0], [0, 0, 1]], count))


def draw_gains(strength: Any, bands: int, seed: Any, ranges: Ranges) -> Any:
    """Each chip's gain times each band's: `float32 [n, 1, 1, bands]`."""
    import tensorflow as tf

    count = tf.shape(strength)[0]
    draws = tf.random.stateless_uniform([count, 1 + bands], seed, -1, 1) * strength[:, None]
    whole = tf.exp(draws[:, :1] * tf.math.log(1 + ranges.gain))
    each = tf.exp(draws[:, 1:] * tf.math.log(1 + ranges.band_gain))
    return (whole * each)[:, None, None, :]


def to_transforms(matrices: Any, side: int) -> Any:
    """Matrices about the centre as rows `float32 [n, 8]` that map output to input pixels."""
    import tensorflow as tf

    centre = (side - 1) / 2
    linear = matrices[:, :2, :2]
    offset = centre + matrices[:, :2, 2] * side - tf.reduce_sum(linear, axis=2) * centre
    rows = tf.reshape(tf.concat([linear, offset[:, :, None]], axis=2), [-1, 6])
    return tf.pad(rows, [[0, 0], [0, 2]])


def resample(values: Any, transforms: Any) -> Any:
    """Chips seen through their transforms, bilinearly, reflected beyond their edges."""
    import tensorflow as tf

    return tf.raw_ops.ImageProjectiveTransformV3(
        images=values,
        transforms=transforms,
        output_shape=tuple(values.shape[1:3]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _fold(seed: Any, purpose: int) -> Any:
    import tensorflow as tf

    return tf.random.experimental.stateless_fold_in(seed, purpose)


def _stack(rows: list[list[Any]], count: Any) -> Any:
    """Rows of numbers and `float32 [n]` as matrices `float32 [n, rows, columns]`."""
    import tensorflow as tf

    full = [[tf.broadcast_to(tf.cast(v, tf.float32), [count]) for v in row] for row in rows]
    return tf.transpose(tf.stack(full), [2, 0, 1])
