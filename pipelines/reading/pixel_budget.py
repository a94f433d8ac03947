"""How many batches of pixels a process holds at a time, however many threads ask for them.

Dataflow runs several harness threads in a process. Each reads ahead of its own work, and what is
read ahead is most of what a worker holds. So they share one budget.
"""

from __future__ import annotations

import time
from threading import Condition
from weakref import WeakSet

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0


class Slot:
    """Room for one batch; given back, or collected with what a failed bundle left behind."""


class PixelBudget:
    """Slots for batches.

    Args:
        batches: how many there are.
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self._taken: WeakSet[Slot] = WeakSet()
        self._waiting = 0
        self._changed = Condition()

    def take(self, patient: bool) -> Slot | None:
        """A slot; None where there is none, or others wait for one.

        Args:
            patient: wait for it. Only who holds no slot may be: those who hold some give one back
                sooner or later, so nobody waits for ever. After a minute there is one in any case:
                a budget must not end a run.
        """
        with self._changed:
            if not patient and (self._waiting or self._is_full()):
                return None
            self._waiting += 1
            end = time.monotonic() + _PATIENCE_SECONDS
            while self._is_full() and time.monotonic() < end:
                self._changed.wait(_LOOK_SECONDS)  # what is collected tells nobody
            self._waiting -= 1
            slot = Slot()
            self._taken.add(slot)
            return slot

    def give_back(self, slot: Slot) -> None:
        """Let another batch have the slot."""
        with self._changed:
            self._taken.discard(slot)
            self._changed.notify()

    def _is_full(self) -> bool:
        return len(self._taken) >= self._batches
