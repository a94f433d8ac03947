"""What goes into a network: bands, types and scaling, and their digest."""

import pytest

from schemas.networks.preprocessing import is_band_name


@pytest.mark.parametrize("name", ["B02", "near infrared (842 nm)", "é", "x" * 64])
def test_names_are_short_text(name):
    assert is_band_name(name)


@pytest.mark.parametrize("name", ["", "12", "a,b", " a", "a\n", "\ud800", "x" * 65])
def test_lists_numbers_and_text_that_cannot_be_printed_are_no_names(name):
    assert not is_band_name(name)
