"""The rate over steps and layers, and the averaged weights, by value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from train.fitting.epochs import averaged_weights
from train.fitting.schedule import Schedule, make_optimizer, rate_factors, rate_schedule
from train.networks.registry import NETWORKS, build_vgg16


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
    factors = factors_of(build_vgg16((32, 32, 3), 2))
    assert factors["scores/kernel"] == 1
    assert factors["block5_conv3/kernel"] == 0.5
    assert factors["block1_conv1/bias"] == 0.5**5
    assert factors["input_normalisation/gamma"] == 0.5**5


def test_blocks_of_a_backbone_are_its_layers_on_pixels_of_one_size():
    factors = factors_of(NETWORKS["mobilenetv3large"].build((64, 64, 3), 2))
    assert factors["scores/kernel"] == 1
    assert factors["conv_1/kernel"] == 0.5  # its last convolution
    assert factors["conv/kernel"] == 0.5**5  # 32 x 32, the first
    sides = {32: 5, 16: 4, 8: 3, 4: 2, 2: 1}  # by the pixels that a block computes
    depthwise = {"expanded_conv": 32, "expanded_conv_1": 16, "expanded_conv_3": 8}
    depthwise |= {"expanded_conv_6": 4, "expanded_conv_14": 2}
    for name, side in depthwise.items():
        assert factors[f"{name}_depthwise/kernel"] == 0.5 ** sides[side]
    squeezed = factors["expanded_conv_3_squeeze_excite_conv/kernel"]  # one pixel, from 8 x 8
    assert squeezed == 0.5**3


def test_networks_without_blocks_have_one_rate():
    assert rate_factors([None, None], 0.5) == [1, 1]


def factors_of(model) -> dict[str, float]:
    """The factor of each weight's rate at a layer decay of 0.5."""
    optimizer = make_optimizer(model, 0.1, 10, 1, Schedule(layer_decay=0.5))
    paths = [weight.path for weight in model.trainable_variables]
    return dict(zip(paths, optimizer.factors, strict=True))


def two_weights():
    import keras

    layers = keras.layers
    pixels = keras.Input((1, 1, 1))
    hidden = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(pixels)
    top = layers.Dense(1, use_bias=False, kernel_initializer="ones", name="scores")
    return keras.Model(pixels, top(layers.Flatten()(hidden)))


def learn(model, optimizer, gradient: float) -> list[float]:
    import tensorflow as tf

    weights = model.trainable_variables
    optimizer.apply([tf.fill(w.shape, gradient) for w in weights], weights)
    return [float(w.numpy().ravel()[0]) for w in weights]


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
