"""Labels that a flag names, separated by commas."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence

from pipelines.errors import UsageError

_SHOWN = 12


def named_labels(text: str, known: Sequence[str], flag: str) -> tuple[str, ...]:
    """The labels that a flag's text names, each once, in its order; none for an empty text. A label
    with a comma is given alone, or in double quotes as in csv.

    >>> named_labels('"a, b",c', ("a, b", "c", "d"), "--threats")
    ('a, b', 'c')

    Args:
        text: the flag's value.
        known: the labels that there are.
        flag: the flag's name.

    Raises:
        UsageError: one of the names is not a label.
    """
    if not text or text in known:
        return (text,) if text else ()
    try:
        names = next(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise UsageError(f"{flag} {text!r}: give labels with commas between them") from error
    named = tuple(dict.fromkeys(name.strip() for name in names))
    if unknown := [name for name in named if name not in known]:
        raise UsageError(f"{flag}: {unknown[0]!r} is not a label{_nearest(unknown[0], known)}")
    return named


def _nearest(name: str, known: Sequence[str]) -> str:
    lower = {label.lower(): label for label in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"; did you mean {lower[near[0]]!r}?" if near else f" ({listed_labels(known)})"


def listed_labels(known: Sequence[str]) -> str:
    """Some labels for a message."""
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"labels: {', '.join(known[:_SHOWN])}{more}"
