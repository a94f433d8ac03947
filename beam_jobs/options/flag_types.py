"""What a flag's text is turned into, and what is refused, for argparse."""

from __future__ import annotations

import argparse
import math

_DAYS = 36_500
_LARGEST = 10**15  # more of anything is a slip, and what counts in 64 bits stops at 9e18


def not_empty(text: str) -> str:
    """A name, for argparse: an unset variable in a script must not come to mean the default.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give a value, or leave the flag out")
    return text


def days(text: str) -> int:
    """A number of days that a calendar can go back, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is under 1, or over a hundred years.
    """
    number = at_least_1(text)
    if number > _DAYS:
        raise argparse.ArgumentTypeError(f"{number} is over {_DAYS}")
    return number


def hours(text: str) -> int:
    """A number of hours that a calendar can go back, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is under 0, or over a hundred years.
    """
    number = at_least_0(text)
    if number > 24 * _DAYS:
        raise argparse.ArgumentTypeError(f"{number} is over {24 * _DAYS}")
    return number


def at_least_1(text: str) -> int:
    """A number of things, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is under 1, or more than can be counted.
    """
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is under 1")
    return number


def positive(text: str) -> float:
    """A number over 0, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no finite number over 0")
    return number


def ratio(text: str) -> float:
    """A share, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is not between 0 and 1.
    """
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def at_least_0(text: str) -> int:
    """A number of things, or none, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is under 0, or more than can be counted.
    """
    number = _whole(text)
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


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number > _LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is over {_LARGEST}")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
