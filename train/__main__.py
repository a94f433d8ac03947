"""The command line: `python -m train ...` trains; the other commands are `train.cli.commands`.

Exit codes: 0 done, 1 training failed, 2 wrong use, with one line that says what to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras says: all else here counts on it

from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.quiet_tensorflow import quiet_tensorflow
from schemas.decisions import SKY_RULES
from train.cli.commands import COMMANDS
from train.cli.fit_flags import add_fit_flags, gather_groups, parse_with_recipe
from train.cli.flags import (
    Parser,
    add_chips_and_labels,
    add_pixel_cache,
    at_least_one,
    positive,
    seed,
)
from train.judging.thresholds import THRESHOLD_METHODS
from train.networks.registry import NETWORKS
from train.networks.views import VIEWS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    quiet_tensorflow()
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
    parser = Parser(
        prog="python -m train",
        description="Train a network on labelled chips and write a model artifact.",
        epilog=f"Other commands: {', '.join(COMMANDS)} (python -m train COMMAND --help).",
        allow_abbrev=False,
    )
    add_chips_and_labels(parser)
    add = parser.add_argument
    add("--artifact", required=True, help="local folder for the artifact; an older one is replaced")
    add("--network", choices=list(NETWORKS), default="vgg16", help="default: vgg16")
    add("--media_type", choices=["jpg", "tif"], help="default: what --chips holds; jpg of both")
    add("--image_size", type=at_least_one, help="input side in pixels (default: 64; grey: 128)")
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
    add("--epochs", type=at_least_one, default=50, help="the most epochs (default: 50)")
    add("--batch_size", type=at_least_one, help="chips a step (default: from 8, by their number)")
    add("--learning_rate", type=positive, help="Adam's (default: 1e-4 for vgg16, 1e-3 for cnn)")
    add("--split", help="csv image_name,split, or study for its shares (default: stratified)")
    add("--validation_share", type=float, help="without --split (default: 0.2)")
    add("--test_share", type=float, help="a part that nothing is chosen by (default: 0)")
    add("--groups", help="csv image_name,scene_id (default: a column scene_id of --labels)")
    add("--label_set", help="JSON {labels: [...], sky: [...]} (default: as the labels csv shows)")
    add(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="default: auto"
    )
    add("--seed", type=seed, default=0, help="of the split, the weights and the order (default: 0)")
    add_pixel_cache(parser)
    _add_judging(parser)
    add_fit_flags(parser)
    return parser


def _train(arguments: Sequence[str]) -> None:
    options = parse_with_recipe(train_parser(), arguments)
    from train.options import TrainOptions
    from train.training import train_model

    train_model(TrainOptions(**gather_groups(vars(options))))


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
        type=positive,
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


if __name__ == "__main__":
    sys.exit(main())
