"""Documents as web page and as Markdown: both say all of it, and text never becomes markup."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.study.documents.document import (
    Bullets,
    Document,
    Heading,
    Paragraph,
    Picture,
    Table,
    format_cell,
)
from train.study.documents.markdown import escape, render_markdown
from train.study.documents.page import render_block, render_html
from train.study.documents.slides import Slide, render_slides

HOSTILE = "<script>alert('x')</script> | [a](http://b) *c* `d` \\ \" & ![e](f)"
PNG = b"\x89PNG\r\n\x1a\n not looked into"


class Reader(HTMLParser):
    """Texts, tags and every address in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.texts.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture
def document(tmp_path) -> Document:
    (tmp_path / "a b.png").write_bytes(PNG)
    return Document(
        HOSTILE,
        [
            Heading(HOSTILE),
            Paragraph(HOSTILE, is_note=True),
            Bullets([HOSTILE, "second"]),
            Table(["label", HOSTILE], [[HOSTILE, 0.5], ["road", None]], HOSTILE),
            Picture(tmp_path / "a b.png", HOSTILE),
        ],
    )


def test_hostile_text_stands_in_the_page_as_text(document):
    found = read(render_html(document))
    assert found.texts.count(HOSTILE) == 10  # title twice, contents, heading ... caption
    assert "script" not in found.tags


def test_a_page_holds_its_pictures_and_asks_for_nothing_else(document):
    page = render_html(document)
    pictures = [a for a in read(page).addresses if not a.startswith("#")]
    assert pictures == [f"data:image/png;base64,{base64.b64encode(PNG).decode()}"]
    assert not re.search(r"@import|url\(", page)


def test_the_contents_lead_to_the_headings(document):
    page = render_html(document)
    links = [a.removeprefix("#") for a in read(page).addresses if a.startswith("#")]
    assert links
    assert all(f'id="{link}"' in page for link in links)


@given(st.text(max_size=60))
def test_any_text_comes_back_from_a_page_as_it_was(text):
    clean = text.replace("\r", "").replace("\x00", "")
    assert "".join(read(render_block(Paragraph(clean))).texts) == clean


def test_hostile_text_is_no_markup_in_markdown(document, tmp_path):
    text = render_markdown(document, tmp_path)
    assert not re.search(r"(?<!\\)<script", text)
    assert text.count("(a%20b.png)") == 1
    assert "[a](http://b)" not in text.replace("\\[", "")


@given(st.lists(st.text(max_size=20), min_size=3, max_size=3))
def test_a_markdown_table_keeps_its_columns_whatever_stands_in_them(cells):
    lines = render_markdown(Document("t", [Table(["a", "b", "c"], [cells])]), Path("/")).split("\n")
    row = [line for line in lines if line.startswith("|")][2]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 4


@given(st.text(max_size=60))
def test_markdown_without_its_backslashes_is_the_text_itself(text):
    assert re.sub(r"\\(.)", r"\1", escape(text)) == " ".join(text.split())


@pytest.mark.parametrize("text", ["1. first", "- a", "+ b", "=== c", "12) d", "# e", "> f"])
def test_no_line_becomes_a_list_or_a_heading_by_its_first_letters(text, tmp_path):
    lines = render_markdown(Document("t", [Paragraph(text)]), tmp_path).splitlines()
    assert re.match(r"\d*\\", lines[2])


def test_label_names_stay_readable_in_markdown():
    assert escape("partly_cloudy and slash_burn, not _this_") == (
        "partly_cloudy and slash_burn, not \\_this\\_"
    )


def test_cells_are_written_alike_everywhere(tmp_path):
    table = Table(["n", "f1"], [[14_749_533, 0.5771], [3, None]])
    assert [format_cell(cell) for cell in table.rows[0]] == ["14,749,533", "0.577"]
    assert '<td class="number">14,749,533</td>' in render_block(table)
    assert "| 3 | - |" in render_markdown(Document("t", [table]), tmp_path)


def test_a_row_with_a_cell_too_few_is_refused():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table(["a", "b"], [["x"]])


def test_each_slide_is_a_page_of_its_own_with_its_number():
    page = render_slides([Slide("One", [Bullets([HOSTILE])]), Slide("Two", [Paragraph("p")])])
    assert page.count('<section class="slide">') == 2
    assert "2 / 2" in page
    assert HOSTILE in read(page).texts
    assert not [a for a in read(page).addresses if not a.startswith("data:")]
