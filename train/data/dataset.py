"""Which chips are learned from: list them, match them to rows.

What is set aside on the way is counted, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from pipelines.errors import StorageError, UsageError
from pipelines.storage.store import absolute_uri, file_stem, is_remote, list_objects
from schemas.artifact import EXTENSIONS, MediaType
from schemas.labels import LabelSet
from train.data.label_files import (
    LabelRow,
    named_twice,
    refuse,
)


@dataclass(frozen=True)
class LabelledChips:
    """Chips that have a row, in the order of their names.

    Attributes:
        uris: address by name; the keys are the names.
        versions: by name what its store vouches for the content of an object with, None where
            only the content itself tells.
        tags: labels by name.
        listed: the names in the order of the labels csv.
        chips_without_row: chips that the labels csv does not name.
        rows_without_chip: rows of the labels csv whose chip is not there.
        rows_without_sky_label: rows of chips that are here; they are used all the same.
        chips_without_learned_label: chips without a label that the network learns; see `keep_sky`.
    """

    uris: Mapping[str, str]
    versions: Mapping[str, str | None]
    tags: Mapping[str, frozenset[str]]
    listed: tuple[str, ...]
    chips_without_row: int
    rows_without_chip: int
    rows_without_sky_label: int
    chips_without_learned_label: int = 0


def list_chips(uri: str) -> dict[MediaType, dict[str, str | None]]:
    """The chips below a folder or prefix or matching a glob, by media type: address and version.

    A version is an object's etag and size. Local files have None: their time and size may stay
    when another file takes their place.

    Raises:
        UsageError: it cannot be listed, or holds no jpg or tif.
    """
    try:
        tables = list_objects(absolute_uri(uri))
        versions = {row["uri"]: _version(row) for table in tables for row in table.to_pylist()}
    except StorageError as error:
        raise UsageError(f"--chips: {error}") from error
    chips: dict[MediaType, dict[str, str | None]] = {}
    for found, version in sorted(versions.items()):  # a listing has no order of its own
        if media_type := EXTENSIONS.get(PurePosixPath(found).suffix.lower()):
            chips.setdefault(media_type, {})[found] = version
    if not chips:
        raise UsageError(
            f"--chips {uri}: no jpg or tif among the {len(versions)} files there; "
            "give a folder, a prefix or a glob"
        )
    return chips


def choose_media_type(
    chips: Mapping[MediaType, Collection[str]], asked: MediaType | None
) -> MediaType:
    """The media type to train on: the one asked for, the only one there, or jpg of the two.

    Raises:
        UsageError: there is no chip of the media type asked for.
    """
    if asked is None:
        return "jpg" if "jpg" in chips else "tif"
    if asked not in chips:
        raise UsageError(f"--chips holds no {asked}, only {', '.join(chips)}")
    return asked


def match_chips(
    rows: Mapping[str, LabelRow], versions: Mapping[str, str | None], label_set: LabelSet
) -> LabelledChips:
    """Bring together the rows and the chips of one name, and of one media type.

    Args:
        versions: the chips' addresses, with their versions.

    Raises:
        UsageError: two chips have one name, or no chip has a row.
    """
    refuse(named_twice(map(file_stem, versions)), "--chips: names that two files have")
    chips = {file_stem(uri): uri for uri in versions}
    names = sorted(set(rows) & set(chips))
    if not names:
        first_row = f"the first row is {min(rows)!r}" if rows else "there is no row for them"
        raise UsageError(f"no chip has a row: the first chip is {min(chips)!r}, {first_row}")
    tags = {name: rows[name].tags for name in names}
    sky = set(label_set.sky)
    return LabelledChips(
        uris={name: chips[name] for name in names},
        versions={name: versions[chips[name]] for name in names},
        tags=tags,
        listed=tuple(name for name in rows if name in tags),
        chips_without_row=len(chips) - len(names),
        rows_without_chip=len(rows) - len(names),
        rows_without_sky_label=sum(not held & sky for held in tags.values()) if sky else 0,
    )


def keep_sky(chips: LabelledChips, label_set: LabelSet) -> LabelledChips:
    """The chips with a sky label, and of their labels that one alone.

    Raises:
        UsageError: there is no such chip.
    """
    sky = frozenset(label_set.sky)
    tags = {name: held & sky for name, held in chips.tags.items() if held & sky}
    if not tags:
        raise UsageError("no chip has a label of the sky, and the network has no others")
    return replace(
        chips,
        uris={name: chips.uris[name] for name in tags},
        tags=tags,
        listed=tuple(name for name in chips.listed if name in tags),
        chips_without_learned_label=len(chips.tags) - len(tags),
    )


def _version(row: Mapping[str, Any]) -> str | None:
    etag = row["etag"] if is_remote(row["uri"]) else None
    return None if etag is None else f"{etag} {row['size_bytes']}"
