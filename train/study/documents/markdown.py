"""A document as Markdown (CommonMark with GitHub's tables), pictures as relative links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from train.study.documents.document import (
    Block,
    Bullets,
    Document,
    Heading,
    Paragraph,
    Picture,
    Table,
    format_cell,
)

# An underscore within a word is no emphasis, and label names are full of them.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~#&]|(?<!\w)_|_(?!\w)")

_LIST_MARK = re.compile(r"^(\d*)([-+=.)])")  # what makes a list or an underline of a line


def render_markdown(document: Document, folder: Path) -> str:
    """The document as Markdown that lies in a folder, from which pictures are linked."""
    blocks = [f"# {escape(document.title)}", *(_block(b, folder) for b in document.blocks)]
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text in which nothing is markup any more, on one line."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))


def _block(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {escape(text)}"
        case Paragraph(text, is_note):
            return f"> {_line(text)}" if is_note else _line(text)
        case Bullets(items):
            return "\n".join(f"- {_line(item)}" for item in items)
        case Table():
            return _table(block)
        case Picture(path, caption):
            link = quote(path.relative_to(folder).as_posix())
            return f"![{escape(caption)}]({link})\n\n*{escape(caption)}*"


def _line(text: str) -> str:
    return _LIST_MARK.sub(r"\1\\\2", escape(text))


def _table(table: Table) -> str:
    lines = [_row([escape(name) for name in table.head])]
    columns = range(len(table.head))
    lines.append(_row(["--:" if table.is_numeric(column) else ":--" for column in columns]))
    for number, row in enumerate(table.rows):
        cells = [escape(format_cell(cell)) for cell in row]
        strong = number in table.strong
        lines.append(_row([f"**{c}**" if strong and c else c for c in cells]))
    caption = f"*{escape(table.caption)}*\n\n" if table.caption else ""
    return caption + "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
