"""What a network is trained on: chips and labels, listed, matched, split and decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.errors import UsageError
from schemas.artifact import Preprocessing
from schemas.labels import LabelSet
from train.data.chip_format import find_format
from train.data.dataset import LabelledChips, keep_sky, load_labelled_chips
from train.data.examples import Examples, count_set_aside, decode_chips, describe_set_aside
from train.data.label_files import PARTS, Part, refuse
from train.data.labels import read_labelled_rows
from train.data.pixel_cache import PixelCache, choose_cache
from train.data.pixel_store import open_pixels
from train.data.radiometry import preprocessing_for
from train.data.splits import assign_parts, check_parts, read_split_rule
from train.judging.promise_flag import read_promises
from train.networks.input_bands import choose_bands, stored_names
from train.networks.registry import Network
from train.options import TrainOptions

_SIDE_FACTOR = 4
"""A chip to be scored may be this many times the longest training side: wide enough for chips
cut in another way, tight enough that a picture made to fill the memory is never decoded."""


@dataclass(frozen=True)
class TrainingSet:
    """Everything that a network is fitted to, decoded.

    Attributes:
        label_set: the labels that the network learns.
        preprocessing: how the chips were decoded.
        parts: the chips by part.
        set_aside: counts of what was not used.
        other_labels: labels that the csv may hold and the network does not learn.
        promises: label to the precision that its threshold must promise.
    """

    label_set: LabelSet
    preprocessing: Preprocessing
    parts: Mapping[Part, Examples]
    set_aside: Mapping[str, Any]
    other_labels: tuple[str, ...] = ()
    promises: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingChips:
    """Chips and labels to train on, before any chip is decoded.

    Attributes:
        learned: the labels that the network learns.
        label_set: the labels that the csv may hold.
        chips: the chips with their labels.
        parts: names of the chips by part.
        promises: label to the precision that its threshold must promise.
        cache: where decoded pixels are kept.
    """

    learned: LabelSet
    label_set: LabelSet
    chips: LabelledChips
    parts: Mapping[Part, tuple[str, ...]]
    promises: Mapping[str, float]
    cache: PixelCache | None


def find_training_chips(options: TrainOptions, network: Network) -> TrainingChips:
    """List, match and split the chips; none is read.

    Raises:
        UsageError: chips, labels or split cannot be used; see the functions of `train.data.dataset`
            and `train.data.label_files`.
    """
    cache = choose_cache(options.pixel_cache, options.pixel_cache_gb)
    rows, label_set = read_labelled_rows(options.labels, options.chips, options.label_set)
    rule = read_split_rule(
        options.labels, options.split, options.validation_share, options.test_share, options.groups
    )
    if options.sky_rule == "argmax" and not label_set.sky:
        raise UsageError("--sky_rule argmax: the labels have no sky group; --label_set names one")
    learned = _sky_alone(label_set, network) if network.sky_only else label_set
    unknown = [name for name in options.imbalance.upsample if name not in learned.names]
    refuse(unknown, "--upsample: labels that are not learned", ", ".join(learned.names))
    promises = read_promises(options.promise, learned)
    chips = load_labelled_chips(options.chips, rows, label_set, options.media_type)
    chips = keep_sky(chips, label_set) if network.sky_only else chips
    parts = assign_parts(chips, learned, rule, options.seed)
    check_parts({part: len(names) for part, names in parts.items()})
    return TrainingChips(learned, label_set, chips, parts, promises, cache)


def load_training_set(
    found: TrainingChips,
    options: TrainOptions,
    network: Network,
    check_bands: Callable[[tuple[str, ...]], None] | None = None,
) -> TrainingSet:
    """Decode the chips.

    Args:
        check_bands: refuses bands that do not fit, before all chips are decoded.

    Raises:
        UsageError: the chips cannot be used; see `train.data.chip_format`.
    """
    chips, learned = found.chips, found.learned
    training_uris = [chips.uris[name] for name in found.parts["train"]]
    looked_at = find_format(chips.media_type, training_uris, options.seed, options.tif_kind)
    if looked_at.kind:
        looked_at = looked_at.with_names(stored_names(looked_at.kind, options.bands))
    bands = choose_bands(network.name, network.bands, looked_at.stored, options.bands)
    if check_bands:
        check_bands(bands)
    preprocessing = preprocessing_for(
        looked_at,
        options.image_size or network.image_size,
        bands,
        training_uris,
        options.seed,
        options.scale_uint8,
    )
    others = tuple(name for name in found.label_set.names if name not in learned.names)
    decoded = _decode(chips, found.parts, learned, preprocessing, found.cache)
    return replace(decoded, other_labels=others, promises=found.promises)


def describe(data: TrainingSet) -> str:
    """What was found, for people: parts, label set, and what was set aside."""
    sizes = ", ".join(f"{len(e.names)} {part}" for part, e in data.parts.items() if e.names)
    sky = f", {len(data.label_set.sky)} of them of the sky" if data.label_set.sky else ""
    kind: str = data.preprocessing.media_type
    if data.preprocessing.stored_bands:
        kind += f", {data.preprocessing.kind}: {', '.join(data.preprocessing.bands)}"
    head = f"Chips: {sizes} ({kind}); {len(data.label_set.names)} labels{sky}"
    return "\n".join([head, *describe_set_aside(data.set_aside, data.parts.values())])


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
    with open_pixels(cache, preprocessing, [chips.uris[n] for n in named]) as store:
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
