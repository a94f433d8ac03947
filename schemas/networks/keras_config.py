"""What the configuration of a model may contain: the parts that our trainer writes, no others.

Keras builds whatever a configuration names: layers that run code, functions that fetch files. So
this is a list of what is known to be harmless, in every release of the trainer, and anything else
is refused. To allow another layer, add its class and the settings that the trainer gives it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

Shape = tuple[int, ...]
_Parts = Mapping[tuple[str | None, str], frozenset[str]]


class ArtifactError(ValueError):
    """An artifact cannot be trusted; the message names the file and the values that differ."""


def _layers(**settings: str) -> _Parts:
    common = {"name", "trainable", "dtype"}
    return {("keras.layers", name): common | {*more.split()} for name, more in settings.items()}  # type: ignore[misc]


_WEIGHTED = "activation use_bias kernel_initializer bias_initializer"
_POOLING = "pool_size strides padding data_format"

_LAYERS: _Parts = _layers(
    InputLayer="batch_shape",
    Activation="activation",
    Add="",
    Average="",
    AveragePooling2D=_POOLING,
    BatchNormalization="axis momentum epsilon center scale beta_initializer gamma_initializer "
    "moving_mean_initializer moving_variance_initializer",
    Concatenate="axis",
    Conv2D=f"filters kernel_size strides padding data_format dilation_rate groups {_WEIGHTED}",
    Dense=f"units {_WEIGHTED}",
    DepthwiseConv2D="depth_multiplier kernel_size strides padding data_format dilation_rate "
    "activation use_bias depthwise_initializer bias_initializer",
    Dropout="rate seed noise_shape",
    EinsumDense=f"equation output_shape {_WEIGHTED}",
    Flatten="data_format",
    GlobalAveragePooling2D="data_format keepdims",
    LayerNormalization="axis epsilon center scale rms_scaling beta_initializer gamma_initializer",
    MaxPooling2D=_POOLING,
    Multiply="",
    Permute="dims",
    ReLU="max_value negative_slope threshold",
    Rescaling="scale offset",
    Reshape="target_shape",
    ZeroPadding2D="padding data_format",
)
_POLICIES: _Parts = {("keras", "DTypePolicy"): frozenset({"name"})}
_INITIALIZERS: _Parts = {
    ("keras.initializers", "Constant"): frozenset({"value"}),
    ("keras.initializers", "GlorotUniform"): frozenset({"seed"}),
    ("keras.initializers", "Ones"): frozenset(),
    ("keras.initializers", "VarianceScaling"): frozenset({"scale", "mode", "distribution", "seed"}),
    ("keras.initializers", "Zeros"): frozenset(),
}
_MODELS: _Parts = {
    (module, "Functional"): frozenset(
        {"name", "trainable", "layers", "input_layers", "output_layers"}
    )
    for module in ("keras", "keras.models", "keras.src.models.functional")
}
_TENSORS: _Parts = {(None, "__keras_tensor__"): frozenset({"shape", "dtype", "keras_history"})}

_OBJECT_KEYS = {"module", "class_name", "config", "registered_name", "shared_object_id"}
_LAYER_KEYS = _OBJECT_KEYS - {"shared_object_id"} | {"name", "build_config", "inbound_nodes"}

_MIRRORED, _UPSIDE_DOWN = "nhwc,wv->nhvc", "nhwc,hg->ngwc"
_WORDS: Mapping[str, frozenset[str]] = {
    "activation": frozenset(
        {"gelu", "hard_silu", "linear", "relu", "sigmoid", "silu", "softmax"}
    ),
    "data_format": frozenset({"channels_last"}),
    "distribution": frozenset({"truncated_normal", "uniform", "untruncated_normal"}),
    "dtype": frozenset({"float32"}),
    "equation": frozenset({_MIRRORED, _UPSIDE_DOWN}),
    "mode": frozenset({"fan_avg", "fan_in", "fan_out"}),
    "padding": frozenset({"same", "valid"}),
}
"""The words that a setting may have."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MOST_CHANNELS = 8192  # a wide layer with few weights fills the memory with what it computes
_MOST_PADDING_PX = 64
_DEEPEST_LIST = 6


def check_config(architecture: Mapping[str, Any]) -> None:
    """Check every part of a model before Keras builds it.

    Raises:
        ArtifactError: it has a part that our trainer does not write.
    """
    known = _check_object(architecture, _MODELS, _OBJECT_KEYS | {"build_config"})
    _check_build("model", architecture)
    config = architecture["config"]
    for key, value in config.items():
        if key in ("input_layers", "output_layers"):
            _check_history(value)
        elif key != "layers":
            _check_setting("model", key, value, known)
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers:
        raise ArtifactError("config.json does not describe a model of layers")
    for layer in layers:
        _check_layer(layer)


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


def _refuse(what: str) -> NoReturn:
    raise ArtifactError(f"the model has {what}, which no release of the trainer writes")


def _check_object(node: Any, parts: _Parts, keys: set[str]) -> frozenset[str]:
    """Check that an object is one of these parts; returns the settings that it may have."""
    if not isinstance(node, dict):
        _refuse(f"{_brief(node)} in place of an object")
    module, name = node.get("module"), node.get("class_name")
    known = parts.get((module, name)) if isinstance(name, str) and _is_text(module) else None
    if known is None or not isinstance(node.get("config"), dict):
        _refuse(f"{_brief(module)}.{_brief(name)}" if module else f"the part {_brief(name)}")
    if node.get("registered_name") not in (None, name):
        _refuse(f"a {name} with the registered name {_brief(node['registered_name'])}")
    if odd := sorted(set(node) - keys):
        _refuse(f"a {name} with {_brief(odd[0])}")
    if not isinstance(node.get("shared_object_id", 0), int):
        _refuse(f"a {name} with the shared_object_id {_brief(node['shared_object_id'])}")
    return known


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _check_layer(layer: Any) -> None:
    known = _check_object(layer, _LAYERS, _LAYER_KEYS)
    name, config = layer["class_name"], layer["config"]
    for key, value in config.items():
        _check_setting(name, key, value, known)
    if (
        not isinstance(config.get("name"), str)
        or layer.get("name", config["name"]) != config["name"]
    ):
        _refuse(
            f"a {name} with the names {_brief(config.get('name'))}, {_brief(layer.get('name'))}"
        )
    _check_build(name, layer)
    calls = layer.get("inbound_nodes", [])
    for call in calls if isinstance(calls, list) else [calls]:
        _check_call(name, call)


def _check_build(name: str, node: Mapping[str, Any]) -> None:
    build = node.get("build_config") or {"input_shape": None}
    if not isinstance(build, dict) or set(build) != {"input_shape"}:
        _refuse(f"a {name} with the build_config {_brief(build)}")
    _check_numbers(name, "input_shape", build["input_shape"])


def _check_call(name: str, node: Any) -> None:
    """Check how a layer is called: tensors of other layers, and two known options."""
    if not (
        isinstance(node, dict)
        and set(node) == {"args", "kwargs"}
        and isinstance(node["kwargs"], dict)
    ):
        _refuse(f"a {name} with the inbound node {_brief(node)}")
    for key, value in node["kwargs"].items():
        if key not in ("mask", "training") or value not in (None, False):
            _refuse(f"a {name} that is called with {_brief(key)} {_brief(value)}")
    for tensor in _flat(node["args"]):
        known = _check_object(tensor, _TENSORS, {"class_name", "config"})
        for key, value in tensor["config"].items():
            if key == "keras_history":
                _check_history(value)
            else:
                _check_setting("__keras_tensor__", key, value, known)


def _flat(node: Any, depth: int = 0) -> Iterator[Any]:
    if isinstance(node, list) and depth < _DEEPEST_LIST:
        for value in node:
            yield from _flat(value, depth + 1)
    else:
        yield node


def _check_history(node: Any) -> None:
    """Check the name of a layer with two numbers, or a list of these."""
    for value in _flat(node):
        if not (_is_name(value) or isinstance(value, int)):
            _refuse(f"the connection {_brief(value)}")


def _check_setting(part: str, key: str, value: Any, known: frozenset[str]) -> None:
    if key not in known:
        # Newer versions of Keras write their new settings with a value that changes nothing.
        if not (value is None or value is False or isinstance(value, float)):
            _refuse(f"a {part} with {_brief(key)} {_brief(value)}")
    elif isinstance(value, dict) and key == "dtype":
        _check_nested(value, _POLICIES)
    elif isinstance(value, dict) and key.endswith("_initializer"):
        _check_nested(value, _INITIALIZERS)
    elif isinstance(value, str):
        if not (_is_name(value) if key == "name" else value in _WORDS.get(key, ())):
            _refuse(f"a {part} with the {key} {_brief(value)}")
    else:
        _check_numbers(part, key, value)
        if key in ("units", "filters") and not (value and 1 <= value <= _MOST_CHANNELS):
            _refuse(f"a {part} with {_brief(value)} {key}")
        if key == "padding" and not all(0 <= px <= _MOST_PADDING_PX for px in _flat(value)):
            _refuse(f"a {part} with the padding {_brief(value)}")


def _check_nested(node: Any, parts: _Parts) -> None:
    known = _check_object(node, parts, _OBJECT_KEYS)
    for key, value in node["config"].items():
        if parts is not _POLICIES:
            _check_setting(node["class_name"], key, value, known)
        elif key not in known or value not in _WORDS["dtype"]:
            _refuse(f"a dtype policy with the {_brief(key)} {_brief(value)}")


def _check_numbers(part: str, key: str, value: Any) -> None:
    for number in _flat(value):
        if not (number is None or isinstance(number, int | float)):
            _refuse(f"a {part} with the {key} {_brief(value)}")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- The shapes of weights -----------------------------------------------------------------------


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
    axis = 2 if config["equation"] == _MIRRORED else 1
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
