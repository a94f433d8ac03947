"""Filter pictures of the CNN, and of VGG16 before and after training: drawn once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from train.filters.filters import FilterOptions, draw_filters
from train.study.models.models import network_folder, weights_identity
from train.study.models.plan import CNN, VGG16
from train.study.models.records import read_outcome, read_results, write_outcome

FOLDER = "filters"
"""The folder of the filter pictures in the study's."""

FILTERS, STEPS = 8, 20
"""Filters of each layer, and steps of the ascent to each."""

_PRETRAINED = f"{VGG16}_imagenet"


def draw_or_keep_filters(
    models: Mapping[str, Mapping[str, Any]], weights: str | None, seed: int, folder: Path
) -> None:
    """Draw the filters of the finished networks, unless they were drawn before.

    Args:
        models: the finished models by name, with their `model_digest`.
        weights: of VGG16 before training; see `train.options.TrainOptions`.

    Raises:
        UsageError, StorageError: see `train.filters.filters.draw_filters`.
    """
    for name, asked, network in _wanted(models, weights, seed, folder):
        record = folder / FOLDER / f"{name}.json"
        request = {**network, "filters": FILTERS, "steps": STEPS, "seed": seed}
        if read_outcome(record, request) is None or not _pictures(folder, name):
            record.unlink(missing_ok=True)
            draw_filters(asked)
            write_outcome(record, request, {})


def read_filters(models: Mapping[str, Mapping[str, Any]], folder: Path) -> list[dict[str, str]]:
    """The pictures of the finished networks' filters, in the order of the report."""
    names = [name for name in (CNN, _PRETRAINED, VGG16) if name.removesuffix("_imagenet") in models]
    return [picture for name in names for picture in _pictures(folder, name)]


def _wanted(
    models: Mapping[str, Mapping[str, Any]], weights: str | None, seed: int, folder: Path
) -> Iterator[tuple[str, FilterOptions, dict[str, Any]]]:
    """Name, options, and what decides the pictures, for each network."""

    def options(name: str, **more: Any) -> FilterOptions:
        output = str(folder / FOLDER / name)
        return FilterOptions(output=output, filters=FILTERS, steps=STEPS, seed=seed, **more)

    for name, layers in ((CNN, ("conv3",)), (VGG16, ())):
        if name in models:
            asked = options(name, artifact=str(network_folder(folder, name)), layers=layers)
            yield name, asked, {"model_digest": models[name]["model_digest"]}
    if VGG16 in models and weights != "none":
        asked = options(_PRETRAINED, network=VGG16, weights=weights)
        yield _PRETRAINED, asked, {"weights": weights_identity(weights)}


def _pictures(folder: Path, name: str) -> list[dict[str, str]]:
    """The pictures of a network."""
    pictures: list[dict[str, str]] = read_results(folder, f"{FOLDER}/{name}").get("pictures", [])
    return pictures
