"""The study's exploration: run once, and described from its summary."""

from __future__ import annotations

from pathlib import Path

from train.explore.explore import ExploreOptions, explore
from train.study.models.material import Material
from train.study.models.records import read_outcome, read_results, write_outcome
from train.study.options import StudyOptions

FOLDER = "exploration"
"""The exploration's folder in the study's."""


def explore_or_keep(options: StudyOptions, material: Material, folder: Path) -> bool:
    """Explore labels and chips, unless that was done before; returns whether it was.

    Raises:
        UsageError, StorageError: see `train.explore.explore.explore`.
    """
    request = {"archive": material.archive_digest, "seed": options.seed}
    record = folder / f"{FOLDER}.json"
    if read_outcome(record, request) is not None and read_results(folder, FOLDER):
        return True
    record.unlink(missing_ok=True)
    explore(
        ExploreOptions(
            labels=options.labels,
            output=str(folder / FOLDER),
            chips=options.chips,
            media_type=material.media_type,
            tif_kind=options.tif_kind,
            label_set=options.label_set,
            seed=options.seed,
        )
    )
    write_outcome(record, request, {})
    return False
