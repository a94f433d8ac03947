"""Area averages are exact means, and scaling is linear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from pipelines.imaging import resize
from pipelines.imaging.resize import area_average, scale_bands
from tests.support.samples import TIF


def shares_by_counting(length: int, size: int) -> npt.NDArray[np.float64]:
    """The shares by brute force: input pixels cut into `size` equal parts, dealt out in turn."""
    shares = np.zeros((size, length))
    for part in range(length * size):
        shares[part // length, part // size] += 1 / length
    return shares


@given(length=st.integers(1, 40), size=st.integers(1, 24))
def test_area_weights_equal_the_shares_found_by_counting(length: int, size: int) -> None:
    weights = resize._area_weights(length, size)
    np.testing.assert_allclose(weights, shares_by_counting(length, size), atol=1e-6)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.integers(1, 24),
    seed=st.integers(0, 2**32 - 1),
)
def test_area_average_is_the_weighted_mean_and_keeps_mean_and_range(
    height: int, width: int, size: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 65536, (height, width, 2)).astype(np.uint16)
    average = area_average(pixels, size)
    rows, columns = shares_by_counting(height, size), shares_by_counting(width, size)
    expected = np.einsum("yh,xw,hwc->yxc", rows, columns, pixels.astype(float))
    np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(average.mean((0, 1)), pixels.mean((0, 1)), rtol=1e-4, atol=1e-2)
    assert int(pixels.min()) - 1 <= average.min()
    assert average.max() <= int(pixels.max()) + 1


def test_the_brightest_picture_averages_to_its_own_value_however_much_is_summed() -> None:
    for side, size in ((256, 1), (1024, 1), (1024, 64)):
        bright = np.full((side, side, 4), 65_535, np.uint16)
        np.testing.assert_allclose(area_average(bright, size), 65_535, rtol=1e-6)


def test_values_are_scaled_linearly_between_low_and_high_and_clipped_outside() -> None:
    scaling = ((1000.0, 2000.0), (0.0, 65535.0), (500.5, 501.5), (3.0, 258.0))
    values = np.array([0, 3, 4, 258, 500, 501, 502, 1000, 1500, 2000, 2001, 65535], np.float32)
    scaled = scale_bands(np.repeat(values[:, None], 4, 1), replace(TIF, scaling=scaling))
    assert scaled[:, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 128, 255, 255, 255]
    assert scaled[:, 1].tolist() == [0, 0, 0, 1, 2, 2, 2, 4, 6, 8, 8, 255]
    assert scaled[:, 2].tolist() == [0, 0, 0, 0, 0, 128, 255, 255, 255, 255, 255, 255]
    assert scaled[:, 3].tolist() == [0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255]


def test_a_scaling_of_large_and_close_values_still_scales() -> None:
    close = replace(TIF, bands=("red",), scaling=((1e9, 1e9 + 1),))
    assert scale_bands(np.array([[0.0], [2e9]], np.float32), close).tolist() == [
        [0],
        [255],
    ]
