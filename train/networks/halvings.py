"""How often a network has halved its pixels before each layer: what its blocks are."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def count_halvings(model: Any) -> Mapping[str, int]:
    """The layers with strides on the longest way to each layer, its own included, by its name.

    Layers with the same number see the ground at the same scale. In VGG16 the convolutions of its
    five blocks have 0 to 4.
    """
    counts: dict[str, int] = {}
    for layer in model.layers:
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        above = [counts.get(tensor._keras_history.operation.name, 0) for tensor in given]
        strides = np.max(getattr(layer, "strides", 1))
        counts[layer.name] = max(above, default=0) + int(strides > 1)
    return counts
