"""The exploration, top to bottom: a labels csv and chips in, tables and pictures out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.commands import CommandLine
from pipelines.errors import ChipRejected, UsageError
from pipelines.flags import common_flag
from pipelines.imaging.decoding import decode_chip
from pipelines.imaging.resize import Pixels
from pipelines.storage.store_flags import StoreOptions
from schemas.artifact import BANDS, MEDIA_TYPES, MediaType, Preprocessing
from schemas.labels import LabelSet
from train.data.chip_format import find_format
from train.data.dataset import LabelledChips, load_labelled_chips
from train.data.examples import READABLE_SIDES_PX, read_training_chip
from train.data.label_files import LabelRow, rows_of_media_type
from train.data.labels import read_labelled_rows
from train.data.radiometry import UNSCALED, preprocessing_for
from train.explore._chip_survey import survey_chips
from train.explore._label_statistics import count_labels
from train.explore._output import write_chip_results, write_label_results
from train.pictures import as_rgb
from train.results import resolve_output, write_summary
from train.shared_options import LABELS, RESULTS, SEED, ChoiceOptions, picture_side

_SCALING_SIDE_PX = 64
"""Side at which the percentiles of tifs are computed: the trainer's default input."""

SAMPLES = 24
"""Number of sample chips shown."""


@dataclass(frozen=True, kw_only=True)
class ExploreOptions(ChoiceOptions, StoreOptions):
    """The options of `python -m train explore`."""

    output: str = RESULTS()
    labels: str | None = LABELS(default=None)
    chips: str | None = common_flag(
        "The chips: a folder, prefix or glob. Default: explore only the labels.",
        metavar="URI",
        default=None,
    )
    image_size: int = common_flag(
        "The side of the average chips in pixels.", picture_side, metavar="PX", default=128
    )
    seed: int = SEED(default=0)


LINE = CommandLine(
    "train explore",
    ExploreOptions,
    "Count labels and look at labelled chips: tables as csv, pictures as png.",
)


def explore(options: ExploreOptions) -> dict[str, Any]:
    """Explore labels and chips; write tables, pictures and `summary.json`. Returns the summary.

    A chip that cannot be read or decoded is listed with its reason; the rest continue.

    Raises:
        UsageError: the labels or the chips cannot be used, or the folder cannot be written.
        StorageError: a file that was given cannot be read.
    """
    folder = resolve_output(options.output)
    rows, label_set = read_labelled_rows(options.labels, options.chips, options.label_set)
    chips = (
        load_labelled_chips(options.chips, rows, label_set, options.media_type)
        if options.chips
        else None
    )
    media_type = chips.media_type if chips else options.media_type or _media_type_of(rows)
    selected = rows_of_media_type(rows, media_type)
    statistics = count_labels([row.tags for row in selected.values()], label_set)
    folder.mkdir(parents=True, exist_ok=True)
    summary = {"labels_csv": options.labels, **write_label_results(folder, statistics)}
    if chips:
        found = _explore_chips(options, folder, chips, label_set)
        summary |= {"chips": found, "pictures": summary["pictures"] + found.pop("pictures")}
    write_summary(folder, summary)
    print(f"Exploration: {folder}", flush=True)
    return summary


def choose_samples(
    names: Sequence[str],
    tags: Mapping[str, frozenset[str]],
    label_set: LabelSet,
    count: int,
    seed: int,
) -> list[str]:
    """Choose chips to show: one for each label that occurs, the rarest first, then random ones.

    The choice depends only on the names and the seed. Without the first rule the rare labels,
    which matter most, would be missing.
    """
    drawn = [sorted(names)[i] for i in np.random.default_rng(seed).permutation(len(names))]
    held = Counter(label for name in drawn for label in tags[name])
    chosen: dict[str, None] = {}
    for label in sorted(label_set.names, key=lambda label: held[label]):
        if not any(label in tags[name] for name in chosen):
            chosen |= dict.fromkeys([name for name in drawn if label in tags[name]][:1])
    return list(dict.fromkeys([*chosen, *drawn]))[:count]


def _media_type_of(rows: Sequence[LabelRow]) -> MediaType:
    kinds = {row.media_type for row in rows}
    return next((kind for kind in MEDIA_TYPES if kinds == {kind}), "jpg")


def _explore_chips(
    options: ExploreOptions, folder: Path, chips: LabelledChips, label_set: LabelSet
) -> dict[str, Any]:
    """What the chips look like, with or without labels."""
    preprocessing = _preprocessing(options, chips.media_type, list(chips.uris.values()))
    print(f"Looking at {len(chips.files):,} chips ({chips.media_type})", flush=True)
    survey = survey_chips(chips.files, chips.uris, chips.tags, label_set, preprocessing)
    names = choose_samples(survey.names, chips.tags, label_set, SAMPLES, options.seed)
    samples = {
        f"{name}: {_labels_text(chips.tags[name], label_set)}": _picture(
            chips.uris[name], preprocessing
        )
        for name in names
    }
    return {
        "media_type": chips.media_type,
        "rows_without_chip": chips.rows_without_chip,
        "chips_without_row": chips.chips_without_row,
        "rows_without_sky_label": chips.rows_without_sky_label,
        "scaling": preprocessing.scaling,
        **write_chip_results(folder, survey, samples),
    }


def _preprocessing(
    options: ExploreOptions, media_type: MediaType, uris: Sequence[str]
) -> Preprocessing:
    """All bands at the size of the pictures, tifs scaled as in training."""
    try:
        chips = find_format(media_type, uris, options.seed, options.tif_kind, least_share=0)
        found = preprocessing_for(chips, _SCALING_SIDE_PX, chips.stored, uris, options.seed)
    except UsageError:  # no tif can be decoded: each is listed with its reason
        if options.tif_kind:
            raise
        bands = BANDS[media_type]
        scaling = (UNSCALED,) * len(bands)
        found = Preprocessing(media_type, _SCALING_SIDE_PX, bands, scaling, READABLE_SIDES_PX)
    return replace(found, image_size=options.image_size)


def _labels_text(tags: frozenset[str], label_set: LabelSet) -> str:
    return ", ".join(name for name in label_set.names if name in tags) or "no label"


def _picture(uri: str, preprocessing: Preprocessing) -> Pixels | None:
    """Read the chip again; None if it is gone."""
    try:
        return as_rgb(decode_chip(read_training_chip(uri), preprocessing), preprocessing.bands)
    except ChipRejected:
        return None
