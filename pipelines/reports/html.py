"""The HTML of a report: a page that asks no server for anything, and text that stays text.

Whatever comes from outside (addresses, messages, labels, options) is escaped, and characters that
do not show, or turn the direction of reading, are written out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from importlib.resources import files

Cell = str | int | None
NOTHING = "-"
"""How a value that is not known is shown."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def whole_page(title: str, body: str) -> str:
    """A page around its body, with the stylesheet inside; both are HTML."""
    style = files("pipelines.reports").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def shown(text: object) -> str:
    """Text from outside, escaped for HTML; characters that do not show are written out.

    >>> shown("a<b\\n")
    'a&lt;b\\\\n'
    """
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text)))


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], numbers: Collection[int]) -> str:
    """A table; cells are HTML or whole numbers, None is a dash.

    Args:
        numbers: columns that are set flush right.
    """
    classes = [' class="number"' if column in numbers else "" for column in range(len(head))]
    names = zip(head, classes, strict=True)
    top = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in names)
    body = "".join(f"<tr>{_cells(row, classes)}</tr>" for row in rows)
    whole = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="table">{whole}</div>'


def _cells(row: Sequence[Cell], classes: Sequence[str]) -> str:
    pairs = zip(row, classes, strict=True)
    return "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in pairs)


def _cell(cell: Cell) -> str:
    match cell:
        case None:
            return NOTHING
        case int():
            return f"{cell:,}"
        case str():
            return cell
