"""The networks: what each one takes, how it is built, and what it wants by default.

Keras is imported when a network is built and not above, so that the command line can name the
networks without loading TensorFlow. Every layer and model is named here: Keras' own names count
up within a process, and the architecture is part of the model's digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.artifact import BANDS, MediaType

INPUT_NORMALISATION = "input_normalisation"
"""Name of the layer that learns the statistics of the input, in the networks that have one."""

_RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class Network:
    """A kind of network.

    Attributes:
        name: as on the command line and in the artifact.
        build: makes an untrained, uncompiled model from the input shape (side, side, bands) and
            the number of labels; it takes values of 0 to 255 and gives scores in [0, 1].
        bands: the bands that it takes of a chip of each media type, in input order.
        min_image_size: the smallest side of the input in pixels.
        learning_rate: Adam's, by default.
        takes_imagenet: whether there are ImageNet weights for it (its default then).
        takes_bfloat16: whether it gains from being trained in bfloat16.
    """

    name: str
    build: Callable[[tuple[int, int, int], int], Any]
    bands: Mapping[MediaType, tuple[str, ...]]
    min_image_size: int
    learning_rate: float
    takes_imagenet: bool
    takes_bfloat16: bool


def build_vgg16(input_shape: tuple[int, int, int], labels: int) -> Any:
    """Batch normalisation, VGG16 without its top, flatten, dense to the labels with sigmoid.

    The network of the study (Thisted 2020) on Simonyan and Zisserman's VGG16 (2014): 14,749,533
    parameters for 17 labels at 64x64x3, of which 6 (the moving statistics) are not trainable.
    The last layer computes in float32 whatever the policy: scores near 0 and 1 need it.
    """
    import keras

    pixels = keras.Input(input_shape, name="pixels")
    normalised = keras.layers.BatchNormalization(name=INPUT_NORMALISATION)(pixels)
    features = keras.applications.VGG16(include_top=False, weights=None, input_tensor=normalised)
    flat = keras.layers.Flatten(name="flatten")(features.output)
    scores = _score_layer(labels)(flat)
    return keras.Model(pixels, scores, name="vgg16")


def build_mean_colour(input_shape: tuple[int, int, int], labels: int) -> Any:
    """One dense layer with sigmoid on the mean of each band: the humble baseline.

    It computes in float32 under any policy: a mean over thousands of pixels loses its meaning
    with the 8 bits that bfloat16 gives it, and there is nothing to gain.
    """
    import keras

    pixels = keras.Input(input_shape, name="pixels", dtype="float32")
    fractions = keras.layers.Rescaling(1 / 255, name="fractions", dtype="float32")(pixels)
    pool = keras.layers.GlobalAveragePooling2D(name="mean_colour", dtype="float32")
    scores = _score_layer(labels)(pool(fractions))
    return keras.Model(pixels, scores, name="mean_colour")


def set_input_statistics(model: Any, pixels: npt.NDArray[np.uint8]) -> None:
    """Give the input normalisation, where there is one, the exact statistics of the training set.

    Its moving averages start at mean 0 and variance 1 and move by 1 % a step, while pixels lie
    between 0 and 255: after an epoch of a few steps they are still far off, and every
    validation score, and with it early stopping, would be made from a wrongly scaled input.

    Args:
        pixels: `uint8 [n, S, S, bands]`, the training part.
    """
    if INPUT_NORMALISATION not in [layer.name for layer in model.layers]:
        return
    layer = model.get_layer(INPUT_NORMALISATION)
    mean, variance = channel_statistics(pixels)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)


def channel_statistics(
    pixels: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and variance `float64 [bands]` of `uint8 [n, S, S, bands]`, from exact counts."""
    values = np.arange(256)
    channels = [pixels[..., band].ravel() for band in range(pixels.shape[-1])]
    counts = np.stack([np.bincount(channel, minlength=256) for channel in channels])
    mean = counts @ values / counts.sum(axis=1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    return mean, variance


def _score_layer(labels: int) -> Any:
    import keras

    return keras.layers.Dense(labels, activation="sigmoid", name="scores", dtype="float32")


NETWORKS: Mapping[str, Network] = {
    network.name: network
    for network in (
        Network(
            name="vgg16",
            build=build_vgg16,
            bands={"jpg": _RGB, "tif": _RGB},
            min_image_size=32,  # five halvings
            learning_rate=1e-4,  # Keras' own 1e-3 can collapse it to a constant
            takes_imagenet=True,
            takes_bfloat16=True,
        ),
        Network(
            name="mean_colour",
            build=build_mean_colour,
            bands=BANDS,
            min_image_size=1,
            learning_rate=1e-1,
            takes_imagenet=False,
            takes_bfloat16=False,
        ),
    )
}
"""The networks by name."""
