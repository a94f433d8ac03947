"""Temperatures make scores behave like probabilities, and are folded into the model exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from train.judging.calibration import (
    OWN_RARER,
    draw_reliability,
    fit_temperatures,
    fold_temperatures,
    logits_of,
    measure_calibration,
)
from train.judging.measuring import predict_scores
from train.networks.registry import build_mean_colour


def draw(chips: int, temperatures: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too large by the temperatures, and truth drawn from the right ones."""
    generator = np.random.default_rng(seed)
    right = generator.normal(0, 2, (chips, len(temperatures)))
    truth = generator.random(right.shape) < 1 / (1 + np.exp(-right))
    return right * temperatures, truth.astype(np.uint8)


def test_with_many_chips_the_right_temperatures_are_found():
    logits, truth = draw(20_000, [1.0, 3.0, 0.4])
    assert fit_temperatures(logits, truth) == pytest.approx([1.0, 3.0, 0.4], rel=0.05)


def test_few_chips_move_a_temperature_little():
    logits, truth = draw(6, [10.0, 10.0])
    assert (np.abs(np.log(fit_temperatures(logits, truth))) < 1).all()


def test_a_label_with_few_positives_follows_the_others():
    logits, truth = draw(20_000, [3.0, 3.0, 3.0])
    truth[:, 2] = 0
    truth[: OWN_RARER // 10, 2] = 1
    assert fit_temperatures(logits, truth)[2] > 2


@given(
    arrays.arrays(np.float32, (9, 2), elements=st.floats(-30, 30, width=32)),
    arrays.arrays(np.uint8, (9, 2), elements=st.integers(0, 1)),
)
@settings(max_examples=50)
def test_temperatures_are_always_finite_and_within_their_limits(logits, truth):
    temperatures = fit_temperatures(logits, truth)
    assert ((temperatures > 0.04) & (temperatures < 21)).all()
    if not truth.any() or truth.all():
        assert temperatures.tolist() == [1.0, 1.0]


def test_a_folded_model_scores_the_sigmoid_of_logit_over_temperature():
    model = build_mean_colour((4, 4, 3), 3)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    model.get_layer("scores").set_weights([np.full((3, 3), 7.0), np.array([-8.0, 0, 2])])
    before = predict_scores(model, pixels)
    with logits_of(model):
        logits = predict_scores(model, pixels)
    np.testing.assert_allclose(before, 1 / (1 + np.exp(-logits)), atol=1e-6)
    np.testing.assert_array_equal(predict_scores(model, pixels), before)
    temperatures = np.array([0.5, 1.0, 4.0])
    fold_temperatures(model, temperatures)
    expected = 1 / (1 + np.exp(-logits / temperatures))
    np.testing.assert_allclose(predict_scores(model, pixels), expected, atol=1e-6)


def test_the_sigmoid_is_put_back_when_something_fails():
    import keras

    model = build_mean_colour((4, 4, 3), 3)
    with pytest.raises(KeyError), logits_of(model):
        raise KeyError
    assert model.layers[-1].activation is keras.activations.sigmoid


def test_a_model_without_sigmoid_at_its_end_is_refused():
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])
    with pytest.raises(ValueError, match="not a dense layer with a sigmoid"):
        fold_temperatures(model, np.ones(2))


def test_the_calibration_error_is_the_mean_gap_between_scores_and_true_shares():
    scores = np.array([[0.9, 0.9, 0.9, 0.9, 0.1, 0.1]], np.float32).T
    truth = np.array([[1, 1, 1, 0, 0, 0]]).T
    found = measure_calibration(scores, truth)
    assert found["expected_error"] == pytest.approx((4 * 0.15 + 2 * 0.1) / 6)
    log_loss = -np.log([0.9, 0.9, 0.9, 0.1, 0.9, 0.9]).mean()
    assert found["log_loss"] == pytest.approx(log_loss, rel=1e-6)
    assert [b["decisions"] for b in found["bins"]] == [2, 4]
    assert [b["share"] for b in found["bins"]] == [0.0, 0.75]


def test_scores_of_0_and_1_are_in_a_bin_and_have_a_finite_loss():
    found = measure_calibration(np.array([[0.0], [1.0]]), np.array([[1], [0]]))
    assert found["expected_error"] == 1.0
    assert 10 < found["log_loss"] < 20


def test_calibrating_lowers_error_and_loss_on_other_chips():
    temperatures = [4.0, 4.0, 0.3]
    fitted = fit_temperatures(*draw(300, temperatures, seed=1))
    logits, truth = draw(5000, temperatures, seed=2)
    before, after = (
        measure_calibration(1 / (1 + np.exp(-values)), truth)
        for values in (logits, logits / fitted)
    )
    assert after["expected_error"] < before["expected_error"] / 3
    assert after["log_loss"] < before["log_loss"]


def test_the_reliability_picture_is_drawn_with_and_without_calibration(tmp_path):
    logits, truth = draw(500, [3.0, 3.0])
    figures = {"calibration": measure_calibration(1 / (1 + np.exp(-logits / 3)), truth)}
    draw_reliability(tmp_path / "plain.png", {"validation": figures})
    figures["before_calibration"] = measure_calibration(1 / (1 + np.exp(-logits)), truth)
    draw_reliability(tmp_path / "both.png", {"validation": figures, "test": figures})
    plain, both = ((tmp_path / f"{name}.png").read_bytes() for name in ("plain", "both"))
    assert plain.startswith(b"\x89PNG")
    assert len(both) > len(plain)
