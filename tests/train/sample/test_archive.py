"""The sample archive: the same bytes from the same seed, files like real chips, labels in sight."""

import collections
import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import simplejpeg
from PIL import Image

from train.sample.archive import (
    draw_labels,
    load_label_combinations,
    write_sample_archive,
)
from train.sample.drawing import LABELS, SKY_LABELS, draw_chip
from train.sample.encoding import (
    encode_geotiff,
    encode_jpg,
    encode_markerless_jpg,
    to_counts,
    to_rgb,
)
from train.sample_archive import main

Float = npt.NDArray[np.float32]
RED, GREEN, BLUE, INFRARED = range(4)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def scenes(*labels: str, count: int = 8) -> Float:
    """`count` scenes with these labels, [count, 256, 256, 4]."""
    return np.stack([draw_chip(labels, np.random.default_rng([7, k])) for k in range(count)])


def decode_with_pillow(jpg: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(jpg)).convert("RGB"))


def share_of_pixels(picture: npt.NDArray[np.bool_]) -> float:
    return float(picture.mean())


# --- The archive --------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        write_sample_archive(tmp_path / name, 6, seed, "both")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "again")
    assert files_of(tmp_path / "one") != files_of(tmp_path / "other")


def test_a_chip_does_not_depend_on_how_many_are_drawn_nor_by_how_many_processes(
    tmp_path: Path,
) -> None:
    write_sample_archive(tmp_path / "many", 27, workers=2)
    write_sample_archive(tmp_path / "few", 4, first=10, workers=1)
    many, few = files_of(tmp_path / "many"), files_of(tmp_path / "few")
    assert len(many) == 28
    chips = {name: content for name, content in few.items() if name.startswith("chips")}
    assert sorted(chips) == [f"chips/sample_{k:06d}.jpg" for k in (10, 11, 12, 13)]
    assert chips.items() <= many.items()
    assert few["labels.csv"].splitlines()[1:] == many["labels.csv"].splitlines()[11:15]


def test_the_form_asked_for_does_not_change_the_scene(tmp_path: Path) -> None:
    jpg = write_sample_archive(tmp_path / "jpg", 3, media_type="jpg")
    tif = write_sample_archive(tmp_path / "tif", 3, media_type="tif")
    both = write_sample_archive(tmp_path / "both", 3, media_type="both")
    separate = files_of(jpg.folder) | files_of(tif.folder)
    assert separate == files_of(both.folder)
    for jpg_path, tif_path in zip(jpg.chip_paths, tif.chip_paths, strict=True):
        seen = decode_with_pillow(jpg_path.read_bytes())[..., RED].astype(float)
        with rasterio.open(tif_path) as dataset:
            measured = dataset.read(3).astype(float)
        assert abs(seen.mean() - (measured.mean() - 1300) / 11000 * 510) < 1.5


def test_labels_csv_is_in_kaggles_form_and_grows_with_the_archive(tmp_path: Path) -> None:
    write_sample_archive(tmp_path, 2, seed=5, first=2)
    archive = write_sample_archive(tmp_path, 2, seed=5, first=0)
    with archive.labels_csv.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    expected = [(f"sample_{k:06d}", " ".join(draw_labels(5, k))) for k in range(4)]
    assert [(row["image_name"], row["tags"]) for row in rows] == expected
    assert archive.size_bytes == sum(path.stat().st_size for path in archive.chip_paths)


@pytest.mark.parametrize(("share", "components"), [(0.0, {3}), (1.0, {4})])
def test_the_share_of_markerless_files_is_kept(
    tmp_path: Path, share: float, components: set[int]
) -> None:
    archive = write_sample_archive(tmp_path, 5, markerless_share=share)
    assert {len(Image.open(path).getbands()) for path in archive.chip_paths} == components


def test_half_of_the_files_are_markerless_by_default(tmp_path: Path) -> None:
    archive = write_sample_archive(tmp_path, 40, workers=1)
    modes = collections.Counter(Image.open(path).mode for path in archive.chip_paths)
    assert set(modes) == {"RGB", "CMYK"}
    assert 10 <= modes["CMYK"] <= 30


def test_a_label_list_of_another_kind_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("name,label\n")
    with pytest.raises(ValueError, match="columns"):
        write_sample_archive(tmp_path, 1)
    assert not list((tmp_path / "chips").iterdir())


# --- Labels -------------------------------------------------------------------------------------


def test_the_combinations_are_those_of_the_competition_with_one_sky_label_each() -> None:
    combinations = load_label_combinations()
    assert sum(combinations.counts) == 40_478
    assert {tag for tags in combinations.tags for tag in tags} == set(LABELS)
    assert len(LABELS) == 17
    assert len(set(combinations.tags)) == len(combinations.tags)
    for tags in combinations.tags:
        assert list(tags) == sorted(set(tags))
        assert len(set(tags) & set(SKY_LABELS)) == 1


def test_labels_are_drawn_as_often_as_they_are_counted() -> None:
    draws = 4000
    drawn = collections.Counter(tag for k in range(draws) for tag in draw_labels(11, k))
    combinations = load_label_combinations()
    for label in LABELS:
        counted = sum(
            count
            for tags, count in zip(combinations.tags, combinations.counts, strict=True)
            if label in tags
        )
        share = counted / sum(combinations.counts)
        deviation = (share * (1 - share) / draws) ** 0.5
        assert abs(drawn[label] / draws - share) < 4 * deviation, label


# --- Files --------------------------------------------------------------------------------------


def test_a_markerless_jpg_has_four_components_and_no_application_marker() -> None:
    jpg = encode_markerless_jpg(to_rgb(scenes("clear", "primary", count=1)[0]))
    image = Image.open(io.BytesIO(jpg))
    assert (image.format, image.mode, image.size) == ("JPEG", "CMYK", (256, 256))
    assert image.info == {}
    assert jpg[:4] == b"\xff\xd8\xff\xdb"  # straight to the tables, as in the real files
    assert b"Adobe" not in jpg
    assert b"JFIF" not in jpg
    frame = jpg.index(b"\xff\xc0")
    assert [jpg[frame + 10 + 3 * k] for k in range(4)] == [0, 1, 2, 3]


def test_a_markerless_jpg_is_ink_without_black_as_the_real_files_are() -> None:
    rgb = np.full((256, 256, 3), (200, 120, 40), np.uint8)
    inks = np.asarray(Image.open(io.BytesIO(encode_markerless_jpg(rgb))))
    assert np.abs(inks.astype(int) - (55, 135, 215, 0)).max() <= 2


@pytest.mark.parametrize("encode", [encode_jpg, encode_markerless_jpg])
@pytest.mark.parametrize("labels", [("clear", "primary", "water"), ("cloudy",)])
def test_pillow_and_simplejpeg_read_from_a_jpg_what_was_drawn(
    encode: Callable[[npt.NDArray[np.uint8]], bytes], labels: tuple[str, ...]
) -> None:
    rgb = to_rgb(scenes(*labels, count=1)[0])
    jpg = encode(rgb)
    one, other = decode_with_pillow(jpg).astype(int), simplejpeg.decode_jpeg(jpg).astype(int)
    assert np.abs(one - other).max() <= 2
    assert np.abs(one - rgb).mean() < 3
    assert np.abs(one.mean((0, 1)) - rgb.mean((0, 1))).max() < 1


def test_a_jpg_is_about_as_large_as_a_real_one(tmp_path: Path) -> None:
    archive = write_sample_archive(tmp_path, 40, workers=1)
    sizes_bytes = [path.stat().st_size for path in archive.chip_paths]
    assert 8_000 < np.median(sizes_bytes) < 25_000


def test_a_tif_has_a_position_on_earth_and_is_stored_like_the_real_ones(tmp_path: Path) -> None:
    archive = write_sample_archive(tmp_path, 4, media_type="tif")
    corners = set()
    for path in archive.chip_paths:
        with rasterio.open(path) as dataset:
            profile, strips = dataset.profile, dataset.block_shapes
            corners.add((dataset.crs.to_epsg(), *dataset.bounds[:2]))
        assert (profile["count"], profile["dtype"], profile["driver"]) == (4, "uint16", "GTiff")
        assert strips == [(4, 256)] * 4
        assert profile["interleave"] == "pixel"
        assert "compress" not in profile
        assert profile["crs"].to_epsg() in range(32718, 32723)
        assert (profile["transform"].a, profile["transform"].e) == (3, -3)
        assert 524_288 < path.stat().st_size < 530_000
    assert len(corners) == 4


def test_a_tif_contains_the_counts_unchanged(tmp_path: Path) -> None:
    counts = to_counts(scenes("clear", "primary", count=1)[0])
    path = tmp_path / "chip.tif"
    path.write_bytes(encode_geotiff(counts, 300_000.0, 9_500_000.0, 32720))
    with rasterio.open(path) as dataset:
        assert np.array_equal(np.moveaxis(dataset.read(), 0, 2), counts)
        assert (dataset.bounds.left, dataset.bounds.top) == (300_000.0, 9_500_000.0)


def test_counts_are_in_the_order_and_of_the_size_of_the_real_bands() -> None:
    """Blue, green, red, near infrared: air makes blue largest, plants shine, water is dark."""
    forest = np.stack([to_counts(scene) for scene in scenes("clear", "primary")])
    blue, green, red, infrared = forest.reshape(-1, 4).mean(0)
    assert red < green < blue < infrared
    assert (3000 < blue < 5500, 1700 < red < 3200, 4500 < infrared < 8000) == (True,) * 3
    water = np.stack([to_counts(scene) for scene in scenes("clear", "water")])
    assert water[..., 3].mean() < 0.5 * infrared
    cloud = np.stack([to_counts(scene) for scene in scenes("cloudy")])
    assert cloud[..., 3].mean() > infrared
    for counts in (forest, water, cloud):
        assert 1000 < counts.min() < counts.max() < 13_500


# --- Pictures -----------------------------------------------------------------------------------


def test_a_scene_is_reflectance_and_depends_only_on_its_generator() -> None:
    one, other = (draw_chip(("haze", "primary"), np.random.default_rng(1)) for _ in range(2))
    assert one.shape == (256, 256, 4)
    assert one.dtype == np.float32
    assert 0 <= one.min() < one.max() <= 1
    assert np.array_equal(one, other)


def test_every_combination_of_the_list_can_be_drawn_and_every_label_alters_the_picture() -> None:
    for number, label in enumerate(sorted(set(LABELS) - {*SKY_LABELS, "primary"})):
        plain = draw_chip(("clear", "primary"), np.random.default_rng(number))
        marked = draw_chip(("clear", "primary", label), np.random.default_rng(number))
        difference = np.abs(plain.mean((0, 1)) - marked.mean((0, 1))).max()
        spread = np.abs(plain[..., :3].std((0, 1)) - marked[..., :3].std((0, 1))).max()
        assert max(difference, spread) > 0.003, label
    for tags in load_label_combinations().tags[::8]:
        assert np.isfinite(draw_chip(tags, np.random.default_rng(0))).all()


def test_cloud_is_brighter_and_whiter_than_forest_and_haze_is_in_between() -> None:
    forest, haze = scenes("clear", "primary"), scenes("haze", "primary")
    cloud = scenes("cloudy")
    brightness = [picture[..., :3].mean() for picture in (forest, haze, cloud)]
    assert brightness[0] * 1.4 < brightness[1] < brightness[2] / 1.3
    forest_grey, cloud_grey = (
        (picture[..., :3].min(-1) / picture[..., :3].max(-1)).mean() for picture in (forest, cloud)
    )
    assert forest_grey < cloud_grey
    assert cloud_grey > 0.88


def test_haze_reduces_the_contrast_of_a_scene() -> None:
    clear = scenes("agriculture", "clear", "primary")[..., :3].std((1, 2)).mean()
    hazy = scenes("agriculture", "haze", "primary")[..., :3].std((1, 2)).mean()
    assert hazy < 0.5 * clear


def test_a_partly_cloudy_chip_has_cloud_shadow_and_ground() -> None:
    for picture in scenes("partly_cloudy", "primary"):
        light = picture[..., :3].mean(-1)
        assert 0.02 < share_of_pixels(light > 0.25) < 0.5
        assert share_of_pixels(light < 0.18) > 0.3
        assert light.min() < 0.75 * np.median(light)


def test_burn_scars_are_darker_than_fields_and_than_the_forest_in_near_infrared() -> None:
    field = scenes("agriculture", "clear", "primary")
    burnt = scenes("clear", "primary", "slash_burn")
    assert burnt[..., :3].mean() < field[..., :3].mean()
    scar = burnt[burnt[..., INFRARED] < 0.16]
    assert len(scar) > 0.02 * burnt[..., 0].size
    assert scar[:, INFRARED].mean() < 0.6 * burnt[..., INFRARED].mean()


def test_fields_are_larger_than_plots_and_both_paler_than_forest() -> None:
    forest = scenes("clear", "primary")[..., RED].mean((1, 2))
    fields = scenes("agriculture", "clear", "primary")[..., RED].mean((1, 2))
    plots = scenes("clear", "cultivation", "primary")[..., RED].mean((1, 2))
    assert forest.mean() < plots.mean() < fields.mean()


def test_water_stands_out_by_how_little_near_infrared_it_returns() -> None:
    for picture in scenes("clear", "primary", "water"):
        assert 0.005 < share_of_pixels(picture[..., INFRARED] < 0.11) < 0.9
    assert scenes("clear", "primary")[..., INFRARED].min() > 0.11


def test_flowering_crowns_and_roofs_are_small_and_bright() -> None:
    for labels in (("blooming", "clear", "primary"), ("clear", "habitation", "primary")):
        for picture in scenes(*labels):
            light = picture[..., RED]
            bright = light > 2 * np.median(light)
            assert 0.002 < share_of_pixels(bright) < 0.4, labels


def test_labels_that_cannot_be_drawn_are_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="artisanal_mine"):
        draw_chip(("clear", "artisanal_mine"), rng)
    with pytest.raises(ValueError, match="exactly one"):
        draw_chip(("clear", "haze"), rng)
    with pytest.raises(ValueError, match="exactly one"):
        draw_chip(("primary",), rng)


# --- Command line -------------------------------------------------------------------------------


def test_the_command_prints_in_one_line_what_it_wrote_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--output", str(tmp_path / "sample"), "--chips", "2", "--media_type", "both"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "4 files of 2 chips" in said
    assert str(tmp_path / "sample") in said
    assert len(list((tmp_path / "sample" / "chips").iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--chips", "0"], "argument --chips: must be at least 1, not 0"),
        (["--seed", "-1"], "argument --seed: must be at least 0, not -1"),
        (["--workers", "0"], "argument --workers: must be at least 1, not 0"),
    ],
)
def test_bad_values_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(["--output", str(tmp_path / "sample"), *arguments]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert reason in said.err
    assert not (tmp_path / "sample").exists()


def test_an_output_that_is_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert main(["--output", str(file), "--chips", "1"]) == 2
    assert "is a file" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_abbreviated_options_are_refused(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path), "--chip", "1"]) == 2
