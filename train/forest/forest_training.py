"""The random forest, top to bottom: labelled chips in, its figures, tables and pictures out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.commands import CommandLine
from pipelines.errors import UsageError
from pipelines.flags import Number, at_least_1, common_flag, flag
from schemas.artifact import MediaType
from schemas.labels import LabelSet
from train.data.chip_format import find_format
from train.data.dataset import LabelledChips, load_labelled_chips
from train.data.examples import Examples, count_set_aside, decode_chips, describe_set_aside
from train.data.label_files import Part, read_scenes, read_split
from train.data.labels import read_labelled_rows
from train.data.pixel_cache import PixelCache, choose_cache
from train.data.pixel_store import open_pixels
from train.data.radiometry import preprocessing_for
from train.data.splits import STUDY_FOREST, SplitRule, assign_parts, study_rule
from train.forest._output import write_forest
from train.forest.forest import ForestGrid, fit_forest, forest_scores, mean_colours
from train.judging.figure_table import format_figures
from train.judging.measuring import HALF, measure
from train.results import resolve_output
from train.shared_options import RESULTS, SEED, CacheOptions, ChoiceOptions, LabelledOptions

IMAGE_SIZE = 64
"""Chips are decoded to this side before their mean is computed: the networks' side, so that both
share decoded chips in the pixel cache."""


@dataclass(frozen=True)
class ForestOptions(CacheOptions, ChoiceOptions, LabelledOptions):
    """The options of `python -m train forest`."""

    output: str = RESULTS()
    split: str | None = common_flag(
        "A csv with the columns image_name and split; train and validation both train the "
        "forest. Default: 15 chips to train for 5 to test, stratified, of the first 20,000.",
        metavar="FILE",
        default=None,
    )
    test_chips: str | None = common_flag(
        "Other labelled chips to test on, with --test_labels. Without --split, all of --chips "
        "then train the forest.",
        metavar="URI",
        default=None,
    )
    test_labels: str | None = common_flag(
        "The labels of --test_chips. Default without --labels: one folder per class there.",
        metavar="FILE",
        default=None,
    )
    max_depths: tuple[int, ...] = flag(
        "The greatest depths of a tree to try.", at_least_1, default=ForestGrid.max_depths
    )
    trees: tuple[int, ...] = flag(
        "The numbers of trees to try.", at_least_1, default=ForestGrid.trees
    )
    folds: int = flag(
        "The folds of the grid search.", Number(int, 2), metavar="N", default=ForestGrid.folds
    )
    seed: int = SEED(default=0)


LINE = CommandLine(
    "train forest",
    ForestOptions,
    "Train a random forest on the mean colours of chips, and test it.",
)


@dataclass(frozen=True)
class _Material:
    """The chips of both parts, not yet decoded."""

    label_set: LabelSet
    media_type: MediaType
    chips: Mapping[Part, LabelledChips]
    names: Mapping[Part, tuple[str, ...]]


def train_forest(options: ForestOptions) -> dict[str, Any]:
    """Search, fit and test a forest, and write its results. Returns their summary.

    Raises:
        UsageError: an option or file is invalid.
        StorageError: a file cannot be read.
    """
    folder = resolve_output(options.output)
    cache = choose_cache(options.pixel_cache, options.pixel_cache_gb)
    material = _gather(options)
    examples, bands = _decode(options, material, cache)
    train, test = examples["train"], examples["test"]
    grid = ForestGrid(tuple(options.max_depths), tuple(options.trees), options.folds)
    named = {name for names in material.names.values() for name in names}
    set_aside = count_set_aside(material.chips["train"], named, examples.values())
    print(_describe(grid, train, test), *describe_set_aside(set_aside, [train, test]), sep="\n")
    started = time.monotonic()
    fit = fit_forest(mean_colours(train.pixels), train.truth, grid, options.seed)
    scores = forest_scores(fit.forest, mean_colours(test.pixels)).astype("float32")
    thresholds = [HALF] * len(material.label_set.names)
    figures = measure(scores, test.truth, material.label_set, thresholds)
    print(f"Best: {fit.trees} trees, depth {fit.max_depth}\n{format_figures(figures)}", flush=True)
    summary = {
        "options": asdict(options),
        "bands": list(bands),
        "chips": {part: len(found.names) for part, found in examples.items()},
        "set_aside": set_aside,
        "seconds": round(time.monotonic() - started, 3),
    }
    written = write_forest(folder, fit, material.label_set, examples, scores, figures, summary)
    print(f"Forest: {folder}", flush=True)
    return written


def _gather(options: ForestOptions) -> _Material:
    """List, match and split the chips."""
    by_folder = options.labels is None and options.test_labels is None
    if not by_folder and (options.test_chips is None) != (options.test_labels is None):
        raise UsageError("--test_chips and --test_labels go together")
    rows, label_set = read_labelled_rows(options.labels, options.chips, options.label_set)
    chips = load_labelled_chips(options.chips, rows, label_set, options.media_type)
    names = _split(options, chips, label_set)
    tested = chips
    if options.test_chips is not None:
        test_rows, _ = read_labelled_rows(
            options.test_labels, options.test_chips, label_set, flag="--test_labels"
        )
        tested = load_labelled_chips(options.test_chips, test_rows, label_set, chips.media_type)
        names["test"] = tested.listed
    if len(names["train"]) < 2 or not names["test"]:
        raise UsageError(
            f"{len(names['train'])} chips to train on and {len(names['test'])} to test: give more "
            "labelled chips, another --split, or --test_chips"
        )
    return _Material(label_set, chips.media_type, {"train": chips, "test": tested}, names)


def _split(
    options: ForestOptions, chips: LabelledChips, label_set: LabelSet
) -> dict[Part, tuple[str, ...]]:
    """Names to train on and to test. A forest needs no validation part: it has its folds."""
    if options.split is None and options.test_chips is not None:
        return {"train": chips.listed, "test": ()}
    scenes = read_scenes(options.labels)
    if options.split is None:
        rule = study_rule(STUDY_FOREST, scenes)
    else:
        rule = SplitRule({}, read_split(options.split), scenes=scenes)
    parts = assign_parts(chips, label_set, rule, options.seed)
    return {"train": parts["train"] + parts["validation"], "test": parts["test"]}


def _decode(
    options: ForestOptions, material: _Material, cache: PixelCache | None
) -> tuple[dict[Part, Examples], tuple[str, ...]]:
    """The chips of both parts, and their bands."""
    media_type, chips, label_set = material.media_type, material.chips, material.label_set
    uris = [chips["train"].uris[name] for name in material.names["train"]]
    looked_at = find_format(media_type, uris, options.seed, options.tif_kind)
    preprocessing = preprocessing_for(looked_at, IMAGE_SIZE, looked_at.stored, uris, options.seed)
    needed = [chips[part].uris[name] for part, names in material.names.items() for name in names]
    with open_pixels(cache, preprocessing, needed) as store:
        examples = {
            part: decode_chips(names, chips[part], label_set, preprocessing, store)
            for part, names in material.names.items()
        }
    if len(examples["train"].names) < 2 or not examples["test"].names:
        rejected = [r.message for found in examples.values() for r in found.rejected.values()]
        raise UsageError(f"too few chips can be decoded; the first rejected: {rejected[0]}")
    return examples, preprocessing.bands


def _describe(grid: ForestGrid, train: Examples, test: Examples) -> str:
    return (
        f"Random forest: {len(train.names):,} chips to train on, {len(test.names):,} to test; "
        f"{len(grid.max_depths)} depths x {len(grid.trees)} numbers of trees, "
        f"{min(grid.folds, len(train.names))} folds"
    )
