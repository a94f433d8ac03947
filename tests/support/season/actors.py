"""Processes that call commands one after the other, so that two can be at work at once."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, Self

from tests.support.season.commands import Outcome, call, stand_ins
from tests.support.season.mutants import planted_by_environment

_processes = multiprocessing.get_context("forkserver")


class Actor:
    """A process that is one client of a bottle.

    Args:
        env: of the client, see `Bottle.env`.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self._pipe, theirs = _processes.Pipe()
        self._process: Any = _processes.Process(target=_serve, args=(theirs, env), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def start(self, flags: Sequence[object], at: float | None = None) -> None:
        """Begin a command, when its clock shows `at`."""
        self._pipe.send((at, [str(flag) for flag in flags]))

    @property
    def is_done(self) -> bool:
        """Whether the command has ended, or the process has."""
        return self._pipe.poll() or not self._process.is_alive()

    def finish(self) -> Outcome:
        """Wait for the command's end.

        Raises:
            RuntimeError: it ended with an exception.
        """
        found = self._pipe.recv()
        if isinstance(found, Exception):
            raise RuntimeError(f"a command ended with {found!r}") from found
        return Outcome(found)


def _serve(pipe: Connection, env: dict[str, str]) -> None:
    with stand_ins(env), planted_by_environment():
        while True:
            at, (name, *flags) = pipe.recv()
            try:
                pipe.send(tuple(call(name, *flags, at=at)))
            except Exception as error:
                pipe.send(error)
