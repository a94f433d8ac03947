"""Work that waits for other threads and processes, and can be interrupted all the same.

The in-process engine ends an interrupted run only once the bundle under way is through, which may
be the whole night's. The main thread, in which Python handles signals, only waits here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def run_interruptibly(work: Callable[[], T]) -> T:
    """Do work in a thread of its own, which an interruption leaves to itself.

    Returns:
        What the work gives; what it raises is raised here.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="engine", daemon=True).start()
    return done.result()
