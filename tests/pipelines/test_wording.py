"""Counts of things, as people write them."""

import pytest

from pipelines.wording import count_of, nearest


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (12_000, "12,000 runs")]
)
def test_only_a_count_of_one_is_singular(number, text):
    assert count_of(number, "run") == text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(
            ("--batchsize", "--batch_size"),
            ("--outptu", "--output"),
            ("--max-chips", "--max_chips"),
        ),
        *(("--runid", "--run_id"), ("--chip", "--chips"), ("--OUTPUT", "--output")),
        *(("--bogus", None), ("--x", None), ("--", None), ("", None), ("--verbose", None)),
    ],
)
def test_only_a_name_that_is_close_is_suggested(name, meant):
    flags = ["--batch_size", "--output", "--max_chips", "--run_id", "--chips", "--gpu", "--rescore"]
    assert nearest(name, flags) == meant
