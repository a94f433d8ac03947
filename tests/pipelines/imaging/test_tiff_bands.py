"""GeoTIFFs of any bands and types: read as rasterio reads them, or refused with both sides."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip
from pipelines.imaging.geotiff import read_bands, read_measured
from pipelines.imaging.tiff_bands import TifKind, read_kind
from pipelines.imaging.tiff_layout import read_layout
from schemas.artifact import Preprocessing, SampleType
from schemas.tables import QuarantineReason as Reason
from tests.support.tiffs import encode_tif

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SIDE = 32
SENTINEL = ("B02", "B03", "B04", "B08", "B11", "B12")
Values = npt.NDArray[Any]


def draw(bands: int = 6, dtype: str = "uint16", seed: int = 0, side: int = SIDE) -> Values:
    """`[bands, side, side]`, each number different from those of the other bands."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(0.2, 0.1, (bands, side, side)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (bands, side, side), endpoint=True).astype(dtype)


def encode(
    values: Values,
    names: Sequence[str] = (),
    scales: Sequence[float] = (),
    offsets: Sequence[float] = (),
    **profile: Any,
) -> bytes:
    """A TIFF, with names and scales of its bands as rasterio writes them."""
    bands, height, width = values.shape
    size = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name}
    with MemoryFile() as file:
        with file.open(driver="GTiff", **size, **profile) as target:
            target.write(values)
            if names:
                target.descriptions = names
            if scales:
                target.scales = scales
                target.offsets = offsets or (0.0,) * bands
        return bytes(file.read())


def model(
    stored: Sequence[str],
    samples: SampleType,
    bands: Sequence[str] = (),
    scaling: Sequence[tuple[float, float]] | None = None,
    side: int = SIDE,
) -> Preprocessing:
    bands = tuple(bands or stored)
    scaled = (
        None
        if samples == "uint8" and scaling is None
        else tuple(scaling or [(0.0, 1.0)] * len(bands))
    )
    return Preprocessing("tif", side, bands, scaled, (4, 512), tuple(stored), samples)


def values_of(data: bytes, preprocessing: Preprocessing) -> Values:
    return read_bands(data, read_layout(data), preprocessing)


def message_of(data: bytes, preprocessing: Preprocessing) -> str:
    with pytest.raises(ChipRejected) as caught:
        decode_chip(data, preprocessing)
    assert caught.value.reason is Reason.WRONG_BANDS
    return caught.value.message


def numbered(count: int) -> tuple[str, ...]:
    return tuple(f"band_{n + 1}" for n in range(count))


# --- Any bands, types, compressions and layouts -------------------------------------------------

LAYOUTS: tuple[dict[str, Any], ...] = (
    {},
    {"blockysize": 5},
    {"tiled": True, "blockxsize": 16, "blockysize": 16},
    {"ENDIANNESS": "BIG"},
    {"BIGTIFF": "YES"},
)


@given(
    bands=st.integers(1, 16),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    compress=st.sampled_from(["none", "deflate", "lzw", "zstd"]),
    predictor=st.integers(1, 3),
    interleave=st.sampled_from(["pixel", "band"]),
    layout=st.sampled_from(LAYOUTS),
    seed=st.integers(0, 9),
)
def test_any_tif_has_the_values_that_were_written(
    bands: int,
    dtype: SampleType,
    compress: str,
    predictor: int,
    interleave: str,
    layout: dict[str, Any],
    seed: int,
) -> None:
    values = draw(bands, dtype, seed)
    profile = {"compress": compress, "interleave": interleave, "ALPHA": "NO", **layout}
    profile |= {"photometric": "minisblack"}
    if compress != "none" and not (predictor == 3 and dtype != "float32"):
        profile["predictor"] = predictor
    data = encode(values, **profile)
    found = values_of(data, model(numbered(bands), dtype))
    np.testing.assert_array_equal(found, np.moveaxis(values, 0, -1).astype(np.float32))
    with MemoryFile(data) as file, file.open() as source:
        np.testing.assert_array_equal(np.moveaxis(found, -1, 0), source.read())


def test_bytes_keep_their_values_unless_a_scaling_is_asked_for() -> None:
    values = draw(3, "uint8")
    data = encode(values, photometric="RGB")
    rgb = model(("red", "green", "blue"), "uint8")
    np.testing.assert_array_equal(decode_chip(data, rgb), np.moveaxis(values, 0, -1))
    scaled = replace(rgb, scaling=((0.0, 51.0),) * 3)
    expected = np.clip(np.moveaxis(values, 0, -1) * 5.0, 0, 255)
    np.testing.assert_array_equal(decode_chip(data, scaled), expected)


def test_negative_values_are_scaled_like_others() -> None:
    values = np.full((2, SIDE, SIDE), -500, np.int16)
    values[1] = 500
    asked = model(numbered(2), "int16", scaling=[(-1000, 1000)] * 2)
    assert decode_chip(encode(values), asked)[0, 0].tolist() == [64, 191]


def test_a_larger_chip_is_averaged_to_the_same_means() -> None:
    for dtype in ("uint8", "uint16", "int16", "float32"):
        values = draw(5, dtype, side=100)
        found = values_of(encode(values), model(numbered(5), dtype, side=25))
        expected = values.reshape(5, 25, 4, 25, 4).astype(np.float64).mean((2, 4))
        np.testing.assert_allclose(np.moveaxis(found, -1, 0), expected, rtol=1e-4, atol=1e-2)


# --- Which bands --------------------------------------------------------------------------------


def test_the_kind_has_the_names_of_the_file() -> None:
    data = encode(draw(), names=SENTINEL)
    assert read_kind(data, read_layout(data)) == TifKind(SENTINEL, "uint16", named=True)


@pytest.mark.parametrize(
    ("bands", "dtype", "profile", "names"),
    [
        (3, "uint8", {"photometric": "RGB"}, ("red", "green", "blue")),
        (4, "uint16", {}, ("blue", "green", "red", "near_infrared")),
        (4, "uint8", {"photometric": "RGB", "ALPHA": "YES"}, ("red", "green", "blue")),
        (2, "uint8", {"ALPHA": "YES"}, ("band_1",)),
        (6, "int16", {}, numbered(6)),
        (1, "float32", {}, ("band_1",)),
    ],
)
def test_bands_without_names_have_the_usual_ones(
    bands: int, dtype: str, profile: dict[str, Any], names: tuple[str, ...]
) -> None:
    data = encode(draw(bands, dtype), **profile)
    found = read_kind(data, read_layout(data))
    assert (found.bands, found.samples, found.named) == (names, dtype, False)
    assert found.alpha == ("ALPHA" in profile)


@pytest.mark.parametrize(
    "names", [("a", "b", "a"), ("a", "", "c"), ("a", "b", "c,d"), ("a", "b", "A"), ("1", "2", "3")]
)
def test_names_that_do_not_name_each_band_are_no_names(names: tuple[str, ...]) -> None:
    data = encode(draw(3), names=names)
    assert not read_kind(data, read_layout(data)).named


@pytest.mark.parametrize(("bands", "dtype"), [(17, "uint8"), (1, "uint32"), (3, "float64")])
def test_kinds_that_are_not_read_say_which_are(bands: int, dtype: str) -> None:
    data = encode_tif(np.ones((bands, 8, 8), dtype))
    with pytest.raises(
        ChipRejected, match=f"{bands} x {dtype}: only 1 to 16 bands of uint8, uint16"
    ):
        read_kind(data, read_layout(data))


def test_named_bands_are_found_wherever_they_are_and_further_ones_are_left() -> None:
    values = draw()
    asked = model(SENTINEL, "uint16", ("B04", "B03", "B02"))
    expected = np.moveaxis(values[[2, 1, 0]], 0, -1)
    np.testing.assert_array_equal(values_of(encode(values, SENTINEL), asked), expected)
    order = [5, 2, 0, 4, 1, 3]
    moved = encode(values[order], [SENTINEL[i].lower() for i in order], interleave="band")
    np.testing.assert_array_equal(values_of(moved, asked), expected)
    more = encode(np.concatenate([values, values]), [*SENTINEL, *numbered(6)])
    np.testing.assert_array_equal(values_of(more, asked), expected)


def test_bands_without_names_are_taken_by_their_positions() -> None:
    values = draw()
    asked = model(SENTINEL, "uint16", ("B08", "B02"))
    expected = np.moveaxis(values[[3, 0]], 0, -1)
    np.testing.assert_array_equal(values_of(encode(values), asked), expected)
    by_number = model(numbered(6), "uint16", ("band_4", "band_1"))
    np.testing.assert_array_equal(values_of(encode(values, SENTINEL), by_number), expected)


def test_chips_that_do_not_fit_are_refused_with_what_they_have_and_what_the_model_takes() -> None:
    asked = model(SENTINEL, "uint16", ("B04", "B03"))
    takes = "and the model takes B04, B03 of 6 x uint16"
    others = ("red", "green", "blue", "nir", "swir", "swir 2")
    assert message_of(encode(draw(), others), asked) == (
        f"6 x uint16 ({', '.join(others)}), {takes}"
    )
    assert message_of(encode(draw(5)), asked) == f"5 x uint16, {takes}"
    assert message_of(encode(draw(6, "int16")), asked) == f"6 x int16, {takes}"
    assert message_of(encode(draw(6, "float32")), asked) == f"6 x float32, {takes}"


def test_a_model_of_four_bands_of_uint16_takes_them_by_position_whatever_their_names_are() -> None:
    old = Preprocessing("tif", SIDE, ("red",), ((0.0, 1.0),), (4, 512))
    values = draw(4)
    data = encode(values, ("a", "b", "c", "d"))
    np.testing.assert_array_equal(values_of(data, old)[..., 0], values[2])


def test_a_last_sample_that_is_called_alpha_is_a_band_of_a_model_that_was_trained_so() -> None:
    values = draw(4, "uint8")
    data = encode(values, photometric="RGB", ALPHA="YES")
    asked = model(("b", "g", "r", "nir"), "uint8")
    np.testing.assert_array_equal(decode_chip(data, asked), np.moveaxis(values, 0, -1))


# --- Whole numbers with a scale -----------------------------------------------------------------


def test_whole_numbers_with_a_scale_are_values_of_a_model_of_floats() -> None:
    values = draw(3, "int16")
    scales, offsets = (0.1, 0.01, 0.001), (0.0, -1.0, 2.0)
    data = encode(values, scales=scales, offsets=offsets)
    asked = model(numbered(3), "float32", ("band_3", "band_1"))
    expected = np.moveaxis(values, 0, -1)[..., [2, 0]] * np.array([0.001, 0.1]) + [2.0, 0.0]
    np.testing.assert_allclose(values_of(data, asked), expected, rtol=1e-5, atol=1e-4)


def test_whole_numbers_without_their_scale_are_refused_by_a_model_of_floats() -> None:
    asked = model(numbered(3), "float32")
    found = message_of(encode(draw(3, "int16")), asked)
    assert found.startswith("3 x int16 without a scale, and the model takes band_1, band_2, band_3")


# --- No data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype", "profile"),
    [
        (np.nan, "float32", {}),
        (np.inf, "float32", {}),
        (-9999, "float32", {"nodata": -9999}),
        (-3.4e38, "float32", {"nodata": -3.4e38}),
        (-9999, "int16", {"nodata": -9999}),
        (0, "uint8", {}),
        (0, "float32", {}),
    ],
)
def test_a_chip_without_a_pixel_of_data_is_no_data(
    value: float, dtype: SampleType, profile: dict[str, Any]
) -> None:
    data = encode(np.full((5, SIDE, SIDE), value, dtype), **profile)
    with pytest.raises(ChipRejected) as caught:
        decode_chip(data, model(numbered(5), dtype))
    assert caught.value.reason is Reason.NO_DATA


def test_a_band_without_data_is_no_data_only_for_a_model_that_takes_it() -> None:
    values = draw(3, "float32")
    values[2] = np.nan
    data = encode(values)
    with pytest.raises(ChipRejected, match="no_data: no pixel has data in all bands"):
        decode_chip(data, model(numbered(3), "float32"))
    found = values_of(data, model(numbered(3), "float32", ("band_1", "band_2")))
    np.testing.assert_array_equal(found, np.moveaxis(values[:2], 0, -1))


def test_a_transparent_chip_is_no_data_and_transparent_pixels_are_black() -> None:
    values = draw(4, "uint8")
    values[3], values[:3, 0] = 255, 9
    values[3, 0] = 0
    rgb = model(("red", "green", "blue"), "uint8")
    found = decode_chip(encode(values, photometric="RGB", ALPHA="YES"), rgb)
    assert not found[0].any()
    np.testing.assert_array_equal(found[1:], np.moveaxis(values[:3, 1:], 0, -1))
    values[3] = 0
    with pytest.raises(ChipRejected, match="no pixel has data in all bands"):
        decode_chip(encode(values, photometric="RGB", ALPHA="YES"), rgb)


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf, -3.4e38])
@pytest.mark.parametrize("side", [SIDE, 48])
def test_gaps_are_zero_and_spoil_no_other_pixel(gap: float, side: int) -> None:
    values = draw(3, "float32", side=side)
    values[1, 4:9, 4:9] = gap
    asked = model(numbered(3), "float32")
    found = values_of(encode(values), asked)
    filled = np.where(values == values[1, 4, 4], 0, np.nan_to_num(values, nan=0))
    np.testing.assert_allclose(found, values_of(encode(filled), asked), atol=1e-6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("side", [SIDE, 48])
def test_no_data_values_are_zero_and_spoil_no_other_pixel(dtype: SampleType, side: int) -> None:
    values = draw(3, dtype, side=side)
    values[1, 4:9, 4:9] = -9999
    asked = model(numbered(3), dtype)
    filled = np.where(values == -9999, np.zeros_like(values), values)
    expected = values_of(encode(filled), asked)
    np.testing.assert_allclose(values_of(encode(values, nodata=-9999), asked), expected, atol=1e-6)


def test_only_pixels_without_gaps_are_measured() -> None:
    values = draw(2, "float32", side=64)
    values[0, :32] = np.nan
    values[:, 60:] = -9999
    data = encode(values, nodata=-9999)
    found = read_measured(data, read_layout(data), model(numbered(2), "float32"))
    expected = values[:, 32:60].reshape(2, 14, 2, 32, 2).mean((2, 4)).reshape(2, -1).T
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_files_with_more_than_16_bands_never_reach_the_decoder() -> None:
    data = encode_tif(np.ones((200, 8, 8), "uint8"))
    assert "200 x uint8: only 1 to 16 bands" in message_of(data, model(SENTINEL, "uint8"))
