"""The study's random forest: grown once, and described from its summary."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.storage.store import write_bytes
from train.data.splits import split_csv
from train.forest.forest import ForestGrid
from train.forest.forest_training import ForestOptions, train_forest
from train.study.models.material import Material
from train.study.models.plan import FOREST, MODELS
from train.study.models.records import read_outcome, read_results, write_outcome
from train.study.options import StudyOptions

GRID = ForestGrid()
"""What the grid search tries."""

_PART = f"models/{FOREST}"


def grow_or_keep(options: StudyOptions, material: Material, folder: Path) -> bool:
    """Grow the forest, unless it was grown from the same chips and options; returns whether it was.

    As in the published study, it has parts of its own: the first 20,000 chips of the list, 5,000
    of them test, or the same shares if there are fewer. A given split is used for it, too.

    Raises:
        UsageError, StorageError: see `train.forest.forest_training.train_forest`.
    """
    if find_forest(options, material, folder):
        return True
    (folder / f"{_PART}.json").unlink(missing_ok=True)
    split = _given_split(material, folder) if options.split else None
    train_forest(
        ForestOptions(
            chips=options.chips,
            labels=options.labels,
            output=str(folder / _PART),
            split=split,
            media_type=material.media_type,
            tif_kind=options.tif_kind,
            label_set=options.label_set,
            seed=options.seed,
            pixel_cache=options.pixel_cache,
            pixel_cache_gb=options.pixel_cache_gb,
            **asdict(GRID),
        )
    )
    write_outcome(folder / f"{_PART}.json", _request(options, material), {})
    return False


def find_forest(options: StudyOptions, material: Material, folder: Path) -> dict[str, Any]:
    """The summary of the forest that was grown from these chips; empty if there is none."""
    done = read_outcome(folder / f"{_PART}.json", _request(options, material)) is not None
    return read_results(folder, _PART) if done else {}


def describe_forest(found: dict[str, Any], material: Material) -> dict[str, Any]:
    """The forest as plain data, in the form that networks have (`train.study.models.models`)."""
    best, figures = found["best"], found["figures"]["test"]
    part = "test" if material.parts["test"] else "validation"
    return {
        "title": MODELS[FOREST].title,
        "idea": MODELS[FOREST].idea,
        "network": None,
        "labels": list(material.label_set.names),
        "figures": {part: figures},
        "unproven_thresholds": [],
        "chips": found["chips"],
        "seconds": found["seconds"],
        "trees": best["trees"],
        "max_depth": best["max_depth"],
        "folds": found["folds"],
        "grid_sample_f1": best["sample_f1"],
        "sample_f1": figures["at_half"]["sample_f1"],
        "pictures": found["pictures"],
    }


def _given_split(material: Material, folder: Path) -> str:
    """A split for the forest: without a test part, it is tested on validation."""
    parts = dict(material.parts)
    if not parts["test"]:
        parts = {"train": parts["train"], "validation": (), "test": parts["validation"]}
    path = folder / "split_forest.csv"
    write_bytes(str(path), split_csv(parts).encode())
    return str(path)


def _request(options: StudyOptions, material: Material) -> dict[str, Any]:
    return {
        "archive": material.archive_digest,
        "chips": material.digest if options.split else None,
        "seed": options.seed,
        "grid": list(asdict(GRID).values()),
    }
