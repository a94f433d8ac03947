"""Commands as processes of their own, forked from one that has imported TensorFlow, Keras and Beam.

To start Python and import these takes 6 s of CPU, a fork 0.01 s. A forked command has arguments,
environment, working folder, outputs, signals and an exit code, like one that a shell starts.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.commands import run_command

ROOT = Path(__file__).parents[2]
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        *("tensorflow", "keras", "train.__main__", "pipelines.batch_scoring"),
        *("beam_jobs.score_chips", "tests.support.quick_scoring", "tests.support.season.actors"),
    ]
)


class Forked(NamedTuple):
    """A command that was started. `process` has `pid`, `kill()`, `is_alive()` and `exitcode`."""

    process: Any
    out: Path

    def finish(self, seconds: float = 300) -> tuple[int | None, str]:
        """Wait for its end; returns its exit code (None: it still runs) and its output."""
        self.process.join(seconds)
        return self.process.exitcode, self.out.read_text()


def fork(
    main: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    out: Path,
    *,
    err: Path | None = None,
    prepare: Callable[[], None] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Forked:
    """Start a command, as `python -m` does.

    Args:
        main: the command; takes the arguments, returns the exit code.
        arguments: what follows the command's name.
        out: a file for its standard output.
        err: a file or a terminal for its standard error; by default the same as `out`.
        prepare: called in the new process before the command.
        environment: its environment; this process's by default.
        folder: its working folder.
    """
    given = dict(os.environ if environment is None else environment)
    outputs = (out, err or out)
    process = _processes.Process(
        target=_run, args=(main, [*arguments], outputs, prepare, given, folder), daemon=True
    )
    process.start()
    return Forked(process, out)


def _run(
    main: Callable[[Sequence[str]], int],
    arguments: list[str],
    outputs: tuple[Path, Path],
    prepare: Callable[[], None] | None,
    environment: dict[str, str],
    folder: Path,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    _redirect(*outputs)
    sys.argv[1:] = arguments
    if prepare:
        prepare()
    run_command(main)


def _redirect(out: Path, err: Path) -> None:
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1 if err == out else os.open(err, os.O_WRONLY | os.O_CREAT), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
