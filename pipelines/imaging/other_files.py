"""Folders without chips: what is there instead, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

from schemas.artifact import EXTENSIONS

OTHER_PICTURES = {
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WebP",
    ".jp2": "JPEG 2000",
    ".j2k": "JPEG 2000",
    ".heic": "HEIF",
    ".avif": "AVIF",
}
"""File name extensions of pictures that are not chips, in lower case."""

_SHOWN = 3


def count_endings(names: Iterable[str]) -> Counter[str]:
    """How many files have each extension, in lower case."""
    return Counter(PurePosixPath(name).suffix.lower() for name in names)


def no_image_text(counts: Mapping[str, int], endings: Collection[str], ignored: int = 0) -> str:
    """Why a folder has no chips, and what to do.

    Args:
        counts: files by extension, none of them a chip.
        endings: the extensions that chips may have.
        ignored: files that were left out because their names are hidden.

    >>> no_image_text({".gif": 2}, [".jpg", ".jpeg"])
    '2 GIF files, none ending in .jpg, .jpeg; convert them as docs/data.md shows'
    """
    if not counts and not ignored:
        return "there is nothing; check the address"
    kinds = Counter[str]()
    for ending, count in counts.items():
        kinds[OTHER_PICTURES.get(ending, ending or "other")] += count
    found = [_files(count, kind) for kind, count in kinds.most_common(_SHOWN)]
    found += ["..."] if len(kinds) > _SHOWN else []
    found += [f"{ignored:,} with hidden names"] if ignored else []
    text = f"{', '.join(found)}, none ending in {', '.join(endings)}"
    if any(ending in OTHER_PICTURES for ending in counts):
        return f"{text}; convert them as docs/data.md shows"
    others = any(ending in EXTENSIONS for ending in counts)
    return f"{text}; check the address{' and --media_type' if others else ''}"


def ignored_text(count: int) -> str:
    """A line about files that are no chips because of their names.

    >>> ignored_text(1)
    'ignored 1 file with a hidden name (such as ._*, .DS_Store, __MACOSX)'
    """
    names = "a hidden name" if count == 1 else "hidden names"
    return f"ignored {_files(count)} with {names} (such as ._*, .DS_Store, __MACOSX)"


def _files(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{' ' if kind else ''}file{'' if count == 1 else 's'}"
