"""Blocks as Markdown (CommonMark with GitHub's tables), pictures as relative links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from pipelines.blocks import document as doc

# An underscore within a word is not emphasis, and label names are full of them.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~#&]|(?<!\w)_|_(?!\w)")

_OPEN_BAR = re.compile(r"(?<!\\)\|")  # within code, where nothing else is escaped

_LIST_MARK = re.compile(r"^(\d*)([-+=.)])")  # what would turn a line into a list or a heading


def render_markdown(document: doc.Document, folder: Path = Path()) -> str:
    """The document as Markdown for a file in a folder, from which pictures are linked."""
    blocks = [f"# {escape(document.title)}", *(block_markdown(b, folder) for b in document.blocks)]
    return "\n\n".join(blocks) + "\n"


def escape(text: doc.Text) -> str:
    """A text on one line, in which nothing but its own marks is markup."""
    return "".join(map(_part, doc.parts_of(text))).strip()


def block_markdown(block: doc.Block, folder: Path = Path()) -> str:
    """A block as Markdown."""
    match block:
        case doc.Heading(text, level):
            return f"{'#' * level} {escape(text)}"
        case doc.Paragraph(text):
            return _line(text)
        case doc.Note(text, items):
            return "\n".join(f"> {line}" for line in [_line(text), *_points(items)])
        case doc.Bullets(items):
            return "\n".join(_points(items))
        case doc.Tiles(numbers):
            named = ((name, doc.plain_text(doc.cell_text(n))) for name, n in numbers)
            return "\n".join(_points(f"{name}: {number}" for name, number in named))
        case doc.TableBlock():
            return _table(block)
        case doc.Picture(Path() as path, caption):
            link = quote(path.relative_to(folder).as_posix())
            return f"![{escape(caption)}]({link})\n\n*{escape(caption)}*"
        case doc.Picture(_, caption) | doc.Svg(caption=caption):
            return _line(caption)
        case doc.Grid(blocks):
            return "\n\n".join(block_markdown(each, folder) for each in blocks)


def _points(items: Iterable[doc.Text]) -> list[str]:
    return [f"- {_line(item)}" for item in items]


def _line(text: doc.Text) -> str:
    return _LIST_MARK.sub(r"\1\\\2", escape(text))


def _part(part: str | doc.Code | doc.Strong) -> str:
    match part:
        case doc.Code(text):
            return _code(doc.visible(text))
        case doc.Strong(text):
            return f"**{_escape(text)}**"
        case _:
            return _escape(part)


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", doc.visible(re.sub(r"\s+", " ", text)))


def _code(text: str) -> str:
    """Text between backticks: one more than the longest run of backticks in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, pad = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _table(table: doc.TableBlock) -> str:
    lines = [_row([escape(name) for name in table.head])]
    columns = range(len(table.head))
    lines.append(_row(["--:" if table.is_numeric(column) else ":--" for column in columns]))
    for number, row in enumerate(table.rows):
        cells = [_OPEN_BAR.sub(r"\|", escape(doc.cell_text(cell))) for cell in row]
        strong = number in table.strong
        lines.append(_row([f"**{c}**" if strong and c else c for c in cells]))
    caption = f"*{escape(table.caption)}*\n\n" if table.caption else ""
    return caption + "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
