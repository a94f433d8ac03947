"""An epoch shows each chip at least once, and rare labels as often as requested."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.fitting.sampling import epoch_order, rare_chips, repeat_factors, upsample_factors


def truth_of_counts(*counts: int, chips: int = 1000):
    """`bool [n, labels]` in which a label has that many chips, counted from the first one."""
    truth = np.zeros((chips, len(counts)), np.uint8)
    for label, count in enumerate(counts):
        truth[:count, label] = 1
    return truth


def test_without_factors_an_epoch_is_a_permutation_and_another_one_each_time():
    orders = [epoch_order(np.ones(50), seed=1, epoch=epoch) for epoch in (1, 2, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[1], orders[2])


@given(
    st.lists(st.floats(1, 5), min_size=1, max_size=60),
    st.integers(0, 2**32 - 1),
    st.integers(1, 99),
)
def test_each_chip_is_shown_floor_or_ceiling_of_its_factor(factors, seed, epoch):
    given_factors = np.array(factors)
    order = epoch_order(given_factors, seed, epoch)
    assert len(order) == round(sum(factors))
    shown = np.bincount(order, minlength=len(factors))
    share = given_factors * len(order) / given_factors.sum()  # their total is a whole number
    assert (shown >= np.floor(share - 1e-9)).all()
    assert (shown <= np.ceil(share + 1e-9)).all()


def test_whole_factors_are_shown_exactly():
    order = epoch_order(np.array([1.0, 3.0, 2.0]), 0, 1)
    assert np.bincount(order).tolist() == [1, 3, 2]


def test_a_label_below_the_share_is_repeated_by_the_square_root_of_the_ratio():
    truth = truth_of_counts(10, 40, 500)
    factors = repeat_factors(truth, 0.04)
    assert factors[[0, 9, 10, 39, 999]] == pytest.approx([2, 2, 1, 1, 1])
    assert (repeat_factors(truth, 0.0) == 1).all()


def test_an_upsampled_label_is_shown_as_often_as_the_median_one():
    truth = truth_of_counts(10, 100, 500)
    factors = upsample_factors(truth, ("blow_down", "water", "primary"), ["blow_down"])
    assert factors[:10].sum() == pytest.approx(100)
    assert (factors[10:] == 1).all()
    common = upsample_factors(truth, ("blow_down", "water", "primary"), ["primary"])
    assert (common == 1).all()


def test_rare_chips_have_a_label_of_less_than_3_percent():
    assert rare_chips(truth_of_counts(29, 30, 900)).sum() == 29
