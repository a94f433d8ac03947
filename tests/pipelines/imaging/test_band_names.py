"""Names of bands: which of them are colours, and what can be a name."""

from pipelines.imaging.band_names import (
    find_colours,
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
