"""The rule that turns the looks at a place into alerts: that of GLAD-S2, look by look.

It runs over many histories at once. A history is what was seen of one label at one place: one look
a day, in order. All histories take their first look together, then their second, and so on, so a
step is a handful of array operations whatever the number of histories.

    unknown --no--> clear --yes--> low --2 of the next 4 yes--> high --3 no in a row--> clear
       |yes           ^             |4th look, or 180 days
       v              |             v
     known --2 no in a row-------- clear

docs/alerts.md has the rule in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LOW, HIGH, DROPPED, ENDED = "low", "high", "dropped", "ended"
STATUSES = (LOW, HIGH, DROPPED, ENDED)
"""What `alerts.status` may be; `Alerts.status` has positions in it."""

CONFIRMING_LOOKS = 4
"""Looks after the first detection that decide whether an alert becomes high."""

CONFIRMING_POSITIVES = 2
"""Positive looks among these that make it high."""

ENDING_NEGATIVES = 3
"""Negative looks in a row that end an alert which is high."""

CLEARING_NEGATIVES = 2
"""Negative looks in a row after which a place with old damage is clear."""

PATIENCE_US = 180 * 24 * 3600 * 1_000_000
"""An alert that is low for longer is dropped; microseconds."""

NEVER_US = np.iinfo(np.int64).min
"""The time of what did not happen."""

_NONE = -1
_UNKNOWN, _KNOWN, _CLEAR, _LOW, _HIGH = range(5)
_LOOKS = ("first", "previous", "confirmed", "last_seen", "last_looked")


@dataclass(frozen=True)
class Histories:
    """Looks of many histories, one history after the other, each in order of its days.

    Attributes:
        lengths: `int64 [h]`, the number of looks of each history.
        positive: `bool [n]`, whether a look shows the label.
        time_us: `int64 [n]`, when it was, in microseconds since 1970 (UTC).
        baseline: `bool [n]`, whether its day is not after the baseline.
    """

    lengths: Ints
    positive: Bools
    time_us: Ints
    baseline: Bools


class Alerts(NamedTuple):
    """Alerts, by history and then by time; looks are given by their positions in `Histories`.

    Attributes:
        history: `int64 [a]`, position of the history in `lengths`.
        status: `int64 [a]`, position in `STATUSES`.
        first: the look that opened it.
        previous: the last negative look before that.
        confirmed: the look that made it high, -1 if none did.
        last_seen: its last positive look.
        last_looked: the last look that was considered while it was low or high.
        positives: its positive looks, the first one included.
        closed_us: when it was dropped or ended, in microseconds; `NEVER_US` if it is low or high.
            An alert that nothing confirmed in time is dropped when its 180 days are over.
    """

    history: Ints
    status: Ints
    first: Ints
    previous: Ints
    confirmed: Ints
    last_seen: Ints
    last_looked: Ints
    positives: Ints
    closed_us: Ints


def find_alerts(histories: Histories, as_of_us: int) -> Alerts:
    """Apply the rule.

    Args:
        as_of_us: no look is later; an alert that is low is judged by this time, too.
    """
    # Longest first: those with a next look are always the first ones.
    order = np.argsort(-histories.lengths, kind="stable")
    starts = (np.cumsum(histories.lengths) - histories.lengths)[order]
    lengths = histories.lengths[order]
    machine = _Machine(histories, order)
    steps = int(lengths[0]) if len(lengths) else 0
    with_more = np.searchsorted(-lengths, -np.arange(1, steps + 1), side="right")
    for step in range(steps):
        machine.look(starts[: with_more[step]] + step)
    return machine.finish(as_of_us)


class _Machine:
    """The states of all histories, in some order, and the alerts that are closed so far."""

    def __init__(self, histories: Histories, order: Ints) -> None:
        self._looks = histories
        self._order = order
        count = len(order)
        self._state = np.full(count, _UNKNOWN, np.int8)
        self._negatives = np.zeros(count, np.int8)  # in a row
        self._window = np.zeros(count, np.int8)  # looks since the first detection
        self._positives = np.zeros(count, np.int64)
        names = ("last_negative", *_LOOKS)
        self._at = {name: np.full(count, _NONE, np.int64) for name in names}
        self._closed: list[Alerts] = []

    def look(self, rows: Ints) -> None:
        """Take the next look of the first histories; `rows` are its positions."""
        size, positive = len(rows), self._looks.positive[rows]
        time_us, baseline = self._looks.time_us[rows], self._looks.baseline[rows]
        self._drop_old(size, time_us)
        state = self._state[:size].copy()
        self._learn(state, positive, baseline)
        self._open((state == _CLEAR) & positive & ~baseline, rows)
        self._confirm(state == _LOW, positive, rows)
        self._follow(state == _HIGH, positive, rows)
        negative = ~positive
        self._at["last_negative"][:size][negative] = rows[negative]

    def finish(self, as_of_us: int) -> Alerts:
        """All alerts, after the last look."""
        self._drop_old(len(self._order), as_of_us)
        for state, status in ((_LOW, LOW), (_HIGH, HIGH)):
            self._close(np.flatnonzero(self._state == state), status, None)
        columns = [np.concatenate(column) for column in zip(*self._closed, strict=True)]
        found = Alerts(*columns)
        by_history = np.lexsort((found.first, found.history))
        return Alerts(*(column[by_history] for column in found))

    def _drop_old(self, size: int, time_us: Ints | int) -> None:
        first_us = self._looks.time_us[self._at["first"][:size]] if self._looks.time_us.size else 0
        late = (self._state[:size] == _LOW) & (time_us - first_us > PATIENCE_US)
        where = np.flatnonzero(late)
        self._close(where, DROPPED, self._looks.time_us[self._at["first"][where]] + PATIENCE_US)

    def _learn(self, state: npt.NDArray[np.int8], positive: Bools, baseline: Bools) -> None:
        """What is not an alert: unknown, known, and all looks of the baseline."""
        size = len(state)
        ours, negatives = self._state[:size], self._negatives[:size]
        ours[baseline] = np.where(positive | (state == _KNOWN), _KNOWN, _CLEAR)[baseline]
        unknown = (state == _UNKNOWN) & ~baseline
        ours[unknown] = np.where(positive, _KNOWN, _CLEAR)[unknown]
        known = (state == _KNOWN) & ~baseline
        negatives[known] = np.where(positive, 0, negatives + 1)[known]
        ours[known & (negatives == CLEARING_NEGATIVES)] = _CLEAR
        negatives[unknown | baseline] = 0

    def _open(self, opened: Bools, rows: Ints) -> None:
        where = np.flatnonzero(opened)
        self._state[where] = _LOW
        self._window[where] = 0
        self._positives[where] = 1
        self._at["previous"][where] = self._at["last_negative"][where]
        self._at["confirmed"][where] = _NONE
        for name in ("first", "last_seen", "last_looked"):
            self._at[name][where] = rows[where]

    def _confirm(self, low: Bools, positive: Bools, rows: Ints) -> None:
        self._count(low, positive, rows)
        where = np.flatnonzero(low)
        self._window[where] += 1
        enough = self._positives[where] > CONFIRMING_POSITIVES
        high = where[enough]
        self._state[high] = _HIGH
        self._negatives[high] = 0
        self._at["confirmed"][high] = rows[high]
        over = where[~enough & (self._window[where] == CONFIRMING_LOOKS)]
        self._close(over, DROPPED, self._looks.time_us[rows[over]])

    def _follow(self, high: Bools, positive: Bools, rows: Ints) -> None:
        self._count(high, positive, rows)
        where = np.flatnonzero(high)
        self._negatives[where] = np.where(positive[where], 0, self._negatives[where] + 1)
        over = where[self._negatives[where] == ENDING_NEGATIVES]
        self._close(over, ENDED, self._looks.time_us[rows[over]])

    def _count(self, considered: Bools, positive: Bools, rows: Ints) -> None:
        where = np.flatnonzero(considered & positive)
        self._positives[where] += 1
        self._at["last_seen"][where] = rows[where]
        where = np.flatnonzero(considered)
        self._at["last_looked"][where] = rows[where]

    def _close(self, where: Ints, status: str, closed_us: Ints | None) -> None:
        """Record alerts; their histories are clear from then on."""
        self._state[where] = _CLEAR
        named = {name: self._at[name][where] for name in _LOOKS}
        self._closed.append(
            Alerts(
                history=self._order[where],
                status=np.full(len(where), STATUSES.index(status)),
                positives=self._positives[where],
                closed_us=np.full(len(where), NEVER_US) if closed_us is None else closed_us,
                **named,
            )
        )
