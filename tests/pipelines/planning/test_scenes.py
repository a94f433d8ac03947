"""Scenes are listed, and their windows become rows of a manifest, each with its place."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import shapely
from rasterio import Affine

from pipelines.errors import UsageError
from pipelines.imaging.footprint import Place, footprints_of
from pipelines.planning.scenes import (
    SCENES,
    cut_scenes,
    list_scenes,
    place_windows,
    with_sidecar,
)
from pipelines.planning.selection import Selection, select_chips
from pipelines.planning.sidecar import read_sidecar
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.header_cache import HeaderCache
from pipelines.scenes.lattice import Cut
from schemas.artifact import Preprocessing
from schemas.chip_columns import BOUNDS
from tests.support.drawn_scenes import draw_values, parts_of, write_scene
from tests.support.planned_chips import versions
from tests.support.samples import JPG, TIF
from tests.support.stac import bands, write_items


def planned(
    scenes: pa.Table, output: Path, cut: Cut | None = None, max_chips: int | None = None
) -> Selection:
    found = cut_scenes(scenes, cut or Cut(64), HeaderCache(str(output)), TIF)
    return place_windows(select_chips(found.windows, versions([]), max_chips), found.places)


def test_windows_are_in_the_order_of_their_scenes_blocks_with_the_places_of_their_pixels(
    tmp_path: Path,
) -> None:
    turned = Affine.translation(700_000, 400_000) * Affine.rotation(20) * Affine.scale(10, -10)
    write_scene(tmp_path / "s/b.tif", draw_values(300, 300))
    write_scene(tmp_path / "s/a.tif", draw_values(200, 300), "EPSG:32621", turned)
    scenes = list_scenes(str(tmp_path / "s"), "", TIF).chips
    chosen = planned(scenes, tmp_path)
    rows = chosen.chips.read_all().to_pylist()
    uris = [row["chip_uri"] for row in rows]
    assert chosen.scene_chips == tuple(
        sum(parts_of(uri)[0].endswith(name) for uri in uris) for name in ("a.tif", "b.tif")
    )
    places = [parts_of(uri) for uri in uris]
    blocks = [(scene, max(y, 0) // 64, max(x, 0) // 64) for scene, (x, y, _, _) in places]
    assert blocks == sorted(blocks)
    for row, (scene, (x, y, width, height)) in zip(rows, places, strict=True):
        with rasterio.open(scene) as source:
            moved = source.transform * Affine.translation(x, y)
            place = Place(source.crs, tuple(moved)[:6], width, height)
        box, ring = (each[0] for each in footprints_of([place]))
        footprint = shapely.from_wkb(row["geometry"])
        assert footprint.equals_exact(
            shapely.orient_polygons(shapely.Polygon(ring)).normalize(), 1e-9
        ) or (footprint.symmetric_difference(shapely.Polygon(ring)).area < 1e-15)
        west, south, east, north = (row[name] for name in BOUNDS)
        assert west <= box[0] + 1e-9
        assert south <= box[1] + 1e-9
        assert east >= box[2] - 1e-9
        assert north >= box[3] - 1e-9
        assert (row["scene_uri"], row["x_px"], row["y_px"]) == (scene, x, y)
        assert row["size_bytes"] < 64 * 64 * 8 * 4


def test_the_newest_windows_are_whole_rows_of_blocks_and_the_same_each_time(
    tmp_path: Path,
) -> None:
    write_scene(tmp_path / "s/a.tif", draw_values(300, 300))
    scenes = list_scenes(str(tmp_path / "s"), "", TIF).chips
    every = planned(scenes, tmp_path).chips.read_all()["chip_uri"].to_pylist()
    some = planned(scenes, tmp_path, max_chips=7)
    assert some.chips.read_all()["chip_uri"].to_pylist() == every[:7]
    assert (some.to_score, some.left_over, some.scene_chips) == (7, len(every) - 7, (7,))


def test_a_scene_without_a_position_has_windows_without_boxes(tmp_path: Path) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write_scene(tmp_path / "s/a.tif", draw_values(128, 128), None, Affine.identity())
    scenes = list_scenes(str(tmp_path / "s"), "", TIF).chips
    rows = planned(scenes, tmp_path).chips.read_all()
    assert rows.num_rows == 4
    assert {rows[name].null_count for name in (*BOUNDS, "geometry")} == {4}


def test_scenes_are_listed_without_tars_and_other_files(tmp_path: Path) -> None:
    write_scene(tmp_path / "s/deep/a.TIFF", draw_values(64, 64))
    for name in ("b.tar", "c.jpg", "._d.tif"):
        (tmp_path / "s" / name).write_bytes(b"x")
    found = list_scenes(str(tmp_path / "s"), "", TIF)
    assert found.chips["scene_id"].to_pylist() == ["a"]
    assert (found.chips.schema, found.ignored) == (SCENES, 1)
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars/b.tar").write_bytes(b"x")
    with pytest.raises(UsageError, match="holds no"):
        list_scenes(str(tmp_path / "tars"), "", TIF)


def test_a_manifest_of_scenes_says_what_it_knows(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.tif", draw_values(64, 64))
    manifest = tmp_path / "scenes.csv"
    manifest.write_text(
        "chip_uri,scene_id,observed_at,lon_min,lat_min,lon_max,lat_max\n"
        "a.tif,path-7,2026-07-01T14:03:00Z,0,0,1,1\nmissing.tif,,,,,,\n"
    )
    scenes = list_scenes(str(manifest), "", TIF).chips
    ids = dict(zip(scenes["chip_uri"].to_pylist(), scenes["scene_id"].to_pylist(), strict=True))
    assert ids == {f"{tmp_path}/a.tif": "path-7", f"{tmp_path}/missing.tif": "missing"}
    rows = planned(scenes, tmp_path, Cut(64, edge="shift")).chips.read_all().to_pylist()
    by_id = {row["scene_id"]: row for row in rows}
    assert by_id["path-7"]["observed_at"].isoformat() == "2026-07-01T14:03:00+00:00"
    assert by_id["path-7"]["lon_min"] < -60  # its own, not the manifest's
    assert (by_id["missing"]["chip_uri"], by_id["missing"]["x_px"]) == (
        f"{tmp_path}/missing.tif",
        None,
    )
    manifest.write_text("chip_uri,shard_uri,etag\na.tif,b.tar,1\n")
    with pytest.raises(UsageError, match="scenes are files, not members of tars"):
        list_scenes(str(manifest), "", TIF)


def test_a_sidecar_names_scenes_by_their_stems(tmp_path: Path) -> None:
    for name in "ab":
        write_scene(tmp_path / f"s/{name}.tif", draw_values(64, 64))
    scenes = list_scenes(str(tmp_path / "s"), "", TIF).chips
    (tmp_path / "s.csv").write_text("chip_id,observed_at,scene_id\nb,2026-07-01,path-7\n")
    found = with_sidecar(scenes, read_sidecar(str(tmp_path / "s.csv")))
    assert found["scene_id"].to_pylist() == ["a", "path-7"]
    assert [time and str(time.date()) for time in found["observed_at"].to_pylist()] == [
        None,
        "2026-07-01",
    ]
    (tmp_path / "s.csv").write_text("chip_id,scene_id\nc,path-7\n")
    with pytest.raises(UsageError, match="names no chip that is listed"):
        with_sidecar(scenes, read_sidecar(str(tmp_path / "s.csv")))


def bands_in(folder: Path, described: list[dict], media_type: str = "tif") -> SceneBands | None:
    stac = write_items(folder, a={"href": "a.tif", "bands": described})
    (text,) = (
        list_scenes(str(stac), "sr", {"jpg": JPG, "tif": TIF}[media_type])
        .chips["scene_bands"]
        .to_pylist()
    )
    return SceneBands.from_json(text) if text else None


def test_the_bands_that_an_item_names_are_chosen_by_name(tmp_path: Path) -> None:
    eight = bands("coastal", "blue", "green_i", "green", "yellow", "red", "rededge", "nir")
    assert bands_in(tmp_path, eight) == SceneBands((1, 3, 5, 7))
    assert bands_in(tmp_path, bands("red", "green", "blue"), "jpg") == SceneBands((0, 1, 2))
    scaled = [*bands("blue", "green", scale=2), *bands("red", "nir", offset=-1)]
    assert bands_in(tmp_path, scaled) == SceneBands(
        (0, 1, 2, 3), (2.0, 2.0, 1.0, 1.0), (0.0, 0.0, -1.0, -1.0)
    )
    assert bands_in(tmp_path, [{}] * 4) == SceneBands((0, 1, 2, 3))
    assert bands_in(tmp_path, []) is None


def test_an_item_names_the_bands_of_a_model_by_the_products_names_or_by_common_ones(
    tmp_path: Path,
) -> None:
    six = Preprocessing(
        *("tif", 64, ("B08", "B05", "Red"), ((0.0, 1.0),) * 3, (64, 256)),
        *(("Red", "B05", "B06", "B08"), "uint16"),
    )
    edges = [{"name": name, "eo:common_name": "rededge"} for name in ("B05", "B06", "B07")]
    described = [*bands("red"), *edges, {"name": "B08", "eo:common_name": "nir"}]
    stac = write_items(tmp_path, a={"href": "a.tif", "bands": described})
    (text,) = list_scenes(str(stac), "sr", six).chips["scene_bands"].to_pylist()
    assert SceneBands.from_json(text) == SceneBands((4, 1, 0), names=("B08", "B05", "Red"))
    stac = write_items(tmp_path, a={"href": "a.tif", "bands": described[:3]})
    with pytest.raises(UsageError, match="no band is named B08: the bands are Red, B05, rededge"):
        list_scenes(str(stac), "sr", six)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("blue", "green", "red"),
            "no band is named near_infrared: the bands are blue, green, red",
        ),
        (("blue", "green", "red", "red", "nir"), "two bands are named red"),
    ],
)
def test_a_missing_band_or_one_that_is_named_twice_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        bands_in(tmp_path, bands(*names))
    with pytest.raises(UsageError, match="no band is named blue: the bands are without a name"):
        bands_in(tmp_path, [{}] * 5)


def test_scenes_that_the_model_cannot_take_are_refused_if_there_is_no_other(
    tmp_path: Path,
) -> None:
    write_scene(tmp_path / "s/a.tif", draw_values(100, 100, bands=3))
    scenes = list_scenes(str(tmp_path / "s"), "", TIF).chips
    with pytest.raises(UsageError, match="can score none of 1 scene: 3 x uint16"):
        planned(scenes, tmp_path)
    with pytest.raises(UsageError, match="can score none of 1 scene: 3 x uint16"):
        cut_scenes(scenes, Cut(64), HeaderCache(str(tmp_path)), JPG)
    write_scene(tmp_path / "s/b.tif", draw_values(100, 100))
    scenes = list_scenes(str(tmp_path / "s"), "", TIF).chips
    rows = planned(scenes, tmp_path, Cut(64, edge="shift")).chips.read_all()
    assert rows["x_px"].null_count == 1
    with pytest.raises(UsageError, match="no window of 101 px is whole in 1 scene"):
        planned(scenes.slice(1), tmp_path, Cut(101))


def test_windows_of_many_scenes_are_planned_without_work_for_those_that_are_done(
    tmp_path: Path,
) -> None:
    for number in range(3):
        write_scene(tmp_path / f"s/{number}.tif", draw_values(200, 200))
    scenes = list_scenes(str(tmp_path / "s"), "", TIF).chips
    found = cut_scenes(scenes, Cut(64), HeaderCache(str(tmp_path)), TIF)
    assert found.scenes == len(found.places) == 3
    done = pa.table({n: found.windows[n] for n in ("chip_uri", "etag")})
    left = select_chips(found.windows.slice(0), done.slice(2).to_reader())
    assert (left.to_score, left.skipped) == (2, found.windows.num_rows - 2)
    placed = place_windows(left, found.places).chips.read_all()
    assert np.isfinite(placed["lon_min"].to_numpy()).all()
