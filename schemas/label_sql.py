"""Questions and views for any label set. Their SQL is written, and can be run, for Planet's labels:
a CASE that finds a label's score, and the list of known labels in the view `threats`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

_SCORE = re.compile(
    r"CASE (?P<label>[\w.]+)\s+(?:WHEN '\w+'\s+THEN (?P<table>(?:\w+\.)?)score_\w+\s+)+END"
)
_KNOWN = re.compile(r"\bIN \(\s*'road'[^)]*\)")
_ONLY_PROVEN = re.compile(r"[\w.]*\bproven IS DISTINCT FROM FALSE")


def for_labels(sql: str, columns: Mapping[str, str], quote: Callable[[str], str]) -> str:
    """The same question about another label set.

    Args:
        sql: a statement of `schemas/sql`, or of `schemas/sql/bigquery`.
        columns: each label and the column of its scores.
        quote: label to string literal, `duckdb_text` or `bigquery_text`.
    """

    def score(found: re.Match[str]) -> str:
        cases = [f"WHEN {quote(name)} THEN {found['table']}{columns[name]}" for name in columns]
        return " ".join([f"CASE {found['label']}", *cases, "END"])

    known = f"IN ({', '.join(map(quote, columns))})"
    return _KNOWN.sub(lambda _: known, _SCORE.sub(score, sql))


def with_unproven(sql: str) -> str:
    """The same question, labels that are not proven included."""
    return _ONLY_PROVEN.sub("TRUE", sql)


def duckdb_text(text: str) -> str:
    """A string literal in DuckDB's SQL."""
    return "'" + text.replace("'", "''") + "'"


def bigquery_text(text: str) -> str:
    """A string literal in BigQuery's SQL: JSON's escapes are also BigQuery's."""
    return json.dumps(text, ensure_ascii=False)
