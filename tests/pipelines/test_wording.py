"""Numbers of things read as people write them."""

import pytest

from pipelines.wording import count_of


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (12_000, "12,000 runs")]
)
def test_only_one_thing_is_told_in_the_singular(number, told):
    assert count_of(number, "run") == told
