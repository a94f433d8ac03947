"""Command-line flags, each declared once as a field of an options dataclass.

A field made by `flag` is a flag: its name, type and default are the field's. A field
whose type is a dataclass brings the flags of that class with it. `CommandLine` in
`pipelines.commands` turns arguments into an instance, and `flags_of` lists the flags for the pages
that describe them.

    @dataclass(frozen=True)
    class Options:
        output: str = flag("The folder of the tables.", metavar="URI")
        epochs: int = flag("Train at most this many epochs.", at_least_1, default=50)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from dataclasses import field as make_field
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from typing import get_type_hints as type_hints

Group = Literal["required", "common", "other"]
_MOST_SHOWN = 60  # characters of a wrong value
_LARGEST = 10**15  # a larger number is a typing error; 64-bit integers end at 9e18


@dataclass(frozen=True)
class Flag:
    """A flag, as `flag` declares it and `flags_of` completes it from its field.

    Attributes:
        help: one or more whole sentences; the default is added.
        parse: text to value; raises `argparse.ArgumentTypeError`. By default any text that is
            not empty.
        name: without the dashes; by default the field's.
        choices: the values that are accepted; by default those of a Literal.
        metavar: what the help shows for the value.
        group: where the help lists it; a field without a default is required.
        repeated: whether it may be given several times.
        positional: whether the value is given without the flag's name.
        must_match: whether a resumed run or training must have the value that it began with.
        field: the field's name.
        kind: the field's type: of a single value, if there may be several or None.
        many: whether several values follow the flag.
        default: the field's default.
    """

    help: str
    parse: Callable[[str], Any] | None = None
    name: str = ""
    choices: tuple[Any, ...] = ()
    metavar: str = ""
    group: Group = "other"
    repeated: bool = False
    positional: bool = False
    must_match: bool = False
    field: str = ""
    kind: Any = str
    many: bool = False
    default: Any = None

    @property
    def is_switch(self) -> bool:
        """Whether the flag takes no value."""
        return self.kind is bool

    @property
    def help_with_default(self) -> str:
        """The help, and the default if there is one to name."""
        if self.group == "required" or self.default in (None, False, "", ()):
            return self.help
        values = self.default if isinstance(self.default, tuple) else (self.default,)
        shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        return f"{self.help} Default: {' '.join(shown)}."


def flag(
    help: str,
    parse: Callable[[str], Any] | None = None,
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    **more: Any,
) -> Any:
    """A field of an options dataclass that is a flag; `more` are attributes of `Flag`."""
    metadata = {"flag": Flag(help, parse, **more)}
    return make_field(default=default, default_factory=default_factory, metadata=metadata)


common_flag = partial(flag, group="common")
"""A flag that the help lists first, after those that are required."""

NO_FLAGS: dict[str, None] = {"flag": None}
"""The metadata of a field whose type is a dataclass with flags that are not wanted."""


def flags_of(options: type) -> Iterator[Flag]:
    """The flags of an options dataclass, those of nested dataclasses included."""
    hints = type_hints(options)
    for each in fields(options):
        hint = hints[each.name]
        if each.metadata == NO_FLAGS:
            continue
        if is_dataclass(hint):
            yield from flags_of(hint)  # type: ignore[arg-type]
        elif declared := each.metadata.get("flag"):
            yield _completed(declared, each, hint)


def removed_flags(options: type) -> list[str]:
    """Flags of the last release, with their dashes, that are accepted and do nothing: the tuples
    `removed_flags` of the class and of nested dataclasses."""
    removed, hints = list(getattr(options, "removed_flags", ())), type_hints(options)
    for each in fields(options):
        hint = hints[each.name]
        removed += removed_flags(hint) if is_dataclass(hint) else []  # type: ignore[arg-type]
    return removed


def must_match(options: type) -> tuple[str, ...]:
    """Names of the fields that a resumed run must have as it began."""
    return tuple(each.field for each in flags_of(options) if each.must_match)


@dataclass(frozen=True)
class Number:
    """Turns a flag's text into a number from `least` to `most`, both included.

    Attributes:
        kind: int or float; a float must be finite.
        over: whether `least` itself is excluded.
        metavar: what the help shows for the number, unless the flag says otherwise.
    """

    kind: type[int] | type[float]
    least: float
    most: float = _LARGEST
    over: bool = False
    metavar: str = "X"

    def __call__(self, text: str) -> Any:
        """The number.

        Raises:
            argparse.ArgumentTypeError: not a number, or out of range.
        """
        try:
            value = self.kind(text)
        except ValueError:
            value = None
        if value is None or value != value or abs(value) == float("inf"):
            word = "whole number" if self.kind is int else "number"
            raise argparse.ArgumentTypeError(f"must be a {word}, not {_brief(text)!r}")
        if not self.least <= value <= self.most or (self.over and value == self.least):
            raise argparse.ArgumentTypeError(f"must be {self._range(value)}, not {_brief(text)}")
        return value

    def _range(self, value: float) -> str:
        if self.over:
            return f"over {self.least}"
        if self.most < _LARGEST:
            return f"from {self.least} to {self.most}"
        return f"at least {self.least}" if value < self.least else f"at most {self.most}"


_CENTURY_DAYS = 36_500  # what the calendar can go back

at_least_0 = Number(int, 0, metavar="N")
at_least_1 = Number(int, 1, metavar="N")
days = Number(int, 1, _CENTURY_DAYS, metavar="N")
hours = Number(int, 0, 24 * _CENTURY_DAYS, metavar="N")
seed = Number(int, 0, 2**32 - 1, metavar="N")
positive = Number(float, 0, sys.float_info.max, over=True)
ratio = Number(float, 0, 1, metavar="R")
factor = Number(float, 1, sys.float_info.max)


def not_empty(text: str) -> str:
    """The text, if it is not empty: an unset variable in a script must not mean the default.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: give a value, or leave the flag out")
    return text


def _brief(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _completed(declared: Flag, of: Any, hint: Any) -> Flag:
    kinds = [kind for kind in _members(hint) if kind is not NoneType]
    kind = kinds[0] if len(kinds) == 1 else str
    many = get_origin(kind) is tuple
    if many:
        kind = get_args(kind)[0]
    choices = declared.choices or (get_args(kind) if get_origin(kind) is Literal else ())
    default = of.default if of.default_factory is MISSING else of.default_factory()
    return replace(
        declared,
        name=declared.name or of.name,
        field=of.name,
        kind=kind,
        many=many and not declared.repeated,
        choices=choices,
        metavar=declared.metavar or ("" if choices else getattr(declared.parse, "metavar", "")),
        group="required" if default is MISSING else declared.group,
        default=None if default is MISSING else default,
    )


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
