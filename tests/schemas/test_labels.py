"""A label set is ordered and consistent, and its columns have valid names."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import PLANET_LABELS, LabelSet, LabelSetError, blank_names, score_column

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_- é漢/'\""
NAMES = st.text(LETTERS, min_size=1, max_size=12).map(str.strip).filter(bool)


@st.composite
def label_sets(draw: st.DrawFn) -> LabelSet:
    """Valid label sets: names whose columns differ, some of them sky labels."""
    unique = st.lists(NAMES, min_size=1, max_size=8, unique_by=lambda n: score_column(n).lower())
    names = draw(unique)
    sky = draw(st.lists(st.sampled_from(names), unique=True, max_size=4))
    return LabelSet(tuple(names), tuple(sky) if len(sky) != 1 else ())


@given(label_sets())
def test_a_label_set_is_read_back_from_json_unchanged(label_set: LabelSet) -> None:
    assert LabelSet.from_json(json.dumps(label_set.to_dict())) == label_set
    assert LabelSet.from_json(json.dumps(label_set.to_dict()).encode()) == label_set


@given(label_sets())
def test_score_columns_differ_and_are_valid_names_in_every_database(label_set: LabelSet) -> None:
    columns = label_set.score_columns
    assert len({column.lower() for column in columns}) == len(label_set.names)
    assert all(re.fullmatch(r"score_[0-9A-Za-z_]+", column) for column in columns)


@given(label_sets())
def test_the_sky_indices_are_those_of_the_sky_labels(label_set: LabelSet) -> None:
    assert tuple(label_set.names[i] for i in label_set.sky_indices) == label_set.sky


def test_a_file_without_sky_labels_is_a_label_set_without_a_sky_group() -> None:
    assert LabelSet.from_json('{"labels": ["a", "b"]}') == LabelSet(("a", "b"))


@pytest.mark.parametrize(
    ("label", "column"),
    [
        ("clear", "score_clear"),
        ("mobile-home", "score_mobile_home"),
        ("storage tanks", "score_storage_tanks"),
        ("a -- b", "score_a_b"),
        ("Größe", "score_Gr_e"),
        ("x" * 500, "score_" + "x" * 200),
    ],
)
def test_a_score_column_has_letters_digits_and_underscores_only(label: str, column: str) -> None:
    assert score_column(label) == column


@pytest.mark.parametrize(
    ("names", "sky", "message"),
    [
        ((), (), "at least one label"),
        (("a", "b", "a"), (), "labels named twice: 'a'"),
        (("a", ""), (), "blank or padded label names: ''"),
        (("a", " b"), (), "blank or padded label names: ' b'"),
        (("a", "b\udc80"), (), r"not Unicode text: 'b\\udc80'"),
        (("a", "b"), ("a", "a"), "sky labels named twice: 'a'"),
        (("a", "b"), ("a", "c"), "sky labels that are not labels: 'c'"),
        (("a", "b"), ("a",), "two labels or more, not only 'a'"),
        (("x", "a-b", "a_b"), (), "share a column name: 'a-b', 'a_b'"),
        (("Road", "road"), (), "share a column name: 'Road', 'road'"),
        (("森", "林"), (), "share a column name: '森', '林'"),
    ],
)
def test_contradictory_labels_are_refused_by_name(
    names: tuple[str, ...], sky: tuple[str, ...], message: str
) -> None:
    with pytest.raises(LabelSetError, match=message):
        LabelSet(names, sky)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        (b"\xff\xfe\x00", "must be JSON"),
        ("[]", "must be an object"),
        ('"clear"', "must be an object"),
        ("{}", "'labels' in a label set must be a list of names, not None"),
        ('{"labels": "clear"}', "must be a list of names, not 'clear'"),
        ('{"labels": ["a", 1]}', "must be a list of names"),
        ('{"labels": ["a"], "sky": null}', "'sky' in a label set must be a list"),
        ('{"labels": ["a"], "skies": []}', "unknown keys .*: 'skies'"),
    ],
)
def test_a_file_that_is_not_a_label_set_is_refused_with_the_expected_form(
    text: Any, message: str
) -> None:
    with pytest.raises(LabelSetError, match=message):
        LabelSet.from_json(text)


def test_blank_names_are_those_without_letters_or_with_space_around() -> None:
    assert blank_names(["a", "", " ", "b ", "c d"]) == ["", " ", "b "]


def test_the_planet_labels_are_the_17_of_the_study_with_four_of_the_sky() -> None:
    assert len(PLANET_LABELS.names) == 17
    assert PLANET_LABELS.sky == ("clear", "partly_cloudy", "cloudy", "haze")
    assert PLANET_LABELS.score_columns[12] == "score_artisinal_mine"


def test_the_planet_labels_are_those_of_the_real_csv(shared_data: Path) -> None:
    with (shared_data / "kaggle" / "train_v2.csv").open(newline="") as file:
        tags = {tag for row in csv.DictReader(file) for tag in row["tags"].split()}
    assert tags == set(PLANET_LABELS.names)
