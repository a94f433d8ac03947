"""Retries of requests that obstore and delta-rs do not repeat: those whose answer broke off.

Those libraries cannot know that it is safe to repeat such a request; the callers here do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from pipelines.storage._connections import FIRST_WAIT_S, LONGEST_WAIT_S, deadline_s
from pipelines.storage.storage_errors import MISSING_ERRORS, is_temporary

_T = TypeVar("_T")


def with_retries(operation: Callable[[], _T]) -> _T:
    """Call an operation that is safe to repeat, until it succeeds, fails for good, or is too late.

    Raises:
        Exception: what the operation raised last.
    """
    patience = Patience()
    while True:
        try:
            return operation()
        except MISSING_ERRORS:
            raise
        except Exception as error:  # a permanent error is raised again
            patience.wait_after(error)


class Patience:
    """Waits with jitter, longer each time, and stops at the deadline."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start the waits and the deadline again: there was progress."""
        self._longest_s, self._ends = FIRST_WAIT_S, time.monotonic() + deadline_s()

    def wait_after(self, error: Exception) -> None:
        """Wait, or raise the error again if it is permanent or no time is left."""
        wait_s = random.uniform(0, self._longest_s)
        if not is_temporary(error) or time.monotonic() + wait_s > self._ends:
            raise error
        time.sleep(wait_s)
        self._longest_s = min(2 * self._longest_s, LONGEST_WAIT_S)
