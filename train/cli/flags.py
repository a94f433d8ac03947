"""What the commands' flags have in common: the parser, shared flags, and the kinds of values."""

from __future__ import annotations

import argparse
from typing import NoReturn

from pipelines.errors import UsageError

_LONGEST_SIDE_PX = 512  # such pictures are kept in memory, one a label or filter


class Parser(argparse.ArgumentParser):
    """Answers wrong use with one line instead of all flags."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} --help lists the flags")


def add_chips_and_labels(parser: argparse.ArgumentParser) -> None:
    """`--chips` and `--labels`, both required."""
    parser.add_argument(
        "--chips", required=True, help="folder, prefix or glob of chips: local, gs:// or s3://"
    )
    parser.add_argument("--labels", required=True, help="csv image_name,tags")


def add_pixel_cache(parser: argparse.ArgumentParser) -> None:
    """Where decoded chips are kept."""
    add = parser.add_argument
    add("--pixel_cache", help="local folder for decoded chips, or none (default: in your cache)")
    add("--pixel_cache_gb", type=positive, default=20.0, help="its most GB (default: 20)")


def at_least_one(text: str) -> int:
    """A whole number of at least 1."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def at_least_two(text: str) -> int:
    """A whole number of at least 2."""
    if (value := int(text)) < 2:
        raise argparse.ArgumentTypeError(f"must be at least 2, not {value}")
    return value


def picture_side(text: str) -> int:
    """The side in pixels of pictures that are made, not read."""
    if not 1 <= (value := int(text)) <= _LONGEST_SIDE_PX:
        raise argparse.ArgumentTypeError(
            f"must lie between 1 and {_LONGEST_SIDE_PX} pixels, not {value}"
        )
    return value


def seed(text: str) -> int:
    """What numpy and Keras take as a seed."""
    if not 0 <= (value := int(text)) < 2**32:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 4294967295, not {value}")
    return value


def positive(text: str) -> float:
    """A finite number greater than 0."""
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text}")
    return value
