"""The baseline network of the study: three convolutions from random weights."""

from __future__ import annotations

from typing import Any

from train.networks.layers import (
    Pooling,
    fraction_layer,
    luminance_layer,
    score_layer,
    vector_layer,
)

CNN_MIN_SIDE_PX = 26
"""With this side one pixel is left after the last convolution: (26 - 7 - 7) // 4 - 2 = 1."""

FLATTEN_UP_TO_PX = 128
"""Above the side of the study's grey variant, channels are averaged by default. Flattened, the
network would have 20,656,561 parameters at 224 pixels."""

_MOMENTUM = 0.9
"""Of the moving statistics. With Keras' 0.99 a third of the initial value is left after 100 steps,
so validation scores, and with them early stopping, would come from a wrongly scaled layer."""


def build_cnn(
    input_shape: tuple[int, int, int],
    labels: int,
    *,
    pooling: Pooling | None = None,
    name: str = "cnn",
    grey: bool = False,
    batch_norm: bool = False,
    activation: str = "sigmoid",
) -> Any:
    """The study's CNN (Thisted 2020), 995,761 parameters for 17 labels at 64x64x3.

    Convolutions 32 of 8x8 and 64 of 8x8, max-pool 4x4, convolution 64 of 3x3, dropout, flatten,
    dense 128, dropout, dense to the labels with sigmoid. The study names neither padding nor
    strides: unpadded with stride 1 is the choice that leads to its number of parameters (the dense
    layer's 819,328 are 128 for each of 10x10x64 values and 128 more). ReLU throughout.

    Args:
        pooling: by default flatten up to 128 pixels per side, and average above.
        grey: convert red, green and blue to luminance first.
        batch_norm: normalise by batch after the first dense layer.
        activation: of the scores: sigmoid, or softmax for labels that exclude each other.
    """
    import keras

    layers = keras.layers
    pixels = keras.Input(input_shape, name="pixels")
    flow = fraction_layer()(pixels)
    flow = luminance_layer()(flow) if grey else flow
    flow = layers.Conv2D(32, 8, activation="relu", name="conv1")(flow)
    flow = layers.Conv2D(64, 8, activation="relu", name="conv2")(flow)
    flow = layers.MaxPooling2D(4, name="pool")(flow)
    flow = layers.Conv2D(64, 3, activation="relu", name="conv3")(flow)
    flow = layers.Dropout(0.5, name="dropout1")(flow)
    flow = vector_layer(flow, pooling, FLATTEN_UP_TO_PX, input_shape[0])
    flow = layers.Dense(128, activation="relu", name="dense")(flow)
    if batch_norm:
        flow = layers.BatchNormalization(momentum=_MOMENTUM, name="batch_norm")(flow)
    flow = layers.Dropout(0.5, name="dropout2")(flow)
    return keras.Model(pixels, score_layer(labels, activation)(flow), name=name)
