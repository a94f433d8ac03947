"""Windows are read as chips that were cut from the scene, and their blocks once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window as GdalWindow

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_with_place
from pipelines.imaging.footprint import footprints_of
from pipelines.scenes import block_reader, unit_windows
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.lattice import Cut
from pipelines.scenes.unit_windows import UnitWindows
from schemas.artifact import Preprocessing
from schemas.tables import QuarantineReason as Reason
from tests.support.scenes import (
    JPG_MODEL,
    LAYOUTS,
    TIF_MODEL,
    as_unit,
    draw_scene,
    list_scene,
    parse_bytes,
    scene_bytes,
)
from tests.support.tiffs import encode_tif

ON_LATTICE = {"transform": rasterio.Affine(3, 0, 9600, 0, -3, 96_000)}
"""The first pixel is where a window of 32 pixels begins."""


def cut_chip(path: Path, window: tuple[int, int, int, int]) -> bytes:
    """What `gdal_translate -srcwin` writes: outside the scene, no data."""
    x, y, width, height = window
    with rasterio.open(path) as source:
        fill = 0 if source.nodata is None else source.nodata
        values = source.read(
            window=GdalWindow(x, y, width, height), boundless=True, fill_value=fill
        )
        place = {
            "crs": source.crs,
            "transform": source.window_transform(GdalWindow(x, y, width, height)),
            "nodata": source.nodata,
        }
    return encode_tif(values.astype("uint16"), **place)


def read_all(path: Path, cut: Cut, model: Preprocessing = TIF_MODEL, **more) -> dict:
    """Window to what was read of it, or why not."""
    found = list_scene(path, cut, model)
    chips = as_unit(found.rows)
    windows = UnitWindows(chips, model, **more)
    results = {}
    names = ("x_px", "y_px", "width_px", "height_px")
    for row, window in enumerate(zip(*(chips[n].to_pylist() for n in names), strict=True)):
        try:
            results[window] = windows.read(row)
        except ChipRejected as rejected:
            results[window] = rejected
    return results


def written(folder: Path, values: npt.NDArray, **profile) -> Path:
    path = folder / "scene.tif"
    path.write_bytes(scene_bytes(values, **profile))
    return path


@pytest.mark.parametrize("edge", ["drop", "shift", "pad"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_window_has_the_pixels_and_the_place_of_a_chip_cut_by_gdal(
    dtype: str, layout: str, edge: str, tmp_path: Path
) -> None:
    values = draw_scene(150, 170, dtype=dtype)
    path = written(
        tmp_path,
        values,
        compress="deflate",
        photometric="minisblack",
        alpha="no",
        **LAYOUTS[layout],
    )
    for cut in (Cut(32, 0, edge), Cut(45, 13, edge)):
        found = read_all(path, cut)
        assert len(found) > 9
        for window, got in found.items():
            pixels, place = decode_with_place(cut_chip(path, window), TIF_MODEL)
            assert np.array_equal(got.pixels, pixels)
            expected, rings = footprints_of([place]), footprints_of([got.place])
            assert np.allclose(expected[1], rings[1], rtol=0, atol=1e-12)
            x, y, size, _ = window
            inside = max(min(x + size, 170) - max(x, 0), 0) * max(min(y + size, 150) - max(y, 0), 0)
            assert got.no_data_share == pytest.approx(1 - inside / size**2)


@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_any_cut_of_any_layout_reads_what_gdal_reads(data: st.DataObject, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("any")
    height, width = data.draw(st.integers(20, 90)), data.draw(st.integers(20, 90))
    layout = LAYOUTS[data.draw(st.sampled_from(sorted(LAYOUTS)))]
    cut_px = data.draw(st.integers(16, 70))
    cut = Cut(
        cut_px,
        data.draw(st.integers(0, cut_px // 4)),
        data.draw(st.sampled_from(["drop", "shift", "pad"])),
    )
    origin = rasterio.Affine(
        3, 0, data.draw(st.floats(-1e6, 1e6)), 0, -3, data.draw(st.floats(-1e6, 1e6))
    )
    path = written(folder, draw_scene(height, width), transform=origin, **layout)
    for window, got in read_all(path, cut).items():
        if not isinstance(got, ChipRejected):
            assert np.array_equal(
                got.pixels, decode_with_place(cut_chip(path, window), TIF_MODEL)[0]
            )


def test_negative_numbers_and_fractions_are_averaged_and_scaled_as_they_are(tmp_path: Path) -> None:
    for dtype in ("int16", "float32"):
        values = draw_scene(64, 64, dtype=dtype)
        path = written(tmp_path, values)
        for (x, y, size, _), got in read_all(path, Cut(32)).items():
            part = values[:, y : y + size, x : x + size].astype(np.float64)
            means = part.reshape(4, 16, 2, 16, 2).mean((2, 4))
            expected = np.clip(np.rint((means - 1000) * 255 / 12000), 0, 255)
            assert np.abs(np.moveaxis(expected, 0, -1) - got.pixels).max() <= 1
            assert (np.moveaxis(expected, 0, -1) == got.pixels).mean() > 0.99


def test_each_block_is_fetched_once_and_decoded_once_in_few_requests(
    tmp_path: Path, monkeypatch
) -> None:
    layout = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}
    path = written(tmp_path, draw_scene(320, 330), **layout)
    decoded, fetched = [], []
    decode, fetch = block_reader.decode_block, block_reader.store.read_range

    def counting_decode(blocks, index, data, memory):
        decoded.append(index)
        return decode(blocks, index, data, memory)

    def counting_fetch(uri, start, length, etag):
        fetched.append(length)
        return fetch(uri, start, length, etag)

    monkeypatch.setattr(block_reader, "decode_block", counting_decode)
    found = list_scene(path, Cut(48, 20))
    chips = as_unit(found.rows)
    windows = UnitWindows(chips, TIF_MODEL)
    monkeypatch.setattr(block_reader.store, "read_range", counting_fetch)
    held = []
    for row in range(chips.num_rows):
        windows.read(row)
        (scene,) = windows._scenes.values()
        held.append(len(scene.reader().pixels._slots))
    assert chips.num_rows > 80
    assert len(decoded) == len(set(decoded)) > 90
    assert sum(fetched[1:]) == pytest.approx(found.needed_bytes, rel=0.05)
    assert len(fetched) < 5
    assert max(held) <= 2 * 11 + 5
    assert held[-1] == 0
    spent = windows.take_spent()
    assert (spent.fetched_bytes, spent.requests) == (sum(fetched[1:]), len(fetched) - 1)


def test_threads_that_share_blocks_and_their_memory_read_the_same_pixels(tmp_path: Path) -> None:
    layout = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}
    path = written(tmp_path, draw_scene(200, 260), **layout)
    chips = as_unit(list_scene(path, Cut(48, 20)).rows)
    rows = list(range(chips.num_rows))
    alone = UnitWindows(chips, TIF_MODEL)
    expected = [alone.read(row).pixels for row in rows]
    for order in (rows, rows[::-1], sorted(rows, key=lambda row: row % 7)):
        windows = UnitWindows(chips, TIF_MODEL)
        with ThreadPoolExecutor(8) as pool:
            found = dict(zip(order, pool.map(windows.read, order), strict=True))
        assert all(np.array_equal(found[row].pixels, expected[row]) for row in rows)


def test_masks_and_no_data_make_the_share_that_gdal_makes(tmp_path: Path) -> None:
    values = draw_scene(128, 128)
    values[:, :40, :50] = 0
    values[0, 60:80, :] = 0  # one band alone is data
    hidden = np.ones((128, 128), bool)
    hidden[70:, 90:] = False
    for number, profile in enumerate(({}, {"nodata": 0}, {"nodata": 65535}, {"mask": True})):
        folder = tmp_path / str(number)
        folder.mkdir()
        drawn = values.copy()
        if profile.get("nodata") == 65535:
            drawn[:, 100:, 100:] = 65535
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            path = written(folder, drawn, **{k: v for k, v in profile.items() if k != "mask"})
            if "mask" in profile:
                with rasterio.open(path, "r+") as target:
                    target.write_mask(hidden)
        for (x, y, size, _), got in read_all(path, Cut(32)).items():
            part = np.s_[y : y + size, x : x + size]
            expected = (drawn[(slice(None), *part)] == 0).all(0)
            if profile.get("nodata") == 65535:
                expected |= (drawn[(slice(None), *part)] == 65535).all(0)
            if "mask" in profile:
                expected |= ~hidden[part]
            if expected.all():
                assert isinstance(got, ChipRejected)
                assert got.reason == Reason.NO_DATA
            else:
                assert got.no_data_share == pytest.approx(expected.mean())


def test_windows_with_too_little_data_are_rejected_by_their_share(tmp_path: Path) -> None:
    values = draw_scene(64, 128)
    values[:, :, :48] = 0
    path = written(tmp_path, values, **ON_LATTICE)
    messages = {
        most: {
            window[0]: got.message
            for window, got in read_all(path, Cut(32), max_no_data=most).items()
            if isinstance(got, ChipRejected) and got.reason == Reason.NO_DATA
        }
        for most in (None, 0.5, 0.49)
    }
    everything = {0: "1 of its pixels are no data"}
    assert messages[None] == messages[0.5] == everything
    assert messages[0.49] == everything | {32: "0.5 of its pixels are no data"}


def test_named_bands_are_taken_in_their_order_with_scale_and_offset(tmp_path: Path) -> None:
    values = draw_scene(32, 32, bands=6)
    plain = read_all(written(tmp_path, values[[4, 2, 1, 5]], **ON_LATTICE), Cut(32))
    path = written(tmp_path, values, **ON_LATTICE)
    bands = SceneBands((4, 2, 1, 5), (2.0,) * 4, (-500.0,) * 4)
    found = list_scene(path, Cut(32), None)
    chips = as_unit(found.rows)
    at = chips.schema.get_field_index("scene_bands")
    column = unit_windows.pa.array([bands.to_json()] * chips.num_rows)
    halved = Preprocessing("tif", 16, TIF_MODEL.bands, ((1500.0, 25500.0),) * 4, (8, 512))
    got = UnitWindows(chips.set_column(at, "scene_bands", column), halved).read(0)
    (expected,) = plain.values()
    assert np.array_equal(got.pixels, expected.pixels)


def test_a_model_of_jpegs_scores_windows_of_colour_scenes(tmp_path: Path) -> None:
    values = draw_scene(64, 64, 3, "uint8")
    path = written(tmp_path, values, photometric="RGB")
    for (x, y, size, _), got in read_all(path, Cut(32), JPG_MODEL).items():
        part = values[:, y : y + size, x : x + size].astype(float)
        means = np.rint(part.reshape(3, 16, 2, 16, 2).mean((2, 4)))
        assert np.abs(np.moveaxis(means, 0, -1) - got.pixels).max() <= 1


def test_a_broken_block_costs_only_the_windows_that_touch_it(tmp_path: Path) -> None:
    layout = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}
    path = written(tmp_path, draw_scene(128, 128), **layout)
    data = bytearray(path.read_bytes())
    blocks = parse_bytes(bytes(data)).pixels
    start = int(blocks.offsets[5])  # row 1, column 1
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    broken = {
        window for window, got in read_all(path, Cut(32)).items() if isinstance(got, ChipRejected)
    }
    touching = {
        window
        for window in read_all(path, Cut(32))
        if window[0] < 64 and window[0] + 32 > 32 and window[1] < 64 and window[1] + 32 > 32
    }
    assert broken == touching
    assert broken


def test_a_scene_that_cannot_be_read_is_one_row_with_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path, draw_scene().astype("float64"))
    found = list_scene(path, Cut(32))
    assert found.rows.num_rows == 1
    assert found.rejected
    assert found.rejected.reason == Reason.WRONG_BANDS
    (row,) = found.rows.to_pylist()
    assert (row["chip_uri"], row["scene_uri"], row["x_px"]) == (str(path), str(path), None)
    with pytest.raises(ChipRejected, match="64 bit floating point samples are not read"):
        UnitWindows(as_unit(found.rows), TIF_MODEL).read(0)
    path.write_bytes(scene_bytes(draw_scene()))
    with pytest.raises(ChipRejected, match=r"replaced|can be read now"):
        UnitWindows(as_unit(found.rows), TIF_MODEL).read(0)


def test_windows_of_a_replaced_scene_are_unreadable(tmp_path: Path) -> None:
    path = written(tmp_path, draw_scene())
    chips = as_unit(list_scene(path, Cut(32)).rows)
    windows = UnitWindows(chips, TIF_MODEL)
    path.write_bytes(scene_bytes(draw_scene(seed=1)) + b"more")
    with pytest.raises(ChipRejected, match=r"unreadable: .*was replaced since it was listed"):
        windows.read(0)


def test_windows_that_no_model_takes_are_rejected_before_anything_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, draw_scene())
    chips = as_unit(list_scene(path, Cut(32)).rows)
    for size, reason in ((1 << 30, Reason.TOO_LARGE), (2, Reason.WRONG_SIZE)):
        at = chips.schema.get_field_index("width_px")
        sized = chips.set_column(at, "width_px", unit_windows.pa.array([size] * chips.num_rows))
        with pytest.raises(ChipRejected) as caught:
            UnitWindows(sized, TIF_MODEL).read(0)
        assert caught.value.reason == reason
