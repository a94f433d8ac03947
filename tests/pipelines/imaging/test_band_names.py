"""Names of bands: which of them are colours, and what can be a name."""

import pytest

from pipelines.imaging.band_names import (
    find_colours,
    is_band_name,
    numbered_names,
    shown_colours,
)


def test_colours_are_found_by_their_names_in_any_product():
    assert find_colours(["Blue", "Green", "Red", "NIR"]) == (2, 1, 0)
    assert find_colours(["SR_B2", "SR_B3", "SR_B4", "SR_B5"]) == (2, 1, 0)
    assert find_colours(["B04", "B03", "B02"]) == (0, 1, 2)
    assert find_colours(["B04", "B03", "B08"]) is None


def test_a_name_that_says_the_colour_comes_before_a_code():
    assert find_colours(["B04", "red", "green", "blue"]) == (1, 2, 3)


def test_pictures_show_bands_without_colours_by_wavelength_and_single_bands_in_grey():
    assert shown_colours(numbered_names(6)) == (2, 1, 0)
    assert shown_colours(["vv", "vh"]) == (0, 0, 0)


@pytest.mark.parametrize("name", ["B02", "near infrared (842 nm)", "é", "x" * 64])
def test_names_are_short_text(name):
    assert is_band_name(name)


@pytest.mark.parametrize("name", ["", "12", "a,b", " a", "a\n", "\ud800", "x" * 65])
def test_lists_numbers_and_text_that_cannot_be_printed_are_no_names(name):
    assert not is_band_name(name)
