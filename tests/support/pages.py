"""Web pages, read as a browser would read them."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = "<script>alert('x')</script> | [a](http://b) *c* `d` \\ \" & ![e](f)"
"""Text with special characters of HTML and of Markdown."""


class Reader(HTMLParser):
    """Texts, tags and every address in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(page: str) -> Reader:
    """What is in a page."""
    reader = Reader()
    reader.feed(page)
    return reader
