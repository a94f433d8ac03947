"""Label sets: the labels that a chip may have, their order, and which exclude each other."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_COLUMN_LETTERS = re.compile(r"[^0-9A-Za-z_]+")
_MAX_COLUMN_LETTERS = 200  # BigQuery allows 300 for a whole column name


class LabelSetError(ValueError):
    """A label set contradicts itself; the message names the labels."""


@dataclass(frozen=True)
class LabelSet:
    """Ordered label names; the sky labels among them exclude each other.

    Attributes:
        names: every label, in the order of the model's outputs.
        sky: the labels of the sky (atmosphere), of which a chip has exactly one; empty if there are
            no such labels.

    Raises:
        LabelSetError: no labels; a name that is duplicated, blank or not Unicode; a sky label that
            is not a label; a single sky label; two names that would share a column name.
    """

    names: tuple[str, ...]
    sky: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise LabelSetError("a label set needs at least one label")
        _refuse(blank_names(self.names), "blank or padded label names")
        no_text = [n for n in self.names if n != n.encode(errors="ignore").decode()]
        _refuse(no_text, "label names that are not Unicode text")
        _refuse(_twice(self.names), "labels named twice")
        _refuse(_twice(self.sky), "sky labels named twice")
        _refuse(sorted(set(self.sky) - set(self.names)), "sky labels that are not labels")
        if len(self.sky) == 1:
            raise LabelSetError(f"a sky group needs two labels or more, not only {self.sky[0]!r}")
        _refuse(self._sharing_a_column(), "labels that would share a column name")

    def _sharing_a_column(self) -> list[str]:
        columns = [column.lower() for column in self.score_columns]
        count = Counter(columns)
        return [n for n, column in zip(self.names, columns, strict=True) if count[column] > 1]

    @property
    def score_columns(self) -> tuple[str, ...]:
        """The tables' column name of each label's score, in label order."""
        return tuple(score_column(name) for name in self.names)

    @property
    def sky_indices(self) -> tuple[int, ...]:
        """Positions of the sky labels in `names`."""
        return tuple(self.names.index(name) for name in self.sky)

    def to_dict(self) -> dict[str, list[str]]:
        """Plain data for JSON; `from_dict` is its inverse."""
        return {"labels": list(self.names), "sky": list(self.sky)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelSet:
        """Read what `to_dict` wrote.

        Raises:
            LabelSetError: keys or types other than {"labels": [str], "sky": [str]}.
        """
        unknown = sorted(set(data) - {"labels", "sky"})
        _refuse(unknown, "unknown keys in a label set (known: labels, sky)")
        return cls(_names(data, "labels"), _names(data, "sky", default=()))

    @classmethod
    def from_json(cls, text: str | bytes) -> LabelSet:
        """Read a label-set file: `{"labels": [...], "sky": [...]}`."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise LabelSetError(f"a label set must be JSON: {error}") from error
        if not isinstance(data, dict):
            raise LabelSetError('a label set must be an object {"labels": [...], "sky": [...]}')
        return cls.from_dict(data)


def score_column(label: str) -> str:
    """Name of the column of a label's score: letters, digits and underscores only.

    >>> score_column("mobile-home")
    'score_mobile_home'
    """
    return "score_" + _COLUMN_LETTERS.sub("_", label)[:_MAX_COLUMN_LETTERS]


def blank_names(names: Iterable[str]) -> list[str]:
    """The names that are empty or have white space around them."""
    return [name for name in names if not name or name != name.strip()]


def _names(
    data: Mapping[str, Any], key: str, default: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    value = data.get(key, default)
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise LabelSetError(f"{key!r} in a label set must be a list of names, not {value!r}")
    return tuple(value)


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _refuse(names: list[str], what: str) -> None:
    if names:
        raise LabelSetError(f"{what}: {', '.join(map(repr, names))}")


_PLANET_SKY = ("clear", "partly_cloudy", "cloudy", "haze")
PLANET_LABELS = LabelSet(
    names=(
        *_PLANET_SKY,
        *("primary", "agriculture", "road", "water", "cultivation", "habitation", "bare_ground"),
        *("selective_logging", "artisinal_mine"),  # spelled as in the data
        *("blooming", "slash_burn", "conventional_mine", "blow_down"),
    ),
    sky=_PLANET_SKY,
)
"""The 17 labels of Kaggle's "Planet: Understanding the Amazon from Space" (2017)."""
