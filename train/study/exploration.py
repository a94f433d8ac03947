"""The study's exploration: run once, and told from its summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.explore import ExploreOptions, explore
from train.results import SUMMARY_FILE
from train.study.material import Material
from train.study.options import StudyOptions
from train.study.records import read_outcome, write_outcome

FOLDER = "exploration"
"""The exploration's folder in the study's."""


def explore_or_keep(options: StudyOptions, material: Material, folder: Path) -> bool:
    """Explore labels and chips, unless that was done; whether it was.

    Raises:
        UsageError, StorageError: see `train.explore.explore`.
    """
    request, record = _request(options, material), folder / f"{FOLDER}.json"
    if read_outcome(record, request) is not None and read_summary(folder):
        return True
    asked = ExploreOptions(
        labels=options.labels,
        output=str(folder / FOLDER),
        chips=options.chips,
        media_type=material.media_type,
        label_set=options.label_set,
        seed=options.seed,
    )
    explore(asked)
    write_outcome(record, request, {})
    return False


def read_summary(folder: Path) -> dict[str, Any]:
    """What the exploration found; nothing where a picture of it is missing.

    Pictures are named as they lie in the study's folder.
    """
    try:
        summary = json.loads((folder / FOLDER / SUMMARY_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    pictures = [p | {"file": f"{FOLDER}/{p['file']}"} for p in summary["pictures"]]
    complete = all((folder / picture["file"]).is_file() for picture in pictures)
    return summary | {"pictures": pictures} if complete else {}


def _request(options: StudyOptions, material: Material) -> Mapping[str, Any]:
    return {"archive": material.archive_digest, "seed": options.seed}
