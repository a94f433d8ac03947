"""Layers that several networks share. Every layer is named: names that Keras makes contain a
counter, and the architecture is part of the model's digest."""

from __future__ import annotations

from typing import Any, Literal

INPUT_NORMALISATION = "input_normalisation"
"""Name of the layer that normalises the input, in the networks that have one."""


Pooling = Literal["flatten", "average"]
"""How features `[rows, columns, channels]` become a vector: every value, or each channel's mean."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in luminance (Recommendation ITU-R BT.601-7, section 2.5.1)."""


def score_layer(labels: int, activation: str = "sigmoid") -> Any:
    """The last layer: a dense one, `scores`.

    It computes in float32 whatever the policy: scores near 0 and 1 need it.
    """
    import keras

    return keras.layers.Dense(labels, activation=activation, name="scores", dtype="float32")


def vector_layer(features: Any, pooling: Pooling | None, flatten_up_to: int, side_px: int) -> Any:
    """Features as a vector: by default flattened up to an input side of `flatten_up_to` pixels.

    A flattened vector, and the weights after it, grow with the square of that side. The mean of
    each channel (Lin, Chen and Yan 2013, "Network in network") does not.
    """
    import keras

    if (pooling or ("flatten" if side_px <= flatten_up_to else "average")) == "flatten":
        return keras.layers.Flatten(name="flatten")(features)
    return keras.layers.GlobalAveragePooling2D(name="average")(features)


def fraction_layer(dtype: str | None = None) -> Any:
    """Pixels from 0 to 255 as fractions from 0 to 1, `fractions`; no parameters."""
    import keras

    return keras.layers.Rescaling(1 / 255, name="fractions", dtype=dtype)


def luminance_layer() -> Any:
    """Red, green and blue to their luminance, one band, `luminance`; its 3 weights are fixed."""
    import keras

    shares = keras.initializers.Constant([[share] for share in LUMINANCE])
    return keras.layers.Conv2D(
        1, 1, use_bias=False, trainable=False, kernel_initializer=shares, name="luminance"
    )
