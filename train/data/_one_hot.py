"""A labels csv with a column of 0 and 1 for each label."""

from __future__ import annotations

from collections.abc import Mapping

from train.data._csv_table import NAME_COLUMN, CsvTable

TAGS_COLUMN, SCENE_COLUMN, SPLIT_COLUMN = "tags", "scene_id", "split"
_NO_LABELS = (NAME_COLUMN, SCENE_COLUMN, SPLIT_COLUMN, "")

_IS_HELD: Mapping[str, bool] = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
    **dict.fromkeys(("0", "0.0", "false", "no"), False),
}


def read_one_hot(table: CsvTable) -> tuple[list[str], list[frozenset[str]]]:
    """The image names, and the labels of each: those of its columns that are 1, true or yes.

    Raises:
        UsageError: there is no such column, or one has another value than these and 0, false, no.
    """
    columns = {name: at for at, name in enumerate(table.columns) if name not in _NO_LABELS}
    if NAME_COLUMN not in table.columns or not columns:
        table.require(TAGS_COLUMN)
    table.require(*columns)
    for number, row in table.rows:
        for name, at in columns.items():
            if row[at].lower() not in _IS_HELD:
                hint = f"row {number} has {row[at]!r} in the column {name}"
                hint = f" (without tags, each label needs a column of 0 and 1: {hint})"
                table.require(TAGS_COLUMN, hint=hint)
    names = [row[table.columns.index(NAME_COLUMN)] for _, row in table.rows]
    held = [
        frozenset(name for name, at in columns.items() if _IS_HELD[row[at].lower()])
        for _, row in table.rows
    ]
    return names, held
