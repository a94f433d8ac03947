"""Scenes become rows of windows, in the order in which their blocks are read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from rasterio.windows import Window as GdalWindow

from pipelines.errors import ChipRejected
from pipelines.scenes import scene_windows
from pipelines.scenes.header_cache import HeaderCache
from pipelines.scenes.lattice import Cut, Window, parse_window
from pipelines.scenes.scene_header import read_scene
from pipelines.scenes.scene_windows import list_windows
from pipelines.scenes.unit_windows import UnitWindows, WindowPixels
from pipelines.storage import store
from schemas.artifact import Preprocessing
from schemas.tables import QuarantineReason as Reason
from tests.support.scenes import JPG_MODEL, TIF_MODEL, as_unit, draw_scene, list_scene, scene_bytes

TILES = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}


def test_addresses_ids_and_windows_agree(tmp_path: Path) -> None:
    path = tmp_path / "S2 scene.tif"
    path.write_bytes(scene_bytes(draw_scene(200, 300), **TILES))
    rows = list_scene(path, Cut(64, 16, "shift")).rows.to_pylist()
    assert len({row["chip_id"] for row in rows}) == len(rows) > 12
    for row in rows:
        window = Window(row["x_px"], row["y_px"], row["width_px"], row["height_px"])
        assert parse_window(row["chip_uri"]) == (str(path), window)
        assert (row["scene_uri"], row["scene_id"]) == (str(path), "S2 scene")
        assert row["etag"]
        assert row["chip_id"].startswith("EPSG32720_3_64-16_")


def test_windows_follow_the_blocks_and_wide_scenes_are_read_in_stripes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(scene_bytes(draw_scene(256, 640), **TILES))
    for stripe_blocks in (100, 5):
        monkeypatch.setattr(scene_windows, "_STRIPE_BYTES", stripe_blocks * 32 * 32 * 8)
        rows = list_scene(path, Cut(32)).rows
        blocks = [
            (x // 32 // stripe_blocks, y // 32, x // 32)
            for x, y in zip(rows["x_px"].to_pylist(), rows["y_px"].to_pylist(), strict=True)
        ]
        assert blocks == sorted(blocks)
        assert rows["block_order"].to_pylist() == list(range(rows.num_rows))


def test_a_scene_without_a_whole_window_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(scene_bytes(draw_scene(40, 40)))
    found = list_scene(path, Cut(64))
    assert (found.rows.num_rows, found.needed_bytes, found.rejected) == (0, 0, None)


def test_needed_bytes_are_those_of_the_blocks_that_windows_touch(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    place = {"transform": rasterio.Affine(3, 0, 0, 0, -3, 0)}
    path.write_bytes(scene_bytes(draw_scene(96, 128), **TILES, **place))
    blocks = read_scene(str(path), path.stat().st_size).pixels
    counts = blocks.counts.reshape(3, 4)
    assert list_scene(path, Cut(64)).needed_bytes == counts[:2].sum()


def test_strips_that_cannot_be_held_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(scene_bytes(draw_scene(128, 640), compress="deflate"))
    monkeypatch.setattr(scene_windows, "_MOST_ROW_BYTES", 200_000)
    found = list_scene(path, Cut(64))
    assert found.rejected
    assert found.rejected.reason == Reason.TOO_LARGE
    assert "write it as a COG" in found.rejected.message
    path.write_bytes(scene_bytes(draw_scene(128, 640), **TILES))
    assert not list_scene(path, Cut(64)).rejected


def test_real_scenes_are_cut_where_rasterio_says_and_every_window_is_accounted_for(
    shared_data: Path,
) -> None:
    folder = shared_data / "geotiff"
    listing = pa.concat_tables(store.list_objects(str(folder))).rename_columns({"uri": "chip_uri"})
    names = pa.compute.ends_with(listing["chip_uri"], ".tif")
    listing = listing.filter(names)
    scored = 0
    for model in (TIF_MODEL, JPG_MODEL):
        for found in list_windows(listing, Cut(64, 0, "pad"), HeaderCache("", False), model):
            uri = found.rows["scene_uri"][0].as_py()
            if found.rejected:
                assert found.rejected.reason == Reason.WRONG_BANDS
                continue
            chips = as_unit(found.rows)
            windows = UnitWindows(chips, model)
            with rasterio.open(uri) as source:
                for row, chip in enumerate(chips.to_pylist()):
                    window = GdalWindow(chip["x_px"], chip["y_px"], 64, 64)
                    got = _read(windows, row)
                    if isinstance(got, ChipRejected):
                        part = source.read(window=window, boundless=True, fill_value=0)
                        assert got.reason == Reason.NO_DATA
                        assert not part.any() or (source.dataset_mask() == 0).any()
                        continue
                    scored += 1
                    transform = rasterio.windows.transform(window, source.transform)
                    assert got.place
                    assert np.allclose(got.place.transform, tuple(transform)[:6])
                    _check_pixels(got.pixels, source, window, model)
    assert scored > 500


def _read(windows: UnitWindows, row: int) -> WindowPixels | ChipRejected:
    try:
        return windows.read(row)
    except ChipRejected as rejected:
        return rejected


def _check_pixels(
    pixels: np.ndarray, source: rasterio.DatasetReader, window: GdalWindow, model: Preprocessing
) -> None:
    """Compare with rasterio's values, averaged in another way."""
    fill = source.nodata or 0
    values = source.read(window=window, boundless=True, fill_value=fill).astype(float)
    means = values.reshape(len(values), 16, 4, 16, 4).mean((2, 4))
    if model.media_type == "tif":
        means = (means - 1000) * 255 / 12_000
    expected = np.moveaxis(np.clip(np.rint(means), 0, 255), 0, -1)
    is_jpeg = source.profile.get("compress") == "jpeg"
    assert np.abs(expected - pixels).max() <= (4 if is_jpeg else 1)
