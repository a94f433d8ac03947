"""A limit on the batches of pixels in a process, shared by all of its threads.

Dataflow runs several harness threads in a process. Each of them reads ahead, and the batches read
ahead take most of a worker's memory. So they share one budget.
"""

from __future__ import annotations

import time
from threading import Condition
from weakref import WeakSet

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0


class Slot:
    """Room for one batch; returned, or garbage-collected after a failed bundle."""


class PixelBudget:
    """Slots for batches.

    Args:
        batches: number of slots.
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self._taken: WeakSet[Slot] = WeakSet()
        self._waiting = 0
        self._changed = Condition()

    def take(self, patient: bool) -> Slot | None:
        """A slot; None if none is free, or others wait for one.

        Args:
            patient: wait for a slot. Only callers without a slot may wait: those with slots return
                one sooner or later, so no one waits forever. After a minute the caller gets one in
                any case: a budget must not stop a run.
        """
        with self._changed:
            if not patient and (self._waiting or self._is_full()):
                return None
            self._waiting += 1
            end = time.monotonic() + _PATIENCE_SECONDS
            while self._is_full() and time.monotonic() < end:
                self._changed.wait(_LOOK_SECONDS)  # garbage collection notifies no one
            self._waiting -= 1
            slot = Slot()
            self._taken.add(slot)
            return slot

    def give_back(self, slot: Slot) -> None:
        """Return a slot."""
        with self._changed:
            self._taken.discard(slot)
            self._changed.notify()

    def _is_full(self) -> bool:
        return len(self._taken) >= self._batches
