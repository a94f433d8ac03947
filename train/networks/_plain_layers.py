"""A network of `keras.applications` as plain Keras layers, and its weights.

Some have models within the model, operations between layers, and layers of their own module. A
saved model may have none of these (`schemas.networks.keras_config`), so they become layers that
compute the same from the same weights. Layers that Keras named get a name without its counter,
since the architecture is part of the model's digest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.networks.layer_weights import container_name

Array = npt.NDArray[np.float32]
LayerWeights = Mapping[str, list[Array]]
"""The weights of each layer that has some, by the layer's name, in the order of the layers."""

_MOMENTUM = 0.9
"""Highest momentum of moving statistics. With Keras' 0.99 or 0.999 they would not arrive at those
of the chips within a short training, and validation would see wrongly scaled layers."""


def as_plain_layers(template: Any, pixels: Any, scaling: Any) -> Any:
    """The output of a network for scaled pixels, in new plain layers with random weights.

    Args:
        template: a Keras model whose input goes to one layer.
        pixels: a Keras input `[n, S, S, bands]`; the number of bands may differ.
        scaling: the layer between the input and the network.
    """
    import keras

    names, first = _names(template), template.layers[1]

    def copy(layer: Any) -> Callable[..., Any]:
        copied = _copy(layer, names)
        return _chain([scaling, copied]) if layer is first else copied

    return keras.models.clone_model(template, input_tensors=pixels, clone_function=copy).output


def layer_weights(template: Any) -> LayerWeights:
    """The weights of a network, named and shaped as in its plain layers."""
    names, found = _names(template), dict[str, list[Array]]()
    for layer in _flat(template.layers):
        if weights := layer.get_weights():
            scales = type(layer).__name__ == "LayerScale"
            found[names[id(layer)]] = [weights[0].reshape(1, 1, -1, 1)] if scales else weights
    return found


def _flat(operations: Any) -> Iterator[Any]:
    """Layers and operations, those of models within the model too, in the order of the graph."""
    for operation in operations:
        if type(operation).__name__ == "Sequential":
            yield from _flat(operation.layers)
        else:
            yield operation


def _names(template: Any) -> Mapping[int, str]:
    """The name of each layer and operation, by its id."""
    seen, names = Counter[str](), dict[int, str]()
    for operation in _flat(template.operations):
        kind = container_name(type(operation).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", operation.name):  # Keras made it up
            seen[kind] += 1
            names[id(operation)] = f"{kind}_{seen[kind]}"
        else:
            names[id(operation)] = operation.name
    return names


def _copy(original: Any, names: Mapping[int, str]) -> Callable[..., Any]:
    """What computes the same as a layer or an operation, called in the same way."""
    import keras

    kind = type(original).__name__
    if kind == "Sequential":
        return _chain([_copy(layer, names) for layer in original.layers])
    name = names[id(original)]
    if not isinstance(original, keras.layers.Layer):
        return _arithmetic(kind, name)
    if kind == "LayerScale":
        start = keras.initializers.Constant(original.init_values)
        options = {"use_bias": False, "depthwise_initializer": start, "name": name}
        scaled: Callable[..., Any] = keras.layers.DepthwiseConv2D(1, **options)
        return scaled
    config = original.get_config() | {"name": name}
    if kind == "BatchNormalization":
        config["momentum"] = min(config["momentum"], _MOMENTUM)
    copied: Callable[..., Any] = type(original).from_config(config)
    return copied


def _chain(layers: list[Callable[..., Any]]) -> Callable[..., Any]:
    def call(values: Any, **_: Any) -> Any:
        for layer in layers:
            values = layer(values)
        return values

    return call


def _arithmetic(kind: str, name: str) -> Callable[..., Any]:
    """A sum or a product, of two tensors or of a tensor and a number."""
    import keras

    layers = keras.layers

    def call(first: Any, second: Any, **_: Any) -> Any:
        tensors = [value for value in (first, second) if keras.backend.is_keras_tensor(value)]
        if len(tensors) == 2:
            return {"Add": layers.Add, "Multiply": layers.Multiply}[kind](name=name)(tensors)
        number = float(first if second is tensors[0] else second)
        scale, offset = {"Add": (1.0, number), "Multiply": (number, 0.0)}[kind]
        return layers.Rescaling(scale, offset, name=name)(tensors[0])

    return call
