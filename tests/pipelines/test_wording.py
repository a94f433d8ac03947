"""Counts of things, as people write them."""

import pytest

from pipelines.wording import count_of


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (12_000, "12,000 runs")]
)
def test_only_a_count_of_one_is_singular(number, text):
    assert count_of(number, "run") == text
