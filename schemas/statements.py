"""The SQL files below `schemas/sql`, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

_READ = re.compile(r"\b(?:FROM|JOIN)\s+(?:\w+\.)?(\w+)")


def statements(folder: str) -> dict[str, str]:
    """The statements of a folder (`views`, `bigquery/views` ...): name to text, by name, and each
    after those that it reads."""
    files = resources.files("schemas").joinpath("sql", *folder.split("/")).iterdir()
    texts = {
        file.name.removesuffix(".sql"): file.read_text("utf-8")
        for file in files
        if file.name.endswith(".sql")
    }
    ordered: dict[str, str] = {}
    for name in sorted(texts):
        _add(name, texts, ordered)
    return ordered


def _add(name: str, texts: Mapping[str, str], ordered: dict[str, str]) -> None:
    for read in _READ.findall(without_header(texts[name])):
        if read in texts and read not in ordered:
            _add(read, texts, ordered)
    ordered[name] = texts[name]


def header_of(sql: str) -> str:
    """The comment lines at the start of a statement."""
    return sql[: len(sql) - len(without_header(sql))]


def without_header(sql: str) -> str:
    """A statement without the comment lines at its start."""
    while sql.startswith("--"):
        sql = sql.partition("\n")[2]
    return sql


def summary_of(sql: str) -> str:
    """The first line of the comment at the start of a statement."""
    return sql.partition("\n")[0].removeprefix("-- ")
