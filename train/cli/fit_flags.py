"""The flags of how a network is fitted, and the options that they make."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pipelines.flags import add_removed_flag
from train.fitting.augmentation import LEVELS
from train.fitting.losses import LOSSES, WEIGHTINGS
from train.fitting.progress import MONITORS
from train.fitting.schedule import DECAYS
from train.recipes import GROUPS, RECIPES


def add_fit_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of early stopping, and of all groups."""
    add = parser.add_argument
    add("--recipe", choices=list(RECIPES), help="flags that belong together; given ones win")
    add("--patience", type=_within(1, None, int), default=5, help="epochs without a better one")
    add("--monitor", choices=MONITORS, default="val_loss", help="decides the best epoch")
    add("--deterministic", action="store_true", help="the same seed, the same bits; slower")
    for removed in ("--mix", "--mix_alpha"):
        add_removed_flag(parser, removed, takes_value=True)
    _add_augmentation(parser.add_argument_group("augmentation").add_argument)
    _add_imbalance(parser.add_argument_group("imbalance").add_argument)
    _add_schedule(parser.add_argument_group("schedule").add_argument)


def parse_with_recipe(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> argparse.Namespace:
    """Parse flags; those that are not given are as `--recipe` says, where there is one."""
    options = parser.parse_args(arguments)
    if options.recipe is not None:
        parser.set_defaults(**RECIPES[options.recipe])
        options = parser.parse_args(arguments)
    return options


def gather_groups(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flags as fields of `TrainOptions`: those of a group become one field that holds them."""
    rest: dict[str, Any] = {**values, "upsample": tuple(values["upsample"])}
    groups = {}
    for name, kind in GROUPS.items():
        groups[name] = kind(**{field.name: rest.pop(field.name) for field in fields(kind)})
    return rest | groups


def _add_augmentation(add: Callable[..., Any]) -> None:
    add("--augmentation", dest="level", choices=LEVELS, default="none", help="how chips vary")
    add(
        "--augmentation_strength",
        dest="strength",
        type=_within(0, 2),
        default=1.0,
        help="factor of its ranges",
    )
    add("--rare_strength", type=_within(1, 3), default=1.5, help="one more for rare labels' chips")


def _add_imbalance(add: Callable[..., Any]) -> None:
    add("--loss", choices=LOSSES, default="bce", help="default: bce, binary cross-entropy")
    add("--label_weights", choices=WEIGHTINGS, default="none", help="what a positive weighs")
    add("--repeat_rare", type=_within(0, 1), default=0.0, help="repeat labels below this share")
    add("--upsample", nargs="+", default=(), metavar="LABEL", help="repeat these labels' chips")


def _add_schedule(add: Callable[..., Any]) -> None:
    add("--schedule", dest="decay", choices=DECAYS, default="constant", help="of the rate")
    add("--warmup_epochs", type=_within(0, None), default=0.0, help="epochs of rising rate")
    add("--layer_decay", type=_within(0.01, 1), default=1.0, help="rate factor a VGG block down")
    add("--weight_decay", type=_within(0, 1), default=0.0, help="Adam's, decoupled")
    add("--ema", type=_within(0, 0.99999), default=0.0, help="momentum of averaged weights")


def _within(least: float, most: float | None, kind: type = float) -> Callable[[str], Any]:
    """A number from least to most, both included."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not least <= value <= (float("inf") if most is None else most) or value == float("inf"):
            bound = f"at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be {bound}, not {text}")
        return value

    return parse
