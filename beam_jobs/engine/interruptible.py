"""Work that waits for other threads and processes, but can be interrupted.

The in-process engine ends an interrupted run only when the current bundle is finished, which may be
the whole night's. The main thread, in which Python handles signals, only waits here.
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
    """Do work in a thread of its own, which an interruption abandons.

    Args:
        work: what to do.
        is_fatal: whether an exception that ends another thread ends the work as well. The
            in-process engine has a thread that waits for each worker process. If a worker dies
            before it has opened its data channel, only that thread notices; the engine would wait
            forever.

    Returns:
        The result of the work. Its exceptions are raised here, and so are fatal ones.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            _fail(done, error)
        else:
            with suppress(InvalidStateError):  # it has failed meanwhile
                done.set_result(result)

    def thread_ended(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and is_fatal(args.exc_value):
            _fail(done, args.exc_value)
        else:
            hook(args)

    hook, threading.excepthook = threading.excepthook, thread_ended
    threading.Thread(target=run, name="engine", daemon=True).start()
    result = done.result()
    threading.excepthook = hook  # stays after a failure: further errors are not printed
    return result


def _fail(done: Future[T], error: BaseException) -> None:
    with suppress(InvalidStateError):  # the first end counts
        done.set_exception(error)
