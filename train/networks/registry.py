"""The networks by name: what each takes as input, how it is built, and its defaults.

Keras is imported only when a network is built, so that the command line can list the networks
without loading TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import UsageError
from pipelines.imaging.resize import Pixels
from train.data.pixel_rows import PixelSource, chunks
from train.networks._cnn import CNN_MIN_SIDE_PX, build_cnn
from train.networks._vgg16 import build_vgg16
from train.networks.backbones import BACKBONES, MIN_SIDE_PX, Backbone
from train.networks.input_bands import BandRule
from train.networks.layers import INPUT_NORMALISATION, Pooling, fraction_layer, score_layer


@dataclass(frozen=True)
class Network:
    """A kind of network.

    Attributes:
        name: as on the command line and in the artifact.
        build: makes an untrained, uncompiled model from the input shape (side, side, bands) and
            the number of labels; it takes values from 0 to 255 and returns scores in [0, 1].
        bands: which bands it takes, see `input_bands.choose_bands`.
        min_image_size: the smallest side of the input in pixels.
        learning_rate: the default rate of Adam.
        takes_imagenet: whether ImageNet weights exist for it (then they are its default).
        takes_bfloat16: whether it gains from being trained in bfloat16.
        max_batch_size: default number of chips per step, if there are enough chips.
        image_size: side of the input in pixels by default.
        takes_pooling: whether `build` takes `pooling`, see `with_pooling`.
        backbone: its part of `keras.applications`, if it has one.
        sky_only: whether it learns only the sky labels. A chip has exactly one of them,
            so the scores of a chip sum to 1, and the loss is categorical cross-entropy.
    """

    name: str
    build: Callable[..., Any]
    bands: BandRule
    min_image_size: int
    learning_rate: float
    takes_imagenet: bool = False
    takes_bfloat16: bool = True
    max_batch_size: int = 128
    image_size: int = 64
    takes_pooling: bool = True
    sky_only: bool = False
    backbone: Backbone | None = None


def with_pooling(network: Network, asked: Pooling | None) -> Network:
    """The network with the given pooling; None keeps its own rule.

    Raises:
        UsageError: the network has no pooling to choose.
    """
    if asked is None:
        return network
    if not network.takes_pooling:
        raise UsageError(f"--pooling {asked}: {network.name} has no pooling to choose")
    return replace(network, build=partial(network.build, pooling=asked))


def with_bands(network: Network, bands: Sequence[str]) -> Network:
    """The network for bands with these names: a backbone has a scaling of its own for each."""
    if network.backbone is None:
        return network
    return replace(network, build=partial(network.build, bands=tuple(bands)))


def build_mean_colour(input_shape: tuple[int, int, int], labels: int) -> Any:
    """One dense layer with sigmoid on the mean of each band: a quick baseline.

    It always computes in float32: 8 bits of bfloat16 are too few for a mean over thousands of
    pixels, and nothing would be gained.
    """
    import keras

    rows_px, columns_px, bands = input_shape
    pixels = keras.Input(input_shape, name="pixels", dtype="float32")
    average = partial(keras.layers.GlobalAveragePooling2D, dtype="float32")
    # Of rows first, then of what is left: OpenVINO takes a fifth of the time, since it adds long
    # rows of numbers instead of single pixels. Each layer has a precision of its own: a default
    # that they share is saved as a reference, but not if the model is saved again.
    reshape = partial(keras.layers.Reshape, dtype="float32")
    rows = reshape((rows_px, 1, columns_px * bands), name="rows")(pixels)
    columns = reshape((columns_px, 1, bands), name="columns")
    mean = average(name="mean_colour")(columns(average(name="mean_row")(rows)))
    fractions = fraction_layer(dtype="float32")(mean)
    return keras.Model(pixels, score_layer(labels)(fractions), name="mean_colour")


def set_input_statistics(model: Any, pixels: PixelSource) -> None:
    """Set the input normalisation, if there is one, to the exact statistics of the training set.

    Its moving averages start at mean 0 and variance 1 and move by 1 % per step, while pixels are
    between 0 and 255: after an epoch of a few steps they would still be far off, so validation
    scores, and with them early stopping, would come from a wrongly scaled input.

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
    pixels: PixelSource,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and variance `float64 [bands]` of `uint8 [n, S, S, bands]`, from exact counts."""
    values = np.arange(256)
    counts = sum(map(_count_values, chunks(pixels)), np.zeros((pixels.shape[-1], 256), np.int64))
    mean = counts @ values / counts.sum(axis=1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    return mean, variance


def _count_values(pixels: Pixels) -> npt.NDArray[np.int64]:
    """`int64 [bands, 256]`: how often each band has each value."""
    bands = range(pixels.shape[-1])
    return np.stack([np.bincount(pixels[..., band].ravel(), minlength=256) for band in bands])


_VGG16 = Network(
    name="vgg16",
    build=build_vgg16,
    bands="colours_first",
    min_image_size=32,  # five halvings
    learning_rate=1e-4,  # with Keras' default of 1e-3 it can collapse to a constant
    takes_imagenet=True,
)
_CNN = Network(
    name="cnn",
    build=build_cnn,
    bands="colours_first",
    min_image_size=CNN_MIN_SIDE_PX,
    learning_rate=1e-3,
    max_batch_size=256,
)
_MEAN_COLOUR = Network(
    name="mean_colour",
    build=build_mean_colour,
    bands="as_stored",
    min_image_size=1,
    learning_rate=1e-1,
    takes_bfloat16=False,
    takes_pooling=False,
)


def _variant(name: str, built: Mapping[str, Any], **described: Any) -> Network:
    """A variant of the CNN: arguments for `build_cnn`, and attributes that differ."""
    return replace(_CNN, name=name, build=partial(build_cnn, name=name, **built), **described)


def with_head(backbone: Backbone) -> Network:
    """The network on a backbone."""
    return Network(
        name=backbone.name,
        build=backbone.build,
        bands="colours_first",
        min_image_size=MIN_SIDE_PX,
        learning_rate=backbone.learning_rate,
        takes_imagenet=True,
        backbone=backbone,
    )


NETWORKS: Mapping[str, Network] = {
    network.name: network
    for network in (
        _VGG16,
        _CNN,
        _variant("cnn_batch_norm", {"batch_norm": True}),
        _variant("cnn_sky", {"activation": "softmax"}, sky_only=True),
        _variant("cnn_grey", {"grey": True}, image_size=128, bands="colours"),
        _MEAN_COLOUR,
        *map(with_head, BACKBONES.values()),
    )
}
"""The networks by name."""
