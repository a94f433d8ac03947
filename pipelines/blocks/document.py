"""The blocks of a report: headings, text, lists, tables and pictures, as plain values.

A document is built once and rendered as a web page (`html`), as Markdown (`markdown`) or, for a
table alone, as aligned text (`text_table`), so that all of them say the same. Text is plain text:
the renderers escape it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

NOTHING = "-"
"""How a value that is not defined is written."""


@dataclass(frozen=True)
class Code:
    """Text that a reader may copy: a name, an address, a command."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Text in bold."""

    text: str


Text = str | Code | Strong | Sequence[str | Code | Strong]
"""Text on one line, or its parts one after the other."""


@dataclass(frozen=True)
class Svg:
    """A drawing, as a block, in a grid or in a table cell.

    Attributes:
        markup: the elements inside `<svg>`; the only markup that is not escaped, so it must be
            built only from numbers and this project's own words.
        width: of the drawing's coordinates; also `height`.
        text: what it shows, for readers who cannot see it.
        kind: class in the stylesheet.
        caption: text below it.
    """

    markup: str
    width: float
    height: float
    text: str
    kind: str
    caption: Text = ""


Cell = Text | int | float | Svg | None
"""A table cell; None is a value that is not defined."""


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the document's title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: Text


@dataclass(frozen=True)
class Note:
    """A paragraph in a box, for what a reader must not miss, and points below it."""

    text: Text
    items: Sequence[Text] = ()
    tone: Literal["warning", "good", "bad", "neutral"] = "warning"


@dataclass(frozen=True)
class Bullets:
    """A list of short points."""

    items: Sequence[Text]


@dataclass(frozen=True)
class Tiles:
    """A few numbers by name, in large letters; one may be written as text, such as "12 %"."""

    numbers: Sequence[tuple[str, int | str]]


@dataclass(frozen=True)
class TableBlock:
    """A table. Columns of numbers are aligned to the right.

    Attributes:
        head: names of the columns.
        rows: cells, as many in each row as there are columns.
        caption: what it shows.
        strong: indices of the highlighted rows (means, the best).
        numbers: indices of columns of numbers that are written as text, such as "12.5%".

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    strong: Collection[int] = frozenset()
    numbers: Collection[int] = frozenset()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"{len(row)} cells for {len(self.head)} columns: {row}")

    def is_numeric(self, column: int) -> bool:
        """Whether a column holds numbers and nothing else."""
        if column in self.numbers:
            return True
        known = [row[column] for row in self.rows if row[column] is not None]
        return bool(known) and all(isinstance(cell, int | float) for cell in known)


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        source: a png file, or the bytes of a JPEG; None if there is no picture.
        caption: what it shows and how to read it.
        text: what it shows, for readers who cannot see it; the caption by default. Without a
            source: why there is no picture.
    """

    source: Path | bytes | None
    caption: Text
    text: str = ""


@dataclass(frozen=True)
class Grid:
    """Small pictures or drawings side by side."""

    blocks: Sequence[Picture | Svg]


Block = Heading | Paragraph | Note | Bullets | Tiles | TableBlock | Picture | Svg | Grid


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        has_contents: whether a web page begins with links to the headings.
    """

    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    has_contents: bool = True


def parts_of(text: Text) -> Sequence[str | Code | Strong]:
    """The parts of a text."""
    return [text] if isinstance(text, str | Code | Strong) else text


def plain_text(text: Text) -> str:
    """A text without its marks, on one line: characters that do not print are escaped."""
    return "".join(visible(part if isinstance(part, str) else part.text) for part in parts_of(text))


def visible(text: str) -> str:
    """Text in which characters that do not print, or change the reading direction, are escaped.

    >>> visible("a\\nb")
    'a\\\\nb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def cell_text(cell: Cell) -> Text:
    """A cell as text: three decimals, thousands separated, a dash if it is not defined.

    >>> cell_text(0.57), cell_text(14749533), cell_text(None), cell_text("haze")
    ('0.570', '14,749,533', '-', 'haze')
    """
    match cell:
        case None:
            return NOTHING
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:.3f}"
        case Svg():
            return cell.text
        case _:
            return cell
