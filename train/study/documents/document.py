"""What a report is made of: headings, paragraphs, lists, tables and pictures, as plain values.

A document is written once and rendered twice, as a web page (`page`) and as Markdown
(`markdown`), so that both say the same. Text is plain text: the renderers escape it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Cell = str | int | float | None
"""A table cell; None is a value that is not defined."""

NOTHING = "-"
"""How a value that is not defined is written."""


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the document's own."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; a note is set apart, for what a reader must not miss."""

    text: str
    is_note: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of short points."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table; columns of numbers are set flush right.

    Attributes:
        head: names of the columns.
        rows: cells, as many in each row as there are columns.
        caption: what it shows.
        strong: numbers of the rows that stand out (means, the best).

    Raises:
        ValueError: a row with more or fewer cells than there are columns.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    strong: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"{len(row)} cells for {len(self.head)} columns: {row}")

    def is_numeric(self, column: int) -> bool:
        """Whether a column holds numbers and nothing else."""
        cells = [row[column] for row in self.rows]
        known = [cell for cell in cells if cell is not None]
        return bool(known) and not any(isinstance(cell, str) for cell in known)


@dataclass(frozen=True)
class Picture:
    """A picture in a png file.

    Attributes:
        path: the file.
        caption: what it shows and how to read it; also its text for who cannot see it.
    """

    path: Path
    caption: str


Block = Heading | Paragraph | Bullets | Table | Picture


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    blocks: Sequence[Block]


def format_cell(cell: Cell) -> str:
    """A cell as text: three decimals, thousands apart, a dash for what is not defined.

    >>> format_cell(0.57), format_cell(14749533), format_cell(None), format_cell("haze")
    ('0.570', '14,749,533', '-', 'haze')
    """
    match cell:
        case None:
            return NOTHING
        case str():
            return cell
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:.3f}"
