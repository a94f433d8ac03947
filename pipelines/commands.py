"""How a command reads its flags and ends: its parser, its exit code, its signals.

An error is one line on standard error; EXIT_CODES lists what the codes mean.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from threading import Event
from types import FrameType
from typing import Any, Generic, NoReturn, TypeVar, get_args
from typing import get_type_hints as type_hints

from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.flags import Flag, Group, flags_of, not_empty, removed_flags
from pipelines.printing import tolerate_broken_output
from schemas.artifact import ArtifactError
from schemas.labels import LabelSetError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BAD_NIGHT = 3
EXIT_INTERRUPTED = 130

EXIT_CODES: Mapping[int, str] = {
    0: "done",
    EXIT_FAILED: "failed: the command could not finish, or a store could not be read or written",
    EXIT_USAGE: "usage error: a flag, an artifact or a file is wrong; nothing was done",
    EXIT_BAD_NIGHT: "the night is bad: its run is published, or held with --hold_on_drift",
    EXIT_INTERRUPTED: "interrupted by a signal",
}
"""Exit code of every command to its meaning."""

_USAGE_ERRORS = (UsageError, ArtifactError, LabelSetError)
_PLAIN_WORDS = {
    r"invalid int value: (.*)": r"must be a whole number, not \1",
    r"invalid float value: (.*)": r"must be a number, not \1",
    r"invalid \S+ value: (.*)": r"it does not take \1",
    r"expected (one|at least one) argument": r"it needs \1 value",
    r"ignored explicit argument (.*)": r"it takes no value, so remove \1",
}
"""What argparse says, as regular expressions, and what is said instead."""

_MOST_LETTERS = 200  # of one word of a message
_interrupted = Event()
_short_names: dict[str, str] = {}
T = TypeVar("T")


@dataclass(frozen=True)
class CommandLine(Generic[T]):
    """A command's arguments: their flags, and what its --help prints.

    Attributes:
        module: what follows `python -m`, such as `beam_jobs.query` or `train study`.
        options: the dataclass of its flags.
        description: printed by --help.
        epilog: printed after the flags.
    """

    module: str
    options: type[T]
    description: str
    epilog: str = ""

    @property
    def name(self) -> str:
        """What the user types to start it."""
        return _short_names.get(self.module, f"python -m {self.module}")

    def parse(
        self,
        arguments: Sequence[str],
        defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda given: {},
    ) -> T:
        """The options that the arguments ask for.

        Args:
            defaults: called with the given values by field; returns defaults of other fields.

        Raises:
            UsageError: an unknown flag, a missing one, or an invalid value.
        """
        given = vars(self.parser().parse_args(arguments))
        return _options_from(self.options, {**defaults(given), **given})

    def parse_known(self, arguments: Sequence[str]) -> tuple[T, list[str]]:
        """The options, and the arguments that are not flags of this command.

        Raises:
            UsageError: a missing flag, or an invalid value.
        """
        given, rest = self.parser().parse_known_args(arguments)
        return _options_from(self.options, vars(given)), rest

    def flag_names(self) -> list[str]:
        """Every flag with its dashes, the removed ones included."""
        return [name for name in self.parser()._option_string_actions if name.startswith("--")]

    def parser(self) -> argparse.ArgumentParser:
        """The parser. A flag that is not given is not in the namespace either."""
        parser = _Parser(
            prog=self.name,
            description=self.description.replace(f"python -m {self.module}", self.name),
            epilog=self.epilog.replace(f"python -m {self.module}", self.name),
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
            add_help=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        flags = list(flags_of(self.options))
        needed = [f"--{each.name} {each.metavar}" for each in flags if each.group == "required"]
        parser.usage = " ".join(["%(prog)s", *needed, "[flags]"])
        for group in get_args(Group):
            section = parser.add_argument_group(f"{group} flags")
            for each in (each for each in flags if each.group == group):
                _add(section, each)
        section.add_argument("-h", "--help", action="help", help="Print this text.")
        for name in removed_flags(self.options):
            parser.add_argument(name, nargs="?", action=_Removed, help=argparse.SUPPRESS)
        return parser


def use_short_names(names: Mapping[str, str]) -> None:
    """Let help and errors call commands what the user typed.

    Args:
        names: such as `forest-chips query`, by `CommandLine.module`.
    """
    _short_names.update(names)


def run_command(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Call a command's main with the process's arguments and leave with its exit code.

    Ends the process without Python's own cleanup: Arrow's reading threads may still call into the
    interpreter then, and sometimes turn a success into an abort.
    """
    gc.freeze()  # what was imported stays, so the collector need not look through it again
    tolerate_broken_output()
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
    gc.enable()  # `forest-chips` has imported the command without it
    try:
        return main(arguments)
    except (*_USAGE_ERRORS, RunFailed, StorageError) as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, _USAGE_ERRORS) else EXIT_FAILED
    except (Exception, KeyboardInterrupt) as error:
        if is_interruption(error):
            return EXIT_INTERRUPTED
        raise


def is_interruption(error: BaseException) -> bool:
    """Whether a command ends because of a signal, however an engine wraps that."""
    return _interrupted.is_set() or isinstance(error, KeyboardInterrupt)


def one_line(text: str) -> str:
    """A message of several lines as one."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def in_plain_words(message: str) -> str:
    """A message of argparse without the names of Python's types and functions.

    >>> in_plain_words("argument --workers: invalid int value: 'x'")
    "argument --workers: must be a whole number, not 'x'"
    """
    for pattern, words in _PLAIN_WORDS.items():
        message = re.sub(pattern, words, message, flags=re.DOTALL)
    return re.sub(rf"(\S{{{_MOST_LETTERS}}})\S+", r"\1...", message)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    _interrupted.set()
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report what is wrong in one line, without all flags."""
        raise UsageError(f"{in_plain_words(message)} (see {self.prog} --help)")


class _Removed(argparse.Action):
    def __call__(self, _parser: Any, _namespace: Any, _values: Any, name: Any = None) -> None:
        print(
            f"warning: {name} has no effect any more; the next release refuses it", file=sys.stderr
        )


def _add(section: Any, flag: Flag) -> None:
    more: dict[str, Any] = {"help": flag.help_with_default.replace("%", "%%")}
    if flag.positional:
        section.add_argument(flag.field, nargs="?", metavar=flag.metavar, **more)
        return
    more |= {"dest": flag.field, "required": flag.group == "required"}
    if flag.is_switch:
        section.add_argument(f"--{flag.name}", action="store_true", **more)
        return
    if flag.repeated:
        more["action"] = "append"
    if flag.many:
        more["nargs"] = "+"
    if flag.metavar:
        more["metavar"] = flag.metavar
    parse = flag.parse or (None if flag.choices else not_empty)
    section.add_argument(f"--{flag.name}", type=parse, choices=flag.choices or None, **more)


def _options_from(options: type[T], given: Mapping[str, Any]) -> T:
    """An instance; fields that are not given have their defaults."""
    hints, values = type_hints(options), {}
    for each in fields(options):  # type: ignore[arg-type]
        if is_dataclass(hints[each.name]):
            values[each.name] = _options_from(hints[each.name], given)
        elif each.name in given:
            value = given[each.name]
            values[each.name] = tuple(value) if isinstance(value, list) else value
    return options(**values)
