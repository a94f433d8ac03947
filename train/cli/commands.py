"""The commands beside training, with their flags: evaluate, study, explore, filters, forest."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from train.cli.flags import (
    Parser,
    add_chips_and_labels,
    add_pixel_cache,
    at_least_one,
    at_least_two,
    picture_side,
    seed,
)
from train.networks.registry import NETWORKS


def evaluate_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train evaluate`."""
    parser = Parser(
        prog="python -m train evaluate",
        description="Measure a model artifact on labelled chips.",
        allow_abbrev=False,
    )
    add_chips_and_labels(parser)
    add = parser.add_argument
    add("--artifact", required=True, help="the artifact's local folder")
    add("--split", help="csv image_name,split (default: all chips)")
    add("--part", choices=["train", "validation", "test"], help="of --split (default: test)")
    add("--output", help="JSON file for the figures (default: ARTIFACT.evaluation.json beside it)")
    add_pixel_cache(parser)
    return parser


def study_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train study`."""
    parser = Parser(
        prog="python -m train study",
        description="Train every model of the study, compare them, write report and slides.",
        allow_abbrev=False,
    )
    add_chips_and_labels(parser)
    add = parser.add_argument
    add("--output", required=True, help="local folder; what is finished there is not done again")
    add("--models", default="all", help="all (default), or names with commas between")
    add("--published", help="csv of published figures by label, to stand beside these")
    add("--split", help="csv image_name,split (default: the published study's shares)")
    add("--media_type", choices=["jpg", "tif"], help="default: what --chips holds; jpg of both")
    add("--image_size", type=at_least_one, default=64, help="input side in pixels (default: 64)")
    add("--weights", help="of vgg16: imagenet (default), none, or a file in Keras' notop layout")
    add("--epochs", type=at_least_one, default=50, help="the most epochs (default: 50)")
    add("--label_set", help="JSON {labels: [...], sky: [...]} (default: as the labels csv shows)")
    add(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="default: auto"
    )
    add("--seed", type=seed, default=0, help="of the split, weights and order (default: 0)")
    add_pixel_cache(parser)
    return parser


def explore_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train explore`."""
    parser = Parser(
        prog="python -m train explore",
        description="Count labels and look at labelled chips: tables as csv, pictures as png.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--labels", required=True, help="csv image_name,tags")
    add("--chips", help="folder, prefix or glob of chips (default: explore the labels alone)")
    add("--output", required=True, help="local folder for tables, pictures and summary.json")
    add("--media_type", choices=["jpg", "tif"], help="default: what --chips holds; jpg of both")
    add("--label_set", help="JSON {labels: [...], sky: [...]} (default: as the labels csv shows)")
    add("--image_size", type=picture_side, default=128, help="side of average chips (default: 128)")
    add("--seed", type=seed, default=0, help="of the choice of sample chips (default: 0)")
    return parser


def filters_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train filters`."""
    parser = Parser(
        prog="python -m train filters",
        description="Draw what excites the filters of a network's convolutions.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--output", required=True, help="local folder for the pictures and summary.json")
    add("--artifact", help="a model artifact's local folder; or else --network")
    add("--network", choices=[n.name for n in NETWORKS.values() if n.takes_imagenet])
    add("--weights", help="of --network: imagenet (default), or a file in Keras' notop layout")
    add("--layers", nargs="+", default=(), help="default: the last before each pooling, the last")
    add("--filters", type=at_least_one, default=16, help="pictures a layer (default: 16)")
    add("--image_size", type=picture_side, default=128, help="side of a picture (default: 128)")
    add("--steps", type=at_least_one, default=20, help="of the ascent, twice (default: 20)")
    add("--seed", type=seed, default=0, help="of filters and random pictures (default: 0)")
    return parser


def forest_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train forest`."""
    parser = Parser(
        prog="python -m train forest",
        description="Train a random forest on the mean colours of chips, and test it.",
        allow_abbrev=False,
    )
    add_chips_and_labels(parser)
    add = parser.add_argument
    add("--output", required=True, help="local folder for tables, pictures and summary.json")
    add("--split", help="csv image_name,split (default: the study's 15 to 5, stratified)")
    add("--test_chips", help="other labelled chips to test on; with --test_labels")
    add("--test_labels", help="csv image_name,tags of --test_chips")
    add("--media_type", choices=["jpg", "tif"], help="default: what --chips holds; jpg of both")
    add("--label_set", help="JSON {labels: [...], sky: [...]} (default: as the labels csv shows)")
    add("--folds", type=at_least_two, default=5, help="of the grid search (default: 5)")
    add("--seed", type=seed, default=0, help="of split, folds and trees (default: 0)")
    several = partial(add, nargs="+", type=at_least_one)
    depths, trees = tuple(range(1, 13)), (100, 200, 300, 400)
    several("--max_depths", default=depths, help="greatest depths to try (default: 1 to 12)")
    several("--trees", default=trees, help="numbers to try (default: 100 200 300 400)")
    add_pixel_cache(parser)
    return parser


def _evaluate(arguments: Sequence[str]) -> None:
    options = evaluate_parser().parse_args(arguments)
    from train.evaluation import EvaluateOptions, evaluate_artifact

    evaluate_artifact(EvaluateOptions(**vars(options)))


def _study(arguments: Sequence[str]) -> None:
    options = study_parser().parse_args(arguments)
    from train.study.options import StudyOptions
    from train.study.run import run_study

    run_study(StudyOptions(**vars(options)))


def _explore(arguments: Sequence[str]) -> None:
    options = explore_parser().parse_args(arguments)
    from train.explore.explore import ExploreOptions, explore

    explore(ExploreOptions(**vars(options)))


def _filters(arguments: Sequence[str]) -> None:
    options = filters_parser().parse_args(arguments)
    from train.filters.filters import FilterOptions, draw_filters

    draw_filters(FilterOptions(**vars(options)))


def _forest(arguments: Sequence[str]) -> None:
    options = forest_parser().parse_args(arguments)
    from train.forest.forest_training import ForestOptions, train_forest

    train_forest(ForestOptions(**vars(options)))


COMMANDS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "evaluate": _evaluate,
    "explore": _explore,
    "filters": _filters,
    "forest": _forest,
    "study": _study,
}
"""Commands beside training, by their first word."""
