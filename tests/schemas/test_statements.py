"""The SQL files, in an order in which they can be run."""

import re

import pytest

from schemas.statements import statements, without_header


@pytest.mark.parametrize("folder", ["views", "bigquery/views"])
def test_a_view_comes_after_those_that_it_reads(folder: str) -> None:
    views = statements(folder)
    assert {"looks", "observations", "threats"} <= views.keys()
    earlier: set[str] = set()
    for name, text in views.items():
        words = set(re.findall(r"\w+", without_header(text)))
        assert words & (views.keys() - {name}) <= earlier
        earlier.add(name)


def test_statements_that_read_no_other_are_by_name() -> None:
    assert [*statements("questions")] == sorted(statements("questions"))
