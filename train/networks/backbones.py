"""Backbones: networks of `keras.applications` by name, each with the same head.

To add one, add its entry to `BACKBONES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from train.networks._plain_layers import as_plain_layers
from train.networks.layers import Pooling, score_layer, vector_layer

MIN_SIDE_PX = 32
"""The smallest side that `keras.applications` accepts."""


@dataclass(frozen=True)
class Scaling:
    """How a network wants red, green and blue, from 0 to 255: each times `scale`, plus `offset`."""

    scale: tuple[float, float, float]
    offset: tuple[float, float, float]


def _standardised() -> Scaling:
    """By ImageNet's means and standard deviations, as fractions."""
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    red, green, blue = (1 / (255 * deviation) for deviation in deviations)
    shift = (-mean / deviation for mean, deviation in zip(means, deviations, strict=True))
    return Scaling((red, green, blue), (next(shift), next(shift), next(shift)))


_STANDARDISED = _standardised()
_SYMMETRIC = Scaling((1 / 127.5,) * 3, (-1.0,) * 3)
_BY_128 = Scaling((1 / 128,) * 3, (-1.0,) * 3)


@dataclass(frozen=True)
class Backbone:
    """A network of `keras.applications`.

    Attributes:
        name: as on the command line and in the artifact.
        application: its name in `keras.applications`.
        scaling: its preprocessing.
        options: what it is called with besides.
        learning_rate: the default rate of Adam.
    """

    name: str
    application: str
    scaling: Scaling
    options: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float = 1e-4

    def template(self, weights: str | None = None) -> Any:
        """The network as Keras makes it: without a top, for three bands, preprocessed.

        Args:
            weights: `imagenet`, which Keras downloads, or None for random ones.
        """
        import keras

        make = getattr(keras.applications, self.application)
        shape = (MIN_SIDE_PX, MIN_SIDE_PX, 3)
        return make(include_top=False, weights=weights, input_shape=shape, **self.options)

    def build(
        self, input_shape: tuple[int, int, int], labels: int, *, pooling: Pooling | None = None
    ) -> Any:
        """The scaling, the network, a vector, dense to the labels with sigmoid.

        Args:
            pooling: by default the mean of each channel.
        """
        import keras

        pixels = keras.Input(input_shape, name="pixels")
        scale, offset = (
            _for_bands(values, input_shape[2])
            for values in (self.scaling.scale, self.scaling.offset)
        )
        scaling = keras.layers.Rescaling(scale, offset, name="scaling", dtype="float32")
        features = as_plain_layers(self.template(), pixels, scaling)
        vector = vector_layer(features, pooling, 0, input_shape[0])
        return keras.Model(pixels, score_layer(labels)(vector), name=self.name)


def _for_bands(values: tuple[float, float, float], bands: int) -> list[float]:
    """The scaling of each band: those after red, green and blue get the mean."""
    return [*values, *[sum(values) / 3] * (bands - 3)]


_UNSCALED = {"include_preprocessing": False}

BACKBONES: Mapping[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone("resnet50v2", "ResNet50V2", _SYMMETRIC),
        Backbone("efficientnetv2b0", "EfficientNetV2B0", _STANDARDISED, _UNSCALED),
        Backbone("efficientnetv2s", "EfficientNetV2S", _BY_128, _UNSCALED),
        Backbone("convnext_tiny", "ConvNeXtTiny", _STANDARDISED, _UNSCALED),
        Backbone("mobilenetv3large", "MobileNetV3Large", _SYMMETRIC, _UNSCALED),
        Backbone("densenet121", "DenseNet121", _STANDARDISED),
    )
}
"""The backbones by name."""
