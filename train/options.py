"""The options of `python -m train`, and which of them contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.commands import CommandLine
from pipelines.errors import UsageError
from pipelines.flags import at_least_1, common_flag, flag, positive, ratio
from schemas.decisions import SkyRule
from train.addresses import local_path
from train.converting.engines import Conversion
from train.data.chip_format import check_kind
from train.fitting.augmentation import Augmentation
from train.fitting.progress import Monitor
from train.fitting.sampling import Imbalance
from train.fitting.schedule import Schedule
from train.judging.promise_flag import parse_promise
from train.judging.thresholds import ThresholdMethod
from train.networks.earlier_model import is_artifact
from train.networks.input_bands import split_list
from train.networks.layers import Pooling
from train.networks.registry import NETWORKS, Network, with_pooling
from train.networks.views import VIEWS
from train.recipes import RECIPES
from train.shared_options import PRECISION, SEED, CacheOptions, ChoiceOptions, LabelledOptions


@dataclass(frozen=True)
class TrainOptions(CacheOptions, ChoiceOptions, LabelledOptions):
    """The options of `python -m train`; None means a default that depends on the data."""

    artifact: str = flag(
        "The local folder for the artifact; an older artifact there is replaced.", metavar="FOLDER"
    )
    network: str = common_flag(
        "The network to train.", choices=tuple(NETWORKS), must_match=True, default="vgg16"
    )
    recipe: str | None = common_flag(
        "Values for several flags that belong together; flags that you give win.",
        choices=tuple(RECIPES),
        default=None,
    )
    image_size: int | None = common_flag(
        "The side of the model's input in pixels. Default: that of an artifact in --weights, or "
        "64, or 128 for a network on grey pixels.",
        at_least_1,
        metavar="PX",
        default=None,
    )
    epochs: int = common_flag(
        "Train at most this many epochs.", at_least_1, must_match=True, default=50
    )
    batch_size: int | None = common_flag(
        "The chips in one step. Default: at least 8, more for more chips.",
        at_least_1,
        must_match=True,
        default=None,
    )
    learning_rate: float | None = common_flag(
        "The highest learning rate of Adam. Default: 1e-3 for a cnn, 1e-4 for those with "
        "pretrained weights.",
        positive,
        must_match=True,
        default=None,
    )
    split: str | None = common_flag(
        "A csv with the columns image_name and split, or study for the shares of the published "
        "study. Default: a random split, stratified by label.",
        metavar="FILE",
        default=None,
    )
    seed: int = SEED(default=0)
    bands: str | None = flag(
        "The bands of a chip to use: rgb, all, or a list of names or numbers, such as "
        "B02,B03,B04,B08 or 4,3,2. As many names as a tif has bands without a name name these. "
        "Default: all that the network takes.",
        metavar="LIST",
        default=None,
    )
    scale_uint8: bool = flag(
        "Scale the bytes of tifs by percentiles, as other types are. Default: they are kept.",
        default=False,
    )
    pooling: Pooling | None = flag(
        "How the last features become a vector. Default: it depends on --image_size.",
        must_match=True,
        default=None,
    )
    test_time_views: int = flag(
        "Score the mean over this many mirror images and quarter turns of a chip.",
        at_least_1,
        choices=VIEWS,
        default=1,
    )
    weights: str | None = flag(
        "The weights to start from: imagenet, none, a file in Keras' notop layout, or an artifact "
        "with the same network (its folder: local, gs:// or s3://), whose labels are kept by name. "
        "Default: imagenet, if the network has such weights.",
        metavar="NAME",
        default=None,
    )
    trusted_key: str | None = TRUSTED_KEY(default=None)
    validation_share: float | None = flag(
        "Without --split: the share of the chips for validation. Default: 0.2.", ratio, default=None
    )
    test_share: float | None = flag(
        "Without --split: the share of the chips for the final test, which is used for no "
        "choice. Default: 0.",
        ratio,
        default=None,
    )
    groups: str | None = flag(
        "A csv with the columns image_name and scene_id: chips of one scene stay in one part. "
        "Default: the column scene_id of --labels.",
        metavar="FILE",
        default=None,
    )
    precision: str = PRECISION(default="auto")
    threshold_method: ThresholdMethod = flag(
        "How thresholds are chosen. best: for each label alone. cross_fit: the median over "
        "folds. shrunk: closer to one threshold for all labels if a label is rare.",
        default="shrunk",
    )
    threshold_beta: float = flag(
        "Choose the thresholds with the best F-beta, for this beta.", positive, default=1.0
    )
    promise: tuple[tuple[str, float], ...] = flag(
        "Choose thresholds that have at least this precision on new chips, with 95 % confidence: "
        "precision=0.9 for all ground labels, LABEL=0.9 for one; may be given several times. A "
        "label that cannot promise it is never reported.",
        parse_promise,
        metavar="NAME=R",
        repeated=True,
        default=(),
    )
    sky_rule: SkyRule = flag(
        "How sky labels are chosen: each by its threshold, or only the one with the highest "
        "score (argmax).",
        default="threshold",
    )
    calibrate: bool = flag(
        "Fit a temperature for each label on the validation chips.", default=False
    )
    patience: int = flag(
        "Stop after this many epochs without a better one.", at_least_1, must_match=True, default=5
    )
    monitor: Monitor = flag(
        "The measure that decides which epoch is the best.", must_match=True, default="val_loss"
    )
    deterministic: bool = flag(
        "Get exactly the same model from the same seed; slower.", must_match=True, default=False
    )
    convert: Conversion = flag(
        "The networks for OpenVINO, which scores on CPUs without TensorFlow: int8 adds one in "
        "float32 and one in int8.",
        default="int8",
    )
    augmentation: Augmentation = field(default_factory=Augmentation)
    imbalance: Imbalance = field(default_factory=Imbalance)
    schedule: Schedule = field(default_factory=Schedule)


LINE = CommandLine(
    "train",
    TrainOptions,
    "Train a network on labelled chips and write a model artifact.",
    epilog="Other commands: compare, convert, evaluate, explore, filters, forest, set_thresholds, "
    "sign, study (python -m train COMMAND --help).",
)


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
    weights = options.weights or "none"
    if options.trusted_key and not is_artifact(weights):
        raise UsageError("--trusted_key needs --weights with an artifact, which it checks")
    check_weights(weights, network)
    split_list(options.bands or "all")
    if options.tif_kind:
        check_kind(options.tif_kind)
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


def check_weights(weights: str, network: Network) -> None:
    """Refuse weights that the network does not start from, or that are not there.

    Raises:
        UsageError: see above.
    """
    if weights == "none" or is_artifact(weights):
        return
    if weights != "imagenet" and not local_path("--weights", weights).is_file():
        raise UsageError(
            f"--weights {weights}: there is no such file; it takes imagenet, none, an artifact or "
            "a file in Keras' notop layout"
        )
    if not network.takes_imagenet:
        raise UsageError(f"--weights {weights}: {network.name} starts from none or an artifact")


def _check_fitting(options: TrainOptions, network: Network) -> None:
    if options.recipe == "best" and not network.takes_imagenet:
        raise UsageError(
            f"--recipe best: it fine-tunes pretrained weights, which {network.name} does not have"
        )
    if network.sky_only and options.imbalance.loss != "bce":
        raise UsageError(f"--loss {options.imbalance.loss}: {network.name} has a loss of its own")
    if options.schedule.layer_decay != 1 and not network.takes_imagenet:
        raise UsageError(f"--layer_decay: {network.name} has no blocks; it is for pretrained ones")
    if options.schedule.warmup_epochs >= options.epochs:
        raise UsageError(
            f"--warmup_epochs {options.schedule.warmup_epochs:g}: must be fewer than the "
            f"{options.epochs} of --epochs"
        )
