"""Whether the trainer's input keeps up with its model: chips/s of the trainer, from the pixel
cache and with the strongest augmentation, compared with chips/s on one repeated batch,
which needs no input.

    python -m benchmarks.parts.training ARTIFACT CHIPS
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.own_process import run_module
from pipelines.storage.store import file_stem
from schemas.artifact_files import read_description
from train.data.dataset import list_training_chips, match_chips
from train.data.examples import Examples, decode_chips
from train.data.label_files import LabelRow
from train.data.pixel_cache import PixelCache
from train.data.pixel_store import open_pixels
from train.fitting.augmentation import Augmentation
from train.fitting.epochs import FitOptions
from train.fitting.fit import choose_precision, fit_network, precision_policy
from train.networks.registry import NETWORKS

_BATCH_SIZE = 32
_CHIPS = 6 * _BATCH_SIZE
_MORE_EPOCHS = 2
_CACHE_BYTES = 1 << 30


def measure(artifact: Path, chips: Path) -> dict[str, float]:
    """Run this module in its own process.

    Raises:
        RuntimeError: it failed; with its last line.
    """
    return run_module(__spec__.name, artifact, chips)


def trainer_rate(examples: Examples, options: FitOptions) -> float:
    """Chips/s of the trainer, from the time of additional epochs, so without its start."""
    validation = _first(examples, 1)
    seconds = []
    for epochs in (1, 1 + _MORE_EPOCHS):
        asked = FitOptions(**{**vars(options), "epochs": epochs})
        seconds.append(fit_network(NETWORKS["vgg16"], examples, validation, asked).seconds)
    return len(examples.pixels) * _MORE_EPOCHS / (seconds[1] - seconds[0])


def constant_batch_rate(examples: Examples, options: FitOptions) -> float:
    """Chips/s of the same network, optimiser and loss on one batch, again and again."""
    import keras
    import tensorflow as tf

    with precision_policy(options.precision):
        model = NETWORKS["vgg16"].build(examples.pixels.shape[1:], examples.truth.shape[1])
    model.compile(
        optimizer=keras.optimizers.Adam(options.learning_rate),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[keras.metrics.F1Score(average="micro", threshold=0.5)],
    )
    batch = _first(examples, options.batch_size)
    steps = _MORE_EPOCHS * len(examples.pixels) // options.batch_size
    one = tf.data.Dataset.from_tensors((batch.pixels, batch.truth)).cache()
    model.fit(one.repeat(2), epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(one.repeat(steps), epochs=1, verbose=0)
    return steps * options.batch_size / (time.perf_counter() - start)


def _first(examples: Examples, count: int) -> Examples:
    return Examples(examples.names[:count], examples.pixels[:count], examples.truth[:count])


def _examples(artifact: Path, chips: Path, cache: PixelCache) -> Examples:
    """The chips again and again, as the trainer has them, with labels drawn from a seed."""
    description = read_description(artifact)
    listed = list_training_chips(str(chips))["jpg"]
    rows = {file_stem(uri): LabelRow(file_stem(uri), "jpg", frozenset()) for uri in listed}
    matched = match_chips(rows, listed, description.label_set)
    with open_pixels(cache, description.preprocessing, listed) as store:
        found = decode_chips(
            list(rows), matched, description.label_set, description.preprocessing, store
        )
    chosen = np.arange(_CHIPS) % len(found.names)
    truth = np.random.default_rng(0).integers(0, 2, (_CHIPS, found.truth.shape[1]), dtype=np.uint8)
    return Examples(tuple(f"chip_{i}" for i in chosen), found.pixels.take(chosen), truth)


def main() -> None:
    """Measure both and print them as one line of JSON."""
    precision = choose_precision("auto", NETWORKS["vgg16"])
    strong = Augmentation(level="strong")
    options = FitOptions(1, _BATCH_SIZE, 1e-4, precision, seed=0, augmentation=strong)
    with tempfile.TemporaryDirectory() as folder:
        cache = PixelCache(Path(folder), _CACHE_BYTES)
        examples = _examples(Path(sys.argv[1]), Path(sys.argv[2]), cache)
        found: dict[str, Any] = {
            "constant_chips_per_s": constant_batch_rate(examples, options),
            "trainer_chips_per_s": trainer_rate(examples, options),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
