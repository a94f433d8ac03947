"""Training the study's networks, each once: a finished one is reused while it still fits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pipelines.flags import flags_of
from pipelines.storage.store_flags import StoreOptions
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import MODEL_FILE, read_artifact, read_description
from schemas.networks.keras_file import read_model
from train.addresses import local_path
from train.artifact.export import copy_artifact
from train.fitting.checkpoints import checkpoint_folder, remove_checkpoints
from train.fitting.sampling import Imbalance
from train.networks.pretrained import load_pretrained
from train.networks.registry import NETWORKS
from train.options import TrainOptions
from train.recipes import with_recipe
from train.study.models.material import Material, write_split
from train.study.models.plan import StudyModel, label_to_upsample
from train.study.models.records import read_outcome, write_outcome
from train.study.models.start_weights import weights_for
from train.study.options import StudyOptions
from train.training import train_model

BEST = "best"
"""The folder of the best model's artifact in the study's."""

_PLACES = (
    *("chips", "labels", "artifact", "split", "label_set", "pixel_cache", "pixel_cache_gb"),
    *(flag.field for flag in flags_of(StoreOptions)),
)
"""Options that are addresses, or how to reach them; what is there is in the material's digest."""

_TRAINING = ("chips", "set_aside", "options", "epochs", "best_epoch", "seconds")


def network_options(
    model: StudyModel, options: StudyOptions, material: Material, folder: Path
) -> TrainOptions:
    """The trainer's options for a network of the study.

    Args:
        folder: the study's, for splits and artifacts.
    """
    if model.network is None:
        raise ValueError(f"{model.name} is not a network")
    network = NETWORKS[model.network]
    asked = TrainOptions(
        chips=options.chips,
        labels=options.labels,
        artifact=str(network_folder(folder, model.name)),
        network=model.network,
        media_type=material.media_type,
        tif_kind=options.tif_kind,
        image_size=options.image_size * model.side_factor,
        weights=weights_for(options, network.name) if network.takes_imagenet else None,
        epochs=options.epochs,
        split=str(write_split(folder, material, model, options.seed)),
        label_set=options.label_set,
        precision=options.precision if network.takes_bfloat16 else "auto",
        seed=options.seed,
        imbalance=Imbalance(upsample=_upsampled(model, material)),
        pixel_cache=options.pixel_cache,
        pixel_cache_gb=options.pixel_cache_gb,
    )
    return asked if model.recipe is None else _by_recipe(asked, model.recipe)


def train_or_keep(
    name: str, asked: TrainOptions, material: Material, folder: Path
) -> tuple[ModelArtifact, bool]:
    """The artifact for these options, and whether it was there already.

    It is reused if every file can be read and has its digest, and if it was made from the same
    chips, labels and parts with the same options; else it is trained.

    Raises:
        UsageError, StorageError, RunFailed: see `train.training.train_model`.
    """
    if kept := find_kept(name, asked, material, folder):
        return kept, True
    _record(folder, name).unlink(missing_ok=True)
    _forget_other_training(name, _request(asked, material), folder)
    artifact = train_model(asked)
    outcome = {"model_digest": artifact.model_digest}
    write_outcome(_record(folder, name), _request(asked, material), outcome)
    return artifact, False


def load_missing_weights(
    asked: Mapping[str, TrainOptions], material: Material, folder: Path
) -> None:
    """Read or fetch the weights of every network that is to be trained, so that none is trained if
    those of another are missing. Fetched ones are kept on disk for the training.

    Args:
        asked: the options of each network, by the name of the model.

    Raises:
        UsageError: weights cannot be read or fetched.
    """
    wanted = {
        (options.network, options.weights or "imagenet"): None
        for name, options in asked.items()
        if NETWORKS[options.network].takes_imagenet
        and find_kept(name, options, material, folder) is None
    }
    for network, weights in wanted:
        load_pretrained(weights, NETWORKS[network].backbone)


def find_kept(
    name: str, asked: TrainOptions, material: Material, folder: Path
) -> ModelArtifact | None:
    """The finished artifact for these options; None if it must be trained."""
    outcome = read_outcome(_record(folder, name), _request(asked, material))
    if outcome is None:
        return None
    try:
        artifact = read_artifact(network_folder(folder, name))
    except ArtifactError:
        return None
    return artifact if outcome == {"model_digest": artifact.model_digest} else None


def describe_network(model: StudyModel, folder: Path) -> dict[str, Any]:
    """A finished network as plain data, for the report."""
    path = network_folder(folder, model.name)
    artifact = read_description(path)
    training = artifact.training
    return {
        "title": model.title,
        "idea": model.idea,
        "network": artifact.network,
        "labels": list(artifact.label_set.names),
        "figures": dict(artifact.figures),
        "unproven_thresholds": list(artifact.unproven_thresholds),
        "parameters": sum(array.size for _, array in read_model(path / MODEL_FILE).arrays()),
        "image_size": artifact.preprocessing.image_size,
        "bands": list(artifact.preprocessing.bands),
        "model_digest": artifact.model_digest,
        "weights": training["weights"]["source"],
        **{field: training[field] for field in _TRAINING},
        "versions": dict(artifact.versions),
    }


def copy_best(name: str, folder: Path) -> None:
    """Copy the best model's artifact into the study's folder, all or nothing."""
    copy_artifact(network_folder(folder, name), folder / BEST)


def network_folder(folder: Path, name: str) -> Path:
    """The folder of a network's artifact in a study's folder."""
    return folder / "models" / name


def _by_recipe(asked: TrainOptions, recipe: str) -> TrainOptions:
    """The options changed by a recipe, with at most the study's epochs."""
    changed = with_recipe(asked, recipe)
    epochs = min(asked.epochs, changed.epochs)
    warmup = min(changed.schedule.warmup_epochs, epochs / 2)
    return replace(changed, epochs=epochs, schedule=replace(changed.schedule, warmup_epochs=warmup))


def _upsampled(model: StudyModel, material: Material) -> tuple[str, ...]:
    label = label_to_upsample(material.positives("train")) if model.is_upsampled else None
    return () if label is None else (label,)


def _record(folder: Path, name: str) -> Path:
    return folder / "models" / f"{name}.json"


def _forget_other_training(name: str, request: dict[str, Any], folder: Path) -> None:
    """Remove the checkpoints of a training that was stopped, if it had other options.

    The trainer would refuse them, since a person may need them; these belong to the study.
    """
    started = folder / "models" / f"{name}.started.json"
    if read_outcome(started, request) is None:
        remove_checkpoints(checkpoint_folder(network_folder(folder, name)))
        write_outcome(started, request, {})


def _request(asked: TrainOptions, material: Material) -> dict[str, Any]:
    options = {name: value for name, value in asdict(asked).items() if name not in _PLACES}
    return {
        "options": options | {"weights": weights_identity(asked.weights)},
        "chips": material.digest,
    }


def weights_identity(weights: str | None) -> str | None:
    """What identifies the weights that `--weights` names: the name, or a digest of the file."""
    if weights in (None, "imagenet", "none"):
        return weights
    return hashlib.sha256(local_path("--weights", weights).read_bytes()).hexdigest()
