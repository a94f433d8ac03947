"""Losses by value, against their papers' formulas."""

from __future__ import annotations

import numpy as np
import pytest

from train.fitting.losses import make_loss, positive_weights

TARGETS = np.array([[1, 0], [0, 1]], np.float32)
SCORES = np.array([[0.9, 0.2], [0.04, 0.5]], np.float32)
EVEN = (1.0, 1.0)


def value(name, weights=EVEN, targets=TARGETS, scores=SCORES) -> float:
    return float(make_loss(name, weights)(targets, scores))


def test_cross_entropy_is_that_of_keras():
    import keras

    expected = float(keras.losses.BinaryCrossentropy()(TARGETS, SCORES))
    assert value("bce") == pytest.approx(expected, rel=1e-5)


def test_categorical_cross_entropy_is_that_of_keras():
    import keras

    scores = np.array([[0.9, 0.1], [0.04, 0.96]], np.float32)
    expected = float(keras.losses.CategoricalCrossentropy()(TARGETS, scores))
    assert value("categorical", scores=scores) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_is_that_of_keras_without_its_balance():
    import keras

    reference = keras.losses.BinaryFocalCrossentropy(gamma=2.0, apply_class_balancing=False)
    assert value("focal") == pytest.approx(float(reference(TARGETS, SCORES)), rel=1e-5)


def test_asymmetric_loss_ignores_negatives_below_its_margin():
    terms = [np.log(0.9), 0.15**4 * np.log(0.85), 0, np.log(0.5)]
    assert value("asymmetric") == pytest.approx(-np.mean(terms), rel=1e-4)


def test_a_weight_multiplies_only_the_positives_of_its_label():
    terms = [3 * np.log(0.9), np.log(0.8), np.log(0.96), np.log(0.5)]
    assert value("bce", weights=(3.0, 1.0)) == pytest.approx(-np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("name", ["bce", "focal", "asymmetric"])
def test_scores_of_0_and_1_have_a_finite_loss(name):
    assert np.isfinite(value(name, scores=1 - TARGETS))
    assert value(name, scores=TARGETS) == pytest.approx(0, abs=1e-6)


def test_the_weight_of_a_positive_is_the_number_of_negatives_per_positive_within_bounds():
    truth = np.zeros((1000, 4), np.uint8)
    for label, positives in enumerate((900, 100, 2, 0)):
        truth[:positives, label] = 1
    assert positive_weights(truth, "balanced").tolist() == [1, 9, 50, 50]
    assert positive_weights(truth, "sqrt") == pytest.approx([1, 3, 499**0.5, 1000**0.5])
    assert positive_weights(truth, "none").tolist() == [1, 1, 1, 1]
