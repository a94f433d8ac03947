"""The command line: `python -m train ...` trains, `python -m train evaluate ...` measures.

Exit codes: 0 done, 1 training failed, 2 wrong use, with one line that says what to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets at length
os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras says: all else here counts on it

from pipelines.errors import RunFailed, StorageError, UsageError
from schemas.decisions import SKY_RULES
from train.fit_flags import add_fit_flags, gather_groups, parse_with_recipe
from train.networks import NETWORKS
from train.thresholds import THRESHOLD_METHODS
from train.views import VIEWS

_LONGEST_SIDE_PX = 512  # of average pictures: one a label is kept in memory


class _Parser(argparse.ArgumentParser):
    """Answers wrong use with one line instead of all flags."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} --help lists the flags")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS[given.pop(0)] if given and given[0] in COMMANDS else _train
    try:
        command(given)
    except (UsageError, StorageError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0


def train_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train`."""
    parser = _Parser(
        prog="python -m train",
        description="Train a network on labelled chips and write a model artifact.",
        epilog=f"Other commands: {', '.join(COMMANDS)} (python -m train COMMAND --help).",
        allow_abbrev=False,
    )
    _add_chips_and_labels(parser)
    add = parser.add_argument
    add("--artifact", required=True, help="local folder for the artifact; an older one is replaced")
    add("--network", choices=list(NETWORKS), default="vgg16", help="default: vgg16")
    add("--media_type", choices=["jpg", "tif"], help="default: what --chips holds; jpg of both")
    add("--image_size", type=_at_least_one, help="input side in pixels (default: 64; grey: 128)")
    add("--bands", choices=["rgb", "all"], help="of a chip (default: all the network can take)")
    add("--pooling", choices=["flatten", "average"], help="of features (default: by --image_size)")
    add(
        "--test_time_views",
        type=int,
        choices=VIEWS,
        default=1,
        help="score the mean over a chip's mirror images and quarter turns (default: 1, none)",
    )
    add("--weights", help="imagenet (default for vgg16), none, or a file in Keras' notop layout")
    add("--epochs", type=_at_least_one, default=50, help="the most epochs (default: 50)")
    add("--batch_size", type=_at_least_one, help="chips a step (default: from 8, by their number)")
    add("--learning_rate", type=_positive, help="Adam's (default: 1e-4 for vgg16, 1e-3 for cnn)")
    add("--split", help="csv image_name,split, or study for its shares (default: stratified)")
    add("--validation_share", type=float, help="without --split (default: 0.2)")
    add("--test_share", type=float, help="a part that nothing is chosen by (default: 0)")
    add("--groups", help="csv image_name,scene_id (default: a column scene_id of --labels)")
    add("--label_set", help="JSON {labels: [...], sky: [...]} (default: as the labels csv shows)")
    add(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="default: auto"
    )
    add(
        "--seed", type=_seed, default=0, help="of the split, the weights and the order (default: 0)"
    )
    _add_pixel_cache(parser)
    _add_judging(parser)
    add_fit_flags(parser)
    return parser


def evaluate_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train evaluate`."""
    parser = _Parser(
        prog="python -m train evaluate",
        description="Measure a model artifact on labelled chips.",
        allow_abbrev=False,
    )
    _add_chips_and_labels(parser)
    add = parser.add_argument
    add("--artifact", required=True, help="the artifact's local folder")
    add("--split", help="csv image_name,split (default: all chips)")
    add("--part", choices=["train", "validation", "test"], help="of --split (default: test)")
    add("--output", help="JSON file for the figures (default: ARTIFACT.evaluation.json beside it)")
    _add_pixel_cache(parser)
    return parser


def study_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train study`."""
    parser = _Parser(
        prog="python -m train study",
        description="Train every model of the study, compare them, write report and slides.",
        allow_abbrev=False,
    )
    _add_chips_and_labels(parser)
    add = parser.add_argument
    add("--output", required=True, help="local folder; what is finished there is not done again")
    add("--models", default="all", help="all (default), or names with commas between")
    add("--published", help="csv of published figures by label, to stand beside these")
    add("--split", help="csv image_name,split (default: the published study's shares)")
    add("--media_type", choices=["jpg", "tif"], help="default: what --chips holds; jpg of both")
    add("--image_size", type=_at_least_one, default=64, help="input side in pixels (default: 64)")
    add("--weights", help="of vgg16: imagenet (default), none, or a file in Keras' notop layout")
    add("--epochs", type=_at_least_one, default=50, help="the most epochs (default: 50)")
    add("--label_set", help="JSON {labels: [...], sky: [...]} (default: as the labels csv shows)")
    add(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="default: auto"
    )
    add("--seed", type=_seed, default=0, help="of the split, weights and order (default: 0)")
    _add_pixel_cache(parser)
    return parser


def explore_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train explore`."""
    parser = _Parser(
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
    add("--image_size", type=_side, default=128, help="side of average chips (default: 128)")
    add("--seed", type=_seed, default=0, help="of the choice of sample chips (default: 0)")
    return parser


def filters_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train filters`."""
    parser = _Parser(
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
    add("--filters", type=_at_least_one, default=16, help="pictures a layer (default: 16)")
    add("--image_size", type=_side, default=128, help="side of a picture (default: 128)")
    add("--steps", type=_at_least_one, default=20, help="of the ascent, twice (default: 20)")
    add("--seed", type=_seed, default=0, help="of filters and random pictures (default: 0)")
    return parser


def forest_parser() -> argparse.ArgumentParser:
    """The flags of `python -m train forest`."""
    parser = _Parser(
        prog="python -m train forest",
        description="Train a random forest on the mean colours of chips, and test it.",
        allow_abbrev=False,
    )
    _add_chips_and_labels(parser)
    add = parser.add_argument
    add("--output", required=True, help="local folder for tables, pictures and summary.json")
    add("--split", help="csv image_name,split (default: the study's 15 to 5, stratified)")
    add("--test_chips", help="other labelled chips to test on; with --test_labels")
    add("--test_labels", help="csv image_name,tags of --test_chips")
    add("--media_type", choices=["jpg", "tif"], help="default: what --chips holds; jpg of both")
    add("--label_set", help="JSON {labels: [...], sky: [...]} (default: as the labels csv shows)")
    add("--folds", type=_folds, default=5, help="of the grid search (default: 5)")
    add("--seed", type=_seed, default=0, help="of split, folds and trees (default: 0)")
    several = partial(add, nargs="+", type=_at_least_one)
    depths, trees = tuple(range(1, 13)), (100, 200, 300, 400)
    several("--max_depths", default=depths, help="greatest depths to try (default: 1 to 12)")
    several("--trees", default=trees, help="numbers to try (default: 100 200 300 400)")
    _add_pixel_cache(parser)
    return parser


def _train(arguments: Sequence[str]) -> None:
    options = parse_with_recipe(train_parser(), arguments)
    from train.training import TrainOptions, train_model

    train_model(TrainOptions(**gather_groups(vars(options))))


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
    from train.explore import ExploreOptions, explore

    explore(ExploreOptions(**vars(options)))


def _filters(arguments: Sequence[str]) -> None:
    options = filters_parser().parse_args(arguments)
    from train.filters import FilterOptions, draw_filters

    draw_filters(FilterOptions(**vars(options)))


def _forest(arguments: Sequence[str]) -> None:
    options = forest_parser().parse_args(arguments)
    from train.forest_training import ForestOptions, train_forest

    train_forest(ForestOptions(**vars(options)))


COMMANDS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "evaluate": _evaluate,
    "explore": _explore,
    "filters": _filters,
    "forest": _forest,
    "study": _study,
}
"""Commands beside training, by their first word."""


def _add_judging(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--threshold_method",
        choices=THRESHOLD_METHODS,
        default="shrunk",
        help="best (of each label by itself), cross_fit (the median over folds) or shrunk (towards "
        "one of all labels; default)",
    )
    add(
        "--threshold_beta",
        type=_positive,
        default=1.0,
        help="thresholds are best by F-beta (default: 1)",
    )
    add(
        "--sky_rule",
        choices=SKY_RULES,
        default="threshold",
        help="sky labels by their thresholds (default), or by argmax the one of the highest score",
    )
    add("--calibrate", action="store_true", help="give each label a temperature, by validation")


def _add_chips_and_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--chips", required=True, help="folder, prefix or glob of chips: local, gs:// or s3://"
    )
    parser.add_argument("--labels", required=True, help="csv image_name,tags")


def _add_pixel_cache(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--pixel_cache", help="local folder for decoded chips, or none (default: in your cache)")
    add("--pixel_cache_gb", type=_positive, default=20.0, help="its most GB (default: 20)")


def _at_least_one(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _folds(text: str) -> int:
    if (value := int(text)) < 2:
        raise argparse.ArgumentTypeError(f"must be at least 2, not {value}")
    return value


def _side(text: str) -> int:
    if not 1 <= (value := int(text)) <= _LONGEST_SIDE_PX:
        raise argparse.ArgumentTypeError(
            f"must lie between 1 and {_LONGEST_SIDE_PX} pixels, not {value}"
        )
    return value


def _seed(text: str) -> int:
    if not 0 <= (value := int(text)) < 2**32:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 4294967295, not {value}")
    return value


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
