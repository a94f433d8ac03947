"""Any bands into a network: which it takes, and which of ImageNet's channels each of them is."""

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.imaging.band_names import numbered_names
from pipelines.imaging.tiff_bands import TifKind
from schemas.artifact import BANDS
from train.networks.input_bands import (
    choose_bands,
    split_list,
    spread_kernel,
    spread_statistics,
    stored_names,
)
from train.networks.registry import NETWORKS

RGB = ("red", "green", "blue")
SENTINEL = ("B02", "B03", "B04", "B08", "B11", "B12")


def chosen(name: str, stored: tuple[str, ...], asked: str | None) -> tuple[str, ...]:
    return choose_bands(name, NETWORKS[name].bands, stored, asked)


def test_networks_take_all_bands_of_a_tif_unless_rgb_is_asked_for():
    for name in ("vgg16", "cnn", "mean_colour"):
        assert chosen(name, BANDS["jpg"], None) == RGB
        assert chosen(name, BANDS["jpg"], "all") == RGB
        assert chosen(name, BANDS["tif"], "rgb") == RGB
        for asked in (None, "all"):
            assert set(chosen(name, BANDS["tif"], asked)) == {*RGB, "near_infrared"}
    assert chosen("vgg16", BANDS["tif"], None)[:3] == RGB
    assert chosen("mean_colour", BANDS["tif"], None) == BANDS["tif"]


def test_cnn_grey_takes_only_colours():
    assert chosen("cnn_grey", BANDS["tif"], None) == RGB
    assert chosen("cnn_grey", SENTINEL, None) == ("B04", "B03", "B02")
    assert chosen("cnn_grey", SENTINEL, "3,2,1") == ("B04", "B03", "B02")
    with pytest.raises(UsageError, match="cnn_grey takes red, green, blue, not all of blue"):
        chosen("cnn_grey", BANDS["tif"], "all")
    with pytest.raises(UsageError, match="takes red, green and blue, in this order"):
        chosen("cnn_grey", SENTINEL, "B02,B03,B04")


def test_colours_of_sentinel_2_come_first_and_the_other_bands_keep_their_order():
    assert chosen("vgg16", SENTINEL, None) == ("B04", "B03", "B02", "B08", "B11", "B12")
    assert chosen("vgg16", SENTINEL, "rgb") == ("B04", "B03", "B02")


def test_bands_without_colours_keep_their_order():
    stored = ("vv", "vh", "angle")
    assert chosen("vgg16", stored, None) == stored
    with pytest.raises(UsageError, match=r"--bands rgb: red, green and blue are not among .* vv,"):
        chosen("vgg16", stored, "rgb")
    with pytest.raises(UsageError, match="--network cnn_grey: red, green and blue are not among"):
        chosen("cnn_grey", stored, None)


def test_listed_bands_are_taken_by_name_or_by_number_in_the_order_of_the_list():
    assert chosen("vgg16", SENTINEL, "B08, B04,B03") == ("B08", "B04", "B03")
    assert chosen("vgg16", SENTINEL, "4,3,2") == ("B08", "B04", "B03")
    assert chosen("vgg16", SENTINEL, "1,B12") == ("B02", "B12")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("7", "--bands 7: 7 is not one of the bands 1 to 6"),
        ("0", "0 is not one of the bands"),
        ("B09", "'B09' is not among the bands B02, B03, B04, B08, B11, B12"),
        ("B02,1", "a band is named twice"),
    ],
)
def test_bands_that_chips_do_not_have_are_refused_with_those_that_they_have(asked, message):
    with pytest.raises(UsageError, match=message):
        chosen("vgg16", SENTINEL, asked)


@pytest.mark.parametrize("asked", ["", "B02,,B03", "a\nb", "x" * 65, "9" * 5000])
def test_a_list_of_something_else_than_bands_is_refused(asked):
    with pytest.raises(UsageError, match="neither the name nor the number of a band"):
        split_list(asked)


def test_red_green_and_blue_take_their_channels_of_imagenet_wherever_they_are():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 5)).astype(np.float32)
    spread = spread_kernel(kernel, SENTINEL)
    np.testing.assert_array_equal(spread[:, :, [2, 1, 0]], kernel)
    np.testing.assert_array_equal(spread[:, :, 3:], 0)
    np.testing.assert_array_equal(spread_kernel(kernel, RGB), kernel)


def test_the_first_three_bands_take_the_channels_if_none_is_a_colour():
    kernel = np.random.default_rng(0).normal(size=(1, 1, 3, 2)).astype(np.float32)
    spread = spread_kernel(kernel, ("B08", "B04", "B03", "B11"))
    np.testing.assert_array_equal(spread[:, :, :3], kernel)
    np.testing.assert_array_equal(spread[:, :, 3], 0)


@pytest.mark.parametrize("bands", [("vv",), ("vv", "vh")])
def test_one_or_two_bands_answer_to_a_grey_picture_like_three(bands):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 5)).astype(np.float32)
    spread = spread_kernel(kernel, bands)
    assert spread.shape == (3, 3, len(bands), 5)
    np.testing.assert_allclose(spread.sum(2), kernel.sum(2), rtol=1e-6)


def test_statistics_of_imagenet_go_to_their_bands_and_their_mean_to_the_others():
    np.testing.assert_allclose(spread_statistics([1, 2, 6], SENTINEL), [6, 2, 1, 3, 3, 3])
    np.testing.assert_allclose(spread_statistics([1, 2, 6], ["vv"]), [3])


@pytest.mark.parametrize("bands", [("vv",), ("vv", "vh"), SENTINEL])
def test_networks_are_built_for_any_number_of_bands(bands):
    for name in ("vgg16", "cnn", "mean_colour"):
        model = NETWORKS[name].build((32, 32, len(bands)), 3)
        assert model(np.zeros((1, 32, 32, len(bands)), np.float32)).shape == (1, 3)


UNNAMED = TifKind(numbered_names(6), "uint16", named=False)
BYTES = TifKind(RGB, "uint8", named=False, alpha=True)


def test_a_list_of_names_names_the_bands_of_files_that_do_not() -> None:
    assert stored_names(UNNAMED, ",".join(SENTINEL)) == SENTINEL
    assert stored_names(UNNAMED, "6,5") == UNNAMED.bands
    for asked in (None, "all", "rgb"):
        assert stored_names(UNNAMED, asked) == UNNAMED.bands
    assert stored_names(TifKind(BANDS["tif"], "uint16", named=False), "red,blue") == BANDS["tif"]
    assert stored_names(TifKind(SENTINEL, "uint16", named=True), "a,b,c,d,e,f") == SENTINEL


def test_a_name_for_some_of_the_bands_of_files_without_names_is_refused() -> None:
    with pytest.raises(UsageError, match="do not name their 6 bands, so 'B08' can be any of them"):
        stored_names(UNNAMED, "B08,B04")


def test_a_fourth_band_that_is_called_alpha_is_a_band_if_it_is_listed() -> None:
    assert stored_names(BYTES, None) == RGB
    assert stored_names(BYTES, "b,g,r,nir") == ("b", "g", "r", "nir")
    assert stored_names(BYTES, "4,1") == numbered_names(4)
    assert stored_names(BYTES, "3,1") == RGB


def test_three_names_are_those_of_the_bands_before_an_alpha_channel() -> None:
    assert stored_names(BYTES, "b,g,r") == ("b", "g", "r")


def test_numbers_leave_bands_their_usual_names() -> None:
    assert stored_names(TifKind(BANDS["tif"], "uint16", named=False), "4,3,2") == BANDS["tif"]
