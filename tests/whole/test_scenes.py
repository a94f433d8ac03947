"""Windows of scenes are scored as chips that were cut from them, and no chip is written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import simplejpeg
from rasterio import Affine

from beam_jobs import replay_quarantine, score_chips
from beam_jobs.query import ask
from pipelines.briefs.pictures import draw_pictures, find_bands
from pipelines.commands import exit_code
from pipelines.reports.thumbnails import draw_thumbnail
from pipelines.scenes.bands import SceneBands
from pipelines.storage import _connections, store
from schemas.artifact import BANDS
from tests.support import engines
from tests.support.drawn_scenes import (
    cut_chips,
    draw_values,
    parts_of,
    read_window,
    write_scene,
)
from tests.support.faulty_store import FaultyStore
from tests.support.quick_scoring import start
from tests.support.samples import TIF, make_artifact, write_chips
from tests.support.stac import bands, write_items

CUT = {"cut_px": 64, "batch_size": 32}


@pytest.fixture(scope="module")
def tif_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of tif chips."""
    folder = tmp_path_factory.mktemp("tif-artifact")
    make_artifact(folder, TIF)
    return folder


Score = Callable[..., tuple[int, str, str]]


@pytest.fixture
def score(tif_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Score:
    """Scores scenes in this process; returns exit code, output and error."""

    def run(chips: object, *switches: str, **flags: object) -> tuple[int, str, str]:
        given = {"chips": chips, "artifact": tif_artifact, "output": tmp_path / "out", **flags}
        arguments = [str(part) for name, value in given.items() for part in (f"--{name}", value)]
        code = exit_code(score_chips.main, [*arguments, *switches])
        return code, *capsys.readouterr()

    return run


def rows_of(output: object, select: str) -> list[dict[str, Any]]:
    return ask(str(output), select).to_pylist()


def scores_of(output: object) -> dict[str, np.ndarray]:
    """Address to scores."""
    return {
        row["chip_uri"]: np.array([v for n, v in row.items() if n.startswith("score_")])
        for row in rows_of(output, "FROM chip_scores")
    }


def run_row(output: object, run_id: str) -> dict[str, Any]:
    (row,) = rows_of(output, f"FROM runs WHERE run_id = '{run_id}'")
    return row


def check_sum(row: dict[str, Any]) -> None:
    """Every window is counted once."""
    counted = ("skipped", "left_over", "scored", "no_data", "quarantined")
    assert row["listed"] == sum(row[name] for name in counted), row


def check_scores(found: dict[str, np.ndarray], artifact: Path, folder: Path) -> None:
    """Scores are those of chips cut by GDAL and scored as files."""
    windows = cut_chips(found, folder / "cut")
    arguments = {"chips": folder / "cut", "artifact": artifact, "output": folder / "cut-out"}
    flags = [str(part) for name, value in arguments.items() for part in (f"--{name}", value)]
    assert exit_code(score_chips.main, flags) == 0
    expected = scores_of(folder / "cut-out")
    assert len(expected) == len(found)
    for chip, uri in windows.items():
        np.testing.assert_allclose(found[uri], expected[chip], atol=1e-6, err_msg=uri)


def test_every_window_has_the_scores_of_the_chip_that_gdal_cuts_there(
    score: Score, tif_artifact: Path, tmp_path: Path
) -> None:
    write_scene(tmp_path / "scenes/a.tif", draw_values(300, 420))
    write_scene(tmp_path / "scenes/deep/b.tif", draw_values(200, 333, seed=1), interleave="band")
    code, said, error = score(tmp_path / "scenes", **CUT, run_id="n1")
    assert code == 0, error
    found = scores_of(tmp_path / "out")
    check_scores(found, tif_artifact, tmp_path)
    assert {parts_of(uri)[1][2:] for uri in found} == {(64, 64)}
    row = run_row(tmp_path / "out", "n1")
    check_sum(row)
    assert row["scored"] == len(found) == row["listed"] > 20
    assert f"{len(found)} scored, 0 no data, 0 quarantined, 0 skipped" in said


def test_windows_are_where_rasterio_places_them(score: Score, tmp_path: Path) -> None:
    turned = Affine.translation(700_000, 400_000) * Affine.rotation(20) * Affine.scale(10, -10)
    write_scene(tmp_path / "scenes/a.tif", draw_values(200, 200))
    write_scene(tmp_path / "scenes/b.tif", draw_values(200, 200), "EPSG:32621", turned)
    assert score(tmp_path / "scenes", **CUT)[0] == 0
    rows = rows_of(
        tmp_path / "out",
        "SELECT chip_uri, scene_id, lon_min, geometry FROM chip_scores",
    )
    assert {row["scene_id"] for row in rows} == {"a", "b"}
    for row in rows:
        scene, (x, y, width, height) = parts_of(row["chip_uri"])
        with rasterio.open(scene) as source:
            corners = [source.transform @ c for c in ((x, y), (x + width, y + height))]
            xs, ys = zip(*corners, strict=True)
            lon, lat = rasterio.warp.transform(source.crs, "EPSG:4326", xs, ys)
        ring = shapely.get_coordinates(shapely.from_wkb(row["geometry"]))
        for corner in zip(lon, lat, strict=True):
            assert np.abs(ring - corner).max(1).min() < 1e-9, row
        assert row["lon_min"] <= ring[:, 0].min() + 1e-12


def test_a_second_night_has_nothing_to_do_and_reads_no_scene(score: Score, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scenes/a.tif", draw_values(300, 300))
    assert score(tmp_path / "scenes", **CUT, run_id="n1")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        read = []
        for name in ("read_range", "read_bytes", "open_file"):
            real = getattr(store, name)

            def noting(uri: str, *more: Any, _real: Any = real, **named: Any) -> Any:
                read.append(uri)
                return _real(uri, *more, **named)

            patch.setattr(store, name, noting)
        code, _, _ = score(tmp_path / "scenes", **CUT, run_id="n2")
    assert (code, str(scene) in read) == (0, False)
    row = run_row(tmp_path / "out", "n2")
    check_sum(row)
    assert (row["skipped"], row["scored"]) == (row["listed"], 0)


def test_a_replaced_scene_is_scored_again_and_its_neighbour_is_not(
    score: Score, tmp_path: Path
) -> None:
    write_scene(tmp_path / "scenes/a.tif", draw_values(200, 200))
    write_scene(tmp_path / "scenes/b.tif", draw_values(200, 200, seed=1))
    assert score(tmp_path / "scenes", **CUT, run_id="n1")[0] == 0
    write_scene(tmp_path / "scenes/b.tif", draw_values(200, 200, seed=2))
    assert score(tmp_path / "scenes", **CUT, run_id="n2")[0] == 0
    first, second = (run_row(tmp_path / "out", name) for name in ("n1", "n2"))
    assert second["scored"] == second["skipped"] == first["scored"] / 2
    new = rows_of(tmp_path / "out", "SELECT chip_uri FROM chip_scores WHERE run_id = 'n2'")
    assert {parts_of(row["chip_uri"])[0] for row in new} == {str(tmp_path / "scenes/b.tif")}


def test_windows_with_too_little_data_are_counted_and_not_scored(
    score: Score, tmp_path: Path
) -> None:
    values = draw_values(256, 256)
    values[:, :, :150] = 0
    write_scene(tmp_path / "scenes/a.tif", values, transform=Affine(10, 0, 0, 0, -10, 0), nodata=0)
    assert score(tmp_path / "scenes", **CUT, run_id="n1", max_no_data=0.3)[0] == 0
    row = run_row(tmp_path / "out", "n1")
    check_sum(row)
    assert (row["listed"], row["scored"], row["no_data"], row["quarantined"]) == (16, 4, 12, 0)
    assert json.loads(row["quarantined_by_reason"]) == {}
    shares = rows_of(tmp_path / "out", "SELECT chip_uri, no_data_share FROM chip_scores")
    for found in shares:
        share = (read_window(found["chip_uri"]) == 0).all(0).mean()
        assert found["no_data_share"] == pytest.approx(share)
    # They are finished, and the next night skips them.
    assert score(tmp_path / "scenes", **CUT, run_id="n2", max_no_data=0.3)[0] == 0
    assert run_row(tmp_path / "out", "n2")["skipped"] == 16
    # Another limit is a wish for other chips.
    assert score(tmp_path / "scenes", "--rescore", **CUT, run_id="n3", max_no_data=0.5)[0] == 0
    row = run_row(tmp_path / "out", "n3")
    check_sum(row)
    assert (row["scored"], row["no_data"]) == (8, 8)
    page = (tmp_path / "out/reports/n3.html").read_text()
    assert "8 windows were not scored" in page


def test_a_scene_that_cannot_be_read_is_quarantined_once_with_its_reason(
    score: Score, tmp_path: Path
) -> None:
    good = write_scene(tmp_path / "scenes/good.tif", draw_values(200, 200))
    (tmp_path / "scenes/cut.tif").write_bytes(good.read_bytes()[:3000])
    (tmp_path / "scenes/text.tif").write_bytes(b"no picture at all" * 100)
    write_scene(tmp_path / "scenes/two.tif", draw_values(200, 200, bands=2))
    code, _, error = score(tmp_path / "scenes", **CUT, run_id="n1", max_quarantine_ratio=0.9)
    assert code == 0, error
    row = run_row(tmp_path / "out", "n1")
    check_sum(row)
    bad = rows_of(tmp_path / "out", "SELECT chip_uri, reason, message FROM quarantine")
    by_name = {Path(each["chip_uri"]).name: each["reason"] for each in bad}
    assert by_name.keys() == {"cut.tif", "text.tif", "two.tif"}
    assert by_name["two.tif"] == "wrong_bands"
    assert by_name["text.tif"] == "not_an_image"
    assert row["quarantined"] == 3
    assert score(tmp_path / "scenes", **CUT, run_id="n2")[0] == 0
    second = run_row(tmp_path / "out", "n2")
    check_sum(second)
    assert (second["scored"], second["quarantined"]) == (0, 0)


def test_max_chips_leaves_windows_to_the_next_run(score: Score, tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif", draw_values(300, 300))
    counts = []
    for name in ("n1", "n2", "n3"):
        assert score(tmp_path / "scenes", **CUT, run_id=name, max_chips=5)[0] == 0
        row = run_row(tmp_path / "out", name)
        check_sum(row)
        counts.append((row["skipped"], row["scored"], row["left_over"]))
    listed = run_row(tmp_path / "out", "n1")["listed"]
    assert counts == [(0, 5, listed - 5), (5, 5, listed - 10), (10, listed - 10, 0)]


def test_a_stac_item_says_when_a_scene_was_taken_and_which_bands_it_has(
    score: Score, tif_artifact: Path, tmp_path: Path
) -> None:
    plain = draw_values(200, 200)
    write_scene(tmp_path / "plain/a.tif", plain)
    mixed = np.stack([plain[3], plain[0], plain[2], plain[2], plain[1]])
    write_scene(tmp_path / "stac/a.tif", mixed)
    write_scene(tmp_path / "stac/b.tif", (plain - 1000) // 2)
    order = bands("nir", "blue", "swir16", "red", "green")
    scaled = bands("blue", "green", "red", "nir", scale=2, offset=1000)
    stac = write_items(
        tmp_path / "stac",
        a={"href": "./a.tif", "bands": order},
        b={"href": "b.tif", "bands": scaled},
    )
    code, _, error = score(stac, **CUT, asset="sr", output=tmp_path / "stac-out")
    assert code == 0, error
    assert score(tmp_path / "plain", **CUT)[0] == 0
    expected = {uri.rpartition("#")[2]: each for uri, each in scores_of(tmp_path / "out").items()}
    found = scores_of(tmp_path / "stac-out")
    assert len(found) == 2 * len(expected)
    for uri, each in found.items():
        np.testing.assert_allclose(
            each, expected[uri.rpartition("#")[2]], atol=1e-6 if "/a.tif" in uri else 1e-3
        )
    rows = rows_of(
        tmp_path / "stac-out",
        "SELECT DISTINCT scene_id, observed_at::VARCHAR AS at, observed_at_source FROM chip_scores",
    )
    assert {row["scene_id"] for row in rows} == {"item-a", "item-b"}
    assert {row["at"][:16] for row in rows} == {"2026-07-01 14:03"}
    assert {row["observed_at_source"] for row in rows} == {"given"}
    # The pictures of a brief have the colours that the items name.
    after = next(uri for uri in found if "/a.tif" in uri)
    site = {"site_id": "s", "before_uri": None, "after_uri": after}
    known = find_bands(str(tmp_path / "stac-out"), [site])
    assert SceneBands.from_json(known[after]).indexes == (1, 4, 3, 0)
    pair = draw_pictures([site], known)["s"]
    assert pair.after is not None
    assert draw_pictures([site])["s"].after not in (None, pair.after)  # not knowing the colours


def test_a_sidecar_dates_scenes(score: Score, tmp_path: Path) -> None:
    for name in "ab":
        write_scene(tmp_path / f"scenes/{name}.tif", draw_values(100, 100))
    (tmp_path / "s.csv").write_text("chip_id,observed_at,scene_id\na,2026-07-01T14:03:00Z,path-7\n")
    assert score(tmp_path / "scenes", **CUT, sidecar=tmp_path / "s.csv", edge="shift")[0] == 0
    rows = rows_of(tmp_path / "out", "SELECT scene_id, observed_at FROM chip_scores")
    dated = {(row["scene_id"], row["observed_at"] is not None) for row in rows}
    assert dated == {("path-7", True), ("b", False)}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"overlap_px": 3}, "--overlap_px belongs to --cut_px"),
        ({"edge": "pad"}, "--edge belongs to --cut_px"),
        ({"max_no_data": 0.1}, "--max_no_data belongs to --cut_px"),
        ({"asset": "sr"}, "--asset belongs to --cut_px"),
        ({**CUT, "edge": "wrap"}, "invalid choice: 'wrap'"),
        ({**CUT, "overlap_px": 64}, "--overlap_px 64 must be less than --cut_px 64"),
        ({**CUT, "overlap_px": -1}, "--overlap_px"),
        ({**CUT, "max_no_data": 1.5}, "--max_no_data"),
        ({**CUT, "media_type": "jpg"}, "leave --media_type jpg out"),
        ({**CUT, "asset": "sr"}, "--asset belongs to a STAC file"),
        ({"cut_px": 0}, "--cut_px"),
        ({"cut_px": 63}, "takes chips of 64 to 1024 px"),
        ({"cut_px": 1025}, "takes chips of 64 to 1024 px"),
        ({"cut_px": 900}, "no window of 900 px is whole in 1 scene"),
    ],
)
def test_wrong_flags_stop_a_run_before_it_begins(
    score: Score, tmp_path: Path, flags: dict[str, object], message: str
) -> None:
    write_scene(tmp_path / "scenes/a.tif", draw_values(100, 100))
    code, said, error = score(tmp_path / "scenes", **flags)
    assert (code, said) == (2, "")
    assert message in error
    assert not (tmp_path / "out/chip_scores").exists()


def test_without_the_package_that_decodes_scenes_a_run_stops_before_it_begins(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from beam_jobs.options import cut_options

    monkeypatch.setattr(cut_options, "find_spec", lambda name: None)
    code, _, error = score(tmp_path / "scenes", **CUT)
    assert code == 2
    assert "--cut_px needs the package imagecodecs: pip install 'forest-chips[scenes]'" in error


def test_chips_that_are_no_scenes_for_the_model_stop_a_run(score: Score, tmp_path: Path) -> None:
    write_chips(tmp_path / "jpgs", 2)
    write_scene(tmp_path / "rgb/a.tif", draw_values(100, 100, bands=3, dtype="uint8"))
    stac = write_items(tmp_path, a={"href": "rgb/a.tif", "bands": bands("red", "green", "blue")})
    for chips, flags, message in (
        (tmp_path / "jpgs", CUT, "holds no image"),
        (tmp_path / "rgb", CUT, "can score none of 1 scene"),
        (stac, CUT, "name the asset with --asset"),
        (stac, {}, "cut them with --cut_px"),
        (stac, {**CUT, "asset": "udm"}, "has no asset 'udm' (it has: sr)"),
        (stac, {**CUT, "asset": "sr"}, "near_infrared"),
    ):
        code, _, error = score(chips, **flags)
        assert code == 2, (chips, error)
        assert message in error
    assert not (tmp_path / "out" / "chip_scores").exists()


def test_a_scale_that_would_make_every_window_black_is_refused(
    score: Score, tmp_path: Path
) -> None:
    write_scene(tmp_path / "a.tif", draw_values(100, 100))
    named = bands("blue", "green", "red", "nir", scale=1e-4, offset=-0.1)
    stac = write_items(tmp_path, a={"href": "a.tif", "bands": named})
    code, _, error = score(stac, **CUT, asset="sr")
    assert code == 2
    assert "has values of -0.1 to 6.4535, and the model of --artifact was trained on 2,000" in error


def test_a_model_of_jpgs_scores_scenes_of_colours(
    score: Score, artifact: Path, tmp_path: Path
) -> None:
    values = draw_values(128, 128, bands=3, dtype="uint8")
    path = write_scene(tmp_path / "scenes/a.tif", values, photometric="RGB")
    assert score(tmp_path / "scenes", **CUT, artifact=artifact, edge="shift")[0] == 0
    found = scores_of(tmp_path / "out")
    assert len(found) >= 4
    from pipelines.artifacts.opening import open_artifact
    from pipelines.scoring.classifier import Classifier

    pixels = np.stack([np.moveaxis(read_window(uri), 0, -1) for uri in found])
    expected = Classifier(*open_artifact(str(artifact)), "float32").score(pixels)
    np.testing.assert_allclose(np.stack(list(found.values())), expected, atol=1e-6)
    assert path.exists()


def test_an_estimate_counts_windows_and_writes_nothing(score: Score, tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif", draw_values(300, 300))
    size = (tmp_path / "scenes/a.tif").stat().st_size
    code, said, error = score(tmp_path / "scenes", "--estimate", **CUT, format="json")
    assert code == 0, error
    found = json.loads(said)
    assert found["to_score"] == found["listed"] == found["sampled"] > 8
    assert 0.5 * size < found["size_bytes"] <= size
    assert found["reads"] < found["to_score"] / 2
    assert not (tmp_path / "out").exists()


def test_quarantined_windows_are_replayed(
    score: Score, tif_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = draw_values(128, 128)
    values[:, :, :40] = 0
    lattice = Affine(10, 0, 0, 0, -10, 0)
    scene = write_scene(tmp_path / "scenes/a.tif", values, transform=lattice, nodata=0)
    (tmp_path / "scenes/bad.tif").write_bytes(b"x" * 100)
    flags = {**CUT, "max_no_data": 0.1, "max_quarantine_ratio": 1.0}
    assert score(tmp_path / "scenes", **flags, run_id="n1")[0] == 0
    row = run_row(tmp_path / "out", "n1")
    assert (row["scored"], row["no_data"], row["quarantined"]) == (2, 2, 1)
    asked = ["--artifact", tif_artifact, "--output", tmp_path / "out", "--new_run_id", "r1"]
    assert exit_code(replay_quarantine.main, list(map(str, asked))) == 0
    replayed = run_row(tmp_path / "out", "r1")
    assert (replayed["listed"], replayed["scored"], replayed["quarantined"]) == (2, 0, 2)
    asked = [*asked[:-1], "r2", "--max_no_data", "0.9"]
    assert exit_code(replay_quarantine.main, list(map(str, asked))) == 0
    assert run_row(tmp_path / "out", "r2")["scored"] == 2
    found = scores_of(tmp_path / "out")
    assert len(found) == 4
    check_scores(found, tif_artifact, tmp_path)
    assert scene.exists()
    geometry = rows_of(tmp_path / "out", "SELECT count(geometry) AS n FROM chip_scores")
    assert geometry == [{"n": 4}]


def test_reports_and_briefs_show_pictures_of_windows(score: Score, tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif", draw_values(200, 200))
    assert score(tmp_path / "scenes", **CUT, run_id="n1")[0] == 0
    page = (tmp_path / "out/reports/n1.html").read_text()
    assert page.count("data:image/jpeg") > 3
    assert "a.tif#" in page


@pytest.mark.parametrize("named", [True, False])
def test_the_picture_of_a_window_has_the_colours_of_its_scene(tmp_path: Path, named: bool) -> None:
    y, x = np.mgrid[:64, :64] * 100 + 2000
    colours = {"red": x, "green": y, "blue": x[:, ::-1]}
    order = ["near_infrared", "red", "x", "green", "blue"] if named else BANDS["tif"]
    values = np.stack([colours.get(name, 0 * x + 1) for name in order])
    scene = write_scene(tmp_path / "a.tif", values.astype(np.uint16))
    chosen = SceneBands(tuple(order.index(name) for name in BANDS["tif"])).to_json()
    found = draw_thumbnail(f"{scene}#0,0,64,64", None, chosen if named else None)
    assert found.missing == ""
    picture = simplejpeg.decode_jpeg(found.jpeg).astype(int)
    left, right, below = picture[64, 8], picture[64, 120], picture[120, 64]
    assert right[0] > 200 > 60 > left[0]
    assert left[2] > 200 > 60 > right[2]
    assert below[1] > 200 > 60 > picture[8, 64][1]
    assert draw_thumbnail(f"{scene}#0,0,64,64", None).jpeg  # of five bands, the third to the first
    large = draw_thumbnail(f"{scene}#0,0,9999,9999", None, chosen)
    assert "at most 4096" in large.missing
    assert draw_thumbnail(f"{tmp_path}/none.tif#0,0,64,64", None).jpeg is None


def test_a_store_has_scenes_as_a_disk_has(
    score: Score, object_store_uri: str, tmp_path: Path
) -> None:
    scene = write_scene(tmp_path / "scenes/a.tif", draw_values(300, 300))
    store.write_bytes(f"{object_store_uri}/scenes/a.tif", scene.read_bytes())
    assert score(tmp_path / "scenes", **CUT)[0] == 0
    here = {uri.rpartition("#")[2]: each for uri, each in scores_of(tmp_path / "out").items()}
    output = f"{object_store_uri}/out"
    for night in ("n1", "n2"):
        code, _, error = score(f"{object_store_uri}/scenes", **CUT, output=output, run_id=night)
        assert code == 0, error
        check_sum(run_row(output, night))
    assert run_row(output, "n2")["skipped"] == len(here)
    there = scores_of(output)
    assert len(there) == len(here)
    for uri, each in there.items():
        assert uri.startswith(f"{object_store_uri}/scenes/a.tif#")
        np.testing.assert_allclose(each, here[uri.rpartition("#")[2]], atol=1e-6)


def test_questions_and_alerts_work_with_addresses_of_windows(score: Score, tmp_path: Path) -> None:
    for name, seed in (("2026-07-01", 0), ("2026-07-11", 1)):
        tags = {"ACQUISITION_DATE": f"{name} 14:00:00"}
        write_scene(tmp_path / f"scenes/{name}.tif", draw_values(200, 200, seed=seed), tags=tags)
    assert score(tmp_path / "scenes", **CUT)[0] == 0
    day = "observed_at::DATE::VARCHAR AS day, observed_at_source AS of"
    dated = f"SELECT DISTINCT scene_id, {day} FROM chip_scores"
    for row in rows_of(tmp_path / "out", dated):
        assert (row["day"], row["of"]) == (row["scene_id"], "tif_tags")
    latest = rows_of(tmp_path / "out", "SELECT chip_uri FROM latest_chip_scores")
    assert len(latest) == len(scores_of(tmp_path / "out"))
    assert all("#" in row["chip_uri"] for row in latest)


LOOPBACK = (*engines.PRISM, "--environment_type=LOOPBACK")
TWO_PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.mark.parametrize(
    "engine", [TWO_PROCESSES, pytest.param(LOOPBACK, marks=pytest.mark.prism)], ids=str
)
def test_other_engines_score_the_same_windows(
    tif_artifact: Path, tmp_path: Path, score: Score, engine: tuple[str, ...]
) -> None:
    if engine is LOOPBACK and (missing := engines.missing_programs()):
        pytest.skip(missing)
    for name, seed in (("a", 0), ("b", 1)):
        write_scene(tmp_path / f"scenes/{name}.tif", draw_values(200, 200, seed=seed))
    assert score(tmp_path / "scenes", **CUT)[0] == 0
    code, _, error = score(tmp_path / "scenes", *engine, **CUT, output=tmp_path / "two")
    assert code == 0, error
    here, there = scores_of(tmp_path / "out"), scores_of(tmp_path / "two")
    assert here.keys() == there.keys()
    for uri, each in here.items():
        np.testing.assert_allclose(each, there[uri], atol=1e-6)


@pytest.mark.parametrize("kill", range(2))
def test_a_run_that_is_killed_and_started_again_scores_every_window_once(
    tif_artifact: Path, tmp_path: Path, kill: int
) -> None:
    values = draw_values(300, 300)
    values[:, :100] = 0
    write_scene(tmp_path / "scenes/a.tif", values, nodata=0)
    (tmp_path / "scenes/bad.tif").write_bytes(b"x")
    flags = {"chips": tmp_path / "scenes", "artifact": tif_artifact, "cut_px": 64, "run_id": "r"}
    flags |= {"max_quarantine_ratio": 0.9}
    began = time.monotonic()
    whole = start({**flags, "output": tmp_path / "whole"}, tmp_path / "whole.log")
    assert whole.finish()[0] == 0
    seconds = time.monotonic() - began
    flags |= {"output": tmp_path / "out"}
    killed = start(flags, tmp_path / "killed.log")
    time.sleep(seconds * (0.6 + 0.25 * kill))
    killed.process.kill()
    killed.process.join()
    code, said = start(flags, tmp_path / "again.log").finish()
    assert code == 0, said
    expected, found = (run_row(tmp_path / name, "r") for name in ("whole", "out"))
    check_sum(found)
    for name in ("listed", "scored", "no_data", "quarantined"):
        assert found[name] == expected[name] > 0
    rows = rows_of(
        tmp_path / "out",
        "SELECT chip_uri FROM chip_scores UNION ALL SELECT chip_uri FROM quarantine",
    )
    uris = [row["chip_uri"] for row in rows]
    assert len(uris) == len(set(uris)) == found["listed"]


def test_a_store_that_fails_now_and_then_loses_no_window(
    score: Score, gs_uri: str, gcs_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(tmp_path / "scenes/a.tif", draw_values(300, 300))
    store.write_bytes(f"{gs_uri}/scenes/a.tif", scene.read_bytes())
    assert score(tmp_path / "scenes", **CUT)[0] == 0
    here = {uri.rpartition("#")[2]: each for uri, each in scores_of(tmp_path / "out").items()}
    monkeypatch.setattr(_connections, "TIMEOUT_S", 0.5)
    with FaultyStore(gcs_server.url, 0.1, seed=7) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        store.forget_stores()
        code, _, error = score(f"{gs_uri}/scenes", **CUT, output=tmp_path / "faulty", run_id="n")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
        store.forget_stores()
    assert code == 0, error
    assert run_row(tmp_path / "faulty", "n")["quarantined"] == 0
    there = scores_of(tmp_path / "faulty")
    assert len(there) == len(here)
    for uri, each in there.items():
        np.testing.assert_allclose(each, here[uri.rpartition("#")[2]], atol=1e-6)


def test_a_scene_that_is_replaced_between_plan_and_reading_is_not_scored_as_the_old_one(
    score: Score, tmp_path: Path
) -> None:
    write_scene(tmp_path / "scenes/a.tif", draw_values(200, 200))
    assert score(tmp_path / "scenes", "--plan_only", **CUT, run_id="n1")[0] == 0
    write_scene(tmp_path / "scenes/a.tif", draw_values(200, 200, seed=1))
    code, _, error = score(tmp_path / "scenes", **CUT, run_id="n1")
    assert code == 1
    assert "unreadable" in error
    assert score(tmp_path / "scenes", **CUT, run_id="n2")[0] == 0
    assert run_row(tmp_path / "out", "n2")["scored"] > 0


def test_a_resumed_run_is_cut_as_it_was_begun(score: Score, tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif", draw_values(300, 300))
    assert score(tmp_path / "scenes", "--plan_only", **CUT, run_id="n1")[0] == 0
    for flags in ({"cut_px": 128}, {**CUT, "max_no_data": 0.1}, {**CUT, "overlap_px": 8}, {}):
        code, _, error = score(tmp_path / "scenes", **flags, run_id="n1")
        assert code == 2, flags
        assert "was begun with" in error
    assert score(tmp_path / "scenes", **CUT, max_no_data=0.5, edge="drop", run_id="n1")[0] == 0


def test_a_manifest_may_name_windows_themselves(score: Score, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scenes/a.tif", draw_values(300, 300))
    assert score(tmp_path / "scenes", **CUT)[0] == 0
    known = scores_of(tmp_path / "out")
    some = sorted(known)[:3]
    bad = [f"{scene}#0,0,{10**6},{10**6}", f"{scene}#900,900,64,64", f"{scene}#0,0,8,8"]
    lines = "\n".join(f'"{uri}"' for uri in [*some, *bad, f"{tmp_path}/none.tif#0,0,64,64"])
    (tmp_path / "windows.csv").write_text(f"chip_uri\n{lines}\n")
    flags = {"output": tmp_path / "again", "max_quarantine_ratio": 0.9}
    code, _, error = score(tmp_path / "windows.csv", **flags)
    assert code == 0, error
    again = scores_of(tmp_path / "again")
    assert sorted(again) == some
    for uri in some:
        np.testing.assert_allclose(again[uri], known[uri], atol=1e-6)
    rows = rows_of(tmp_path / "again", "SELECT chip_uri, reason FROM quarantine")
    reasons = {row["chip_uri"].rpartition("/")[2]: row["reason"] for row in rows}
    assert reasons["a.tif#0,0,1000000,1000000"] == "too_large"
    assert reasons["a.tif#0,0,8,8"] == "wrong_size"
    assert reasons["none.tif#0,0,64,64"] == "unreadable"
    assert "a.tif#900,900,64,64" in reasons


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["tif", "jpg"])
def test_real_geotiffs_are_cut_where_rasterio_places_them_and_every_window_is_counted(
    score: Score, artifact: Path, tif_artifact: Path, tmp_path: Path, shared_data: Path, kind: str
) -> None:
    model = {"tif": tif_artifact, "jpg": artifact}[kind]
    flags = {"cut_px": 128, "edge": "pad", "artifact": model, "max_quarantine_ratio": 1}
    code, _, error = score(shared_data / "geotiff", **flags, run_id="n1")
    assert (code, error) == (0, "")
    row = run_row(tmp_path / "out", "n1")
    check_sum(row)
    assert row["scored"] > 80
    for each in rows_of(tmp_path / "out", "SELECT chip_uri, geometry FROM chip_scores"):
        scene, (x, y, width, height) = parts_of(each["chip_uri"])
        with rasterio.open(scene) as source:
            corners = [source.transform @ at for at in ((x, y), (x + width, y + height))]
            points = rasterio.warp.transform(source.crs, "EPSG:4326", *zip(*corners, strict=True))
        ring = shapely.get_coordinates(shapely.from_wkb(each["geometry"]))
        for corner in zip(*points, strict=True):
            assert np.abs(ring - corner).max(1).min() < 1e-9
