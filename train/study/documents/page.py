"""A document as one web page that needs no other file and asks no server for anything."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files

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

_SHORT = 24


def render_html(document: Document) -> str:
    """The document as a page, with its contents listed and its pictures inside."""
    body = [f"<h1>{escape(document.title)}</h1>", _contents(document.blocks)]
    body += [render_block(block, number) for number, block in enumerate(document.blocks)]
    return render_page(document.title, "report.css", "\n".join(body))


def render_page(title: str, stylesheet: str, body: str, script: str = "") -> str:
    """A whole page with a stylesheet (and a script) of this package inside."""
    code = f"<script>\n{_resource(script)}</script>\n" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_resource(stylesheet)}</style>\n</head>\n"
        f"<body>\n{body}\n{code}</body>\n</html>\n"
    )


def render_block(block: Block, number: int = 0) -> str:
    """A block as HTML; a heading of level 2 can be linked to as `#section-NUMBER`."""
    match block:
        case Heading(text, level):
            return f'<h{level} id="section-{number}">{escape(text)}</h{level}>'
        case Paragraph(text, is_note):
            return f"<p{_class('note' if is_note else '')}>{escape(text)}</p>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Table():
            return _table(block)
        case Picture():
            return _picture(block)


def _contents(blocks: Sequence[Block]) -> str:
    links = [
        f'<li><a href="#section-{number}">{escape(block.text)}</a></li>'
        for number, block in enumerate(blocks)
        if isinstance(block, Heading) and block.level == 2
    ]
    return f"<nav><ol>{''.join(links)}</ol></nav>"


def _table(table: Table) -> str:
    classes = [_column_class(table, column) for column in range(len(table.head))]
    head = _cells("th", table.head, classes)
    rows = [
        f"<tr{_class('strong' if number in table.strong else '')}>"
        f"{_cells('td', [format_cell(cell) for cell in row], classes)}</tr>"
        for number, row in enumerate(table.rows)
    ]
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="table"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _column_class(table: Table, column: int) -> str:
    """Numbers and short texts, such as names and intervals, are not broken into lines."""
    if table.is_numeric(column):
        return "number"
    longest = max((len(format_cell(row[column])) for row in table.rows), default=0)
    return "short" if longest <= _SHORT else ""


def _cells(tag: str, texts: Sequence[str], classes: Sequence[str]) -> str:
    pairs = zip(texts, classes, strict=True)
    return "".join(f"<{tag}{_class(name)}>{escape(text)}</{tag}>" for text, name in pairs)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _resource(name: str) -> str:
    return files("train.study.documents").joinpath(name).read_text(encoding="utf-8")
