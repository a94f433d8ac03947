"""The options of `python -m train study`."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.commands import CommandLine
from pipelines.flags import at_least_1, common_flag, flag
from train.shared_options import PRECISION, SEED, CacheOptions, ChoiceOptions, LabelledOptions


@dataclass(frozen=True)
class StudyOptions(CacheOptions, ChoiceOptions, LabelledOptions):
    """The options of the study; None means a default that depends on the data."""

    output: str = flag(
        "The local folder for all results; what is finished there is not done again.",
        metavar="FOLDER",
    )
    models: str = common_flag(
        "all, or names of models, separated by commas. all are those of the study; the networks "
        "of keras.applications are trained if they are named.",
        metavar="NAMES",
        default="all",
    )
    epochs: int = common_flag("Train at most this many epochs.", at_least_1, default=50)
    image_size: int = common_flag(
        "The side of the models' input in pixels.", at_least_1, metavar="PX", default=64
    )
    split: str | None = flag(
        "A csv with the columns image_name and split. Default: the shares of the published "
        "study, stratified.",
        metavar="FILE",
        default=None,
    )
    published: str | None = flag(
        "A csv of published figures by label, to compare with these.", metavar="FILE", default=None
    )
    weights: str | None = flag(
        "The weights that pretrained networks start from: imagenet, none, a file in Keras' notop "
        "layout, or NETWORK=FILE for each, separated by commas. Default: imagenet.",
        metavar="NAME",
        default=None,
    )
    precision: str = PRECISION(default="auto")
    seed: int = SEED(default=0)


LINE = CommandLine(
    "train study",
    StudyOptions,
    "Train every model of the study, compare them, and write a report and slides.",
)
