"""Days and times as people write them, in flags and in tables."""

from datetime import UTC, date, datetime


def parse_date(text: str) -> date:
    """The date of YYYY-MM-DD.

    Raises:
        ValueError: anything else, other forms of ISO 8601 included.
    """
    found = date.fromisoformat(text)
    if str(found) != text:
        raise ValueError(f"{text!r} is not YYYY-MM-DD")
    return found


def parse_time(text: str) -> datetime:
    """A time of ISO 8601 in UTC, which is meant if it names no zone; a day is its first moment.

    Raises:
        ValueError: anything else, or a time that is not in the years 1 to 9999 in UTC.
    """
    found = datetime.fromisoformat(text)
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range in UTC") from error
