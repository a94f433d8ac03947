"""Labelled chips: the chips of an archive, matched with the rows of a labels csv.

Chips and rows that are not used are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow.compute as pc

from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.imaging.other_files import count_endings, ignored_text, no_image_text
from pipelines.storage.hidden_names import find_hidden
from pipelines.storage.store import (
    absolute_uri,
    file_stem,
    is_remote,
    list_objects,
    parent_uri,
)
from schemas.artifact import EXTENSIONS, MEDIA_TYPES, MediaType
from schemas.labels import LabelSet
from train.data.label_files import LabelRow, rows_of_media_type


@dataclass(frozen=True)
class LabelledChips:
    """Chips that have a row, in the order of their names.

    Attributes:
        uris: address by name; the keys are the names.
        versions: by name, what identifies the content of an object in its store; None if only the
            content itself does.
        tags: labels by name.
        listed: the names in the order of the labels csv.
        chips_without_row: chips that the labels csv does not name.
        rows_without_chip: rows of the labels csv whose chip was not found.
        rows_without_sky_label: matched rows without a sky label; their chips are used.
        chips_without_learned_label: chips without a label that the network learns; see `keep_sky`.
        media_type: of all these chips.
        files: addresses of all chips of the media type, with or without a row.
    """

    uris: Mapping[str, str]
    versions: Mapping[str, str | None]
    tags: Mapping[str, frozenset[str]]
    listed: tuple[str, ...]
    chips_without_row: int
    rows_without_chip: int
    rows_without_sky_label: int
    chips_without_learned_label: int = 0
    media_type: MediaType = "jpg"
    files: tuple[str, ...] = ()


def load_labelled_chips(
    uri: str, rows: Iterable[LabelRow], label_set: LabelSet, media_type: MediaType | None = None
) -> LabelledChips:
    """List chips of one media type and match them with their rows.

    Args:
        uri: folder, prefix or glob of the chips.
        media_type: by default the first one found of jpg, tif and png.

    Raises:
        UsageError: the chips cannot be listed, two have one name, or none has a row.
    """
    found = list_training_chips(uri)
    chosen = choose_media_type(found, media_type)
    if media_type is None and len(found) > 1:
        kinds = " and ".join(f"{len(chips)} {kind}s" for kind, chips in found.items())
        others = " or ".join(kind for kind in found if kind != chosen)
        print(f"--chips holds {kinds}: using the {chosen}s (--media_type {others} for the others)")
    chips = match_chips(rows_of_media_type(rows, chosen), found[chosen], label_set)
    return replace(chips, media_type=chosen, files=tuple(found[chosen]))


def list_training_chips(
    uri: str, say_ignored: bool = True
) -> dict[MediaType, dict[str, str | None]]:
    """The chips in a folder or prefix or matching a glob, by media type: address and version.

    The number of files with hidden names is printed if `say_ignored`.

    A version is an object's etag and size. For local files it is None: a file may be replaced by
    another of the same size and time.

    Raises:
        UsageError: it cannot be listed, or holds no chip.
    """
    ignored = 0
    versions: dict[str, str | None] = {}
    with as_usage_error("--chips", (StorageError, UsageError)):
        address = absolute_uri(uri)
        for table in list_objects(address):
            hidden = find_hidden(table["uri"], address)
            rows = table.filter(pc.invert(hidden)).to_pylist()
            versions |= {row["uri"]: _version(row) for row in rows}
            ignored += table.num_rows - len(rows)
    if ignored and say_ignored:
        print(f"--chips: {ignored_text(ignored)}")
    chips: dict[MediaType, dict[str, str | None]] = {}
    for found, version in sorted(versions.items()):  # a listing has no order of its own
        if media_type := EXTENSIONS.get(PurePosixPath(found).suffix.lower()):
            chips.setdefault(media_type, {})[found] = version
    if not chips:
        why = no_image_text(count_endings(versions), tuple(EXTENSIONS), ignored)
        raise UsageError(f"--chips {uri!r} holds no image: {why}")
    return chips


def choose_media_type(
    chips: Mapping[MediaType, Collection[str]], asked: MediaType | None
) -> MediaType:
    """The media type to train on: the one asked for, or the first one of jpg, tif and png.

    Raises:
        UsageError: there is no chip of the media type asked for.
    """
    if asked is None:
        return next(kind for kind in MEDIA_TYPES if kind in chips)
    if asked not in chips:
        raise UsageError(f"--chips holds no {asked}, only {', '.join(chips)}")
    return asked


def match_chips(
    rows: Mapping[str, LabelRow], versions: Mapping[str, str | None], label_set: LabelSet
) -> LabelledChips:
    """Match rows and chips of one media type by name, and by their folders if the rows name them.

    Args:
        versions: the chips' addresses, with their versions.

    Raises:
        UsageError: two chips have one name, or no chip has a row.
    """
    folders = max((name.count("/") for name in rows), default=0)
    chips: dict[str, str] = {}
    for uri in versions:
        name = chip_name(uri, folders)
        if (other := chips.setdefault(name, uri)) != uri:
            raise UsageError(
                f"--chips: two files have the name {name!r}: {other} and {uri}; rename one, or "
                "write image_name with its folder, as FOLDER/NAME, in all rows"
            )
    names = sorted(set(rows) & set(chips))
    if not names:
        first_row = f"the first row is {min(rows)!r}" if rows else "there are no rows"
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


def chip_name(uri: str, folders: int = 0) -> str:
    """The name of a chip: without its extension, after the names of that many folders above it.

    >>> chip_name("/chips/sea/1.jpg"), chip_name("/chips/sea/1.jpg", folders=1)
    ('1', 'sea/1')
    """
    above = uri.split("/")[:-1]
    return "/".join([*above[len(above) - folders :], file_stem(uri)])


def rows_of_folders(uris: Iterable[str], source: str) -> list[LabelRow]:
    """The rows of chips in one folder per class: each chip has the name of its folder as its only
    label, and is named `CLASS/NAME`.

    Args:
        source: where the chips are, for messages.

    Raises:
        UsageError: the chips are not in two folders or more that are next to each other, or two
            of a folder differ only in their extensions.
    """
    uris = list(uris)
    classes = {parent_uri(uri) for uri in uris}
    if len(classes) < 2 or len({parent_uri(folder) for folder in classes}) > 1:
        raise UsageError(
            f"--labels is missing, and {source} has not one folder per class (CLASS/NAME.jpg, two "
            "classes or more): give a csv with the columns image_name and tags"
        )
    rows: dict[tuple[str, MediaType], tuple[str, LabelRow]] = {}
    for uri in uris:
        name = chip_name(uri, folders=1)
        media_type = EXTENSIONS[PurePosixPath(uri).suffix.lower()]
        row = LabelRow(name, media_type, frozenset([PurePosixPath(parent_uri(uri)).name]))
        other, _ = rows.setdefault((name, media_type), (uri, row))
        if other != uri:
            raise UsageError(f"{source}: two files have the name {name!r}: {other} and {uri}")
    return [row for _, row in rows.values()]


def keep_sky(chips: LabelledChips, label_set: LabelSet) -> LabelledChips:
    """Keep the chips with a sky label, and only that label of each.

    Raises:
        UsageError: no chip has a sky label.
    """
    sky = frozenset(label_set.sky)
    tags = {name: held & sky for name, held in chips.tags.items() if held & sky}
    if not tags:
        raise UsageError("no chip has a sky label, and the network learns only those")
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
