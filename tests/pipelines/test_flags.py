"""Flags as fields: what they complete from their field, and which numbers they take."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pytest

from pipelines import flags
from pipelines.flags import flag, flags_of, must_match, removed_flags


@dataclass(frozen=True)
class Inner:
    removed_flags: ClassVar = ("--old",)

    share: float = flag("A share.", flags.ratio, name="the_share", default=0.5)


@dataclass(frozen=True, kw_only=True)
class Options:
    output: str = flag("The output.", metavar="URI", must_match=True)
    kind: Literal["a", "b"] | None = flag("The kind.", default=None)
    names: tuple[str, ...] = flag("The names.", default=())
    inner: Inner = field(default_factory=Inner)
    not_a_flag: bool = False


def test_name_type_choices_and_default_of_a_flag_come_from_its_field() -> None:
    output, kind, names, share = flags_of(Options)
    assert (output.name, output.group, kind.group) == ("output", "required", "other")
    assert (kind.choices, names.many) == (("a", "b"), True)
    assert (share.name, share.field, share.kind) == ("the_share", "share", float)
    assert share.help_with_default == "A share. Default: 0.5."


def test_a_class_lists_its_removed_flags_and_those_that_a_resumed_run_must_match() -> None:
    assert must_match(Options) == ("output",)
    assert removed_flags(Options) == ["--old"]


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (flags.at_least_1, "1e3", "must be a whole number, not '1e3'"),
        (flags.at_least_1, "0", "must be at least 1, not 0"),
        (flags.at_least_1, "9" * 20, f"must be at most 1000000000000000, not {'9' * 20}"),
        (flags.positive, "abc", "must be a number, not 'abc'"),
        (flags.positive, "inf", "must be a number, not 'inf'"),
        (flags.positive, "0", "must be over 0, not 0"),
        (flags.ratio, "nan", "must be a number, not 'nan'"),
        (flags.ratio, "1.5", "must be from 0 to 1, not 1.5"),
        (flags.days, "1000000000000", "must be from 1 to 36500, not 1000000000000"),
        (flags.hours, "1000000000000", "must be from 0 to 876000, not 1000000000000"),
        (flags.not_empty, "", "it is empty: give a value, or leave the flag out"),
    ],
)
def test_an_invalid_value_is_refused_with_a_clear_message(parse, text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        parse(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (flags.at_least_0, "0", 0),
        (flags.days, "36500", 36_500),
        (flags.ratio, "1", 1.0),
        (flags.factor, "1e200", 1e200),
        (flags.seed, "4294967295", 2**32 - 1),
    ],
)
def test_a_range_includes_its_ends(parse, text: str, value: float) -> None:
    assert parse(text) == value
