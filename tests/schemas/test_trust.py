"""What an artifact says about its labels, as rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.artifact import ModelArtifact
from schemas.labels import LabelSet
from schemas.trust import TRUST_COLUMNS, relabelled_rows, trust_rows
from tests.support.samples import JPG


def artifact(figures: dict[str, Any]) -> ModelArtifact:
    return ModelArtifact("n", LabelSet(("road", "mine")), (0.25, 0.5), JPG, "m", figures=figures)


def part(positives: int, predicted: int, precision: float, recall: float) -> dict[str, Any]:
    road = {
        "positives": positives,
        "average_precision": 0.5,
        "at_threshold": {"predicted": predicted, "precision": precision, "recall": recall},
    }
    ends = {"road": {"average_precision": [0.25, 0.75]}}
    return {"labels": {"road": road}, "intervals": {"labels": ends}}


def test_figures_are_of_the_test_part_and_positives_of_both() -> None:
    figures = {"validation": part(4, 5, 0.2, 0.25), "test": part(6, 8, 0.5, 0.75)}
    road, mine = trust_rows(artifact(figures))
    assert (road["label"], road["threshold"], road["measured_on"]) == ("road", 0.25, "test")
    assert (road["positives"], road["proven"]) == (10, True)
    assert (road["precision"], road["recall"], road["average_precision"]) == (0.5, 0.75, 0.5)
    assert (road["average_precision_low"], road["average_precision_high"]) == (0.25, 0.75)
    known = {"label": "mine", "threshold": 0.5}
    assert mine == dict.fromkeys(column.name for column in TRUST_COLUMNS) | known


def test_intervals_are_wilsons() -> None:
    """8 of 10: 0.490 to 0.943 (Brown, Cai and DasGupta 2001)."""
    road, _ = trust_rows(artifact({"validation": part(10, 10, 0.8, 0.8)}))
    for name in ("precision", "recall"):
        ends = road[f"{name}_low"], road[f"{name}_high"]
        assert ends == pytest.approx((0.490, 0.943), abs=5e-4)


def test_below_five_positives_there_is_no_interval() -> None:
    for positives in (4, 5):
        road, _ = trust_rows(artifact({"validation": part(positives, 9, 0.5, 0.5)}))
        ends = [road[n] for n in road if n.endswith(("_low", "_high"))]
        assert len(ends) == 6
        assert (None in ends) == (positives == 4)
        assert not road["proven"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "validation",
                    "labels",
                    "road",
                    "positives",
                    "at_threshold",
                    "precision",
                    "predicted",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["validation", "test"]), _JSON))
def test_figures_of_any_form_give_rows_that_the_table_can_hold(figures: dict[str, Any]) -> None:
    for row in trust_rows(artifact(figures)):
        assert list(row) == [column.name for column in TRUST_COLUMNS]
        json.dumps(row, allow_nan=False)
        shares = [row[n] for n in row if n.startswith(("precision", "recall", "average"))]
        assert all(share is None or 0 <= share <= 1 for share in shares)
        assert (row["proven"] is None) == (row["positives"] is None)


def test_a_label_that_is_never_reported_is_not_proven_until_it_has_a_threshold_again() -> None:
    known = artifact({"test": part(40, 0, 0.0, 0.0)})
    never = replace(known, thresholds=(None, None))
    assert [row["proven"] for row in trust_rows(known)] == [True, None]
    assert [row["proven"] for row in trust_rows(never)] == [False, None]
    again = relabelled_rows(trust_rows(never), {"road": 0.5, "mine": 0.5})
    assert [row["proven"] for row in again] == [True, None]
    left = relabelled_rows(trust_rows(known), {"road": None, "mine": 0.5})
    assert [(row["positives"], row["proven"]) for row in left] == [(40, False), (None, None)]


def test_at_other_thresholds_what_was_measured_at_the_old_ones_is_gone() -> None:
    known = trust_rows(artifact({"validation": part(12, 9, 0.5, 0.5)}))
    road, other = relabelled_rows(known, {"road": 0.75, "other": 0.1})
    assert (road["threshold"], road["positives"], road["proven"]) == (0.75, 12, True)
    assert (road["average_precision"], road["precision"], road["recall_low"]) == (0.5, None, None)
    assert (other["threshold"], other["positives"], other["proven"]) == (0.1, None, None)
