"""What describes a table: its columns, and how it is partitioned, published and maintained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from schemas.labels import LabelSet, score_column

ColumnType = Literal[
    "string",
    "bool",
    "int64",
    "float32",
    "float64",
    "date",
    "timestamp",
    "list<string>",
    "wkb",
    "bbox",
]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: letters, digits and underscores.
        type: one of `ColumnType`; timestamps are UTC in microseconds, `wkb` is a geometry as
            well-known binary, `bbox` a struct of float64: xmin, ymin, xmax, ymax.
        description: what the values mean, for a reader who does not know the project.
        unit: the unit of a number ("" if it has none).
        required: whether every row must have a value.
        label: the label that a score column belongs to ("" for every other column).
    """

    name: str
    type: ColumnType
    description: str
    unit: str = ""
    required: bool = False
    label: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: the Delta table's folder below OUTPUT.
        description: what a row is, for a reader who does not know the project.
        version: grows when columns change.
        columns: in order; the partition columns are the last ones.
        partition_by: names of the partition columns.
        scores_after: the column after which `for_labels` inserts a score column for each label;
            "" if the columns do not depend on the label set.
        commit_order: its place in the order in which a run is committed; 0: not part of a run.
        external_name: the external table in BigQuery; "" if there is none.
        compacted: whether `maintain` compacts it, deletes its dead files and shortens its log.
        expires: whether `maintain --keep_days` removes old rows.
    """

    name: str
    description: str
    version: int
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()
    scores_after: str = ""
    commit_order: int = 0
    external_name: str = ""
    compacted: bool = True
    expires: bool = False

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, partition columns included."""
        return tuple(column.name for column in self.columns)

    @property
    def file_columns(self) -> tuple[Column, ...]:
        """The columns in the files; the partition values are in the folder names."""
        return tuple(c for c in self.columns if c.name not in self.partition_by)

    def for_labels(self, label_set: LabelSet) -> Table:
        """The table with the score columns of a label set, if it has any."""
        if not self.scores_after:
            return self
        at = self.column_names.index(self.scores_after) + 1
        columns = (*self.columns[:at], *_score_columns(label_set), *self.columns[at:])
        return replace(self, columns=columns, scores_after="")


def _score_columns(label_set: LabelSet) -> Iterable[Column]:
    for name in label_set.names:
        yield Column(
            score_column(name),
            "float32",
            f"Score of the label {name!r}: the model's probability that it applies; null if the "
            "model does not have this label.",
            "probability in [0, 1]",
            label=name,
        )
