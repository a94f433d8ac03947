"""The options of `python -m train`, and which of them contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.commands import CommandLine
from pipelines.errors import UsageError
from pipelines.flags import at_least_1, flag, positive, ratio
from schemas.decisions import SkyRule
from train.fitting.augmentation import Augmentation
from train.fitting.progress import Monitor
from train.fitting.sampling import Imbalance
from train.fitting.schedule import Schedule
from train.judging.thresholds import ThresholdMethod
from train.networks.layers import Pooling
from train.networks.registry import NETWORKS, BandChoice, Network, with_pooling
from train.networks.views import VIEWS
from train.recipes import RECIPES
from train.shared_options import PRECISION, SEED, CacheOptions, ChoiceOptions, LabelledOptions


@dataclass(frozen=True)
class TrainOptions(CacheOptions, ChoiceOptions, LabelledOptions):
    """The options of `python -m train`; None stands for a default that depends on the data."""

    artifact: str = field(
        metadata=flag(
            "The local folder for the artifact; an older artifact there is replaced.",
            metavar="FOLDER",
        )
    )
    network: str = field(
        default="vgg16",
        metadata=flag(
            "The network to train.", choices=tuple(NETWORKS), group="common", must_match=True
        ),
    )
    recipe: str | None = field(
        default=None,
        metadata=flag(
            "Values for several flags that belong together; flags that you give win.",
            choices=tuple(RECIPES),
            group="common",
        ),
    )
    image_size: int | None = field(
        default=None,
        metadata=flag(
            "The side of the model's input in pixels. Default: 64, or 128 for a network on grey "
            "pixels.",
            at_least_1,
            metavar="PX",
            group="common",
        ),
    )
    epochs: int = field(
        default=50,
        metadata=flag(
            "Train at most this many epochs.",
            at_least_1,
            metavar="N",
            group="common",
            must_match=True,
        ),
    )
    batch_size: int | None = field(
        default=None,
        metadata=flag(
            "The chips in one step. Default: at least 8, more for more chips.",
            at_least_1,
            metavar="N",
            group="common",
            must_match=True,
        ),
    )
    learning_rate: float | None = field(
        default=None,
        metadata=flag(
            "The highest learning rate of Adam. Default: 1e-4 for vgg16, 1e-3 for a cnn.",
            positive,
            metavar="X",
            group="common",
            must_match=True,
        ),
    )
    split: str | None = field(
        default=None,
        metadata=flag(
            "A csv with the columns image_name and split, or study for the shares of the published "
            "study. Default: a split at random, stratified by label.",
            metavar="FILE",
            group="common",
        ),
    )
    seed: int = field(default=0, metadata=SEED)
    bands: BandChoice | None = field(
        default=None,
        metadata=flag("The bands of a chip to use. Default: all that the network takes."),
    )
    pooling: Pooling | None = field(
        default=None,
        metadata=flag(
            "How the last features become a vector. Default: by --image_size.", must_match=True
        ),
    )
    test_time_views: int = field(
        default=1,
        metadata=flag(
            "Score the mean over this many mirror images and quarter turns of a chip.",
            at_least_1,
            choices=VIEWS,
        ),
    )
    weights: str | None = field(
        default=None,
        metadata=flag(
            "The weights to start from: imagenet, none, or a file in Keras' notop layout. Default: "
            "imagenet for vgg16.",
            metavar="NAME",
        ),
    )
    validation_share: float | None = field(
        default=None,
        metadata=flag(
            "Without --split: the share of the chips for validation. Default: 0.2.",
            ratio,
            metavar="R",
        ),
    )
    test_share: float | None = field(
        default=None,
        metadata=flag(
            "Without --split: the share of the chips for the final test, which nothing is chosen "
            "by. Default: 0.",
            ratio,
            metavar="R",
        ),
    )
    groups: str | None = field(
        default=None,
        metadata=flag(
            "A csv with the columns image_name and scene_id: chips of one scene stay in one part. "
            "Default: the column scene_id of --labels.",
            metavar="FILE",
        ),
    )
    precision: str = field(default="auto", metadata=PRECISION)
    threshold_method: ThresholdMethod = field(
        default="shrunk",
        metadata=flag(
            "How thresholds are chosen. best: for each label alone. cross_fit: the median over "
            "folds. shrunk: closer to one threshold for all labels if a label is rare.",
        ),
    )
    threshold_beta: float = field(
        default=1.0,
        metadata=flag(
            "Choose the thresholds with the best F-beta, for this beta.", positive, metavar="X"
        ),
    )
    sky_rule: SkyRule = field(
        default="threshold",
        metadata=flag(
            "How sky labels are chosen: each by its threshold, or only the one with the highest "
            "score (argmax)."
        ),
    )
    calibrate: bool = field(
        default=False,
        metadata=flag("Fit a temperature for each label on the validation chips."),
    )
    patience: int = field(
        default=5,
        metadata=flag(
            "Stop after this many epochs without a better one.",
            at_least_1,
            metavar="N",
            must_match=True,
        ),
    )
    monitor: Monitor = field(
        default="val_loss",
        metadata=flag("The measure that decides which epoch is the best.", must_match=True),
    )
    deterministic: bool = field(
        default=False,
        metadata=flag("Get exactly the same model from the same seed; slower.", must_match=True),
    )
    augmentation: Augmentation = field(default_factory=Augmentation)
    imbalance: Imbalance = field(default_factory=Imbalance)
    schedule: Schedule = field(default_factory=Schedule)


LINE = CommandLine(
    "train",
    TrainOptions,
    "Train a network on labelled chips and write a model artifact.",
    epilog="Other commands: evaluate, explore, filters, forest, study (python -m train COMMAND "
    "--help).",
)
"""The command line."""


def parse_train_options(arguments: Sequence[str]) -> TrainOptions:
    """The options; flags that are not given have the values of --recipe, if there is one.

    Raises:
        UsageError: an unknown flag, a missing one, or an invalid value.
    """
    return LINE.parse(arguments, lambda given: RECIPES.get(given.get("recipe", ""), {}))


def check_options(options: TrainOptions) -> Network:
    """Refuse options that contradict each other, before anything is read.

    Raises:
        UsageError: they do.
    """
    network = with_pooling(NETWORKS[options.network], options.pooling)
    if options.weights not in (None, "none") and not network.takes_imagenet:
        raise UsageError(f"--weights {options.weights}: {network.name} starts from none")
    if options.weights not in (None, "none", "imagenet") and not Path(options.weights).is_file():
        raise UsageError(
            f"--weights {options.weights}: there is no such file; it takes imagenet, none or a "
            "file in Keras' notop layout"
        )
    if options.calibrate and network.sky_only:
        raise UsageError(
            f"--calibrate: {network.name} ends in a softmax, and temperatures by label need sigmoid"
        )
    if options.precision == "bfloat16" and not network.takes_bfloat16:
        raise UsageError(f"--precision bfloat16: {network.name} is always trained in float32")
    if options.image_size is not None and options.image_size < network.min_image_size:
        raise UsageError(
            f"--image_size {options.image_size}: {network.name} takes at least "
            f"{network.min_image_size} pixels"
        )
    _check_fitting(options, network)
    return network


def _check_fitting(options: TrainOptions, network: Network) -> None:
    if options.recipe == "best" and not network.takes_imagenet:
        raise UsageError(f"--recipe best: it fine-tunes vgg16; {network.name} has nothing to tune")
    if network.sky_only and options.imbalance.loss != "bce":
        raise UsageError(f"--loss {options.imbalance.loss}: {network.name} has a loss of its own")
    if options.schedule.layer_decay != 1 and not network.takes_imagenet:
        raise UsageError(f"--layer_decay: {network.name} has no blocks; it is for vgg16")
    if options.schedule.warmup_epochs >= options.epochs:
        raise UsageError(
            f"--warmup_epochs {options.schedule.warmup_epochs:g}: must be fewer than the "
            f"{options.epochs} of --epochs"
        )
