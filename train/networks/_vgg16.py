"""The transfer network of the study: a batch normalisation, then VGG16."""

from __future__ import annotations

from typing import Any

from train.networks.layers import INPUT_NORMALISATION, Pooling, score_layer, vector_layer

FLATTEN_UP_TO_PX = 64
"""The side in the study; above it, channels are averaged by default."""


def build_vgg16(
    input_shape: tuple[int, int, int], labels: int, *, pooling: Pooling | None = None
) -> Any:
    """Batch normalisation, VGG16 without its top, a vector, dense to the labels with sigmoid.

    The network of the study (Thisted 2020) on Simonyan and Zisserman's VGG16 (2014): 14,749,533
    parameters for 17 labels at 64x64x3, of which 6 (the moving statistics) are not trainable.
    A fourth band adds 580: 576 weights of the first convolution, 4 of the normalisation.
    With averaging instead of flattening there are 14,723,421, at any side.

    Args:
        pooling: by default flatten up to 64 pixels per side, the study's, and average above.
    """
    import keras

    pixels = keras.Input(input_shape, name="pixels")
    normalised = keras.layers.BatchNormalization(name=INPUT_NORMALISATION)(pixels)
    features = keras.applications.VGG16(include_top=False, weights=None, input_tensor=normalised)
    vector = vector_layer(features.output, pooling, FLATTEN_UP_TO_PX, input_shape[0])
    return keras.Model(pixels, score_layer(labels)(vector), name="vgg16")
