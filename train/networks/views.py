"""Test-time views: the model asked about a chip and its mirror images and quarter turns.

A chip has no up and no left: its labels are the same from every side, a network's scores are
not, quite. A mean over the views is steadier (Krizhevsky, Sutskever and Hinton 2012, section 4.1,
average over mirror images). The views become part of the model, in plain layers of Keras: nothing
that scores needs to know of them, and the model's digest covers them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

VIEWS = (1, 2, 4, 8)
"""How many views there can be: the chip; and its mirror image; and both upside down; and all four
transposed, which gives the quarter turns. Each is a group (8 is the square's own, D4): a view of
a view is one of them, so a chip and its views have the same scores."""


def with_views(model: Any, views: int) -> Any:
    """A model that scores the mean over the views of a chip.

    The mean is that of what the last layer sees, so, that layer being dense, of the logits; one
    sigmoid or softmax makes scores of it. (Means of scores would need a layer behind the last,
    and no temperature could calibrate them.) The model's own layers are in it, each but the last
    used once a view, the chip as it is first. It takes `views` times as long.

    Args:
        model: a Keras model, a chain of layers from square pixels `[n, S, S, bands]` to a dense
            one that gives the scores.
        views: one of `VIEWS`.
    """
    import keras

    if views == 1:
        return model
    pixels = model.inputs[0]
    last = model.layers[-1]
    seen = [last.input, *(_follow(model, view) for view in _views(pixels, views)[1:])]
    mean = keras.layers.Average(name="mean_of_views")(seen)
    return keras.Model(pixels, last(mean), name=model.name)


def _views(pixels: Any, count: int) -> list[Any]:
    """The first so many views of pixels, the pixels themselves first."""
    import keras

    shape = tuple(pixels.shape[1:])
    mirrored = _reversal("nhwc,wv->nhvc", shape, "mirrored")
    upside_down = _reversal("nhwc,hg->ngwc", shape, "upside_down")
    transposed = keras.layers.Permute((2, 1, 3), name="transposed")
    views = [pixels]
    for turn in (mirrored, upside_down, transposed):
        if len(views) < count:
            views += [turn(view) for view in views]
    return views


def _reversal(equation: str, shape: tuple[int, int, int], name: str) -> Any:
    """A layer that reverses one axis of pixels: a product with ones on the other diagonal.

    Exact in any precision, since each sum has one term that is not 0 and pixels are whole numbers
    to 255. Keras has no layer for it that works outside training, and an operation (`ops.flip`)
    cannot be loaded from HDF5 and has a name that counts up within a process.
    """
    import keras

    layer = keras.layers.EinsumDense(equation, shape, trainable=False, name=name)
    layer.build((None, *shape))
    layer.set_weights([np.eye(shape[0])[::-1]])
    return layer


def _follow(model: Any, pixels: Any) -> Any:
    """What the last layer sees of other pixels, through the others one after another."""
    for layer in model.layers[1:-1]:
        pixels = layer(pixels)
    return pixels
