"""What the configuration of a model may contain: the parts that our trainer writes, no others.

Keras builds whatever a configuration names: layers that run code, functions that fetch files. So
this is a list of what is known to be harmless, in every release of the trainer, and anything else
is refused. To allow another layer, add its class and the settings that the trainer gives it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

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

MIRRORED, UPSIDE_DOWN = "nhwc,wv->nhvc", "nhwc,hg->ngwc"
"""The equations of layers that reverse an axis of pixels."""

_WORDS: Mapping[str, frozenset[str]] = {
    "activation": frozenset({"gelu", "hard_silu", "linear", "relu", "sigmoid", "silu", "softmax"}),
    "data_format": frozenset({"channels_last"}),
    "distribution": frozenset({"truncated_normal", "uniform", "untruncated_normal"}),
    "dtype": frozenset({"float32"}),
    "equation": frozenset({MIRRORED, UPSIDE_DOWN}),
    "mode": frozenset({"fan_avg", "fan_in", "fan_out"}),
    "padding": frozenset({"same", "valid"}),
}
"""The words that a setting may have."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_RANGES: Mapping[str, range] = {
    "filters": range(1, 8193),
    "units": range(1, 8193),
    "padding": range(65),
}
"""Numbers that settings may have: a wide layer with few weights fills the memory with what it
computes."""

_DEEPEST_LIST = 6
_MOST_NUMBERS = 64
"""In a setting: the longest have one for each band. Keras takes minutes for very many."""


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
    values = list(_flat(node))
    if len(values) > _MOST_NUMBERS:
        _refuse(f"{len(values):,} parts in a connection")
    for value in values:
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
        if key in _RANGES and not all(_is_in(_RANGES[key], number) for number in _flat(value)):
            _refuse(f"a {part} with {_brief(value)} {key}")


def _check_nested(node: Any, parts: _Parts) -> None:
    known = _check_object(node, parts, _OBJECT_KEYS)
    for key, value in node["config"].items():
        if parts is not _POLICIES:
            _check_setting(node["class_name"], key, value, known)
        elif key not in known or value not in _WORDS["dtype"]:
            _refuse(f"a dtype policy with the {_brief(key)} {_brief(value)}")


def _check_numbers(part: str, key: str, value: Any) -> None:
    numbers = list(_flat(value))
    if len(numbers) > _MOST_NUMBERS:
        _refuse(f"a {part} with {len(numbers):,} numbers in its {key}")
    for number in numbers:
        if not (number is None or isinstance(number, int | float)):
            _refuse(f"a {part} with the {key} {_brief(value)}")


def _is_in(known: range, number: Any) -> bool:
    return isinstance(number, int) and number in known


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
