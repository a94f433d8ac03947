"""The transfer network of the study: VGG16 behind a batch normalisation."""

from __future__ import annotations

from typing import Any

from train.layers import INPUT_NORMALISATION, score_layer


def build_vgg16(input_shape: tuple[int, int, int], labels: int) -> Any:
    """Batch normalisation, VGG16 without its top, flatten, dense to the labels with sigmoid.

    The network of the study (Thisted 2020) on Simonyan and Zisserman's VGG16 (2014): 14,749,533
    parameters for 17 labels at 64x64x3, of which 6 (the moving statistics) are not trainable.
    With a fourth band 580 more: 576 weights of the first convolution, 4 of the normalisation.
    """
    import keras

    pixels = keras.Input(input_shape, name="pixels")
    normalised = keras.layers.BatchNormalization(name=INPUT_NORMALISATION)(pixels)
    features = keras.applications.VGG16(include_top=False, weights=None, input_tensor=normalised)
    flat = keras.layers.Flatten(name="flatten")(features.output)
    return keras.Model(pixels, score_layer(labels)(flat), name="vgg16")
