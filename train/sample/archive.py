"""Writes a sample archive: chips and their labels, drawn by code from a seed.

The pictures of the Kaggle competition "Planet: Understanding the Amazon from Space" may not be
redistributed, but demos, tests and benchmarks need pictures. This module draws labels with the
frequencies and combinations of the competition's list, `train.sample.drawing` draws a scene that
shows them, and `train.sample.encoding` encodes it like the real chips. A share of the jpg chips are
four-component files without a marker, as all real ones are; the others are ordinary jpgs. The tif
chips, unlike the real ones, have a position.

A chip depends only on the seed and its number, not on how many are drawn or by how many processes.
The jpg and the tif of a number show the same scene.

    python -m train.sample_archive --output build/sample --chips 1000 --media_type both
"""

import csv
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from train.sample._shapes import CHIP_SIDE_PX
from train.sample.drawing import draw_chip
from train.sample.encoding import (
    PIXEL_M,
    encode_geotiff,
    encode_jpg,
    encode_markerless_jpg,
    to_counts,
    to_rgb,
)

MediaTypes = Literal["jpg", "tif", "both"]

_COMBINATIONS_CSV = Path(__file__).with_name("label_combinations.csv")
_LABEL_COLUMNS = ("image_name", "tags")
_CHIPS_A_TASK = 25
_FEWEST_CHIPS_FOR_PROCESSES = 200  # below that, starting them takes longer than they save

# Random streams of one chip: a change in one does not change the others.
_LABEL_STREAM, _SCENE_STREAM, _FILE_STREAM = range(3)


@dataclass(frozen=True)
class SampleArchive:
    """What was written: `chip_paths` by number (jpg before tif), and the labels of all chips."""

    folder: Path
    labels_csv: Path
    chip_paths: tuple[Path, ...]
    size_bytes: int


@dataclass(frozen=True)
class LabelCombinations:
    """The label sets of real chips, and how many chips have each."""

    tags: tuple[tuple[str, ...], ...]
    counts: tuple[int, ...]


# --- Labels -------------------------------------------------------------------------------------


@functools.cache
def load_label_combinations() -> LabelCombinations:
    """The combinations in `label_combinations.csv`, each with exactly one sky label.

    They were counted in `train_v2.csv` of the Kaggle competition "Planet: Understanding the Amazon
    from Space": 40,478 of its 40,479 rows (one has no sky label), a label that a row names
    twice counted once.
    """
    with _COMBINATIONS_CSV.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return LabelCombinations(
        tags=tuple(tuple(row["tags"].split()) for row in rows),
        counts=tuple(int(row["count"]) for row in rows),
    )


def draw_labels(seed: int, number: int) -> tuple[str, ...]:
    """The labels of chip `number`, with the frequencies of the real list."""
    combinations = load_label_combinations()
    counts_up_to = np.cumsum(combinations.counts)
    place = _generator(seed, number, _LABEL_STREAM).integers(counts_up_to[-1])
    return combinations.tags[int(np.searchsorted(counts_up_to, place, side="right"))]


def _generator(seed: int, number: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, stream)))


# --- Writing ------------------------------------------------------------------------------------


def write_sample_archive(
    folder: Path,
    chips: int,
    seed: int = 0,
    media_type: MediaTypes = "jpg",
    first: int = 0,
    markerless_share: float = 0.5,
    workers: int | None = None,
) -> SampleArchive:
    """Write chips `first` to `first + chips - 1` of the archive of `seed`.

    The files are `folder/chips/sample_000123.jpg` (or .tif, or both) and `folder/labels.csv`, in
    Kaggle's form (`image_name,tags`). Labels of other chips in `labels.csv` stay, so an archive
    can grow: write the next chips with the same seed. `markerless_share` (0 to 1) of the jpg files
    are four-component files without a marker. By default there is a worker for each usable core, or
    one for few chips; the files do not depend on it. With several, a script must guard its start
    with `if __name__ == "__main__":`.

    Raises:
        ValueError: an argument is out of range, or `labels.csv` has other columns.
        OSError: the folder is not writable.
    """
    _check_request(folder, chips, seed, media_type, first, markerless_share, workers)
    (folder / "chips").mkdir(parents=True, exist_ok=True)
    labels_csv = folder / "labels.csv"
    tags_of_others = _read_labels(labels_csv)  # before writing: it may be invalid
    numbers = range(first, first + chips)
    write = functools.partial(_write_chip, folder / "chips", seed, media_type, markerless_share)
    paths = [path for written in _map_chips(write, numbers, workers) for path in written]
    tags = {_name(number): " ".join(draw_labels(seed, number)) for number in numbers}
    _write_labels(labels_csv, tags_of_others | tags)
    size_bytes = sum(path.stat().st_size for path in paths)
    return SampleArchive(folder, labels_csv, tuple(paths), size_bytes)


def _check_request(
    folder: Path,
    chips: int,
    seed: int,
    media_type: str,
    first: int,
    markerless_share: float,
    workers: int | None,
) -> None:
    wrong = {
        f"chips must be 1 or more, got {chips}": chips < 1,
        f"seed must be 0 or more, got {seed}": seed < 0,
        f"first must be 0 or more, got {first}": first < 0,
        f"workers must be 1 or more, got {workers}": workers is not None and workers < 1,
        f"markerless_share must be from 0 to 1, got {markerless_share}": not (
            0 <= markerless_share <= 1
        ),
        f"media_type must be one of {', '.join(get_args(MediaTypes))}, got {media_type}": (
            media_type not in get_args(MediaTypes)
        ),
        f"output must be a folder, but {folder} is a file": folder.is_file(),
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(message)


def _map_chips(
    write: Callable[[int], list[Path]], numbers: range, workers: int | None
) -> Iterator[list[Path]]:
    if workers is None:
        workers = _usable_cores() if len(numbers) >= _FEWEST_CHIPS_FOR_PROCESSES else 1
    workers = min(workers, -(-len(numbers) // _CHIPS_A_TASK))
    if workers == 1:
        yield from map(write, numbers)
        return
    # Spawned, not forked: the caller may have threads, and a fork would copy their locks.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        yield from pool.map(write, numbers, chunksize=_CHIPS_A_TASK)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write_chip(
    folder: Path, seed: int, media_type: MediaTypes, markerless_share: float, number: int
) -> list[Path]:
    scene = draw_chip(draw_labels(seed, number), _generator(seed, number, _SCENE_STREAM))
    # Drawn in the same way for each media type, so that none changes the others.
    rng = _generator(seed, number, _FILE_STREAM)
    markerless = rng.random() < markerless_share
    west_m, north_m, epsg = _draw_place(rng)
    files = {}
    if media_type in ("jpg", "both"):
        files[".jpg"] = (encode_markerless_jpg if markerless else encode_jpg)(to_rgb(scene))
    if media_type in ("tif", "both"):
        files[".tif"] = encode_geotiff(to_counts(scene), west_m, north_m, epsg)
    return [_put(folder / f"{_name(number)}{suffix}", data) for suffix, data in files.items()]


def _draw_place(rng: np.random.Generator) -> tuple[float, float, int]:
    """West and north edge in metres and the UTM zone (18 to 22 south) of a chip in Amazonia."""
    chip_m = CHIP_SIDE_PX * PIXEL_M
    column, row = rng.integers((250_000, 8_800_000), (750_000, 9_990_000)) // int(chip_m)
    return float(column * chip_m), float(row * chip_m), 32700 + int(rng.integers(18, 23))


def _name(number: int) -> str:
    return f"sample_{number:06d}"


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _write_labels(labels_csv: Path, tags_by_name: dict[str, str]) -> None:
    with labels_csv.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(_LABEL_COLUMNS)
        writer.writerows(sorted(tags_by_name.items()))


def _read_labels(labels_csv: Path) -> dict[str, str]:
    if not labels_csv.exists():
        return {}
    with labels_csv.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        if rows.fieldnames != list(_LABEL_COLUMNS):
            raise ValueError(f"{labels_csv} has columns {rows.fieldnames}, not {_LABEL_COLUMNS}")
        return {row["image_name"]: row["tags"] for row in rows}
