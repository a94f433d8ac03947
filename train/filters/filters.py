"""Filter pictures, top to bottom: a network in, a sheet of pictures for each layer out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipelines.artifacts.loading import load_model
from pipelines.artifacts.opening import open_artifact
from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.commands import CommandLine
from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.flags import at_least_1, common_flag, flag
from pipelines.storage.store import absolute_uri
from schemas.artifact import ArtifactError
from train.filters._ascent import Ascent, as_pictures, ascend, cut_network, first_side
from train.networks.halvings import count_halvings
from train.networks.pretrained import load_pretrained
from train.networks.registry import NETWORKS
from train.networks.vgg_weights import set_imagenet_statistics
from train.pictures import as_rgb, draw_image_grid
from train.results import describe_picture, resolve_output, write_summary, write_table
from train.shared_options import SEED, picture_side

_RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class FilterOptions:
    """The options of `python -m train filters`."""

    output: str = flag("The local folder for the pictures and summary.json.", metavar="FOLDER")
    artifact: str | None = common_flag(
        "The folder of a model artifact: local, gs:// or s3://. Give this or --network.",
        metavar="URI",
        default=None,
    )
    trusted_key: str | None = TRUSTED_KEY(default=None)
    network: str | None = common_flag(
        "A network with pretrained weights. Give this or --artifact.",
        choices=tuple(n.name for n in NETWORKS.values() if n.takes_imagenet),
        default=None,
    )
    weights: str | None = flag(
        "With --network: imagenet, or a file in Keras' notop layout. Default: imagenet.",
        metavar="NAME",
        default=None,
    )
    layers: tuple[str, ...] = common_flag(
        "The names of convolutions. Default: the last one on pixels of each size.",
        metavar="NAME",
        default=(),
    )
    filters: int = common_flag(
        "The pictures for each layer; the filters are drawn at random.", at_least_1, default=16
    )
    image_size: int = flag(
        "The side of a picture in pixels.", picture_side, metavar="PX", default=128
    )
    steps: int = flag(
        "The steps of gradient ascent, first at half the side and again at the whole side.",
        at_least_1,
        default=20,
    )
    seed: int = SEED(default=0)


LINE = CommandLine(
    "train filters", FilterOptions, "Draw what excites the filters of a network's convolutions."
)


@dataclass(frozen=True)
class _Subject:
    """The network to draw: the model, the bands that it takes, and its name for people."""

    model: Any
    bands: tuple[str, ...]
    title: str


def draw_filters(options: FilterOptions) -> dict[str, Any]:
    """Draw what excites a network's filters; write pictures and figures, and return the summary.

    Raises:
        UsageError: the network cannot be loaded, or a layer is not a convolution of it.
    """
    folder = resolve_output(options.output)
    subject = _open(options)
    layers = _choose_layers(subject.model, options.layers)
    networks = {layer: cut_network(subject.model, layer) for layer in layers}
    for layer, network in networks.items():
        _check_side(layer, network, options.image_size)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Filters of {subject.title}: {', '.join(layers)}", flush=True)
    found = {layer: _climb(network, layer, options) for layer, network in networks.items()}
    pictures = [_draw(folder, subject, layer, *found[layer]) for layer in layers]
    rows = [
        (layer, number, float(start), float(reached))
        for layer, (numbers, ascent) in found.items()
        for number, start, reached in zip(numbers, ascent.start, ascent.reached, strict=True)
    ]
    write_table(folder / "filters.csv", ("layer", "filter", "start", "reached"), rows)
    summary = {
        "network": subject.title,
        "layers": {layer: numbers for layer, (numbers, _) in found.items()},
        "pictures": pictures,
    }
    write_summary(folder, summary)
    print(f"Filters: {folder}", flush=True)
    return summary


def convolutions(model: Any) -> Mapping[str, int]:
    """The convolutions that a network learned, in order, with their numbers of filters."""
    return {
        layer.name: layer.filters
        for layer in model.layers
        if type(layer).__name__ == "Conv2D" and layer.trainable
    }


def default_layers(model: Any) -> list[str]:
    """The last convolution on pixels of each size."""
    halvings = count_halvings(model)
    last = {halvings[name]: name for name in convolutions(model)}
    return [last[number] for number in sorted(last)]


def _open(options: FilterOptions) -> _Subject:
    if (options.artifact is None) == (options.network is None):
        raise UsageError("give one of --artifact and --network")
    if options.artifact is None:
        return _open_pretrained(options)
    if options.weights is not None:
        raise UsageError("--weights goes with --network; an artifact has its own")
    with as_usage_error("--artifact", (UsageError, ArtifactError, StorageError)):
        address = absolute_uri(options.artifact)
        folder, artifact = open_artifact(address, trusted_key=options.trusted_key)
    model = load_model(folder, artifact)
    title = f"{artifact.network} ({PurePosixPath(address).name})"
    return _Subject(model, artifact.preprocessing.bands, title)


def _open_pretrained(options: FilterOptions) -> _Subject:
    """A network with its pretrained weights, which gets pixels as it did in its own training."""
    network = NETWORKS[str(options.network)]
    pretrained = load_pretrained(options.weights or "imagenet", network.backbone)
    if not network.takes_imagenet or pretrained is None:
        raise UsageError(f"--network {network.name}: give an --artifact that contains it trained")
    side = network.min_image_size
    model = network.build((side, side, len(_RGB)), 1)
    pretrained.load_into(model)
    if network.backbone is None:
        set_imagenet_statistics(model)
    return _Subject(model, _RGB, f"{network.name} with weights from {pretrained.source}")


def _choose_layers(model: Any, asked: Sequence[str]) -> list[str]:
    known = convolutions(model)
    if not known:
        raise UsageError(f"the network {model.name} has no convolutions to look into")
    if unknown := [layer for layer in asked if layer not in known]:
        raise UsageError(
            f"--layers {unknown[0]}: no convolution of {model.name}; it has {', '.join(known)}"
        )
    return list(dict.fromkeys(asked)) or default_layers(model)


def _check_side(layer: str, network: Any, side_px: int) -> None:
    """Refuse pictures that are too small for the layer to have any output."""
    start = first_side(side_px)
    try:
        reached = network.compute_output_shape((1, start, start, network.input_shape[-1]))[1]
    except ValueError:  # Keras' word for a size below 0
        reached = 0
    if reached < 1:
        raise UsageError(
            f"--image_size {side_px}: {layer} sees nothing of {start} pixels, the half"
        )


def _climb(network: Any, layer: str, options: FilterOptions) -> tuple[list[int], Ascent]:
    drawn = np.random.default_rng(options.seed).permutation(network.output_shape[-1])
    numbers = sorted(drawn[: options.filters].tolist())
    started = time.monotonic()
    ascent = ascend(network, numbers, options.image_size, options.steps, options.seed)
    print(f"  {layer}: {len(numbers)} filters, {time.monotonic() - started:.0f} s", flush=True)
    return numbers, ascent


def _draw(
    folder: Path, subject: _Subject, layer: str, numbers: Sequence[int], ascent: Ascent
) -> dict[str, str]:
    file = f"filters_{layer}.png"
    images = list(as_pictures(as_rgb(ascent.pictures, subject.bands)))
    captions = [f"filter {number}" for number in numbers]
    title = f"What excites {layer} of {subject.title}"
    draw_image_grid(folder / file, images, captions, title, columns=8, side_px=images[0].shape[0])
    return describe_picture(file, "filters", title)
