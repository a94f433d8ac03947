"""The slides: a page each, and text never becomes markup."""

from __future__ import annotations

from pipelines.blocks.document import Bullets, Paragraph
from tests.support.pages import HOSTILE, read
from train.study.documents.slides import Slide, render_slides


def test_each_slide_is_a_page_with_its_number():
    page = render_slides([Slide("One", [Bullets([HOSTILE])]), Slide("Two", [Paragraph("p")])])
    assert page.count('<section class="slide">') == 2
    assert "2 / 2" in page
    assert HOSTILE in read(page).texts
    assert not [a for a in read(page).addresses if not a.startswith("data:")]
