"""The SQL files below `schemas/sql`, by name."""

from __future__ import annotations

from importlib import resources


def statements(folder: str) -> dict[str, str]:
    """The statements of a folder (`views`, `bigquery/views` ...): name to text, by name."""
    files = resources.files("schemas").joinpath("sql", *folder.split("/")).iterdir()
    texts = {file.name: file.read_text("utf-8") for file in files if file.name.endswith(".sql")}
    return {name.removesuffix(".sql"): texts[name] for name in sorted(texts)}


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
