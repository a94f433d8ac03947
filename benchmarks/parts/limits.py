"""What the machine could do: the bare model, bare reading and decoding, each in its own
process.

    python -m benchmarks.parts.limits model ARTIFACT CHIPS --batch_size 256 --precision auto
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from benchmarks.harness.own_process import run_module
from benchmarks.parts import tif_decoding
from pipelines.imaging import decoding
from schemas.artifact import Preprocessing
from schemas.artifact_files import read_description
from schemas.precision import Precision

_MODEL_CHIPS = 1024


def measure(part: str, artifact: Path, chips: Path, **options: object) -> dict[str, Any]:
    """Run one part of this module in its own process.

    Raises:
        RuntimeError: it failed; with its last line.
    """
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run_module(__spec__.name, part, artifact, chips, *flags)


def model_rate(
    artifact: Path, chips: Path, batch_size: int | None, precision: str, seconds: float
) -> dict[str, Any]:
    """Chips/s of the bare model on decoded chips in memory, through the job's own classifier, as
    many calls at a time as the job makes; without a batch size, with the one that a large job
    takes here.

    A batch may take longer than `seconds`: at least two per thread are timed.
    """
    from pipelines.scoring.classifier import Classifier
    from pipelines.scoring.devices import find_gpu
    from pipelines.scoring.tuning import TUNED_FROM_CHIPS

    description, asked = read_description(artifact), cast(Precision, precision)
    classifier = Classifier(artifact, description, asked, batch_size, chips=TUNED_FROM_CHIPS)
    size, gpu = classifier.batch_size, find_gpu()
    pixels = decode_folder(chips, description.preprocessing, max(_MODEL_CHIPS, size))
    whole = [pixels[i : i + size] for i in range(0, len(pixels) - size + 1, size)]
    classifier.score(whole[0])
    calls = classifier.calls_in_flight
    rate = _rate(lambda number: classifier.score(whole[number % len(whole)]), size, seconds, calls)
    found = {name: getattr(classifier, name) for name in ("precision", "batch_size", "xla")}
    return {**rate, **found, "gpu": gpu.name if gpu else ""}


def decode_rate(artifact: Path, chips: Path, seconds: float) -> dict[str, Any]:
    """Chips/s of reading files and decoding them, with as many threads as cores."""
    preprocessing = read_description(artifact).preprocessing
    paths = [str(path) for path in sorted(chips.iterdir())]
    threads = os.cpu_count() or 1
    shares = [paths[thread::threads] for thread in range(threads)]
    read_and_decode(shares[0][0], preprocessing)
    ends_at = time.perf_counter() + seconds
    start, cpu_start = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        counts = pool.map(lambda share: _decode_until(ends_at, share, preprocessing), shares)
        done = sum(counts)
    elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return {"chips_per_s": done / elapsed, "cpu_ms_per_chip": 1000 * cpu / done}


def precision_difference(artifact: Path, chips: Path) -> dict[str, Any]:
    """How bfloat16 (float16 on a GPU that has only that) differs from float32 in the labels and
    scores of every chip of a folder."""
    from pipelines.scoring.classifier import Classifier
    from pipelines.scoring.devices import find_gpu
    from pipelines.scoring.tensorflow_model import resolve_precision
    from schemas.decisions import choose_labels

    description = read_description(artifact)
    pixels = decode_folder(chips, description.preprocessing, len(list(chips.iterdir())))
    fast = resolve_precision("auto", find_gpu())
    precisions: tuple[Precision, ...] = ("float32", "float16" if fast == "float16" else "bfloat16")
    scores, labels = [], []
    for precision in precisions:
        classifier = Classifier(artifact, description, precision)
        size = classifier.batch_size
        parts = [classifier.score(pixels[i : i + size]) for i in range(0, len(pixels), size)]
        scores.append(np.concatenate(parts))
        labels.append(
            choose_labels(
                scores[-1], description.thresholds, description.label_set, description.sky_rule
            )
        )
    differing = labels[0] != labels[1]
    return {
        "labels_differing_share": float(differing.mean()),
        "chips_differing": int(differing.any(axis=1).sum()),
        "largest_score_difference": float(np.abs(scores[0] - scores[1]).max()),
        "chips": len(pixels),
    }


def tif_decode_cost(artifact: Path, chips: Path, seconds: float) -> dict[str, Any]:
    """Milliseconds that one thread takes to decode a tif chip: our way and the raw strips."""
    preprocessing = read_description(artifact).preprocessing
    data = [path.read_bytes() for path in sorted(chips.iterdir())[:100]]
    return tif_decoding.compare(data, preprocessing, seconds)


def decode_folder(folder: Path, preprocessing: Preprocessing, count: int) -> npt.NDArray[np.uint8]:
    """`uint8 [count, S, S, bands]` from a folder's chips, repeated if there are fewer."""
    paths = sorted(folder.iterdir())
    pixels = np.empty((count, *preprocessing.input_shape), np.uint8)
    for number in range(count):
        if number < len(paths):
            pixels[number] = read_and_decode(str(paths[number]), preprocessing)
        else:
            pixels[number] = pixels[number % len(paths)]
    return pixels


def read_and_decode(path: str, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """One chip as the model takes it, without any of the pipeline around it."""
    with open(path, "rb") as file:
        return decoding.decode_chip(file.read(), preprocessing)


def _decode_until(ends_at: float, paths: Sequence[str], preprocessing: Preprocessing) -> int:
    pixels = np.empty((256, *preprocessing.input_shape), np.uint8)
    done = 0
    while time.perf_counter() < ends_at:
        pixels[done % 256] = read_and_decode(paths[done % len(paths)], preprocessing)
        done += 1
    return done


def _rate(
    score: Callable[[int], object], batch_size: int, seconds: float, threads: int
) -> dict[str, float]:
    start, cpu_start = time.perf_counter(), time.process_time()

    def loop(_: int) -> int:
        batches = 0
        while batches < 2 or time.perf_counter() - start < seconds:
            score(batches)
            batches += 1
        return batches

    with ThreadPoolExecutor(threads) as pool:
        chips = batch_size * sum(pool.map(loop, range(threads)))
    elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return {"chips_per_s": chips / elapsed, "cpu_ms_per_chip": 1000 * cpu / chips}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts.limits", allow_abbrev=False)
    parser.add_argument("part", choices=("model", "decode", "precision", "tif_decode"))
    parser.add_argument("artifact", type=Path)
    parser.add_argument("chips", type=Path)
    parser.add_argument("--batch_size", type=int, help="default: as the job does it here")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seconds", type=float, default=5.0)
    return parser


def main() -> None:
    """Measure one part and print it as one line of JSON."""
    asked = _parser().parse_args()
    if asked.part == "model":
        found = model_rate(
            asked.artifact, asked.chips, asked.batch_size, asked.precision, asked.seconds
        )
    elif asked.part == "decode":
        found = decode_rate(asked.artifact, asked.chips, asked.seconds)
    elif asked.part == "precision":
        found = precision_difference(asked.artifact, asked.chips)
    else:
        found = tif_decode_cost(asked.artifact, asked.chips, asked.seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
