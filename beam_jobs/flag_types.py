"""What a flag's text is turned into, and what is refused, for argparse."""

from __future__ import annotations

import argparse
import math


def at_least_1(text: str) -> int:
    """A number of things, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is under 1.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is under 1")
    return number


def positive(text: str) -> float:
    """A number over 0, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not over 0")
    return number


def ratio(text: str) -> float:
    """A share, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is not between 0 and 1.
    """
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def at_least_0(text: str) -> int:
    """A number of things, or none, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is under 0.
    """
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is under 0")
    return number


def factor(text: str) -> float:
    """How many times as much, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is under 1.
    """
    number = positive(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is under 1")
    return number
