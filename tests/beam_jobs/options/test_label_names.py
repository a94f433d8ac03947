"""Labels in a flag: commas between them, quotes around those with commas."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_jobs.options.label_names import named_labels
from pipelines.errors import UsageError

NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
LABELS = st.lists(NAME.filter(lambda name: name == name.strip()), min_size=1, unique=True)


@given(LABELS, st.data())
def test_labels_written_as_csv_are_read_back(known: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(chosen)
    if text.getvalue() not in known:
        assert named_labels(text.getvalue(), known, "--threats") == tuple(chosen)


def test_a_label_with_a_comma_may_be_given_alone() -> None:
    assert named_labels("a, b", ("a, b", "c"), "--threats") == ("a, b",)
    assert named_labels("", ("a",), "--threats") == ()


@pytest.mark.parametrize("text", ["a,", ",", " ", 'a,"b', "a\nb", "A", "c"])
def test_another_name_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--threats") as error:
        named_labels(text, ("a", "b"), "--threats")
    assert "\n" not in str(error.value)
