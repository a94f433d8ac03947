"""Models that run code, reach the network or fill memory when Keras opens them; harmless proofs.

Each is a change to a sound model's config.json; `mark` is a file that must not appear.
"""

from __future__ import annotations

import base64
import io
import marshal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py

Config = dict[str, Any]


def lambda_code(mark: Path) -> dict[str, Any]:
    """Code as a Lambda layer stores it, which would create a file."""
    code = compile(f"lambda x: (open({str(mark)!r}, 'w'), x)[1]", "model", "eval").co_consts[0]
    text = base64.b64encode(marshal.dumps(code)).decode()
    return {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}


def function(module: str, name: str, registered: str | None = None) -> dict[str, Any]:
    """A function as Keras stores one."""
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": registered or name,
    }


def layer(module: str | None, class_name: str, /, **config: Any) -> dict[str, Any]:
    """A layer as Keras stores one, without calls."""
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": "odd", **config},
        "registered_name": None,
        "name": "odd",
        "inbound_nodes": [],
    }


def hostile_layers(mark: Path) -> Mapping[str, dict[str, Any]]:
    """Layers by the hole in Keras that they use."""
    code, path = lambda_code(mark), str(mark)
    url = "http://127.0.0.1:9/vocabulary.txt"
    download = {"fname": path, "origin": url, "extract": True}
    return {
        "CVE-2024-3660 Lambda": layer("keras.layers", "Lambda", function=code),
        "Lambda by a dotted name": layer("keras", "layers.Lambda", function=code),
        "Lambda by its source module": layer(
            "keras.src.layers.core.lambda_layer", "Lambda", function=code
        ),
        "Lambda without a module": layer(None, "Lambda", function=code),
        "CVE-2025-1550 a module of Python": layer(
            "keras.layers", "Lambda", function=function("os", "system"), arguments={"command": "id"}
        ),
        "CVE-2025-1550 a class of Python": layer("subprocess", "Popen", args=["true"]),
        "CVE-2025-8747 a function that downloads": layer(
            "keras.layers",
            "Lambda",
            function=function("keras.utils", "get_file"),
            arguments=download,
        ),
        "CVE-2025-9906 unsafe deserialization": function(
            "keras.config", "enable_unsafe_deserialization"
        ),
        "CVE-2025-12058 StringLookup": layer("keras.layers", "StringLookup", vocabulary=url),
        "CVE-2025-12058 IntegerLookup": layer("keras.layers", "IntegerLookup", vocabulary=path),
        "CVE-2025-12058 TextVectorization": layer(
            "keras", "layers.TextVectorization", vocabulary=path
        ),
        "CVE-2025-12060 a function that unpacks": function(
            "keras.src.utils.file_utils", "extract_archive"
        ),
        "CVE-2025-49655 TorchModuleWrapper": layer(
            "keras.layers", "TorchModuleWrapper", module=base64.b64encode(b"pickle").decode()
        ),
        "CVE-2026-1462 TFSMLayer": layer("keras.layers", "TFSMLayer", filepath=path),
        "CVE-2026-1462 TFSMLayer by a dotted name": layer(
            "keras", "layers.TFSMLayer", filepath=path
        ),
        "JaxLayer": layer("keras.layers", "JaxLayer", call_fn=code),
        "a layer within a layer": layer(
            "keras.layers",
            "TimeDistributed",
            layer=layer("keras.layers", "Lambda", function=code),
        ),
        "a model within the model": layer(
            "keras.src.models.sequential",
            "Sequential",
            layers=[layer("keras.layers", "Lambda", function=code)],
        ),
        "a layer of a plugin": layer("keras_hub.layers", "TransformerEncoder"),
        "a registered name": {
            **layer("keras.layers", "Flatten"),
            "registered_name": "package>Odd",
        },
        "a type of TensorFlow": {
            "class_name": "__typespec__",
            "module": "tensorflow",
            "spec_name": "TensorSpec",
            "registered_name": "TensorSpec",
            "config": [[1], "float32"],
        },
    }


def hostile_blocks(mark: Path) -> Mapping[str, dict[str, Any]]:
    """Layers that backbones have, with settings that no backbone has."""
    code, path, far = lambda_code(mark), str(mark), 10**9

    def known(class_name: str, /, **config: Any) -> dict[str, Any]:
        return layer("keras.layers", class_name, **config)

    spreads = {"module": "keras.initializers", "class_name": "VarianceScaling"}
    depthwise = {"depth_multiplier": 1, "kernel_size": [1, 1], "use_bias": False}
    return {
        "an activation that is code": known("Activation", activation=code),
        "an activation by the name of a function": known(
            "Activation", activation=function("os", "system")
        ),
        "an activation with an unknown name": known("Activation", activation="exec"),
        "a limit that is an object": known("ReLU", max_value=code),
        "padding that no memory holds": known("ZeroPadding2D", padding=[[far, far], [1, 1]]),
        "padding below nothing": known("ZeroPadding2D", padding=[[-9, 0], [0, 0]]),
        "padding that is a path": known("ZeroPadding2D", padding=path),
        "padding that is nothing": known("ZeroPadding2D", padding=None),
        "a shape that is a path": known("Reshape", target_shape=path),
        "a shape with an object": known("Reshape", target_shape=[1, 1, code]),
        "an axis that is a name": known("Concatenate", axis=path),
        "tensors to add that are objects": {
            **known("Add"),
            "inbound_nodes": [{"args": [[code, code]], "kwargs": {}}],
        },
        "factors of another way to build": {
            **known("Multiply"),
            "build_config": {"shapes_dict": {"kernel": [1]}},
        },
        "a scale of more numbers than bands": known("Rescaling", scale=[[1.0]] * 65, offset=0.0),
        "a shape of very many sides": known("Reshape", target_shape=[1] * 100_000),
        "a scale with an object": known("Rescaling", scale=[1.0, code], offset=0.0),
        "noise of a shape that is a path": known("Dropout", rate=0.1, noise_shape=path),
        "a convolution without its weights": {
            **known("DepthwiseConv2D", **depthwise),
            "build_config": {"input_shape": [None, 64, 64, 3]},
        },
        "a convolution with filters that no memory holds": {
            **known("DepthwiseConv2D", **depthwise | {"depth_multiplier": far}),
            "build_config": {"input_shape": [None, 64, 64, 3]},
        },
        "a convolution of no known shape": known("DepthwiseConv2D", **depthwise),
        "a normalisation along axes that are not there": {
            **known("LayerNormalization", axis=[7], center=True, scale=True),
            "build_config": {"input_shape": [None, 64, 64, 3]},
        },
        "a normalisation along an axis that is a path": known("LayerNormalization", axis=path),
        "weights spread by an object": known(
            "DepthwiseConv2D",
            depthwise_initializer={**spreads, "config": {"mode": code}, "registered_name": None},
        ),
        "weights spread by an unknown word": known(
            "DepthwiseConv2D",
            depthwise_initializer={**spreads, "config": {"mode": path}, "registered_name": None},
        ),
        "layer scale by its source module": layer(
            "keras.src.applications.convnext", "LayerScale", projection_dim=3
        ),
        "a sum of a module of operations": layer("keras.src.ops.numpy", "Add"),
    }


def hostile_settings(mark: Path) -> Mapping[str, Callable[[Config], object]]:
    """Changes to the last layer, a dense one, or to the model around it."""
    code, nested = lambda_code(mark), {"class_name": "Lambda", "module": "keras.layers"}

    def last(**settings: Any) -> Callable[[Config], object]:
        return lambda config: config["config"]["layers"][-1]["config"].update(settings)

    def on_last(**keys: Any) -> Callable[[Config], object]:
        return lambda config: config["config"]["layers"][-1].update(keys)

    return {
        "an activation that is code": last(activation=code),
        "an activation of another module": last(activation=function("builtins", "eval")),
        "an activation with an unknown name": last(activation="custom"),
        "an activation that is a layer": last(
            activation=layer("keras.layers", "Lambda", function=code)
        ),
        "an object with the module alone": last(activation=nested),
        "an initializer of another module": last(
            kernel_initializer={**function("os", "system"), "config": {}}
        ),
        "a regularizer": last(
            kernel_regularizer={
                "module": "keras.regularizers",
                "class_name": "L2",
                "config": {"l2": 0.1},
                "registered_name": None,
            }
        ),
        "a quantized policy": last(
            dtype={
                "module": "keras",
                "class_name": "QuantizedDTypePolicy",
                "config": {"mode": "int8"},
                "registered_name": None,
            }
        ),
        "a policy with another name": last(
            dtype={"module": "keras", "class_name": "DTypePolicy", "config": {"name": "int8"}}
        ),
        "large adapters": last(lora_rank=1_000_000),
        "a layer wider than its weights": last(units=8000),
        "a layer wider than any memory": last(units=10**9),
        "a name that is a path": last(name="../../scores"),
        "options of the training in a layer": on_last(compile_config={"loss": code}),
        "another way to build": on_last(build_config={"shapes_dict": {"kernel": [1]}}),
        "a larger shape to build": on_last(build_config={"input_shape": [None, 10**9]}),
        "an object among the arguments of a call": on_last(
            inbound_nodes=[{"args": [code], "kwargs": {}}]
        ),
        "an object among the options of a call": on_last(
            inbound_nodes=[{"args": [], "kwargs": {"training": code}}]
        ),
        "a call in the old form": on_last(inbound_nodes=[["pixels", 0, 0, {}]]),
        "an object that is shared": on_last(shared_object_id=1),
        "an object next to the layers": lambda config: config["config"].update(more=code),
        "an object next to the model": lambda config: config.update(more=code),
        "another kind of model": lambda config: config.update(
            module="keras.src.models.sequential", class_name="Sequential"
        ),
        "layers that are none": lambda config: config["config"].update(layers={"a": code}),
        "very many outputs": lambda config: config["config"].update(
            output_layers=[["scores", 0, 0]] * 100_000
        ),
        "batches of one size": lambda config: config["config"]["layers"][0]["config"][
            "batch_shape"
        ].__setitem__(0, 10**6),
    }


def hostile_weights(secret: Path) -> Mapping[str, Callable[[h5py.File], object]]:
    """Changes to a weights file; `secret` is a file that must not be read."""

    def bomb(file: h5py.File) -> None:
        file.create_dataset("bomb", (1 << 40,), "f4", chunks=(1 << 10,))

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((2,), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "kernel", (2,))
        file.create_virtual_dataset("virtual", layout)

    def deep(file: h5py.File) -> None:
        file.create_group("/".join("a" * 40))

    def circle(file: h5py.File) -> None:
        group = file.create_group("circle")
        group["again"] = group

    return {
        "CVE-2026-0897 an array that is not there": bomb,
        "CVE-2026-1669 external storage": lambda file: file.create_dataset(
            "outside", (2,), "f4", external=[(str(secret), 0, 8)]
        ),
        "an external link": lambda file: file.__setitem__(
            "outside", h5py.ExternalLink(str(secret), "/kernel")
        ),
        "a soft link": lambda file: file.__setitem__("link", h5py.SoftLink("/layers")),
        "a soft link to nothing": lambda file: file.__setitem__("link", h5py.SoftLink("/nothing")),
        "a virtual dataset": virtual,
        "objects in place of numbers": lambda file: file.create_dataset(
            "text", data=["a"], dtype=h5py.string_dtype()
        ),
        "references in place of numbers": lambda file: file.create_dataset(
            "references", data=[file.ref], dtype=h5py.ref_dtype
        ),
        "a named type": lambda file: file.__setitem__("kind", h5py.h5t.NATIVE_INT32.dtype),
        "a compressed array": lambda file: file.create_dataset(
            "packed", data=[0.0] * 100, compression="gzip"
        ),
        "weights of no layer": lambda file: file.create_dataset("layers/odd/vars/0", data=[1.0]),
        "deep groups": deep,
        "a circle of groups": circle,
    }


def change_weights(content: bytes, change: Callable[[h5py.File], object]) -> bytes:
    """A weights file with a change."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()
