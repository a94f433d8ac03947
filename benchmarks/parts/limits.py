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
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from benchmarks.harness.own_process import run_module
from benchmarks.parts import tif_decoding
from pipelines.imaging import decoding
from schemas.artifact import Preprocessing
from schemas.artifact_files import has_openvino, read_description
from schemas.precision import Engine, Precision, gpu_precision

if TYPE_CHECKING:
    from pipelines.scoring.devices import Gpu

_MODEL_CHIPS = 1024
_CHOSEN = ("engine", "precision", "batch_size", "xla")


def measure(part: str, artifact: Path, chips: Path, **options: object) -> dict[str, Any]:
    """Run one part of this module in its own process.

    Raises:
        RuntimeError: it failed; with its last line.
    """
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run_module(__spec__.name, part, artifact, chips, *flags)


def model_rate(
    artifact: Path,
    chips: Path,
    batch_size: int | None,
    engine: str,
    precision: str,
    seconds: float,
) -> dict[str, Any]:
    """Chips/s of the bare model on decoded chips in memory, through the job's own classifier, as
    many calls at a time as the job makes; without a batch size, with the one that a large job
    takes here.

    A batch may take longer than `seconds`: at least two per thread are timed.
    """
    from pipelines.scoring.classifier import Classifier
    from pipelines.scoring.devices import find_gpu
    from pipelines.scoring.tuning import TUNED_FROM_CHIPS

    description = read_description(artifact)
    how = (cast(Precision, precision), batch_size, TUNED_FROM_CHIPS, cast(Engine, engine))
    classifier = Classifier(artifact, description, *how)
    size, gpu = classifier.batch_size, classifier.engine == "tensorflow" and find_gpu()
    pixels = decode_folder(chips, description.preprocessing, max(_MODEL_CHIPS, size))
    whole = [pixels[i : i + size] for i in range(0, len(pixels) - size + 1, size)]
    classifier.score(whole[0])
    calls = classifier.calls_in_flight
    rate = _rate(lambda number: classifier.score(whole[number % len(whole)]), size, seconds, calls)
    found = {name: getattr(classifier, name) for name in _CHOSEN}
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


def precision_differences(artifact: Path, chips: Path) -> dict[str, dict[str, Any]]:
    """How the labels and scores of every chip of a folder differ from float32's, by precision: all
    that this machine computes fast, and int8 if the artifact has it."""
    from pipelines.scoring.classifier import Classifier
    from pipelines.scoring.devices import find_gpu
    from pipelines.scoring.engines import choose_engine
    from schemas.decisions import choose_labels

    description = read_description(artifact)
    pixels = decode_folder(chips, description.preprocessing, len(list(chips.iterdir())))
    rule = (description.thresholds, description.label_set, description.sky_rule)
    on_gpu = choose_engine(description, "auto", "auto", lambda: bool(find_gpu())) == "tensorflow"
    gpu = find_gpu() if on_gpu else None

    def scores_in(precision: Precision) -> npt.NDArray[np.float32]:
        classifier = Classifier(artifact, description, precision)
        size = classifier.batch_size
        parts = [classifier.score(pixels[i : i + size]) for i in range(0, len(pixels), size)]
        return np.concatenate(parts)

    exact, found = scores_in("float32"), {}
    for precision in _fast_precisions(gpu, has_openvino(description, "int8")):
        scores = scores_in(precision)
        differing = choose_labels(exact, *rule) != choose_labels(scores, *rule)
        found[precision] = {
            "labels_differing_share": float(differing.mean()),
            "chips_differing": int(differing.any(axis=1).sum()),
            "largest_score_difference": float(np.abs(exact - scores).max()),
            "chips": len(pixels),
        }
    return found


def _fast_precisions(gpu: Gpu | None, has_int8: bool) -> list[Precision]:
    """Without float32. A GPU that multiplies bfloat16 fast multiplies float16 as fast."""
    if gpu:
        native = gpu_precision(gpu.compute_capability)
        return ["float16"] if native == "float16" else ["bfloat16", "float16"]
    return ["bfloat16", "int8"] if has_int8 else ["bfloat16"]


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
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seconds", type=float, default=5.0)
    return parser


def main() -> None:
    """Measure one part and print it as one line of JSON."""
    asked = _parser().parse_args()
    if asked.part == "model":
        how = (asked.batch_size, asked.engine, asked.precision, asked.seconds)
        found = model_rate(asked.artifact, asked.chips, *how)
    elif asked.part == "decode":
        found = decode_rate(asked.artifact, asked.chips, asked.seconds)
    elif asked.part == "precision":
        found = precision_differences(asked.artifact, asked.chips)
    else:
        found = tif_decode_cost(asked.artifact, asked.chips, asked.seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
