"""Globs over addresses: `*`, `?`, `[...]` and `**`, as in shells and the stores' own tools."""

from __future__ import annotations

import math
import re

WILDCARDS = re.compile(r"[*?\[]")

_GLOB_PARTS = re.compile(
    r"(?P<folders>(?<=/)\*\*/)|(?P<any>\*\*)|(?P<star>\*)|(?P<one>\?)"
    r"|\[(?P<set>!?+(?:\][^]/]*|[^]/]+))\]"
)
_GLOB_REGEX = {"folders": "(?:.*/)?", "any": ".*", "star": "[^/]*", "one": "[^/]"}
_SET_PARTS = re.compile(r"(?P<low>.)-(?P<high>.)|(?P<one>.)", re.DOTALL)


def to_regex(uri: str) -> re.Pattern[str]:
    """A pattern whose `fullmatch` finds the addresses that fit the glob.

    `*`, `?` and a set such as `[a-z]` or `[!0-9]` stay within a folder, `**` crosses folders, and
    `**/` may match nothing. A `[` without a `]` is an ordinary character.
    """
    pattern, end = "", 0
    for part in _GLOB_PARTS.finditer(uri):
        letters = part["set"]
        regex = _GLOB_REGEX[part.lastgroup or ""] if letters is None else _set_regex(letters)
        pattern += re.escape(uri[end : part.start()]) + regex
        end = part.end()
    return re.compile(pattern + re.escape(uri[end:]), re.DOTALL)


def depth_below(folder: str, uri: str) -> float:
    """How many levels of folders below `folder` a glob can match in: 0 for `folder/*.jpg`."""
    if "**" in uri:
        return math.inf
    return uri.removeprefix(folder).strip("/").count("/")


def _set_regex(letters: str) -> str:
    """A regex for a glob's set, such as `a-z_` or `!0-9`; a range that runs backwards is empty."""
    members = ""
    for part in _SET_PARTS.finditer(letters.removeprefix("!")):
        if part["one"]:
            members += re.escape(part["one"])
        elif part["low"] <= part["high"]:
            members += f"{re.escape(part['low'])}-{re.escape(part['high'])}"
    if letters.startswith("!"):
        return f"[^/{members}]"
    return f"(?!/)[{members}]" if members else "(?!)"
