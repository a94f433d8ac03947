"""The options of `python -m train study`."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.commands import CommandLine
from pipelines.flags import at_least_1, flag
from train.shared_options import PRECISION, SEED, CacheOptions, ChoiceOptions, LabelledOptions


@dataclass(frozen=True)
class StudyOptions(CacheOptions, ChoiceOptions, LabelledOptions):
    """The options of the study; None stands for a default that depends on the data.

    Attributes:
        models: `all`, or names of `train.study.models.plan.MODELS` with commas between.
    """

    output: str = field(
        metadata=flag(
            "The local folder for all results; what is finished there is not done again.",
            metavar="FOLDER",
        )
    )
    models: str = field(
        default="all",
        metadata=flag(
            "all, or names of models with commas between.", metavar="NAMES", group="common"
        ),
    )
    epochs: int = field(
        default=50,
        metadata=flag("Train at most this many epochs.", at_least_1, metavar="N", group="common"),
    )
    image_size: int = field(
        default=64,
        metadata=flag(
            "The side of the models' input in pixels.", at_least_1, metavar="PX", group="common"
        ),
    )
    split: str | None = field(
        default=None,
        metadata=flag(
            "A csv with the columns image_name and split. Default: the shares of the published "
            "study, stratified.",
            metavar="FILE",
        ),
    )
    published: str | None = field(
        default=None,
        metadata=flag(
            "A csv of published figures by label, to compare with these.", metavar="FILE"
        ),
    )
    weights: str | None = field(
        default=None,
        metadata=flag(
            "The weights that vgg16 starts from: imagenet, none, or a file in Keras' notop layout. "
            "Default: imagenet.",
            metavar="NAME",
        ),
    )
    precision: str = field(default="auto", metadata=PRECISION)
    seed: int = field(default=0, metadata=SEED)


LINE = CommandLine(
    "train study",
    StudyOptions,
    "Train every model of the study, compare them, and write a report and slides.",
)
"""The command line."""
