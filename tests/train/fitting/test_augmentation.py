"""Augmentation moves pixels and never invents ground; colours change by gains only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from train.fitting.augmentation import (
    RANGES,
    Augmentation,
    augment,
    draw_affine,
    draw_gains,
    draw_symmetries,
    resample,
    to_transforms,
)


def chips(count: int, side: int = 8, bands: int = 3, seed: int = 0):
    shape = (count, side, side, bands)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def varied(pixels, level: str, seed: int = 0, strength: float = 1.0):
    ones = np.ones(len(pixels), np.float32)
    return augment(pixels, ones, (0, seed), Augmentation(level=level, strength=strength)).numpy()


def symmetries(chip):
    turned = [np.rot90(chip, quarter) for quarter in range(4)]
    return [*turned, *(np.flip(each, axis=1) for each in turned)]


@pytest.mark.parametrize("side", [7, 8, 64])
def test_flips_and_quarter_turns_are_the_eight_symmetries_exactly_and_all_occur(side):
    chip = chips(1, side)
    found = varied(np.repeat(chip, 200, axis=0), "flips")
    expected = np.stack(symmetries(chip[0])).astype(np.float32)
    which = [[np.array_equal(one, other) for other in expected] for one in found]
    assert (np.sum(which, axis=1) == 1).all()
    assert (np.sum(which, axis=0) > 10).all()


def test_none_changes_no_pixel():
    pixels = chips(3)
    np.testing.assert_array_equal(varied(pixels, "none"), pixels)


def test_at_strength_0_the_levels_are_flips_and_quarter_turns():
    pixels = chips(20, side=16)
    np.testing.assert_allclose(varied(pixels, "strong", 3, 0.0), varied(pixels, "flips", 3))


def test_augmentation_depends_only_on_the_seed():
    pixels = chips(5, bands=4)
    np.testing.assert_array_equal(varied(pixels, "strong", 1), varied(pixels, "strong", 1))
    assert not np.allclose(varied(pixels, "strong", 1), varied(pixels, "strong", 2))


def test_a_chip_of_one_colour_changes_by_gains_within_their_ranges_only():
    grey = np.full((300, 8, 8, 3), 100, np.uint8)
    found = varied(grey, "strong")
    assert np.ptp(found, axis=(1, 2)).max() < 1e-3
    gains = found[:, 0, 0] / 100
    most = (1 + RANGES["strong"].gain) * (1 + RANGES["strong"].band_gain)
    assert 1.15 < gains.max() <= most + 1e-5
    assert 1 / most - 1e-5 <= gains.min() < 1 / 1.15
    casts = gains / gains.mean(axis=1, keepdims=True)
    assert np.abs(casts - 1).max() < 2 * RANGES["strong"].band_gain


def test_black_stays_black_and_nothing_leaves_0_to_255():
    assert not varied(np.zeros((9, 8, 8, 3), np.uint8), "strong").any()
    found = varied(np.full((99, 8, 8, 3), 250, np.uint8), "strong")
    assert found.max() == 255


def test_rare_chips_are_varied_over_wider_ranges():
    import tensorflow as tf

    ranges = RANGES["standard"]
    spread = [
        np.log(draw_gains(tf.fill([2000], factor), 1, (0, 0), ranges).numpy()).std()
        for factor in (1.0, 1.5)
    ]
    assert spread[1] == pytest.approx(1.5 * spread[0], rel=1e-3)


def test_rotation_zoom_and_shift_stay_within_their_ranges():
    import tensorflow as tf

    ranges = replace(RANGES["standard"], shear=0.0)
    matrices = draw_affine(tf.ones([4000]), (0, 0), ranges).numpy()
    zoom = np.sqrt(np.linalg.det(matrices))
    angle = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 1.09 < zoom.max() <= 1.1 + 1e-5
    assert 1 / 1.1 - 1e-5 <= zoom.min() < 1 / 1.09
    assert 9.9 < np.abs(angle).max() <= 10 + 1e-3
    assert 0.059 < np.abs(matrices[:, :2, 2]).max() <= 0.06 + 1e-6


def test_a_shift_moves_pixels_by_its_share_of_the_side_and_reflects_at_the_edge():
    chip = chips(1, side=10)
    shift = np.eye(3, dtype=np.float32)[None].copy()
    shift[0, 0, 2] = 0.2
    moved = resample(chip.astype(np.float32), to_transforms(shift, 10)).numpy()[0]
    np.testing.assert_allclose(moved[:, :8], chip[0, :, 2:], atol=1e-3)
    np.testing.assert_allclose(moved[:, 8:], chip[0, :, :7:-1], atol=1e-3)


def test_symmetries_keep_the_centre():
    import tensorflow as tf

    matrices = draw_symmetries(tf.constant(50), (0, 0))
    rows = to_transforms(matrices, 9).numpy()
    np.testing.assert_array_equal(rows[:, 0] * 4 + rows[:, 1] * 4 + rows[:, 2], 4)
    np.testing.assert_array_equal(rows[:, 3] * 4 + rows[:, 4] * 4 + rows[:, 5], 4)
