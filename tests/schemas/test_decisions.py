"""Scores become labels by one rule, everywhere in the project."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.decisions import choose_labels
from schemas.labels import LabelSet

LABELS = LabelSet(("road", "clear", "haze", "cloudy"), sky=("cloudy", "clear", "haze"))
SCORES = hnp.arrays(
    np.float32, st.tuples(st.integers(0, 20), st.just(4)), elements=st.floats(0, 1, width=32)
)
THRESHOLDS = st.lists(st.floats(0, 1), min_size=4, max_size=4)


@given(SCORES, THRESHOLDS)
def test_a_chip_has_a_label_exactly_if_its_score_reaches_the_threshold(scores, thresholds):
    expected = [
        [float(score) >= t for score, t in zip(row, thresholds, strict=True)] for row in scores
    ]
    assert choose_labels(scores, thresholds, LABELS).tolist() == expected


@given(SCORES, THRESHOLDS)
def test_by_argmax_a_chip_has_one_sky_label_of_the_highest_score_and_others_as_before(
    scores, thresholds
):
    chosen = choose_labels(scores, thresholds, LABELS, "argmax")
    sky = list(LABELS.sky_indices)
    assert (chosen[:, sky].sum(axis=1) == 1).all()
    assert (scores[:, sky][chosen[:, sky]] == scores[:, sky].max(axis=1)).all()
    np.testing.assert_array_equal(chosen[:, 0], choose_labels(scores, thresholds, LABELS)[:, 0])


def test_of_equal_sky_scores_the_first_of_the_group_wins():
    scores = np.array([[0.9, 0.5, 0.5, 0.5]], np.float32)
    assert choose_labels(scores, (1,) * 4, LABELS, "argmax").tolist() == [[False] * 3 + [True]]


def test_without_a_sky_group_every_label_follows_its_threshold():
    scores = np.array([[0.4, 0.6]], np.float32)
    labels = LabelSet(("sea", "ship"))
    assert choose_labels(scores, (0.5, 0.5), labels, "argmax").tolist() == [[False, True]]


def test_a_score_equal_to_its_threshold_counts_and_the_next_lower_float_does_not():
    score = np.float32(0.3)
    scores = np.array([[score], [np.nextafter(score, np.float32(0))]])
    assert choose_labels(scores, [float(score)], LabelSet(("x",))).tolist() == [[True], [False]]
