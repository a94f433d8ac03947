"""Windows of scenes for models of any bands: as chips with the same pixels, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.lattice import Cut
from pipelines.scenes.scene import choose_bands
from pipelines.scenes.unit_windows import UnitWindows
from schemas.artifact import Preprocessing, SampleType
from tests.support.scenes import TIF_MODEL, as_unit, list_scene, parse_bytes
from tests.support.tiffs import encode_tif

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SENTINEL = ("B02", "B03", "B04", "B08", "B11", "B12")
SIDE, CUT = 32, Cut(32, 0, "drop")


def model(
    bands: tuple[str, ...] = ("B04", "B08", "B12"),
    samples: SampleType = "uint16",
    stored: tuple[str, ...] = SENTINEL,
    scaling: tuple[float, float] | None = (0.0, 10_000.0),
) -> Preprocessing:
    scaled = None if scaling is None else (scaling,) * len(bands)
    return Preprocessing("tif", 16, bands, scaled, (8, 64), stored, samples)


def draw(bands: int = 6, dtype: str = "uint16") -> npt.NDArray[Any]:
    values = np.random.default_rng(0).uniform(1, 10_000, (bands, 2 * SIDE, 3 * SIDE))
    return (
        values / 10_000 if dtype == "float32" else values % 255 if dtype == "uint8" else values
    ).astype(dtype)


def write(folder: Path, values: npt.NDArray[Any], names: tuple[str, ...] = (), **more: Any) -> Path:
    bands, height, width = values.shape
    path = folder / "scene.tif"
    profile = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name}
    profile |= {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}
    scales = more.pop("scales", ())
    with rasterio.open(path, "w", driver="GTiff", **profile, **more) as target:
        target.write(values)
        if names:
            target.descriptions = names
        if scales:
            target.scales = scales
    return path


def read(
    path: Path, asked: Preprocessing, named: SceneBands | None = None
) -> dict[tuple[int, int], Any]:
    """Pixels of the windows by column and row."""
    rows = list_scene(path, CUT, asked).rows
    chips = as_unit(rows)
    if named:
        at = chips.column_names.index("scene_bands")
        column = [named.to_json()] * chips.num_rows
        chips = chips.set_column(at, chips.schema.field(at), [column])
    windows = UnitWindows(chips, asked)
    corners = zip(chips["x_px"].to_pylist(), chips["y_px"].to_pylist(), strict=True)
    return {corner: windows.read(row).pixels for row, corner in enumerate(corners)}


def check(
    found: dict[tuple[int, int], Any], values: npt.NDArray[Any], asked: Preprocessing
) -> None:
    """Compare windows with chips that have the model's bands in the order of its training."""
    assert len(found) == 6
    for (x, y), pixels in found.items():
        chip = encode_tif(
            values[:, y : y + SIDE, x : x + SIDE], photometric="minisblack", ALPHA="NO"
        )
        np.testing.assert_array_equal(pixels, decode_chip(chip, asked))


def test_windows_have_the_pixels_of_chips_whatever_the_order_of_named_bands(tmp_path: Path) -> None:
    values, order = draw(), [5, 0, 3, 1, 2, 4]
    check(read(write(tmp_path, values), model()), values, model())
    moved = write(tmp_path, values[order], tuple(SENTINEL[i] for i in order))
    check(read(moved, model()), values, model())
    more = np.concatenate([values, values[:2]])
    check(read(write(tmp_path, more, (*SENTINEL, "x", "y")), model()), values, model())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_windows_of_any_type_have_the_pixels_of_chips(tmp_path: Path, dtype: SampleType) -> None:
    values = draw(5, dtype)
    if dtype == "float32":
        values[1, 3:9, 3:20] = np.nan
    stored = tuple("abcde")
    scaling = {"uint8": None, "float32": (0.0, 1.0)}.get(dtype, (0.0, 10_000.0))
    asked = model(("e", "b"), dtype, stored, scaling)
    found = read(write(tmp_path, values, photometric="minisblack", ALPHA="NO"), asked)
    check(found, values, asked)


def test_bands_that_an_item_names_are_taken_wherever_they_are(tmp_path: Path) -> None:
    values, asked = draw(), model()
    path = write(tmp_path, values[::-1])
    named = SceneBands((3, 2, 0), names=asked.bands)
    check(read(path, asked, named), values, asked)


def test_a_last_band_that_is_called_alpha_is_a_band_of_a_model_that_was_trained_so(
    tmp_path: Path,
) -> None:
    values = draw(4, "uint8")
    asked = model(("r", "nir"), "uint8", ("r", "g", "b", "nir"), None)
    found = read(write(tmp_path, values, photometric="RGB", ALPHA="YES"), asked)
    check(found, values, asked)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_no_data_values_in_windows_are_zero_as_in_chips(tmp_path: Path, dtype: SampleType) -> None:
    values = draw(2, dtype)
    values[0, 5:30, 7:50] = -9999
    asked = model(("a", "b"), dtype, ("a", "b"), (0.0, 10_000.0))
    for (x, y), pixels in read(write(tmp_path, values, nodata=-9999), asked).items():
        chip = encode_tif(values[:, y : y + SIDE, x : x + SIDE], nodata=-9999)
        np.testing.assert_array_equal(pixels, decode_chip(chip, asked))


def test_transparent_pixels_of_windows_are_black_as_in_chips(tmp_path: Path) -> None:
    values = draw(4, "uint8")
    values[3], values[3, :9, :9], values[3, 40] = 255, 0, 0
    colours = ("red", "green", "blue")
    asked = model(colours, "uint8", colours, None)
    found = read(write(tmp_path, values, photometric="RGB", ALPHA="YES"), asked)
    assert not found[0, 0][:4, :4].any()
    for (x, y), pixels in found.items():
        chip = encode_tif(values[:, y : y + SIDE, x : x + SIDE], photometric="RGB", ALPHA="YES")
        np.testing.assert_array_equal(pixels, decode_chip(chip, asked))


@pytest.mark.parametrize(
    ("values", "names", "asked", "said"),
    [
        (draw(5), (), model(), "5 x uint16, and the model takes B04, B08, B12 of 6 x uint16"),
        (draw(3), ("B02", "B03", "B04"), model(), r"3 x uint16 \(B02, B03, B04\), and the model"),
        (draw(6, "float32"), (), model(), "6 x float32, and the model takes B04"),
        (draw(), (), model(samples="float32"), "6 x uint16 without a scale, and the model takes"),
    ],
)
def test_a_scene_that_does_not_fit_is_refused_with_both_sides(
    values: npt.NDArray[Any],
    names: tuple[str, ...],
    asked: Preprocessing,
    said: str,
    tmp_path: Path,
) -> None:
    scene = parse_bytes(write(tmp_path, values, names).read_bytes())
    with pytest.raises(ChipRejected, match=f"wrong_bands: {said}"):
        choose_bands(scene, asked, None)


def test_whole_numbers_with_a_scale_are_values_for_a_model_of_floats(tmp_path: Path) -> None:
    values = draw()
    floats = model(samples="float32", scaling=(0.0, 1.0))
    expected = read(write(tmp_path, values), model())
    found = read(write(tmp_path, values, scales=(1e-4,) * 6), floats)
    for corner, pixels in found.items():
        assert np.abs(pixels.astype(int) - expected[corner]).max() <= 1
    plain = parse_bytes(write(tmp_path, values).read_bytes())
    item = SceneBands((2, 3, 5), (1e-4,) * 3, (0.0,) * 3, floats.bands)
    assert choose_bands(plain, floats, item).scales == (1e-4,) * 3
    with pytest.raises(ChipRejected, match="without a scale, and the model takes 6 x float32"):
        choose_bands(plain, floats, SceneBands((2, 3, 5), names=floats.bands))


def test_a_model_of_four_bands_takes_them_by_position_whatever_their_names(tmp_path: Path) -> None:
    scene = parse_bytes(write(tmp_path, draw(4), ("w", "x", "y", "z")).read_bytes())
    assert choose_bands(scene, TIF_MODEL, None).positions is None
