"""Blocks as HTML: a page that needs no other file, asks no server for anything, and whose text
cannot become markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from pipelines.blocks import document as doc

_SHORT = 24
_WHY_LETTERS = 150  # of the reason why there is no picture
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_html(document: doc.Document) -> str:
    """The document as a page, with its pictures inside."""
    body = [f"<h1>{text_html(document.title)}</h1>"]
    body += [_contents(document.blocks)] if document.has_contents else []
    body += [block_html(block, number) for number, block in enumerate(document.blocks)]
    return render_page(document.title, page_style(), "\n".join(["<main>", *body, "</main>"]))


def page_style() -> str:
    """The style of pages, as CSS."""
    return files("pipelines.blocks").joinpath("page.css").read_text(encoding="utf-8")


def render_page(title: str, style: str, body: str, script: str = "", language: str = "en") -> str:
    """A whole page around its body; the browser runs this script and no other.

    Args:
        style: CSS.
        body: HTML.
        script: JavaScript.
        language: of the text, as a code.
    """
    policy, code = _POLICY, ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy, code = f"{_POLICY}; script-src 'sha256-{digest}'", f"<script>{script}</script>\n"
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{text_html(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{body}\n{code}</body>\n</html>\n"
    )


def block_html(block: doc.Block, number: int = 0) -> str:
    """A block as HTML; a heading can be linked to as `#section-NUMBER`."""
    match block:
        case doc.Heading(text, level):
            return f'<h{level} id="section-{number}">{text_html(text)}</h{level}>'
        case doc.Paragraph(text):
            return f"<p>{text_html(text)}</p>"
        case doc.Note(text, items, tone):
            points = _list(items) if items else ""
            return f'<section class="note {tone}"><p>{text_html(text)}</p>{points}</section>'
        case doc.Bullets(items):
            return _list(items)
        case doc.Tiles(numbers):
            pairs = (
                f"<div><dt>{text_html(t)}</dt><dd>{text_html(doc.cell_text(n))}</dd></div>"
                for t, n in numbers
            )
            return f"<dl>{''.join(pairs)}</dl>"
        case doc.TableBlock():
            return _table(block)
        case doc.Picture():
            return _figure(_image(block), block.caption)
        case doc.Svg():
            return _figure(_drawing(block), block.caption)
        case doc.Grid(blocks):
            kind = blocks[0].kind if blocks and isinstance(blocks[0], doc.Svg) else "pictures"
            return f'<div class="grid {kind}">{"".join(map(block_html, blocks))}</div>'


def text_html(text: doc.Text) -> str:
    """A text as HTML, escaped."""
    return "".join(map(_part, doc.parts_of(text)))


def _part(part: str | doc.Code | doc.Strong) -> str:
    match part:
        case doc.Code(text):
            return f"<code>{_part(text)}</code>"
        case doc.Strong(text):
            return f"<strong>{_part(text)}</strong>"
        case _:
            return escape(doc.visible(part))


def _contents(blocks: Sequence[doc.Block]) -> str:
    links = [
        f'<li><a href="#section-{number}">{text_html(block.text)}</a></li>'
        for number, block in enumerate(blocks)
        if isinstance(block, doc.Heading) and block.level == 2
    ]
    return f"<nav><ol>{''.join(links)}</ol></nav>"


def _list(items: Sequence[doc.Text]) -> str:
    return f"<ul>{''.join(f'<li>{text_html(item)}</li>' for item in items)}</ul>"


def _table(table: doc.TableBlock) -> str:
    classes = [_column_class(table, column) for column in range(len(table.head))]
    names = zip(table.head, classes, strict=True)
    head = "".join(f'<th scope="col"{_class(kind)}>{text_html(name)}</th>' for name, kind in names)
    rows = [
        f"<tr{_class('strong' if number in table.strong else '')}>{_cells(row, classes)}</tr>"
        for number, row in enumerate(table.rows)
    ]
    caption = f"<caption>{text_html(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="table"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _column_class(table: doc.TableBlock, column: int) -> str:
    """Numbers and short texts, such as names and intervals, are not broken into lines."""
    if table.is_numeric(column):
        return "number"
    longest = max(
        (len(doc.plain_text(doc.cell_text(row[column]))) for row in table.rows), default=0
    )
    return "short" if longest <= _SHORT else ""


def _cells(row: Sequence[doc.Cell], classes: Sequence[str]) -> str:
    pairs = zip(row, classes, strict=True)
    return "".join(f"<td{_class(kind)}>{_cell(cell)}</td>" for cell, kind in pairs)


def _cell(cell: doc.Cell) -> str:
    return _drawing(cell) if isinstance(cell, doc.Svg) else text_html(doc.cell_text(cell))


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _figure(content: str, caption: doc.Text) -> str:
    return f"<figure>{content}<figcaption>{text_html(caption)}</figcaption></figure>"


def _drawing(svg: doc.Svg) -> str:
    return (
        f'<svg class="{svg.kind}" viewBox="0 0 {svg.width:g} {svg.height:g}" role="img" '
        f'aria-label="{text_html(svg.text)}">{svg.markup}</svg>'
    )


def _image(picture: doc.Picture) -> str:
    match picture.source:
        case None:
            why = text_html(picture.text[:_WHY_LETTERS])
            return f'<div class="missing">no picture: {why}</div>'
        case Path() as path:
            kind, content = "png", path.read_bytes()
        case bytes() as content:
            kind = "jpeg"
    data = base64.b64encode(content).decode("ascii")
    text = text_html(picture.text or doc.plain_text(picture.caption))
    return f'<img src="data:image/{kind};base64,{data}" alt="{text}">'
