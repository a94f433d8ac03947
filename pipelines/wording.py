"""Words for people: counts, names that were misspelt, and text in spreadsheets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_CLOSE = 0.75  # at 0.6, the library's default, --bogus would mean --gpu

_SHORTEST_START = 4

_FORMULA = re.compile(r"\s*[=+@-]|[\t\r]")
_NUMBERS = re.compile(r"[-+]?\d+(?:\.\d+)?(?: [-+]?\d+(?:\.\d+)?)*")


def count_of(number: int, noun: str) -> str:
    """A number of things: `1 run`, `0 runs`, `12,000 small files`.

    Args:
        noun: in the singular; it takes an s.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that a misspelt one probably means, None if no name is close to it. Dashes do not
    count: all flags have them.

    >>> nearest("--batchsize", ["--batch_size", "--gpu"]), nearest("--bogus", ["--gpu"])
    ('--batch_size', None)
    """
    plain, asked = {_plain(each): each for each in names}, _plain(name)
    close = difflib.get_close_matches(asked, plain, n=1, cutoff=_CLOSE)
    close += [each for each in plain if _begins_with(each, asked) or _begins_with(asked, each)]
    return plain[close[0]] if close else None


def no_formula(text: str) -> str:
    """A text that no spreadsheet runs: numbers with a sign, such as positions, are not changed.

    >>> no_formula("=1+1"), no_formula("-59.75 -2.75")
    ("'=1+1", '-59.75 -2.75')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBERS.fullmatch(text) else text


def _begins_with(longer: str, start: str) -> bool:
    return len(start) >= _SHORTEST_START and longer.startswith(start)


def _plain(name: str) -> str:
    return name.strip("-").replace("-", "_").lower()
