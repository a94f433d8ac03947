"""Pictures that excite a filter: gradient ascent on the pixels, from a random picture.

Erhan, Bengio, Courville and Vincent (2009), "Visualizing higher-layer features of a deep
network"; for convolutional networks Simonyan, Vedaldi and Zisserman (2013). Plain ascent ends in
fine noise that excites a filter and shows nothing. The usual remedies are used: the
gradient is scaled to one size, the picture is moved about between steps and blurred a little now
and then (Yosinski et al. 2015, "Understanding neural networks through deep visualization"), and
it grows from half its side (Mordvintsev, Olah and Tyka 2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.float32]
Values = npt.NDArray[np.float32]

_STEP = 6.0  # grey levels, root mean square, that the first step moves a picture
_LAST_STEP = 0.3  # of the first
_BLURRED_EVERY = 4
_BLUR_PX = 0.6
_GREY, _NOISE = 128.0, 10.0
_SHOWN_DEVIATION = 48.0
_FILTERS_AT_ONCE = 16  # block1 of VGG16 at 128 px then takes 70 MB per layer


class Ascent(NamedTuple):
    """What excites filters.

    Attributes:
        pictures: `float32 [filters, S, S, bands]` in 0 to 255.
        start, reached: `float32 [filters]`, the filter's mean answer, see `cut_network`, to the
            random picture and to the last one.
    """

    pictures: Pictures
    start: Values
    reached: Values


def cut_network(model: Any, layer: str) -> Any:
    """A network from pixels of any size to the output of a convolution, through a leaky ReLU.

    Behind a plain ReLU, a filter that the random picture does not excite would have no gradient.
    Without any ReLU, the responses at all places would cancel: the mean for an edge filter is 0 on
    every picture, and for a deeper filter only the sum of its kernel would count.
    """
    import keras

    def cloned(original: Any) -> Any:
        config = original.get_config()
        if original.name == layer:
            config["activation"] = "leaky_relu"
        return type(original).from_config(config)

    part = keras.Model(model.input, model.get_layer(layer).output)
    pixels = keras.Input((None, None, model.input_shape[-1]), name="pixels")
    cut = keras.models.clone_model(part, input_tensors=pixels, clone_function=cloned)
    cut.set_weights(part.get_weights())
    return cut


def ascend(network: Any, filters: Sequence[int], side_px: int, steps: int, seed: int) -> Ascent:
    """Find a picture for each filter; it does not depend on which other filters are drawn.

    Args:
        network: see `cut_network`.
        side_px: side of the pictures.
        steps: at half the side, and as many again at the whole.
    """
    starts = range(0, len(filters), _FILTERS_AT_ONCE)
    batches = [filters[start : start + _FILTERS_AT_ONCE] for start in starts]
    found = [_ascend_batch(network, batch, side_px, steps, seed) for batch in batches]
    return Ascent(*map(np.concatenate, zip(*found, strict=True)))


def first_side(side_px: int) -> int:
    """The side that pictures begin with."""
    return (side_px + 1) // 2


def as_pictures(pictures: Pictures) -> npt.NDArray[np.uint8]:
    """`uint8`, each picture stretched about mid-grey to one contrast, as all are shown."""
    axes = (1, 2, 3)
    deviations = pictures - pictures.mean(axis=axes, keepdims=True)
    scale = _SHOWN_DEVIATION / (pictures.std(axis=axes, keepdims=True) + 1e-6)
    shown: npt.NDArray[np.uint8] = np.clip(_GREY + deviations * scale, 0, 255).astype(np.uint8)
    return shown


def _ascend_batch(
    network: Any, filters: Sequence[int], side_px: int, steps: int, seed: int
) -> Ascent:
    import tensorflow as tf

    step = _compile_step(network, filters)
    sides = (first_side(side_px), side_px)
    shape = (sides[0], sides[0], network.input_shape[-1])
    pictures: Any = tf.constant(_noise(filters, shape, seed))
    still = (tf.constant(0), tf.constant(0), tf.constant(0.0))
    start = step(pictures, *still)[1]
    for side in sides:
        pictures = tf.image.resize(pictures, (side, side), "bicubic")
        for number, (rows, columns, rate) in enumerate(_plan(side, steps, seed), 1):
            pictures, _ = step(pictures, rows, columns, rate)
            if number % _BLURRED_EVERY == 0 and number < steps:
                pictures = _blur(pictures)
    reached = step(pictures, *still)[1]
    return Ascent(pictures.numpy(), start.numpy(), reached.numpy())


def _noise(filters: Sequence[int], shape: tuple[int, int, int], seed: int) -> Pictures:
    drawn = [np.random.default_rng((seed, number)).uniform(-1, 1, shape) for number in filters]
    return (_GREY + _NOISE * np.stack(drawn)).astype(np.float32)


def _plan(side: int, steps: int, seed: int) -> Iterator[tuple[Any, Any, Any]]:
    """For each step how far the picture is moved, and by how much it may change.

    It is moved by up to its whole side, round the edge: padding at the edge of a network, or none,
    would leave a frame that nothing excites.
    """
    import tensorflow as tf

    rng = np.random.default_rng((seed, side))
    rates = _STEP * np.linspace(1, _LAST_STEP, steps)
    for rate, (rows, columns) in zip(rates, rng.integers(0, side, (steps, 2)), strict=True):
        yield tf.constant(int(rows)), tf.constant(int(columns)), tf.constant(rate, tf.float32)


def _compile_step(network: Any, filters: Sequence[int]) -> Any:
    """One step up for all pictures: returns them and the filters' responses before it."""
    import tensorflow as tf

    wanted = tf.constant(list(filters))[:, None]

    @tf.function  # type: ignore[untyped-decorator]
    def step(pictures: Any, rows: Any, columns: Any, rate: Any) -> Any:
        moved = tf.roll(pictures, (rows, columns), (1, 2))
        with tf.GradientTape() as tape:
            tape.watch(moved)
            means = tf.reduce_mean(network(moved, training=False), axis=(1, 2))
            answers = tf.gather(means, wanted, batch_dims=1)[:, 0]
        gradient = tape.gradient(answers, moved)
        size = tf.sqrt(tf.reduce_mean(gradient**2, axis=(1, 2, 3), keepdims=True))
        moved += rate * gradient / (size + 1e-12)
        back = tf.roll(moved, (-rows, -columns), (1, 2))
        return tf.clip_by_value(back, 0.0, 255.0), answers

    return step


def _blur(pictures: Any) -> Any:
    """A Gaussian of `_BLUR_PX`, round the edge."""
    import tensorflow as tf

    at = np.arange(-2, 3)
    weights = np.exp(-(at**2) / (2 * _BLUR_PX**2))
    weights /= weights.sum()
    for axis in (1, 2):
        shifted = [tf.roll(pictures, int(by), axis) * w for by, w in zip(at, weights, strict=True)]
        pictures = tf.add_n(shifted)
    return pictures
