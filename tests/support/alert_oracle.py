"""What the alerts of one place must be, written from the rule's words, one look after the other.

It shares no code with `pipelines.alerts`, and reads forward from each event instead of keeping a
state for each look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise

HALF_A_YEAR = timedelta(days=180)


@dataclass(frozen=True)
class Seen:
    """What one picture shows of one label at one place."""

    at: datetime
    positive: bool
    score: float = 0.5
    uri: str = ""


@dataclass
class Expected:
    """An alert."""

    first_detected: datetime
    previous_clear: datetime
    seen: list[datetime]
    looked: list[datetime]
    scores: list[float]
    status: str = "low"
    confirmed_at: datetime | None = None
    closed_at: datetime | None = None
    path: list[tuple[str, datetime]] = field(default_factory=list)


def one_look_a_day(pictures: Sequence[Seen]) -> list[Seen]:
    """All pictures of one day as one look, in order of days."""

    def day(seen: Seen) -> date:
        return seen.at.astimezone(UTC).date()

    looks = []
    for _, of_day in groupby(sorted(pictures, key=lambda seen: seen.at), key=day):
        those = list(of_day)
        showing = [seen for seen in those if seen.positive]
        first = (showing or those)[0]
        looks.append(Seen(first.at, bool(showing), max(seen.score for seen in those), first.uri))
    return looks


def expected_alerts(
    pictures: Sequence[Seen], as_of: datetime, baseline: date | None = None
) -> list[Expected]:
    """The alerts of a place, in order."""
    looks = one_look_a_day([seen for seen in pictures if seen.at <= as_of])
    start = _first_clear(looks, baseline)
    return [] if start is None else list(_from_clear(looks, start, as_of))


def _first_clear(looks: list[Seen], baseline: date | None) -> int | None:
    """The number of looks after which the place is clear for the first time."""
    old = [look for look in looks if baseline and look.at.date() <= baseline]
    rest = looks[len(old) :]
    if old and not any(look.positive for look in old):
        return len(old)
    if not old and rest and not rest[0].positive:
        return 1
    for number, (one, other) in enumerate(pairwise(rest)):
        if not one.positive and not other.positive:
            return len(old) + number + 2
    return None


def _from_clear(looks: list[Seen], start: int, as_of: datetime) -> Iterator[Expected]:
    while start < len(looks):
        if looks[start].positive:
            alert, start = _follow(looks, start, as_of)
            yield alert
        else:
            start += 1


def _follow(looks: list[Seen], first: int, as_of: datetime) -> tuple[Expected, int]:
    """The alert that a look opens, and the number of the look at which the place is clear."""
    opening = looks[first]
    before = [look for look in looks[:first] if not look.positive][-1]
    alert = Expected(opening.at, before.at, [opening.at], [opening.at], [opening.score])
    alert.path = [("low", opening.at)]
    deadline = opening.at + HALF_A_YEAR
    for number, look in enumerate(looks[first + 1 : first + 5], first + 1):
        if look.at > deadline:
            return _closed(alert, "dropped", deadline), number
        _consider(alert, look)
        if len(alert.seen) == 3:
            alert.status, alert.confirmed_at = "high", look.at
            alert.path.append(("high", look.at))
            return _until_gone(looks, number + 1, alert)
        if number == first + 4:
            return _closed(alert, "dropped", look.at), number + 1
    if as_of > deadline:
        _closed(alert, "dropped", deadline)
    return alert, len(looks)


def _until_gone(looks: list[Seen], after: int, alert: Expected) -> tuple[Expected, int]:
    for number in range(after, len(looks)):
        _consider(alert, looks[number])
        last = looks[max(after, number - 2) : number + 1]
        if len(last) == 3 and not any(look.positive for look in last):
            return _closed(alert, "ended", looks[number].at), number + 1
    return alert, len(looks)


def _consider(alert: Expected, look: Seen) -> None:
    alert.looked.append(look.at)
    if look.positive:
        alert.seen.append(look.at)
        alert.scores.append(look.score)


def _closed(alert: Expected, status: str, at: datetime) -> Expected:
    alert.status, alert.closed_at = status, at
    alert.path.append((status, at))
    return alert
