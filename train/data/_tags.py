"""Splitting the tags of a csv: the separator is found from the whole column.

Names may contain spaces if commas or semicolons separate them. What could be read in two ways
is refused: a misread column would train labels that no chip has.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from pipelines.errors import UsageError
from schemas.labels import PLANET_LABELS
from train.data.label_sets import planet_label_near

Cells = Sequence[tuple[int, str]]
"""Row numbers and tags."""

SPACE = " "
SEPARATORS: Mapping[str, str] = {
    ",": "commas",
    ";": "semicolons",
    SPACE: "spaces",
}
"""What separates tags, and its name in messages."""

_QUOTED = re.compile(r"\"[^\"]*\"")
_ADVICE = "separate names by spaces, commas or semicolons, and put others into double quotes"


def split_tags(
    source: str, cells: Cells, known: Collection[str] = ()
) -> tuple[list[frozenset[str]], str]:
    """The labels of each row, and the separator of the column.

    Args:
        source: where the tags are, for messages.
        known: names that are certainly labels.

    Raises:
        UsageError: two separators, brackets, an unpaired quote, or a name that seems to be several.
    """
    separator = _find_separator(source, cells)
    pairs = [_split(source, number, text, separator) for number, text in cells]
    names = {name for row in pairs for name, _ in row}
    unquoted = {name for row in pairs for name, is_quoted in row if not is_quoted}
    for name in sorted(unquoted - set(known)):
        if _seems_several(name, names):
            raise UsageError(
                f"{source}: {name!r} may be one label or several, since tags are separated by "
                f"{SEPARATORS[separator]}; use one separator, and put a name that contains another "
                f'into double quotes: "{name}"'
            )
    return [frozenset(name for name, _ in row) for row in pairs], separator


def _find_separator(source: str, cells: Cells) -> str:
    """The one of SEPARATORS that occurs outside quotes; else the space."""
    first: dict[str, int] = {}
    for number, text in cells:
        for separator in set(_QUOTED.sub("", text)) & (set(SEPARATORS) - {SPACE}):
            first.setdefault(separator, number)
    if len(first) > 1:
        found = " and ".join(f"{SEPARATORS[s]} (row {first[s]})" for s in sorted(first))
        raise UsageError(f"{source}: tags are separated by {found}; use one separator")
    return next(iter(first), SPACE)


def _split(source: str, number: int, text: str, separator: str) -> list[tuple[str, bool]]:
    """Names, and whether each is in quotes."""
    end = r"(?:\s+|$)" if separator == SPACE else rf"\s*(?:{re.escape(separator)}|$)"
    part = re.compile(
        rf"\s*(?:\"([^\"]*)\"|'([^']*)'|([^\"\[\]{{}}{re.escape(separator)}]*?)){end}"
    )
    names, at = [], 0
    while at < len(text):
        found = part.match(text, at)
        if found is None or found.end() == at:
            raise UsageError(f"{source}: row {number}: the tags {text!r} are unclear; {_ADVICE}")
        quoted = found[1] if found[1] is not None else found[2]
        names.append((" ".join((quoted or found[3] or "").split()), quoted is not None))
        at = found.end()
    return [(name, is_quoted) for name, is_quoted in names if name]


def _seems_several(name: str, names: Iterable[str]) -> bool:
    """Whether a name is made of words that are labels: with a space between them, one suffices."""
    words, others = re.findall(r"\w+", name), set(names) - {name}
    if words == [name] or planet_label_near(name):
        return False  # the name of a single label, however it is written
    all_known = all(word in others or word in PLANET_LABELS.names for word in words)
    return bool(words) and (all_known or (SPACE in name and any(w in others for w in words)))
