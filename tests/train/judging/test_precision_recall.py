"""Points of curves, counted at each threshold."""

import numpy as np
import pytest

from train.judging.precision_recall import precision_recall


@pytest.mark.parametrize("most", [10, 200])
def test_each_point_is_what_counting_at_its_threshold_finds(most):
    generator = np.random.default_rng(4)
    truth = (generator.random(500) < 0.3).astype(np.uint8)
    scores = np.round(truth * 0.3 + generator.random(500) * 0.7, 2).astype(np.float32)
    curve = precision_recall(truth, scores, most)
    assert 3 < len(curve.thresholds) <= most
    exact = scores.astype(np.float64)
    for threshold, precision, recall in zip(
        curve.thresholds, curve.precision, curve.recall, strict=True
    ):
        chosen = exact >= threshold
        assert precision == pytest.approx(truth[chosen].mean())
        assert recall == pytest.approx(truth[chosen].sum() / truth.sum())
    assert curve.recall[0] == 1
    assert curve.thresholds[0] == exact[truth == 1].min()  # the highest that misses no positive
    assert curve.recall[-1] < 2 / most + 0.05


def test_a_label_without_a_positive_has_no_curve():
    assert precision_recall(np.zeros(4, np.uint8), np.arange(4) / 4) is None
