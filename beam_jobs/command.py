"""How every command here takes wrong use and ends: exit codes, and one line on standard error.

Exit codes: 0 done; 1 the run failed; 2 wrong use; 3 the night is a bad one (published all the same,
or held).
"""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import sys
from collections.abc import Callable, Sequence
from threading import Event
from types import FrameType
from typing import NoReturn

from pipelines.errors import RunFailed, StorageError, UsageError
from schemas.artifact import ArtifactError
from schemas.labels import LabelSetError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BAD_NIGHT = 3
EXIT_INTERRUPTED = 130

_WRONG_USE = (UsageError, ArtifactError, LabelSetError)
_FAILED = (StorageError, RunFailed)
_interrupted = Event()


class CommandParser(argparse.ArgumentParser):
    """An argument parser that guesses no abbreviations and says what is wrong in one line."""

    def __init__(self, *, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(EXIT_USAGE, f"error: {one_line(message)} (see --help)\n")


def run_command(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Call a command's main with the process's arguments and leave with its exit code.

    Leaves without taking the interpreter apart: Arrow's reading threads may still call into it
    then, and would turn a success into an abort now and then.
    """
    for signal_number in (signal.SIGINT, signal.SIGTERM):  # schedulers stop by SIGTERM
        signal.signal(signal_number, _interrupt)
    code = exit_code(main, sys.argv[1:])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """The exit code of a command; the project's own errors become a line on standard error.

    Any other exception is a bug and passes through, with its traceback.
    """
    try:
        return main(arguments)
    except _WRONG_USE as error:
        return _fail(error, EXIT_USAGE)
    except _FAILED as error:
        return _fail(error, EXIT_FAILED)
    except (Exception, KeyboardInterrupt) as error:
        if is_interruption(error):
            return EXIT_INTERRUPTED
        raise


def is_interruption(error: BaseException) -> bool:
    """Whether a command ends because it was told to, however an engine wraps that."""
    return _interrupted.is_set() or isinstance(error, KeyboardInterrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    _interrupted.set()
    raise KeyboardInterrupt


def one_line(text: str) -> str:
    """A message of several lines as one."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _fail(error: Exception, code: int) -> int:
    print(f"error: {one_line(str(error))}", file=sys.stderr)
    return code
