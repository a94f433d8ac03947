"""Reading the labels csv, the split csv and the label-set file.

The csv form is Kaggle's, `image_name,tags`, and `image_name,split`. Windows line ends, a byte
order mark, spaces around fields, several spaces between tags, names with or without their
extension and further columns are all accepted. What would train a wrong model is refused; the
message has the names.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from pipelines.errors import UsageError, as_usage_error
from pipelines.storage.store import read_bytes
from schemas.artifact import EXTENSIONS, MediaType
from schemas.labels import PLANET_LABELS, LabelSet, LabelSetError

Part = Literal["train", "validation", "test"]

PARTS: tuple[Part, ...] = ("train", "validation", "test")

SCENE_COLUMN = "scene_id"

_PART_NAMES: dict[str, Part] = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
_SHOWN = 5


@dataclass(frozen=True)
class LabelRow:
    """A row of a labels csv.

    Attributes:
        name: image_name without its extension.
        media_type: that of the extension; None without an extension.
        tags: the labels of the chip, possibly none.
    """

    name: str
    media_type: MediaType | None
    tags: frozenset[str]


def read_labels(uri: str) -> list[LabelRow]:
    """Read a labels csv, `image_name,tags`.

    Raises:
        UsageError: a column is missing, there are no rows, or no row has any tag.
        StorageError: it cannot be read.
    """
    rows = [
        LabelRow(*split_extension(name), frozenset(tags.split()))
        for name, tags in _read_columns(uri, "tags")
    ]
    if not any(row.tags for row in rows):
        raise UsageError(
            f"{uri}: no row has any tag; the column tags holds them, separated by spaces"
        )
    return rows


def read_split(uri: str) -> dict[str, Part]:
    """Read a split csv, `image_name,split`: the part of each image name (without extension).

    Raises:
        UsageError: a column is missing, there are no rows, a name is in two parts, or a part is
            not train, val (or validation) or test.
        StorageError: it cannot be read.
    """
    found = list(_read_columns(uri, "split"))
    unknown = sorted({part for _, part in found if part.lower() not in _PART_NAMES})
    refuse(unknown, f"{uri}: parts other than {', '.join(_PART_NAMES)}")
    pairs = {(split_extension(name)[0], _PART_NAMES[part.lower()]) for name, part in found}
    refuse(named_twice(name for name, _ in pairs), f"{uri}: names in two parts")
    return dict(pairs)


def read_scenes(uri: str, required: bool = True) -> dict[str, str]:
    """Read the column scene_id of a csv: the scene that each image was cut from.

    Names without one are left out. A jpg and a tif of the same name are of the same scene.

    Args:
        required: whether the column must be there.

    Raises:
        UsageError: a required column is missing, there are no rows, or a name has two scenes.
        StorageError: it cannot be read.
    """
    if not required and SCENE_COLUMN not in _read_table(uri)[0][1]:
        return {}
    found = [(split_extension(name)[0], scene) for name, scene in _read_columns(uri, SCENE_COLUMN)]
    pairs = {(name, scene) for name, scene in found if scene}
    refuse(named_twice(name for name, _ in pairs), f"{uri}: names in two scenes")
    return dict(pairs)


def read_labelled_rows(
    uri: str, label_set: LabelSet | str | None = None
) -> tuple[list[LabelRow], LabelSet]:
    """Read a labels csv and check it against its label set.

    Args:
        label_set: a label set, or the address of a label-set file; by default the csv.

    Raises:
        UsageError: the csv or the label set is invalid, or they contradict each other.
        StorageError: a file cannot be read.
    """
    rows = read_labels(uri)
    if label_set is None:
        label_set = choose_label_set(rows)
    elif isinstance(label_set, str):
        label_set = read_label_set(label_set)
    check_rows(rows, label_set)
    return rows, label_set


def rows_of_media_type(rows: Iterable[LabelRow], media_type: MediaType) -> dict[str, LabelRow]:
    """The rows of one media type, and those without an extension, by name.

    Raises:
        UsageError: a name occurs twice.
    """
    fitting = [row for row in rows if row.media_type in (None, media_type)]
    refuse(named_twice(row.name for row in fitting), "labels csv: image names that occur twice")
    return {row.name: row for row in fitting}


def choose_label_set(rows: Iterable[LabelRow]) -> LabelSet:
    """The label set of a labels csv.

    It is Planet's if the file has any of Planet's sky labels, or only labels of Planet: another
    name is then a misspelling. Otherwise it is the file's own names in alphabetical order, without
    a sky group.

    Raises:
        UsageError: other names next to Planet's sky labels, or two names that would share a
            column.
    """
    names = set().union(*(row.tags for row in rows))
    if names & set(PLANET_LABELS.sky) or names <= set(PLANET_LABELS.names):
        check_known(names, PLANET_LABELS)
        return PLANET_LABELS
    with as_usage_error("labels csv", (LabelSetError,)):
        return LabelSet(tuple(sorted(names)))


def read_label_set(uri: str) -> LabelSet:
    """Read a label-set file, `{"labels": [...], "sky": [...]}`.

    Raises:
        UsageError: it contradicts itself.
        StorageError: it cannot be read.
    """
    with as_usage_error(uri, (LabelSetError,)):
        return LabelSet.from_json(read_bytes(uri))


def check_rows(rows: Iterable[LabelRow], label_set: LabelSet) -> None:
    """Check rows against a label set.

    Raises:
        UsageError: there are unknown labels, or rows with two sky labels.
    """
    rows = list(rows)
    check_known(set().union(*(row.tags for row in rows)), label_set)
    sky = set(label_set.sky)
    two_skies = [f"{row.name} ({' '.join(sorted(row.tags & sky))})" for row in rows]
    doubtful = [text for row, text in zip(rows, two_skies, strict=True) if len(row.tags & sky) > 1]
    refuse(doubtful, "labels csv: rows with two sky labels, which exclude each other")


def check_known(names: Iterable[str], label_set: LabelSet) -> None:
    """Refuse label names that a label set does not have.

    Raises:
        UsageError: there are such names.
    """
    unknown = sorted(set(names) - set(label_set.names))
    known = ", ".join(label_set.names)
    refuse(unknown, "labels csv: unknown labels", f"known: {known}; use --label_set for others")


def split_extension(name: str) -> tuple[str, MediaType | None]:
    """An image name without its extension, and the media type of the extension.

    >>> split_extension("train_3.jpg"), split_extension("v1.2")
    (('train_3', 'jpg'), ('v1.2', None))
    """
    suffix = PurePosixPath(name).suffix
    media_type = EXTENSIONS.get(suffix.lower())
    return (name, None) if media_type is None else (name.removesuffix(suffix), media_type)


def named_twice(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, in order."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def refuse(names: Sequence[str], what: str, advice: str = "") -> None:
    """Raise an error that lists the first few names, if there are any.

    Raises:
        UsageError: there are names.
    """
    if names:
        shown = ", ".join(map(repr, names[:_SHOWN]))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise UsageError(f"{what}: {shown}{more}" + (f" ({advice})" if advice else ""))


def _read_columns(uri: str, column: str) -> Iterator[tuple[str, str]]:
    """Pairs of image_name and another column, both without spaces around them."""
    lines = _read_table(uri)
    if len(lines) < 2:
        raise UsageError(f"{uri} has no rows below its header image_name,{column}")
    header = lines[0][1]
    missing = [name for name in ("image_name", column) if header.count(name) != 1]
    refuse(missing, f"{uri}: not exactly once in the header {','.join(header)!r}, columns")
    yield from _fields(uri, lines[1:], header, column)


def _read_table(uri: str) -> list[tuple[int, list[str]]]:
    """Line numbers and fields of the rows that are not empty."""
    try:
        text = read_bytes(uri).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
        table = [[field.strip() for field in row] for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{uri} is not a csv in UTF-8: {error}") from error
    return [(number, row) for number, row in enumerate(table, 1) if any(row)]


def _fields(
    uri: str, lines: Iterable[tuple[int, list[str]]], header: list[str], column: str
) -> Iterator[tuple[str, str]]:
    name_at, column_at = header.index("image_name"), header.index(column)
    for number, row in lines:
        padded = row + [""] * (len(header) - len(row))
        if len(row) > len(header):
            raise UsageError(
                f"{uri}: row {number} has {len(row)} fields for {len(header)} columns; "
                "separate tags by spaces, not by commas"
            )
        if not padded[name_at]:
            raise UsageError(f"{uri}: row {number} has no image_name")
        yield padded[name_at], padded[column_at]
