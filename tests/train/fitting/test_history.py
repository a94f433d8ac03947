"""Each epoch's measures equal scikit-learn's, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
)

from train.fitting.history import Tally, history_csv, mean_average_precision


def drawn(chips: int = 90):
    random = np.random.default_rng(0)
    truth = (random.random((chips, 4)) < [0.5, 0.1, 0.9, 0.3]).astype(np.uint8)
    return truth, np.clip(truth * 0.4 + random.random((chips, 4)) * 0.6, 0, 1)


def test_batches_pool_to_the_micro_averages_of_scikit_learn():
    truth, scores = drawn()
    tally = Tally()
    for start, end, loss in ((0, 64, 1.0), (64, 90, 2.0)):
        tally.add(scores[start:end], truth[start:end], loss)
    flat, chosen = truth.ravel(), scores.ravel() >= 0.5
    assert tally.measures() == pytest.approx(
        {
            "loss": (64 * 1.0 + 26 * 2.0) / 90,
            "accuracy": accuracy_score(flat, chosen),
            "f1": f1_score(flat, chosen),
            "precision": precision_score(flat, chosen),
            "recall": recall_score(flat, chosen),
        }
    )


def test_without_predicted_and_true_labels_the_measures_are_0():
    tally = Tally()
    tally.add(np.zeros((2, 3)), np.zeros((2, 3)), 0.0)
    measures = tally.measures()
    assert [measures[name] for name in ("accuracy", "f1", "precision", "recall")] == [1, 0, 0, 0]


def test_map_is_scikit_learns_macro_average_over_labels_that_have_positives():
    truth, scores = drawn()
    expected = average_precision_score(truth, scores, average="macro")
    without = np.column_stack([truth, np.zeros(90, np.uint8)])
    wider = np.column_stack([scores, scores[:, 0]])
    assert mean_average_precision(wider, without) == pytest.approx(expected)
    assert mean_average_precision(scores, np.zeros_like(truth)) == 0


def test_the_table_has_one_row_per_epoch():
    table = history_csv({"loss": [0.5, 1 / 3], "val_loss": [2.0, 1e-7]})
    assert table == "epoch,loss,val_loss\n1,0.5,2\n2,0.333333,1e-07\n"
