"""What several networks are made of. Every layer has a name: Keras' own names count up within a
process, and the architecture is part of the model's digest."""

from __future__ import annotations

from typing import Any

INPUT_NORMALISATION = "input_normalisation"
"""Name of the layer that learns the statistics of the input, in the networks that have one."""


def score_layer(labels: int) -> Any:
    """The last layer: a dense one with sigmoid, `scores`.

    It computes in float32 whatever the policy: scores near 0 and 1 need it.
    """
    import keras

    return keras.layers.Dense(labels, activation="sigmoid", name="scores", dtype="float32")


def fraction_layer(dtype: str | None = None) -> Any:
    """Pixels of 0 to 255 as fractions of 0 to 1, `fractions`; without parameters."""
    import keras

    return keras.layers.Rescaling(1 / 255, name="fractions", dtype=dtype)
