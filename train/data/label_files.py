"""Reading the labels csv and the split csv.

The form is Kaggle's, `image_name,tags` and `image_name,split`, or a column of 0 and 1 for each
label. Windows line ends, a byte order mark, semicolons or tabs between columns, spaces around
fields, names with or without their extension and further columns are all accepted. What would train
a wrong model is refused; the message has the names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pipelines.errors import UsageError
from schemas.artifact import EXTENSIONS, MediaType
from schemas.labels import LabelSet
from train.data._csv_table import read_csv_table
from train.data._one_hot import SCENE_COLUMN, SPLIT_COLUMN, TAGS_COLUMN, read_one_hot
from train.data._tags import SEPARATORS, split_tags
from train.data.label_sets import check_known

Part = Literal["train", "validation", "test"]

PARTS: tuple[Part, ...] = ("train", "validation", "test")

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


def read_labels(
    uri: str, flag: str = "--labels", known: Collection[str] = ()
) -> tuple[list[LabelRow], str]:
    """Read a labels csv: `image_name,tags`, or image_name and a column of 0 and 1 for each label.

    Args:
        flag: the flag that names the file, for messages.
        known: names that are certainly labels; see `train.data._tags.split_tags`.

    Returns:
        The rows, and how they were read, for people.

    Raises:
        UsageError: it has other columns, no rows, no tag in any row, or tags that are unclear.
        StorageError: it cannot be read.
    """
    table = read_csv_table(flag, uri)
    if TAGS_COLUMN in table.columns:
        cells = table.column(TAGS_COLUMN)
        tags, separator = split_tags(table.source, [(n, text) for n, _, text in cells], known)
        names, form = [name for _, name, _ in cells], f"tags separated by {SEPARATORS[separator]}"
    else:
        names, tags = read_one_hot(table)
        form = "one column for each label"
    if not any(tags):
        raise UsageError(f"{table.source}: no row has any tag")
    rows = [LabelRow(*split_extension(n), held) for n, held in zip(names, tags, strict=True)]
    return rows, form


def read_split(uri: str) -> dict[str, Part]:
    """Read a split csv, `image_name,split`: the part of each image name (without extension).

    Raises:
        UsageError: a column is missing, there are no rows, a name is in two parts, or a part is
            not train, val (or validation) or test.
        StorageError: it cannot be read.
    """
    table = read_csv_table("--split", uri)
    found = [(name, part) for _, name, part in table.column(SPLIT_COLUMN)]
    unknown = sorted({part for _, part in found if part.lower() not in _PART_NAMES})
    refuse(unknown, f"{table.source}: parts other than {', '.join(_PART_NAMES)}")
    pairs = {(split_extension(name)[0], _PART_NAMES[part.lower()]) for name, part in found}
    refuse(named_twice(name for name, _ in pairs), f"{table.source}: names in two parts")
    return dict(pairs)


def read_scenes(labels: str | None, groups: str | None = None) -> dict[str, str]:
    """Read the column scene_id of a csv: the scene that each image was cut from.

    Names without one are left out. A jpg and a tif of the same name are of the same scene.

    Args:
        labels: the labels csv, which may lack the column.
        groups: a csv that is read instead and must have it.

    Raises:
        UsageError: a required column is missing, there are no rows, or a name has two scenes.
        StorageError: it cannot be read.
    """
    if groups is None and (labels is None or Path(labels).is_dir()):  # one folder per class
        return {}
    table = read_csv_table(
        *(("--labels", labels or "") if groups is None else ("--groups", groups))
    )
    if groups is None and SCENE_COLUMN not in table.columns:
        return {}
    found = [(split_extension(name)[0], scene) for _, name, scene in table.column(SCENE_COLUMN)]
    pairs = {(name, scene) for name, scene in found if scene}
    refuse(named_twice(name for name, _ in pairs), f"{table.source}: names in two scenes")
    return dict(pairs)


def rows_of_media_type(rows: Iterable[LabelRow], media_type: MediaType) -> dict[str, LabelRow]:
    """The rows of one media type, and those without an extension, by name.

    Raises:
        UsageError: a name occurs twice.
    """
    fitting = [row for row in rows if row.media_type in (None, media_type)]
    refuse(named_twice(row.name for row in fitting), "labels csv: image names that occur twice")
    return {row.name: row for row in fitting}


def check_rows(
    rows: Iterable[LabelRow],
    label_set: LabelSet,
    source: str = "labels csv",
    advice: str = "use --label_set for others",
) -> None:
    """Check rows against a label set.

    Args:
        source: where the rows are from, for messages.
        advice: what to do about labels that the set lacks.

    Raises:
        UsageError: there are unknown labels, or rows with two sky labels.
    """
    rows = list(rows)
    check_known(set().union(*(row.tags for row in rows)), label_set, source, advice)
    sky = set(label_set.sky)
    two_skies = [f"{row.name} ({' '.join(sorted(row.tags & sky))})" for row in rows]
    doubtful = [text for row, text in zip(rows, two_skies, strict=True) if len(row.tags & sky) > 1]
    refuse(doubtful, f"{source}: rows with two sky labels, which exclude each other")


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
