"""Recipes: sets of flags that belong together, by name. A flag that is given wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "study": {
        "level": "none",
        "mix": "none",
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
        "level": "standard",
        "test_time_views": 8,
    },
}
"""Values of flags, by the names that they have among the parsed ones.

`study` is what the published study (Thisted 2020) did, and is what is done without a recipe. `best`
fine-tunes VGG16 from ImageNet's weights for the highest mAP: docs/training.md has its figures. All
its epochs are trained, since the averaged weights are at their best when the rate has fallen. Its
model scores a chip from eight sides, which takes eight times as long: `--test_time_views 1` where
that is too long.
"""
