"""Backbones with random weights whose features differ, and their files in Keras' layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from train.networks.backbones import MIN_SIDE_PX, Backbone


def random_application(backbone: Backbone) -> Any:
    """The network as Keras makes it, with its own preprocessing if Keras has that inside.

    Moving statistics and factors are random, too: at their start every layer would compute almost
    the same for every chip.
    """
    import keras

    make = getattr(keras.applications, backbone.application)
    options = {k: v for k, v in backbone.options.items() if k != "include_preprocessing"}
    shape = (MIN_SIDE_PX, MIN_SIDE_PX, 3)
    model = make(include_top=False, weights=None, input_shape=shape, **options)
    rng = np.random.default_rng(0)
    # Between chips of random pixels the small network hardly differs, and the deep ones overflow.
    variance = 0.1 if backbone.name == "mobilenetv3large" else 1.0
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.name in ("gamma", "layer_scale"):
            weight.assign(rng.uniform(0.6, 1.4, shape))
        elif weight.name == "moving_variance":
            weight.assign(variance * rng.uniform(0.5, 1.5, shape))
        elif weight.name in ("beta", "moving_mean", "bias"):
            weight.assign(rng.normal(0, 0.1, shape))
    return model


def write_older_file(model: Any, path: Path) -> None:
    """The layout of the files that Keras offers for download."""
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def write_random_file(backbone: Backbone, path: Path) -> None:
    """A file of random weights in that layout."""
    write_older_file(random_application(backbone), path)
