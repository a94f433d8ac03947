"""What `python -m train` was asked for, and which options contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import UsageError
from schemas.artifact import MediaType
from schemas.decisions import SkyRule
from train.data.pixel_cache import DEFAULT_CACHE_GB
from train.fitting.augmentation import Augmentation
from train.fitting.progress import Monitor
from train.fitting.sampling import Imbalance
from train.fitting.schedule import Schedule
from train.judging.thresholds import ThresholdMethod
from train.networks.layers import Pooling
from train.networks.registry import NETWORKS, BandChoice, Network, with_pooling


@dataclass(frozen=True)
class TrainOptions:
    """What `python -m train` was asked for; None stands for a default that depends on the data.

    Attributes:
        chips: folder, prefix or glob of the chips.
        labels: the labels csv.
        artifact: local folder for the artifact.
        network: a name in `NETWORKS`.
        media_type: jpg or tif.
        image_size: side of the model's input in pixels; by default the network's.
        bands: rgb, or all that a chip has; by default all that the network can take.
        pooling: flatten or average; by default the network's own rule.
        test_time_views: how many views of a chip the scores are the mean over (`networks.views`).
        weights: imagenet, none or a file; by default imagenet where the network has any.
        epochs, batch_size, learning_rate, seed, patience, monitor, deterministic, augmentation,
            imbalance, schedule: see `train.fitting.fit.FitOptions`.
        split, validation_share, test_share, groups: see `train.data.splits.read_split_rule`.
        label_set: a label-set file; by default the labels csv decides.
        precision: auto, float32 or bfloat16.
        recipe: where the values of flags came from that were not given; kept for the record.
        pixel_cache: folder for decoded chips, or none; by default in the user's cache folder.
        pixel_cache_gb: what it may hold.
        threshold_method, threshold_beta: see `train.judging.thresholds.ThresholdOptions`.
        sky_rule: how sky labels are chosen; see `schemas.decisions.choose_labels`.
        calibrate: whether each label gets a temperature; see `train.judging.calibration`.
    """

    chips: str
    labels: str
    artifact: str
    network: str = "vgg16"
    media_type: MediaType | None = None
    image_size: int | None = None
    bands: BandChoice | None = None
    pooling: Pooling | None = None
    test_time_views: int = 1
    weights: str | None = None
    epochs: int = 50
    batch_size: int | None = None
    learning_rate: float | None = None
    split: str | None = None
    validation_share: float | None = None
    test_share: float | None = None
    groups: str | None = None
    label_set: str | None = None
    precision: str = "auto"
    seed: int = 0
    pixel_cache: str | None = None
    pixel_cache_gb: float = DEFAULT_CACHE_GB
    threshold_method: ThresholdMethod = "shrunk"
    threshold_beta: float = 1.0
    sky_rule: SkyRule = "threshold"
    calibrate: bool = False
    recipe: str | None = None
    patience: int = 5
    monitor: Monitor = "val_loss"
    deterministic: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    imbalance: Imbalance = field(default_factory=Imbalance)
    schedule: Schedule = field(default_factory=Schedule)


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
