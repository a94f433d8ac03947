"""Days and times, as flags set them."""

import argparse
from datetime import UTC, datetime


def start_of(text: str) -> datetime:
    """A time with its zone, UTC if it names none; a day is its first moment.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"must be a date or a time such as 2026-07-01T12:00Z, not {text[:60]!r}"
        ) from error
