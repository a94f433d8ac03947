"""Flags that several commands of the trainer share; the options of a command inherit them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pipelines.flags import Number, common_flag, flag, positive, seed
from pipelines.storage.store_flags import StoreOptions
from schemas.artifact import MediaType
from train.data.label_files import Part
from train.data.pixel_cache import DEFAULT_CACHE_GB

picture_side = Number(int, 1, 512)
"""The side in pixels of pictures that are made: one for each label or filter is in memory."""

SEED = partial(
    flag, "The seed of everything that is drawn at random. Default: 0.", seed, must_match=True
)
PRECISION = partial(
    flag, "The precision of the computation in training.", choices=("auto", "float32", "bfloat16")
)
LABELS = partial(
    common_flag,
    "The labels: a csv with the columns image_name and tags. Default: one folder per class in "
    "--chips, named like its label.",
    metavar="FILE",
)
RESULTS = partial(flag, "The local folder for tables, pictures and summary.json.", metavar="FOLDER")


@dataclass(frozen=True, kw_only=True)
class LabelledOptions(StoreOptions):
    """Where the labelled chips are, and how to reach them."""

    chips: str = flag(
        "The chips: a folder, prefix or glob, local, on gs:// or on s3://.", metavar="URI"
    )
    labels: str | None = LABELS(default=None)


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """Which part of the labelled chips is measured."""

    split: str | None = common_flag(
        "A csv with the columns image_name and split. Default: measure all chips.",
        metavar="FILE",
        default=None,
    )
    part: Part | None = common_flag("The part of --split to measure. Default: test.", default=None)


@dataclass(frozen=True, kw_only=True)
class ChoiceOptions:
    """Which of the chips and labels are used."""

    media_type: MediaType | None = flag(
        "Use only chips of this type. Default: the type in --chips, the first of jpg, tif and png.",
        default=None,
    )
    tif_kind: str | None = flag(
        "Use only tifs of this kind, such as 6xuint16, if there are several. Default: the only "
        "kind, or that of 95 % of them.",
        metavar="KIND",
        default=None,
    )
    label_set: str | None = flag(
        "A JSON file {labels: [...], sky: [...]}. Default: the labels in the csv.",
        metavar="FILE",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """Where decoded chips are cached."""

    pixel_cache: str | None = flag(
        "The local folder for decoded chips, or none. Default: in your cache folder.",
        metavar="FOLDER",
        default=None,
    )
    pixel_cache_gb: float = flag(
        "The maximum size of the cache in gigabytes.",
        positive,
        metavar="GB",
        default=DEFAULT_CACHE_GB,
    )
