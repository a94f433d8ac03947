"""What choosing the batch size and trying XLA gain on a GPU, and what they cost, in one process.

    python -m benchmarks.parts.gpu_tuning ARTIFACT --most 4096

Without a GPU it does the same on the processor, where nothing is tuned: to try this program.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from pipelines.scoring import tuning
from pipelines.scoring.classifier import Classifier
from pipelines.scoring.devices import DeviceOutOfMemory, find_gpu
from pipelines.scoring.tuning import BATCH_SIZE, TUNED_FROM_CHIPS
from schemas.artifact_files import read_description


def compare(folder: Path, most: int) -> dict[str, Any]:
    """Chips/s in memory by number of chips per call, without and with XLA, up to `most` chips.

    Returns:
        `gpu`, its name; `sizes`, the rates by size (None: no memory, or XLA cannot be used);
        `untuned` and `tuned`, what a small and a large run get: `batch_size`, `xla`, `chips_per_s`,
        and `start_s`, the seconds until a first batch is scored; `gain`, of their rates; and
        `pays_from_chips`, the number of chips at which the gain has paid for the later start.
    """
    shape = read_description(folder).preprocessing.input_shape
    sizes = [size for size in tuning.batch_sizes(int(np.prod(shape))) if size <= most]
    pixels = np.random.default_rng(0).integers(0, 256, (sizes[-1], *shape), np.uint8)
    by_size = {
        size: {
            "chips_per_s": _rate(folder, pixels[:size], 0),
            "with_xla_chips_per_s": _with_xla(folder, pixels[:size]),
        }
        for size in sizes
    }
    start = {chips: _start(folder, pixels, chips) for chips in (0, TUNED_FROM_CHIPS)}
    untuned, tuned = start[0], start[TUNED_FROM_CHIPS]
    later = tuned["start_s"] - untuned["start_s"]
    saved = 1 / untuned["chips_per_s"] - 1 / tuned["chips_per_s"]
    gpu = find_gpu()
    return {
        "gpu": gpu.name if gpu else "no GPU here",
        "sizes": by_size,
        "untuned": untuned,
        "tuned": tuned,
        "gain": tuned["chips_per_s"] / untuned["chips_per_s"],
        "pays_from_chips": round(later / saved) if saved > 0 else None,
    }


def _start(folder: Path, pixels: npt.NDArray[np.uint8], chips: int) -> dict[str, Any]:
    """A model as a run of this many chips loads it."""
    began = time.perf_counter()
    model = _load(folder, None, chips)
    batch = pixels[: model.batch_size]
    model.score(batch)
    return {
        "start_s": time.perf_counter() - began,
        "batch_size": model.batch_size,
        "precision": model.precision,
        "xla": model.xla,
        "chips_per_s": tuning.measure_rate(model.score, batch, model.calls_in_flight),
    }


def _with_xla(folder: Path, pixels: npt.NDArray[np.uint8]) -> float | None:
    with patch.object(tuning, "is_faster", lambda rate, than: True):
        return _rate(folder, pixels, TUNED_FROM_CHIPS)


def _rate(folder: Path, pixels: npt.NDArray[np.uint8], chips: int) -> float | None:
    try:
        model = _load(folder, len(pixels), chips)
        if chips and not model.xla:
            return None
        return tuning.measure_rate(model.score, pixels, model.calls_in_flight)
    except DeviceOutOfMemory:
        return None


def _load(folder: Path, batch_size: int | None, chips: int) -> Classifier:
    return Classifier(folder, read_description(folder), "auto", batch_size, chips, "tensorflow")


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parts.gpu_tuning", allow_abbrev=False
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--most", type=int, default=4096)
    asked = parser.parse_args()
    print(json.dumps(compare(asked.artifact, max(BATCH_SIZE, asked.most))))


if __name__ == "__main__":
    main()
