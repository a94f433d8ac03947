"""Names that are not a user's: hidden files and folders, and what operating systems add.

macOS writes a `._x.jpg` for every `x.jpg` that it copies to another disk or into a tar; it has the
name of a picture and is none.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.storage import _globs

_HIDDEN = r"\.[^./][^/]*|\.\.[^/]+"  # not the folders `.` and `..`, which tars name
_ADDED = "|".join(
    map(
        re.escape,
        (
            *("__MACOSX", "Icon\r"),  # macOS
            *("Thumbs.db", "ehthumbs.db", "desktop.ini", "$RECYCLE.BIN"),  # Windows
            *("System Volume Information", "lost+found"),  # Windows and Linux, on each disk
            *("@eaDir", "#recycle"),  # network disks; the first has thumbnails of every picture
        ),
    )
)
_NAME = rf"(?:{_HIDDEN}|(?i:{_ADDED}))"
HIDDEN_IN_ADDRESS = re.compile(rf"(?:\A|/){_NAME}(?:/|\Z)", re.DOTALL)
"""Finds a hidden name in an address."""

_HIDDEN_RE2 = f"(?s){HIDDEN_IN_ADDRESS.pattern}".replace(r"\Z", r"\z")
_ONE_NAME = re.compile(_NAME, re.DOTALL)


def is_hidden(name: str) -> bool:
    """Whether a file or a folder of this name is hidden, or added by an operating system.

    >>> is_hidden(".DS_Store"), is_hidden("__macosx"), is_hidden("a.jpg"), is_hidden("..")
    (True, True, False, False)
    """
    return _ONE_NAME.fullmatch(name) is not None


def find_hidden(names: pa.ChunkedArray, listed: str) -> pa.ChunkedArray:
    """Which addresses of a listing have a hidden name below what was listed.

    Args:
        names: addresses in a folder, that match a glob, or of exactly one object.
        listed: that folder, glob or object. A hidden name in it is asked for: it does not count.
    """
    folder = _folder_of(names, listed)
    below = pc.utf8_slice_codeunits(names, len(folder))
    suspects = pc.match_substring_regex(below, _HIDDEN_RE2)
    globs = _asked_for(listed[len(folder) :])
    if not globs or not pc.any(suspects).as_py():
        return suspects
    parts = pc.split_pattern(below.filter(suspects), "/")
    names_of_parts = pc.unique(pc.list_flatten(parts))
    asked = {name for glob in globs for name in _matching(names_of_parts, glob)}
    found = [
        any(is_hidden(name) and name not in asked for name in names) for names in parts.to_pylist()
    ]
    return pc.replace_with_mask(suspects, suspects.combine_chunks(), pa.array(found, pa.bool_()))


def _folder_of(names: pa.ChunkedArray, listed: str) -> str:
    """What all addresses of a listing begin with: a folder, or the fixed part of a glob."""
    if not _globs.WILDCARDS.search(listed) or pc.all(pc.starts_with(names, listed)).as_py():
        return listed  # a folder may have a name like a glob
    return _globs.WILDCARDS.split(listed, maxsplit=1)[0].rpartition("/")[0]


def _asked_for(glob: str) -> list[str]:
    """The parts of a glob that match hidden names only, as in shells: `.cache`, `._*.jpg`."""
    return [part for part in glob.split("/") if is_hidden(part)]


def _matching(names: pa.Array, glob: str) -> list[str]:
    return list(names.filter(_globs.matches(names, glob)).to_pylist())
