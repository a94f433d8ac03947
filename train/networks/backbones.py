"""Backbones: networks of `keras.applications` by name, each with the same head.

To add one, add its entry to `BACKBONES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipelines.imaging.band_names import COLOURS, numbered_names
from train.networks._plain_layers import as_plain_layers
from train.networks.input_bands import spread_statistics
from train.networks.layers import Pooling, score_layer, vector_layer

MIN_SIDE_PX = 32
"""The smallest side that `keras.applications` accepts."""

SCALING = "scaling"
"""Name of the layer with a backbone's preprocessing."""


class Scaling(NamedTuple):
    """How a network wants red, green and blue from 0 to 255: minus `means`, by `deviations`."""

    means: tuple[float, float, float]
    deviations: tuple[float, float, float]


_STANDARDISED = Scaling((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""By the means and standard deviations of ImageNet, as in torchvision."""

_SYMMETRIC = Scaling((127.5,) * 3, (127.5,) * 3)
_BY_128 = Scaling((128.0,) * 3, (128.0,) * 3)


@dataclass(frozen=True)
class Backbone:
    """A network of `keras.applications`.

    Attributes:
        name: as on the command line and in the artifact.
        application: its name in `keras.applications`.
        scaling: its preprocessing.
        options: what else it is called with.
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
        self,
        input_shape: tuple[int, int, int],
        labels: int,
        *,
        pooling: Pooling | None = None,
        bands: Sequence[str] | None = None,
    ) -> Any:
        """The scaling, the network, a vector, dense to the labels with sigmoid.

        Args:
            pooling: by default the mean of each channel.
            bands: names of the input's bands; by default red, green and blue come first.
        """
        import keras

        names = bands or (*COLOURS, *numbered_names(input_shape[2]))[: input_shape[2]]
        mean, deviation = (spread_statistics(values, names).tolist() for values in self.scaling)
        scale = [1 / value for value in deviation]
        offset = [-value / by for value, by in zip(mean, deviation, strict=True)]
        pixels = keras.Input(input_shape, name="pixels")
        scaling = keras.layers.Rescaling(scale, offset, name=SCALING, dtype="float32")
        features = as_plain_layers(self.template(), pixels, scaling)
        vector = vector_layer(features, pooling, 0, input_shape[0])
        return keras.Model(pixels, score_layer(labels)(vector), name=self.name)


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
