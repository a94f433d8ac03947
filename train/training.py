"""The trainer, top to bottom: chips and labels in, a model artifact out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from schemas.artifact import ModelArtifact
from train.artifact.export import Convert, resolve_target, write_model
from train.converting.engines import add_openvino
from train.converting.int8 import Chips
from train.data.splits import split_csv
from train.fitting.checkpoints import Checkpoints, checkpoint_folder, remove_checkpoints
from train.fitting.epochs import FitOptions
from train.fitting.fit import Fit, choose_precision, default_batch_size, fit_network
from train.fitting.identity import options_identity, training_identity
from train.judging.promise_flag import describe_outlook
from train.networks.backbone_weights import BackboneWeights
from train.networks.earlier_model import EarlierModel, is_artifact, open_earlier
from train.networks.pretrained import Pretrained, load_pretrained
from train.networks.registry import Network, with_bands
from train.networks.views import with_views
from train.options import TrainOptions, check_options
from train.training_set import (
    TrainingSet,
    describe,
    find_training_chips,
    load_training_set,
)

Start = Pretrained | BackboneWeights | EarlierModel | None
"""Weights to start from; None for random ones."""


def train_model(options: TrainOptions) -> ModelArtifact:
    """Train a network, and write and return its artifact.

    Raises:
        UsageError: an option or a file is invalid.
        StorageError: a file cannot be read.
        RunFailed: training did not result in a usable model.
    """
    network = check_options(options)
    folder = resolve_target(options.artifact)
    checkpoint_dir = checkpoint_folder(folder)
    Checkpoints(checkpoint_dir, options_identity(options)).check()
    found = find_training_chips(options, network)  # before weights are fetched
    start = _open_start(options, network)
    earlier = start if isinstance(start, EarlierModel) else None
    if earlier and options.image_size is None:
        options = replace(options, image_size=earlier.artifact.preprocessing.image_size)
    check_bands = earlier.check_bands if earlier else None
    data = load_training_set(found, options, network, check_bands)
    print(describe(data), flush=True)
    validation = data.parts["validation"].truth
    if outlook := describe_outlook(data.promises, validation, data.label_set.names):
        print(outlook, flush=True)
    fit, settings = _fit(options, network, start, data, checkpoint_dir)
    fit = replace(fit, model=with_views(fit.model, options.test_time_views))
    description, temperatures = _judge(options, fit, data)
    description["training"] = settings | {"temperatures": temperatures}
    split = split_csv({part: examples.names for part, examples in data.parts.items()})
    made_of = (data.preprocessing, data.label_set, description, split)
    written = write_model(folder, fit, *made_of, convert=_conversion(options, data))
    remove_checkpoints(checkpoint_dir)
    print(f"Artifact: {folder}", flush=True)
    return written


def _open_start(options: TrainOptions, network: Network) -> Start:
    weights = options.weights or ("imagenet" if network.takes_imagenet else "none")
    if is_artifact(weights):
        return open_earlier(weights, network, options.trusted_key)
    return load_pretrained(weights, network.backbone)


def _fit(
    options: TrainOptions, network: Network, start: Start, data: TrainingSet, checkpoint_dir: Path
) -> tuple[Fit, dict[str, Any]]:
    """Fit the network, with checkpoints. Returns it and what the artifact records about it."""
    train, validation = data.parts["train"], data.parts["validation"]
    names, bands = data.label_set.names, data.preprocessing.bands
    network = with_bands(network, bands)
    known = {each.name: getattr(options, each.name) for each in fields(FitOptions)}
    by_data = {
        "batch_size": options.batch_size or default_batch_size(len(train.names), network),
        "learning_rate": options.learning_rate or network.learning_rate,
        "precision": choose_precision(options.precision, network),
    }
    fit_options = FitOptions(**known | by_data)
    started = start.source if start else "random weights"
    print(
        f"Training {network.name} from {started}: at most {fit_options.epochs} epochs, "
        f"{fit_options.batch_size} chips per step, rate {fit_options.learning_rate:g}, "
        f"{fit_options.precision}, seed {fit_options.seed}",
        flush=True,
    )
    digest = start.digest if start else None
    architecture = {"network": network.name, "pooling": options.pooling}
    identity = training_identity(architecture, fit_options, digest, data.parts)
    checkpoints = Checkpoints(checkpoint_dir, identity)
    load = _loader(start, bands, names)
    fit = fit_network(network, train, validation, fit_options, load, checkpoints, names)
    weights: dict[str, Any] = {"source": started, "sha256": digest}
    if isinstance(start, EarlierModel):
        weights = {"source": started, "sha256": None, "artifact": start.describe(fit.model, names)}
    settings = {
        "options": asdict(options) | asdict(fit_options),
        "weights": weights,
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


def _loader(
    start: Start, bands: Sequence[str], labels: Sequence[str]
) -> Callable[[Any], None] | None:
    """What gives an untrained model the weights to start from."""
    if start is None:
        return None
    if not isinstance(start, EarlierModel):
        return partial(start.load_into, bands=bands)

    def load(model: Any) -> None:
        start.load_into(model, labels)
        print(f"From {start.source}: {start.describe(model, labels)['note']}", flush=True)

    return load


def _judge(
    options: TrainOptions, fit: Fit, data: TrainingSet
) -> tuple[dict[str, Any], dict[str, float]]:
    from train.judging.judge import JudgingOptions, judge

    judging = JudgingOptions(
        options.threshold_method,
        options.threshold_beta,
        options.seed,
        options.sky_rule,
        options.calibrate,
        promises=data.promises,
    )
    description, temperatures = judge(fit.model, data.parts, data.label_set, judging)
    return {"network": options.network, **description}, temperatures


def _conversion(options: TrainOptions, data: TrainingSet) -> Convert | None:
    """What adds the networks that `--convert` asks for."""
    if options.convert == "none":
        return None
    train, validation = data.parts["train"], data.parts["validation"]
    chips = Chips(train.pixels, validation.pixels, validation.truth)
    return partial(add_openvino, chips=chips if options.convert == "int8" else None)


def _positives(data: TrainingSet) -> dict[str, dict[str, int]]:
    """Number of chips with each label, by part."""
    return {
        part: dict(zip(data.label_set.names, examples.truth.sum(axis=0).tolist(), strict=True))
        for part, examples in data.parts.items()
    }
