"""Test-time views: scores averaged over a chip's mirror images and quarter turns.

A chip has no orientation: its labels do not change when it is turned, but a network's scores
change a little. The mean over the views is more stable (Krizhevsky, Sutskever and Hinton 2012,
section 4.1, average over mirror images). The views are part of the saved model, as plain Keras
layers: the scoring job needs no code for them, and the model's digest covers them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

VIEWS = (1, 2, 4, 8)
"""Possible numbers of views: 1 is the chip; 2 adds its mirror image; 4 adds both upside down;
8 adds all four transposed, which includes the quarter turns. Each set is a group (8 is that of
the square, D4): a view of a view is in the set, so a chip and its views have the same scores."""


def with_views(model: Any, views: int) -> Any:
    """A model that scores the mean over the views of a chip.

    The mean is taken before the last layer. That layer is dense, so it is a mean of logits, and
    one sigmoid or softmax follows. (Means of scores would need a layer after the last one, and
    no temperature could calibrate them.) The model's own layers are shared by all views; the
    unchanged chip comes first. Scoring takes `views` times as long.

    Args:
        model: a Keras model from square pixels `[n, S, S, bands]` to a dense layer that returns
            the scores.
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
    """The first `count` views of pixels, beginning with the pixels themselves."""
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

    It is exact in any precision, since each sum has one term that is not 0 and pixels are whole
    numbers up to 255. Keras has no layer for it that works outside training; an operation
    (`ops.flip`) cannot be loaded from HDF5, and its name contains a counter.
    """
    import keras

    layer = keras.layers.EinsumDense(equation, shape, trainable=False, name=name)
    layer.build((None, *shape))
    layer.set_weights([np.eye(shape[0])[::-1]])
    return layer


def _follow(model: Any, pixels: Any) -> Any:
    """The input of the last layer for other pixels."""
    known = {id(model.inputs[0]): pixels}
    for layer in model.layers[1:-1]:
        given = layer.input
        values = [known[id(t)] for t in given] if isinstance(given, list) else known[id(given)]
        known[id(layer.output)] = layer(values)
    return known[id(model.layers[-1].input)]
