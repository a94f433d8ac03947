"""How much memory the trainer takes for many chips: the real command, in a process of its own,
once decoding every chip and once finding it in the pixel cache.

    python -m benchmarks.training_memory --chips 40479 --image_size 64 --network vgg16
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness.chips import ChipPool
from benchmarks.harness.measure import Run, run_measured
from benchmarks.harness.own_process import ROOT

KAGGLE_CHIPS = 40_479
"""Labelled chips of the Planet competition."""

_LABELS = ("primary", "agriculture", "road", "water", "cultivation", "habitation")


@dataclass(frozen=True)
class Case:
    """What is trained.

    Attributes:
        chips: how many.
        image_size: side of the input in pixels.
        network: a name in `train.networks.registry.NETWORKS`.
        validation_share: the larger, the fewer steps over the same chips.
    """

    chips: int = KAGGLE_CHIPS
    image_size: int = 64
    network: str = "mean_colour"
    validation_share: float = 0.2


def measure(pool: ChipPool, work: Path, case: Case = Case()) -> dict[str, float]:
    """Peak memory and seconds of both runs, by name.

    Raises:
        CommandFailed: the trainer failed.
    """
    chips = distinct_chips(pool, case.chips, work)
    labels = write_labels(work / "labels.csv", sorted(path.stem for path in chips.iterdir()))
    cache = work / "pixels"
    shutil.rmtree(cache, ignore_errors=True)
    found: dict[str, float] = {}
    for name in ("decoding", "found"):
        run = train(chips, labels, cache, case, work)
        found |= {f"{name}.{key}": value for key, value in _figures(run).items()}
    found["cache_bytes"] = sum(file.stat().st_size for file in cache.iterdir())
    shutil.rmtree(cache)
    return found


def train(chips: Path, labels: Path, cache: Path, case: Case, work: Path) -> Run:
    """One run of the trainer over one epoch.

    Raises:
        CommandFailed: it failed.
    """
    command = [sys.executable, "-m", "train", "--chips", str(chips), "--labels", str(labels)]
    command += ["--artifact", str(work / "model"), "--pixel_cache", str(cache)]
    command += ["--network", case.network, "--image_size", str(case.image_size)]
    command += ["--validation_share", str(case.validation_share), "--epochs", "1"]
    if case.network == "vgg16":
        command += ["--weights", "none"]
    return run_measured(command, ROOT, work / "train.log")


def distinct_chips(pool: ChipPool, count: int, work: Path) -> Path:
    """A folder of `count` chips, each with bytes of its own behind its picture: the cache knows
    chips by their bytes."""
    folder = work / f"distinct_{count}"
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        pictures = [path.read_bytes() for path in pool.originals]
        for number in range(count):
            data = pictures[number % len(pictures)] + f"{number:08d}".encode()
            (partial / f"chip_{number:07d}.jpg").write_bytes(data)
        partial.rename(folder)
    return folder


def write_labels(path: Path, names: list[str]) -> Path:
    """A labels csv for chips, drawn from a seed."""
    drawn = np.random.default_rng(0).integers(0, len(_LABELS), len(names))
    rows = [f"{name},clear {_LABELS[label]}" for name, label in zip(names, drawn, strict=True)]
    path.write_text("\n".join(["image_name,tags", *rows]) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_memory")
    for name, default in asdict(Case()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench")
    asked = vars(parser.parse_args())
    work = asked.pop("work").resolve()
    pool = ChipPool("jpg", None, work)
    print(json.dumps(measure(pool, work / "training_memory", Case(**asked))))


def _figures(run: Run) -> dict[str, float]:
    return {
        "seconds": run.seconds,
        "cpu_seconds": run.cpu_seconds,
        "peak_anonymous_bytes": run.peak_anonymous_bytes,
        "peak_bytes": run.peak_bytes,
    }


if __name__ == "__main__":
    main()
