"""Globs over addresses: `*`, `?`, `[...]` and `**`, as in shells and the stores' own tools.

Names are matched by RE2, in Arrow: its time is linear in the length of a name, whatever the glob.
Python's own regular expressions try again for each `*`, which can take hours.
"""

from __future__ import annotations

import math
import re

import pyarrow as pa
import pyarrow.compute as pc

WILDCARDS = re.compile(r"[*?\[]")

_GLOB_PARTS = re.compile(
    r"(?P<folders>(?<=/)\*\*/)|(?P<any>\*\*)|(?P<star>\*)|(?P<one>\?)"
    r"|\[(?P<set>!?+(?:\][^]/]*|[^]/]+))\]"
)
_GLOB_REGEX = {"folders": "(?:.*/)?", "any": ".*", "star": "[^/]*", "one": "[^/]"}
_NOTHING = r"[^\x00-\x{10FFFF}]"
_SET_PARTS = re.compile(r"(?P<low>.)-(?P<high>.)|(?P<one>.)", re.DOTALL)


def matches(names: pa.ChunkedArray | pa.Array, uri: str) -> pa.ChunkedArray | pa.Array:
    """Which of the addresses fit the glob.

    `*`, `?` and a set such as `[a-z]` or `[!0-9]` stay within a folder, `**` crosses folders, and
    `**/` may match nothing. A `[` without a `]` is an ordinary character.
    """
    pattern, end = "", 0
    for part in _GLOB_PARTS.finditer(uri):
        letters = part["set"]
        regex = _GLOB_REGEX[part.lastgroup or ""] if letters is None else _set_regex(letters)
        pattern += re.escape(uri[end : part.start()]) + regex
        end = part.end()
    pattern += re.escape(uri[end:])
    return pc.match_substring_regex(names, rf"(?s)\A(?:{pattern})\z")


def depth_below(folder: str, uri: str) -> float:
    """How many levels of folders below `folder` a glob can match in: 0 for `folder/*.jpg`."""
    if "**" in uri:
        return math.inf
    return uri.removeprefix(folder).strip("/").count("/")


def _set_regex(letters: str) -> str:
    """A regex for a glob's set, such as `a-z_` or `!0-9`; a range that runs backwards is empty."""
    negated = letters.startswith("!")
    members = "/" if negated else ""
    for part in _SET_PARTS.finditer(letters.removeprefix("!")):
        low, high = (part["one"],) * 2 if part["one"] else (part["low"], part["high"])
        if negated or not low <= "/" <= high:
            members += _range(low, high)
        else:  # a set never matches the end of a folder's name
            members += _range(low, ".") + _range("0", high)
    if negated:
        return f"[^{members}]"
    return f"[{members}]" if members else _NOTHING


def _range(low: str, high: str) -> str:
    return f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
