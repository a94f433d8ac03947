"""Documents as web page and as Markdown: both are complete, and text never becomes markup."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.blocks.document import (
    Bullets,
    Code,
    Document,
    Grid,
    Heading,
    Note,
    Paragraph,
    Picture,
    Strong,
    Svg,
    TableBlock,
    Tiles,
    cell_text,
    visible,
)
from pipelines.blocks.html import block_html, render_html, render_page
from pipelines.blocks.markdown import escape, render_markdown
from pipelines.blocks.text_table import render_table
from tests.support.pages import HOSTILE, read

PNG = b"\x89PNG\r\n\x1a\n not looked into"


@pytest.fixture
def document(tmp_path) -> Document:
    (tmp_path / "a b.png").write_bytes(PNG)
    return Document(
        HOSTILE,
        [
            Heading(HOSTILE),
            Note(HOSTILE),
            Bullets([HOSTILE, "second"]),
            TableBlock(["label", HOSTILE], [[HOSTILE, 0.5], ["road", None]], HOSTILE),
            Picture(tmp_path / "a b.png", HOSTILE),
        ],
    )


def test_hostile_text_is_shown_in_the_page_as_text(document):
    found = read(render_html(document))
    assert found.texts.count(HOSTILE) == 10  # title twice, contents, heading ... caption
    assert "script" not in found.tags


def test_a_page_contains_its_pictures_and_requests_nothing(document):
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
def test_any_text_is_read_back_from_a_page_unchanged(text):
    assert "".join(read(block_html(Paragraph([text, Code(text)]))).texts) == 2 * visible(text)


def test_text_that_does_not_print_is_escaped():
    assert visible("a\ud800\x00\tb\u202e") == r"a\ud800\x00\tb\u202e"
    assert visible("Größe 森") == "Größe 森"


def test_a_drawing_is_described_for_those_who_cannot_see_it():
    drawing = Svg("<rect/>", 10, 5.5, HOSTILE, "share", HOSTILE)
    page = block_html(Grid([drawing, Picture(None, "", HOSTILE)]))
    assert '<svg class="share" viewBox="0 0 10 5.5" role="img" aria-label="&lt;script' in page
    assert "script" not in read(page).tags
    assert "no picture: &lt;script" in page
    assert "\n- | <script" in render_table(TableBlock(["a", "b"], [[None, drawing]]))


def test_a_note_has_its_tone_and_its_points_in_both_forms(tmp_path):
    note = Note([Strong("Bad"), ", held: ", Code("a `b`")], ["p", HOSTILE], "bad")
    assert '<section class="note bad"><p><strong>Bad</strong>, held: <code>' in block_html(note)
    lines = render_markdown(Document("t", [note, Tiles([("chips", 1200)])]), tmp_path).splitlines()
    assert lines[2:4] == ["> **Bad**, held: `` a `b` ``", "> - p"]
    assert lines[-1] == "- chips: 1,200"


def test_a_page_runs_only_the_script_that_it_was_made_with():
    page = render_page("t", "", "<p>b</p>", "let a = 1;")
    assert "script-src 'sha256-" in page
    assert "<script>let a = 1;</script>" in page
    assert "script" not in render_page("t", "", "<p>b</p>")


def test_columns_of_a_text_table_are_aligned_by_their_content():
    table = TableBlock(["label", "n", "f1"], [["森", 1200, 0.5], ["a\nb", 3, None]])
    assert render_table(table).splitlines() == [
        "label |     n |    f1",
        "------+-------+------",
        "森    | 1,200 | 0.500",
        "a\\nb  |     3 |     -",
    ]


def test_hostile_text_is_not_markup_in_markdown(document, tmp_path):
    text = render_markdown(document, tmp_path)
    assert not re.search(r"(?<!\\)<script", text)
    assert text.count("(a%20b.png)") == 1
    assert "[a](http://b)" not in text.replace("\\[", "")


@given(st.lists(st.text(max_size=20), min_size=3, max_size=3))
def test_a_markdown_table_keeps_its_columns_whatever_is_in_them(cells):
    lines = render_markdown(Document("t", [TableBlock(["a", "b", "c"], [cells])]), Path("/")).split(
        "\n"
    )
    row = [line for line in lines if line.startswith("|")][2]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 4


@given(st.text(max_size=60))
def test_markdown_without_its_backslashes_is_the_text_itself(text):
    assert re.sub(r"\\(.)", r"\1", escape(text)) == visible(" ".join(text.split()))


@pytest.mark.parametrize("text", ["1. first", "- a", "+ b", "=== c", "12) d", "# e", "> f"])
def test_no_line_becomes_a_list_or_a_heading_by_its_first_letters(text, tmp_path):
    lines = render_markdown(Document("t", [Paragraph(text)]), tmp_path).splitlines()
    assert re.match(r"\d*\\", lines[2])


def test_label_names_stay_readable_in_markdown():
    assert escape("partly_cloudy and slash_burn, not _this_") == (
        "partly_cloudy and slash_burn, not \\_this\\_"
    )


def test_cells_are_written_alike_everywhere(tmp_path):
    table = TableBlock(["n", "f1"], [[14_749_533, 0.5771], [3, None]])
    assert [cell_text(cell) for cell in table.rows[0]] == ["14,749,533", "0.577"]
    assert '<td class="number">14,749,533</td>' in block_html(table)
    assert "| 3 | - |" in render_markdown(Document("t", [table]), tmp_path)


def test_a_row_with_too_few_cells_is_refused():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        TableBlock(["a", "b"], [["x"]])
