"""What is in a folder without chips, in a line that says what to do."""

import doctest

import pytest

from pipelines.imaging import other_files
from pipelines.imaging.other_files import count_endings, no_image_text


def test_the_examples_are_right():
    assert doctest.testmod(other_files).failed == 0


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "there is nothing; check the address"),
        (
            ["a.tif", "b.TIF"],
            "2 .tif files, none ending in .jpg; check the address and --media_type",
        ),
        (["a", "b.txt"], "1 other file, 1 .txt file, none ending in .jpg; check the address"),
        (["a.1", "a.2", "a.3", "a.4"], "1 .1 file, 1 .2 file, 1 .3 file, ..., none ending in .jpg"),
        (["/x/a.jp2"], "1 JPEG 2000 file, none ending in .jpg; convert them as docs/data.md shows"),
    ],
)
def test_files_are_counted_by_kind(names, expected):
    assert no_image_text(count_endings(names), [".jpg"]).startswith(expected)
