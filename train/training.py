"""The trainer, top to bottom: chips and labels in, a model artifact out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.errors import UsageError
from schemas.artifact import MediaType, ModelArtifact, Preprocessing
from schemas.decisions import SkyRule
from schemas.labels import LabelSet
from train.artifact.export import resolve_target, write_model
from train.data.dataset import (
    LabelledChips,
    choose_media_type,
    keep_sky,
    list_chips,
    match_chips,
)
from train.data.examples import Examples, count_set_aside, decode_chips, describe_set_aside
from train.data.label_files import (
    PARTS,
    Part,
    check_rows,
    choose_label_set,
    read_label_set,
    read_labels,
    refuse,
    select_rows,
)
from train.data.pixel_cache import DEFAULT_CACHE_GB, PixelCache, choose_cache
from train.data.pixel_store import open_store
from train.data.radiometry import preprocessing_for
from train.data.splits import assign_parts, check_parts, read_split_rule, split_csv
from train.fitting.augmentation import Augmentation
from train.fitting.checkpoints import Checkpoints, checkpoint_folder, forget_checkpoints
from train.fitting.fit import Fit, FitOptions, default_batch_size, fit_network, resolve_precision
from train.fitting.identity import options_identity, training_identity
from train.fitting.progress import Monitor
from train.fitting.sampling import Imbalance
from train.fitting.schedule import Schedule
from train.judging.thresholds import ThresholdMethod, ThresholdOptions
from train.networks.layers import Pooling
from train.networks.pretrained import load_pretrained
from train.networks.registry import NETWORKS, BandChoice, Network, choose_bands, with_pooling
from train.networks.vgg_weights import load_into
from train.networks.views import with_views

_SIDE_FACTOR = 4
"""A chip to be scored may be this many times the longest training side: wide enough for chips
cut in another way, tight enough that a picture made to fill the memory is never decoded."""


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


@dataclass(frozen=True)
class TrainingSet:
    """Everything that a network is fitted to, decoded.

    Attributes:
        label_set: the labels that the network learns.
        preprocessing: how the chips were decoded.
        parts: the chips by part.
        set_aside: counts of what was not used.
        other_labels: labels that the csv may hold and the network does not learn.
    """

    label_set: LabelSet
    preprocessing: Preprocessing
    parts: Mapping[Part, Examples]
    set_aside: Mapping[str, Any]
    other_labels: tuple[str, ...] = ()


def train_model(options: TrainOptions) -> ModelArtifact:
    """Train a network as the options say, and write and return its artifact.

    Raises:
        UsageError: something that was given cannot be used.
        StorageError: a file that was given cannot be read.
        RunFailed: training did not come to a usable model.
    """
    network = check_options(options)
    folder = resolve_target(options.artifact)
    kept = checkpoint_folder(folder)
    Checkpoints(kept, options_identity(options)).check()
    data = load_training_set(options, network)
    print(describe(data), flush=True)
    fit, settings = _fit(options, network, data, kept)
    fit = replace(fit, model=with_views(fit.model, options.test_time_views))
    description, temperatures = _judge(options, fit, data)
    description["training"] = settings | {"temperatures": temperatures}
    split = split_csv({part: examples.names for part, examples in data.parts.items()})
    written = write_model(folder, fit, data.preprocessing, data.label_set, description, split)
    forget_checkpoints(kept)
    print(f"Artifact: {folder}", flush=True)
    return written


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


def load_training_set(options: TrainOptions, network: Network) -> TrainingSet:
    """List, match, split and decode the chips.

    Raises:
        UsageError: chips, labels or split cannot be used; see the functions of `train.data.dataset`
            and `train.data.label_files`.
    """
    cache = choose_cache(options.pixel_cache, options.pixel_cache_gb)
    rows = read_labels(options.labels)
    rule = read_split_rule(
        options.labels,
        options.split,
        options.validation_share,
        options.test_share,
        options.groups,
    )
    label_set = (
        choose_label_set(rows) if options.label_set is None else read_label_set(options.label_set)
    )
    check_rows(rows, label_set)
    if options.sky_rule == "argmax" and not label_set.sky:
        raise UsageError("--sky_rule argmax: the labels have no sky group; --label_set names one")
    learned = _sky_alone(label_set, network) if network.sky_only else label_set
    unknown = [name for name in options.imbalance.upsample if name not in learned.names]
    refuse(unknown, "--upsample: labels that are not learned", ", ".join(learned.names))
    listed = list_chips(options.chips)
    media_type = choose_media_type(listed, options.media_type)
    bands = choose_bands(network, media_type, options.bands)
    if options.media_type is None and len(listed) > 1:
        print("--chips holds jpgs and tifs: training on jpgs (--media_type tif for the others)")
    chips = match_chips(select_rows(rows, media_type), listed[media_type], label_set)
    chips = keep_sky(chips, label_set) if network.sky_only else chips
    parts = assign_parts(chips, learned, rule, options.seed)
    check_parts({part: len(names) for part, names in parts.items()})
    training_uris = [chips.uris[name] for name in parts["train"]]
    preprocessing = preprocessing_for(
        media_type, options.image_size or network.image_size, bands, training_uris, options.seed
    )
    others = tuple(name for name in label_set.names if name not in learned.names)
    return replace(_decode(chips, parts, learned, preprocessing, cache), other_labels=others)


def describe(data: TrainingSet) -> str:
    """What was found, for people: parts, label set, and what was set aside."""
    sizes = ", ".join(f"{len(e.names)} {part}" for part, e in data.parts.items() if e.names)
    sky = f", {len(data.label_set.sky)} of them of the sky" if data.label_set.sky else ""
    head = (
        f"Chips: {sizes} ({data.preprocessing.media_type}); {len(data.label_set.names)} labels{sky}"
    )
    return "\n".join([head, *describe_set_aside(data.set_aside, data.parts.values())])


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


def _sky_alone(label_set: LabelSet, network: Network) -> LabelSet:
    if not label_set.sky:
        raise UsageError(
            f"--network {network.name}: the labels have no sky group, and it learns no others; "
            "--label_set names one"
        )
    return LabelSet(label_set.sky, label_set.sky)


def _decode(
    chips: LabelledChips,
    parts: Mapping[Part, tuple[str, ...]],
    label_set: LabelSet,
    preprocessing: Preprocessing,
    cache: PixelCache | None,
) -> TrainingSet:
    named = {name for names in parts.values() for name in names}
    with open_store(cache, preprocessing, len(named)) as store:
        examples = {
            p: decode_chips(parts[p], chips, label_set, preprocessing, store) for p in PARTS
        }
        print(store.describe(), flush=True)
    set_aside = count_set_aside(chips, named, examples.values())
    messages = [r.message for found in examples.values() for r in found.rejected.values()]
    first = f"the first of {len(messages)} rejected: {messages[0]}" if messages else ""
    check_parts({part: len(found.names) for part, found in examples.items()}, first)
    shortest, longest = examples["train"].sides
    sides = (min(preprocessing.image_size, shortest), _SIDE_FACTOR * longest)
    accepted = replace(preprocessing, accepted_sides_px=sides)
    return TrainingSet(label_set, accepted, examples, set_aside)


def _fit(
    options: TrainOptions, network: Network, data: TrainingSet, kept: Path
) -> tuple[Fit, dict[str, Any]]:
    """Fit the network, with checkpoints in a folder; also what the artifact keeps about it."""
    train, validation = data.parts["train"], data.parts["validation"]
    weights = options.weights or ("imagenet" if network.takes_imagenet else "none")
    pretrained = load_pretrained(weights)
    fit_options = FitOptions(
        epochs=options.epochs,
        batch_size=options.batch_size or default_batch_size(len(train.names), network),
        learning_rate=options.learning_rate or network.learning_rate,
        precision=resolve_precision(options.precision, network),
        seed=options.seed,
        patience=options.patience,
        monitor=options.monitor,
        deterministic=options.deterministic,
        augmentation=options.augmentation,
        imbalance=options.imbalance,
        schedule=options.schedule,
    )
    started = pretrained.source if pretrained else "random weights"
    print(
        f"Training {network.name} from {started}: at most {fit_options.epochs} epochs, "
        f"{fit_options.batch_size} chips a step, rate {fit_options.learning_rate:g}, "
        f"{fit_options.precision}, seed {fit_options.seed}",
        flush=True,
    )
    load = partial(load_into, weights=pretrained.weights) if pretrained else None
    digest = pretrained.digest if pretrained else None
    architecture = {"network": network.name, "pooling": options.pooling}
    identity = training_identity(architecture, fit_options, digest, data.parts)
    checkpoints = Checkpoints(kept, identity)
    names = data.label_set.names
    fit = fit_network(network, train, validation, fit_options, load, checkpoints, names)
    settings = {
        "options": asdict(options) | asdict(fit_options),
        "weights": {"source": started, "sha256": digest},
        "chips": {part: len(examples.names) for part, examples in data.parts.items()},
        "set_aside": dict(data.set_aside),
        "positives": _positives(data),
        "other_labels": data.other_labels,
        "epochs": len(fit.history["loss"]),
        "best_epoch": fit.best_epoch,
        "seconds": round(fit.seconds, 3),
        "history": dict(fit.history),
    }
    return fit, settings


def _judge(
    options: TrainOptions, fit: Fit, data: TrainingSet
) -> tuple[dict[str, Any], dict[str, float]]:
    from train.judging.judge import JudgingOptions, judge

    thresholds = ThresholdOptions(options.threshold_method, options.threshold_beta, options.seed)
    judging = JudgingOptions(thresholds, options.sky_rule, options.calibrate)
    description, temperatures = judge(fit.model, data.parts, data.label_set, judging)
    return {"network": options.network, **description}, temperatures


def _positives(data: TrainingSet) -> dict[str, dict[str, int]]:
    """Chips that hold each label, by part."""
    return {
        part: dict(zip(data.label_set.names, examples.truth.sum(axis=0).tolist(), strict=True))
        for part, examples in data.parts.items()
    }
