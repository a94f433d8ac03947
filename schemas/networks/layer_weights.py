"""The weights that a checked model has: their names and shapes, from its configuration alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from schemas.networks.keras_config import MIRRORED, ArtifactError

Shape = tuple[int, ...]


def weight_shapes(architecture: Mapping[str, Any]) -> dict[str, Shape]:
    """The shape of each array of a checked model, by its path in the weights file.

    Raises:
        ArtifactError: a layer does not say what shape its weights have.
    """
    shapes: dict[str, Shape] = {}
    seen: Counter[str] = Counter()
    for layer in architecture["config"]["layers"]:
        container = _container(layer["class_name"], seen)
        shapes |= {f"{container}/vars/{i}": s for i, s in enumerate(_shapes_of(layer))}
    return shapes


def layer_names(architecture: Mapping[str, Any]) -> dict[str, str]:
    """The name of each layer of a checked model, by its path in the weights file."""
    seen: Counter[str] = Counter()
    layers = architecture["config"]["layers"]
    return {_container(layer["class_name"], seen): layer["config"]["name"] for layer in layers}


def container_name(class_name: str) -> str:
    """What Keras calls the first layer of a class, in files and where it has no name of its own.

    >>> container_name("DepthwiseConv2D"), container_name("ReLU")
    ('depthwise_conv2d', 're_lu')
    """
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _container(class_name: str, seen: Counter[str]) -> str:
    """The path of a layer in the weights file: Keras numbers the layers of each class."""
    words = container_name(class_name)
    number = seen[words]
    seen[words] += 1
    return f"layers/{words}_{number}" if number else f"layers/{words}"


def _shapes_of(layer: Mapping[str, Any]) -> list[Shape]:
    find = _FINDERS.get(layer["class_name"])
    if find is None:
        return []
    try:
        return find(layer["config"], layer["build_config"]["input_shape"])
    except (KeyError, TypeError, IndexError, ZeroDivisionError) as error:
        raise ArtifactError(f"the layer {layer['config']['name']} has no known shape") from error


def _dense(config: Mapping[str, Any], given: list[int]) -> list[Shape]:
    units = config["units"]
    return [(given[-1], units), *_bias(config, units)]


def _convolution(config: Mapping[str, Any], given: list[int]) -> list[Shape]:
    rows, columns = config["kernel_size"]
    filters = config["filters"]
    return [(rows, columns, given[-1] // config["groups"], filters), *_bias(config, filters)]


def _depthwise(config: Mapping[str, Any], given: list[int]) -> list[Shape]:
    rows, columns = config["kernel_size"]
    multiplier = config["depth_multiplier"]
    kernel = (rows, columns, given[-1], multiplier)
    return [kernel, *_bias(config, given[-1] * multiplier)]


def _normalisation(config: Mapping[str, Any], given: list[int]) -> list[Shape]:
    channels = (given[config["axis"]],)
    return [channels] * (2 + bool(config["scale"]) + bool(config["center"]))


def _layer_normalisation(config: Mapping[str, Any], given: list[int]) -> list[Shape]:
    channels = tuple(given[axis] for axis in config["axis"])
    return [channels] * (bool(config["scale"]) + bool(config["center"]))


def _reversal(config: Mapping[str, Any], given: list[int]) -> list[Shape]:
    axis = 2 if config["equation"] == MIRRORED else 1
    return [(given[axis], config["output_shape"][axis - 1])]


def _bias(config: Mapping[str, Any], units: int) -> list[Shape]:
    return [(units,)] if config["use_bias"] else []


_FINDERS: Mapping[str, Callable[[Mapping[str, Any], list[int]], list[Shape]]] = {
    "BatchNormalization": _normalisation,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "EinsumDense": _reversal,
    "LayerNormalization": _layer_normalisation,
}
