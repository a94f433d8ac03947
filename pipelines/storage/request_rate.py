"""A limit on the request rate while a store scales up to the load.

A bucket of Google Cloud Storage takes about 5,000 reads a second at first, and asks clients to
double that no faster than every 20 minutes (https://cloud.google.com/storage/docs/request-rate).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

DOUBLING_S = 1200.0


def seconds_for(requests: int, start_per_second: float) -> float:
    """The minimum time for n requests if their rate doubles every 20 minutes.

    >>> round(seconds_for(9_000_000, 5000.0) / 60)
    21
    """
    return DOUBLING_S * math.log2(1 + requests * math.log(2) / (start_per_second * DOUBLING_S))


class RequestRate:
    """A token bucket whose rate doubles every 20 minutes; a second's requests may come at once.

    Args:
        start_per_second: requests a second at first.
        clock, sleep: for tests.
    """

    def __init__(
        self,
        start_per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._start, self._clock, self._sleep = start_per_second, clock, sleep
        self._lock = threading.Lock()
        self._began = self._looked = clock()
        self._tokens = start_per_second

    def wait_turn(self) -> None:
        """Return when the next request may be sent: at once below the rate."""
        with self._lock:
            now = self._clock()
            rate = self._start * 2 ** ((now - self._began) / DOUBLING_S)
            self._tokens = min(rate, self._tokens + (now - self._looked) * rate) - 1
            self._looked = now
            missing = -self._tokens
        if missing > 0:
            self._sleep(missing / rate)
