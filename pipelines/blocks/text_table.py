"""Tables as aligned text, for a console."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pipelines.blocks.document import TableBlock, cell_text, plain_text, visible


def render_table(table: TableBlock) -> str:
    """A table as lines of text, without its caption."""
    rows = [[plain_text(cell_text(cell)) for cell in row] for row in table.rows]
    return align(table.head, rows, [table.is_numeric(n) for n in range(len(table.head))])


def align(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Columns of text, one line per row; characters that do not print are escaped.

    Args:
        right: for each column, whether it is aligned to the right.
    """
    cells = [[visible(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    names, *lines = [_line(row, widths, right) for row in cells]
    return "\n".join([names, "-+-".join("-" * width for width in widths), *lines])


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        " " * (width - _width(cell)) + cell if to_right else cell + " " * (width - _width(cell))
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    )
    return " | ".join(padded).rstrip()


def _width(text: str) -> int:
    """Columns that a text takes up on a screen: two for a wide letter, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
