"""Work that waits for other threads and processes, and can be interrupted all the same.

The in-process engine ends an interrupted run only once the bundle under way is through, which may
be the whole night's. The main thread, in which Python handles signals, only waits here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def run_interruptibly(
    work: Callable[[], T], is_fatal: Callable[[BaseException], object] = lambda error: False
) -> T:
    """Do work in a thread of its own, which an interruption leaves to itself.

    Args:
        work: what to do.
        is_fatal: whether an exception that ends any other thread meanwhile ends the work as well.
            The in-process engine has a thread wait for each worker process, and when one dies
            before it has opened its channel of data, that thread alone notices; the engine waits
            for ever.

    Returns:
        What the work gives; what it raises is raised here, and so is what was fatal to it.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            _fail(done, error)
        else:
            with suppress(InvalidStateError):  # it had failed by then
                done.set_result(result)

    def thread_ended(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and is_fatal(args.exc_value):
            _fail(done, args.exc_value)
        else:
            hook(args)

    hook, threading.excepthook = threading.excepthook, thread_ended
    threading.Thread(target=run, name="engine", daemon=True).start()
    result = done.result()
    threading.excepthook = hook  # kept after a failure: what else it brings down is not told
    return result


def _fail(done: Future[T], error: BaseException) -> None:
    with suppress(InvalidStateError):  # the first end counts
        done.set_exception(error)
