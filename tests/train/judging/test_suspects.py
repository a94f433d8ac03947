"""Suspected labels are those of the package cleanlab, and labels flipped on purpose are found."""

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from cleanlab.internal.multilabel_scorer import exponential_moving_average
from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from train.judging.suspects import find_suspects, label_quality, likely_errors, pool_quality


@st.composite
def judged_chips(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels, both values of each label at least once."""
    chips = draw(st.integers(4, 30))
    values = st.integers(8, 1016).map(lambda n: n / 1024)
    scores = draw(arrays.arrays(np.float32, (chips, 3), elements=values, unique=True))
    truth = draw(arrays.arrays(np.uint8, (chips, 3), elements=st.integers(0, 1)))
    truth[0], truth[1] = 1, 0
    return scores, truth


@given(judged_chips())
@settings(max_examples=40, deadline=None)
def test_qualities_and_likely_errors_are_those_of_cleanlab(chips):
    scores, truth = chips
    exact = scores.astype(np.float64)
    lists = [np.flatnonzero(row).tolist() for row in truth]
    quality = label_quality(scores, truth)
    np.testing.assert_allclose(quality, get_label_quality_scores_per_class(lists, exact))
    np.testing.assert_allclose(
        pool_quality(quality), exponential_moving_average(quality, alpha=0.8)
    )
    likely = likely_errors(scores, truth)
    for i in range(3):
        pair = np.stack([1 - exact[:, i], exact[:, i]], axis=1)
        found = find_label_issues(
            truth[:, i].astype(int),
            pair,
            filter_by="confident_learning",
            n_jobs=1,
            min_examples_per_class=0,
        )
        assert likely[:, i].tolist() == found.tolist()


def test_suspects_are_all_labels_of_chips_by_quality_and_as_many_as_are_asked_for():
    generator = np.random.default_rng(0)
    scores = generator.random((50, 4), np.float32)
    truth = (generator.random((50, 4)) < 0.5).astype(np.uint8)
    quality = label_quality(scores, truth)
    wanted = sorted((quality[i, j], i, j) for i in range(50) for j in range(4))
    found = find_suspects(scores, truth, most=30)
    entries = list(zip(found.quality, found.rows, found.columns, strict=True))
    assert entries == wanted[:30]
    assert len(find_suspects(scores, truth).rows) == 200
    likely = likely_errors(scores, truth)
    assert found.errors.tolist() == likely.sum(axis=0).tolist()
    assert found.likely.tolist() == [likely[i, j] for _, i, j in wanted[:30]]


def test_each_suspect_has_its_own_answer_to_whether_it_is_likely():
    scores = np.array([[0.6, 0.05], [0.7, 0.45], [0.8, 0.9], [0.9, 0.5], [0.1, 0.2]], np.float32)
    truth = np.array([[1, 1], [1, 0], [1, 1], [0, 0], [0, 0]], np.uint8)
    likely, found = likely_errors(scores, truth), find_suspects(scores, truth)
    assert 0 < found.likely[:3].sum() < 3
    assert found.likely.tolist() == likely[found.rows, found.columns].tolist()


def test_a_score_at_the_mean_is_confident_and_a_score_of_a_half_never_is():
    held = np.array([[1], [1], [0], [0]], np.uint8)
    means_are_met = np.array([[0.75], [0.25], [0.5], [0.0]], np.float32)
    assert likely_errors(means_are_met, held).ravel().tolist() == [False, True, False, False]
    assert likely_errors(1 - means_are_met, 1 - held).ravel().tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_suspects_of_one_quality_are_in_the_order_of_chips_and_labels():
    scores = np.random.default_rng(0).choice(np.array([0.25, 0.75], np.float32), (400, 3))
    low = np.flatnonzero(scores.ravel() == 0.75)  # of chips without the label
    found = find_suspects(scores, np.zeros((400, 3), np.uint8), most=len(low))
    assert (found.rows * 3 + found.columns).tolist() == low.tolist()


@pytest.mark.parametrize("held", [0, 1])
def test_a_label_that_all_chips_or_none_have_has_no_likely_error(held):
    scores = np.array([[0.1], [0.9], [0.5]], np.float32)
    assert not likely_errors(scores, np.full((3, 1), held, np.uint8)).any()


def test_most_labels_flipped_on_purpose_are_among_as_many_suspects():
    generator = np.random.default_rng(1)
    right = (generator.random((4000, 17)) < 0.15).astype(np.uint8)
    logits = 8.0 * right - 4 + generator.normal(0, 1.2, right.shape)
    flipped = generator.choice(right.size, 1000, replace=False)
    given = right.ravel().copy()
    given[flipped] ^= 1
    found = find_suspects(1 / (1 + np.exp(-logits)), given.reshape(right.shape), most=1000)
    entries = found.rows * 17 + found.columns
    assert len(set(entries.tolist()) & set(flipped.tolist())) >= 990


def test_no_chips_have_no_suspects():
    found = find_suspects(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8))
    assert len(found.rows) == 0
