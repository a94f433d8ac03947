"""Recipes: values for flags that belong together, by name. Flags that the user gives win."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any, TypeVar

Options = TypeVar("Options", bound=Any)

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "study": {
        "level": "none",
        "loss": "bce",
        "decay": "constant",
        "ema": 0.0,
        "epochs": 50,
        "patience": 5,
        "monitor": "val_loss",
    },
    "best": {
        "epochs": 30,
        "patience": 30,
        "monitor": "val_map",
        "batch_size": 32,
        "learning_rate": 2e-4,
        "decay": "cosine",
        "warmup_epochs": 1.0,
        "layer_decay": 0.8,
        "ema": 0.99,
        "level": "strong",
        "test_time_views": 8,
    },
}
"""Values of flags, by the name of the option.

`study` is what the published study (Thisted 2020) did, the default. `best` fine-tunes VGG16 from
ImageNet weights for the highest mAP: docs/training.md has its figures. All its epochs are trained,
since the averaged weights are best when the learning rate has fallen. Its model scores eight views
of a chip, which takes eight times as long; `--test_time_views 1` avoids that.
"""


def with_recipe(options: Options, name: str) -> Options:
    """Options of `train.training` with a recipe's values instead of their own."""
    return _with_values(options, {"recipe": name, **RECIPES[name]})


def _with_values(options: Options, values: Mapping[str, Any]) -> Options:
    """Options with other values of the fields that they, or the options in them, have."""
    changed = {}
    for name, value in vars(options).items():
        if is_dataclass(value):
            changed[name] = _with_values(value, values)
        elif name in values:
            changed[name] = values[name]
    return replace(options, **changed)
