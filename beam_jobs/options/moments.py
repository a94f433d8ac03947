"""Days and times, as flags set them."""

import argparse
from datetime import date, datetime

from pipelines.moments import parse_date, parse_time


def day(text: str) -> date:
    """A date.

    Raises:
        argparse.ArgumentTypeError: it is not YYYY-MM-DD.
    """
    try:
        return parse_date(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a date YYYY-MM-DD, not {text[:60]!r}") from error


def start_of(text: str) -> datetime:
    """A time with its zone, UTC if it names none; a day is its first moment.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be a date or a time such as 2026-07-01T12:00Z, not {text[:60]!r}"
        ) from error


def end_of(text: str) -> datetime:
    """As `start_of`, but a day is its last moment."""
    found = start_of(text)
    if len(text) == len("YYYY-MM-DD"):
        return found.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return found
