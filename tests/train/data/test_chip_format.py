"""What the tifs of a set are: one kind, the most frequent one, or one that is asked for."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.imaging.decoding import decode_chip
from schemas.artifact import BANDS, Preprocessing
from tests.support.samples import jpg_bytes
from tests.support.tiffs import encode_tif
from train.data.chip_format import ChipFormat, check_kind, find_format
from train.data.radiometry import preprocessing_for

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write(folder: Path, **kinds: tuple[int, int, str]) -> list[str]:
    """Tifs of each kind: their number, bands and type."""
    paths = []
    for name, (count, bands, dtype) in kinds.items():
        for number in range(count):
            paths.append(folder / f"{name}_{number}.tif")
            values = np.random.default_rng(number).uniform(1, 100, (bands, 16, 16))
            paths[-1].write_bytes(encode_tif(values.astype(dtype)))
    return list(map(str, paths))


def test_jpgs_and_pngs_are_what_they_always_are() -> None:
    assert find_format("png", [], 0) == ChipFormat("png")
    found = ChipFormat("jpg").preprocessing(8, ("red",), None)
    assert (found.stored_bands, found.sample_type) == ((), None)


def test_four_bands_of_uint16_without_names_are_as_in_earlier_artifacts(tmp_path: Path) -> None:
    uris = write(tmp_path, a=(3, 4, "uint16"))
    found = preprocessing_for(find_format("tif", uris, 0), 8, BANDS["tif"], uris, 0)
    assert (found.stored_bands, found.sample_type) == ((), None)
    assert "stored_bands" not in found.to_dict()


def test_the_kind_of_nearly_all_is_taken_and_the_others_are_counted(tmp_path: Path, capsys) -> None:
    uris = write(tmp_path, a=(38, 6, "uint16"), b=(2, 3, "uint8"))
    found = find_format("tif", uris, 0)
    assert (len(found.stored), found.samples) == (6, "uint16")
    assert "holds tifs of 2 kinds (38 of 6 x uint16, 2 of 3 x uint8): using 6 x uint16" in (
        capsys.readouterr().out
    )


def test_a_mixed_set_is_refused_with_counts_and_the_most_frequent_kind(tmp_path: Path) -> None:
    uris = write(tmp_path, a=(6, 6, "uint16"), b=(5, 4, "uint16"), c=(1, 6, "float32"))
    with pytest.raises(UsageError) as caught:
        find_format("tif", uris, 0)
    assert str(caught.value) == (
        "--chips holds tifs of 3 kinds (6 of 6 x uint16, 5 of 4 x uint16, 1 of 6 x float32; 12 "
        "were looked at), and a network takes one: give --tif_kind 6xuint16 for the most frequent"
    )
    assert find_format("tif", uris, 0, "4xuint16").stored == BANDS["tif"]
    with pytest.raises(UsageError, match="--tif_kind 3xuint8: --chips holds 6 of 6 x uint16"):
        find_format("tif", uris, 0, "3xuint8")
    assert find_format("tif", uris, 0, least_share=0).samples == "uint16"


@pytest.mark.parametrize("asked", ["6", "uint16", "6xuint32", "6 x uint16", "xuint8"])
def test_a_kind_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match=f"--tif_kind {asked}: it is a number of bands and a type"):
        check_kind(asked)


def test_tifs_that_are_all_something_else_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(jpg_bytes())
    with pytest.raises(UsageError, match="can be decoded: the bytes are jpg"):
        find_format("tif", [str(tmp_path / "a.tif")], 0)
    uris = write(tmp_path, b=(1, 2, "uint32"))
    with pytest.raises(UsageError, match="2 x uint32: only 1 to 16 bands of uint8, uint16"):
        find_format("tif", uris, 0)


def test_files_without_names_are_of_the_kind_of_those_with_names(tmp_path: Path, capsys) -> None:
    import rasterio

    uris = write(tmp_path, a=(10, 3, "int16"))
    for uri in uris[:4]:
        with rasterio.open(uri, "r+") as target:
            target.descriptions = ("B8", "B4", "B3")
    assert find_format("tif", uris, 0).stored == ("B8", "B4", "B3")
    assert capsys.readouterr().out == ""


def scaling_of(
    folder: Path,
    values: np.ndarray,
    dtype: str,
    side: int = 20,
    nodata: float | None = None,
    scale_uint8: bool = False,
) -> Preprocessing:
    (folder / "a.tif").write_bytes(encode_tif(values.astype(dtype), nodata=nodata))
    uris = [str(folder / "a.tif")]
    chips = find_format("tif", uris, 0)
    return preprocessing_for(chips, side, chips.stored, uris, 0, scale_uint8)


def test_floats_are_scaled_between_their_percentiles_however_small_they_are(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0.01, 0.04, (5, 20, 20))
    found = scaling_of(tmp_path, values, "float32")
    expected = np.percentile(values.reshape(5, -1), (2, 98), axis=1).T
    np.testing.assert_allclose(found.scaling, expected, rtol=1e-5)


@pytest.mark.parametrize(("gap", "nodata"), [(np.nan, None), (-9999, -9999)])
def test_pixels_without_data_do_not_move_the_scaling(tmp_path: Path, gap, nodata) -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.4, (3, 20, 20))
    values[:, :8] = gap
    found = scaling_of(tmp_path, values, "float32", nodata=nodata)
    expected = np.percentile(values[:, 8:].reshape(3, -1), (2, 98), axis=1).T
    np.testing.assert_allclose(found.scaling, expected, rtol=1e-5)


def test_chips_of_nothing_but_gaps_cannot_be_trained_on(tmp_path: Path) -> None:
    values = np.full((3, 20, 20), 0.5)
    values[0, ::2, ::2] = np.nan
    with pytest.raises(UsageError, match="none of the training tifs has a pixel without gaps"):
        scaling_of(tmp_path, values, "float32", side=10)
    values[1] = np.nan
    with pytest.raises(UsageError, match="no pixel has data in all bands"):
        scaling_of(tmp_path, values, "float32")


def test_bytes_are_scaled_only_if_asked(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 99, (3, 20, 20))
    assert scaling_of(tmp_path, values, "uint8").scaling is None
    asked = scaling_of(tmp_path, values, "uint8", scale_uint8=True)
    expected = np.percentile(values.reshape(3, -1), (2, 98), axis=1).T
    np.testing.assert_allclose(asked.scaling, expected, rtol=1e-5)
    stretched = decode_chip((tmp_path / "a.tif").read_bytes(), asked)
    assert (stretched.min(), stretched.max()) == (0, 255)
