"""The rate over steps and layers, and the averaged weights, by value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from train.fitting.epochs import averaged_weights
from train.fitting.schedule import Schedule, make_optimizer, rate_factors, rate_schedule


def rates(schedule: Schedule, steps: list[int], rate: float = 0.1) -> list[float]:
    made = rate_schedule(rate, steps_per_epoch=10, epochs=12, options=schedule)
    return [float(made(step)) for step in steps]


def test_the_rate_rises_linearly_then_falls_as_half_a_cosine_to_a_hundredth():
    steps = [0, 10, 20, 70, 120]
    expected = [0.01, 0.055, 0.1, 0.001 + 0.099 * 0.5, 0.001]
    assert rates(Schedule("cosine", warmup_epochs=2), steps) == pytest.approx(expected)


def test_without_a_warm_up_the_cosine_starts_at_the_rate_itself():
    at_a_third = 0.001 + 0.099 * (1 + math.cos(math.pi / 3)) / 2
    assert rates(Schedule("cosine"), [0, 40, 120]) == pytest.approx([0.1, at_a_third, 0.001])


def test_a_constant_rate_stays_after_its_warm_up():
    assert rates(Schedule(warmup_epochs=1), [0, 5, 10, 100]) == pytest.approx(
        [0.01, 0.055, 0.1, 0.1]
    )
    assert rate_schedule(0.1, 10, 12, Schedule()) == 0.1


def test_lower_blocks_of_vgg16_have_lower_rates_and_the_top_the_full_rate():
    from train.networks.registry import build_vgg16

    paths = [v.path for v in build_vgg16((32, 32, 3), 2).trainable_variables]
    factors = dict(zip(paths, rate_factors(paths, 0.5), strict=True))
    assert factors["scores/kernel"] == 1
    assert factors["block5_conv3/kernel"] == 0.5
    assert factors["block1_conv1/bias"] == 0.5**5
    assert factors["input_normalisation/gamma"] == 0.5**5


def test_networks_without_blocks_have_one_rate():
    assert rate_factors(["convolution/kernel", "scores/bias"], 0.5) == [1, 1]


def two_weights(lower: str = "block1_conv1"):
    import keras

    pixels = keras.Input((1,))
    hidden = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name=lower)(pixels)
    top = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="scores")
    return keras.Model(pixels, top(hidden))


def learn(model, optimizer, gradient: float) -> list[float]:
    import tensorflow as tf

    weights = model.trainable_variables
    optimizer.apply([tf.constant([[gradient]]) for _ in weights], weights)
    return [float(w.numpy()[0, 0]) for w in weights]


def test_a_step_moves_each_weight_by_its_own_rate_whatever_its_gradient():
    model = two_weights()
    optimizer = make_optimizer(model, 0.1, 10, 1, Schedule(layer_decay=0.5))
    assert learn(model, optimizer, 7.0) == pytest.approx([1 - 0.05, 1 - 0.1], abs=1e-5)


def test_weight_decay_shrinks_weights_without_a_gradient_by_the_rate_times_it():
    model = two_weights()
    optimizer = make_optimizer(model, 0.1, 10, 1, Schedule(weight_decay=0.2))
    assert learn(model, optimizer, 0.0) == pytest.approx([1 - 0.1 * 0.2] * 2)


def test_the_average_is_validated_and_training_continues_with_its_own_weights():
    model = two_weights()
    optimizer = make_optimizer(model, 0.1, 10, 1, Schedule(ema=0.75))
    average, gradients = None, [1.0, 1.0, -1.0]
    for gradient in gradients:
        trained = learn(model, optimizer, gradient)[0]
        average = trained if average is None else 0.75 * average + 0.25 * trained
    with averaged_weights(model, optimizer):
        assert model.get_weights()[0][0, 0] == pytest.approx(average)
    assert average != pytest.approx(trained)
    np.testing.assert_allclose(model.get_weights()[0][0, 0], trained)


def test_without_an_average_the_weights_stay_as_they_are():
    model = two_weights()
    with averaged_weights(model, make_optimizer(model, 0.1, 10, 1, Schedule())):
        assert model.get_weights()[0][0, 0] == 1
