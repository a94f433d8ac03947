"""Units become batches of pixels; chips that cannot be read are rejected with a reason."""

import os
import time
from datetime import UTC, datetime

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import rasterio
import shapely
from apache_beam.testing.util import assert_that, equal_to
from rasterio import Affine
from rasterio.warp import transform, transform_bounds

from pipelines.elements import Unit
from pipelines.errors import ChipRejected
from pipelines.imaging import decoding
from pipelines.reading import reading_ahead
from pipelines.reading.pixel_budget import PixelBudget
from pipelines.reading.reading_ahead import BATCHES_AHEAD, ReadAhead
from pipelines.reading.transforms import ReadChips
from pipelines.storage import store
from pipelines.storage.chips import read_chip
from schemas.chip_columns import BOUNDS
from tests.support.planned_chips import planned_chips
from tests.support.samples import JPG, TIF, jpg_bytes, write_chips
from tests.support.tiffs import GEO, draw_bands, encode_tif
from train.sample.archive import write_sample_archive


def _unit(folder, number=0) -> Unit:
    return Unit(number, planned_chips(folder))


def read_batches(unit, preprocessing, batch_size):
    ahead = ReadAhead(preprocessing, batch_size)
    return [*ahead.read(unit), *ahead.drain()]


def test_batches_hold_every_chip_once_in_order_with_the_pixels_of_its_own_file(tmp_path):
    paths = write_chips(tmp_path, 53)
    batches = read_batches(_unit(tmp_path, 7), JPG, 20)

    assert [batch.chips.num_rows for batch in batches] == [20, 20, 13]
    assert [batch.last for batch in batches] == [False, False, True]
    assert {batch.unit for batch in batches} == {7}
    uris = pa.concat_tables(batch.chips for batch in batches)["chip_uri"].to_pylist()
    assert uris == [str(path) for path in paths]
    pixels = np.concatenate([batch.pixels for batch in batches])
    expected = [decoding.decode_chip(path.read_bytes(), JPG) for path in paths]
    assert np.array_equal(pixels, np.stack(expected))


@pytest.mark.parametrize("other", [jpg_bytes(colour=(1, 2, 3)), b"", b"x" * 10_000_000])
@pytest.mark.parametrize("place", ["disk", "gs", "s3"])
def test_a_chip_that_was_replaced_since_it_was_listed_is_unreadable_whatever_it_is_now(
    tmp_path, request, place, other
):
    """Its rows would have the etag of a picture that nobody scored. A permanent reason would keep
    the listed picture from being scored when it is put back."""
    root = str(tmp_path) if place == "disk" else request.getfixturevalue(f"{place}_uri")
    for name in "ab":
        store.write_bytes(f"{root}/{name}.jpg", jpg_bytes())
    unit = _unit(root)
    time.sleep(0.02)
    store.write_bytes(f"{root}/a.jpg", other)
    (batch,) = read_batches(unit, JPG, 64)
    assert batch.chips["chip_id"].to_pylist() == ["b"]
    assert batch.rejected["reason"].to_pylist() == ["unreadable"]
    assert batch.rejected["message"].to_pylist() == [
        f"'{root}/a.jpg' was replaced since it was listed"
    ]


def test_a_file_that_is_written_while_it_is_read_is_unreadable(tmp_path, monkeypatch):
    (path,) = write_chips(tmp_path, 1)
    unit, read = _unit(tmp_path), os.read

    def read_and_write(handle, length):
        data = read(handle, length // 2)
        path.write_bytes(b"x" * path.stat().st_size)
        os.utime(path, ns=(1, 1))
        monkeypatch.setattr(os, "read", read)
        return data

    monkeypatch.setattr(os, "read", read_and_write)
    (batch,) = read_batches(unit, JPG, 64)
    assert batch.rejected["reason"].to_pylist() == ["unreadable"]
    assert "it was written while it was read" in batch.rejected["message"][0].as_py()


def test_a_rejected_chip_leaves_the_others_with_their_own_pixels(tmp_path):
    paths = write_chips(tmp_path, 10)
    paths[3].write_bytes(b"")
    paths[8].write_bytes(jpg_bytes()[:300])
    unit = _unit(tmp_path)
    paths[5].unlink()  # after the listing
    (batch,) = read_batches(unit, JPG, 64)

    kept = [path for path in paths if path not in (paths[3], paths[5], paths[8])]
    assert batch.chips["chip_uri"].to_pylist() == [str(path) for path in kept]
    expected = [decoding.decode_chip(path.read_bytes(), JPG) for path in kept]
    assert np.array_equal(batch.pixels, np.stack(expected))
    rejected = dict(
        zip(
            batch.rejected["chip_id"].to_pylist(), batch.rejected["reason"].to_pylist(), strict=True
        )
    )
    assert rejected == {
        "chip_00003": "empty",
        "chip_00005": "unreadable",
        "chip_00008": "truncated",
    }


def test_a_batch_of_rejected_chips_only_has_no_pixels_and_all_rejected_rows(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("not a picture")
    (batch,) = read_batches(_unit(tmp_path), JPG, 64)
    assert batch.pixels.shape == (0, 64, 64, 3)
    assert batch.chips.num_rows == 0
    assert batch.rejected["reason"].to_pylist() == ["not_an_image"] * 2


def test_an_object_too_large_to_be_a_chip_is_refused_even_if_the_listing_says_less(tmp_path):
    swollen = tmp_path / "swollen.jpg"
    with swollen.open("wb") as file:
        file.truncate(JPG.max_bytes + 1)
    with pytest.raises(ChipRejected) as rejected:
        read_chip(str(swollen), JPG.max_bytes)
    assert rejected.value.reason == "too_large"


def test_an_unexpected_error_of_a_decoder_rejects_only_that_chip(tmp_path, monkeypatch):
    def decode(data, preprocessing):
        raise ZeroDivisionError("surprise")

    write_chips(tmp_path, 2)
    monkeypatch.setattr(decoding, "decode_chip", decode)
    (batch,) = read_batches(_unit(tmp_path), JPG, 64)
    assert batch.rejected["reason"].to_pylist() == ["decode_error"] * 2
    assert batch.rejected["message"].to_pylist() == ["ZeroDivisionError: surprise"] * 2


def test_the_bounding_box_of_a_tif_comes_from_its_crs_unless_the_manifest_has_one(tmp_path):
    archive = write_sample_archive(tmp_path, 2, media_type="tif")
    manifest = tmp_path / "manifest.csv"
    lines = [f"{archive.chip_paths[0]},,,,", f"{archive.chip_paths[1]},1.0,2.0,3.0,4.0"]
    manifest.write_text("\n".join(["chip_uri,lon_min,lat_min,lon_max,lat_max", *lines]))
    unit = Unit(0, planned_chips(manifest))
    (batch,) = read_batches(unit, TIF, 64)

    chips = sorted(batch.chips.to_pylist(), key=lambda row: row["chip_uri"])
    boxes = [tuple(row[name] for name in BOUNDS) for row in chips]
    with rasterio.open(archive.chip_paths[0]) as source:
        expected = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    assert boxes[0] == pytest.approx(expected, abs=1e-6)
    assert boxes[1] == (1.0, 2.0, 3.0, 4.0)
    west, south, east, north = boxes[0]
    assert -75 < west < east < -45  # Amazonia
    assert -15 < south < north < 5


def test_the_footprint_of_a_tif_is_its_pixel_grid_unless_a_box_is_given(tmp_path):
    """A chip turned by 30 degrees, one across the 180th meridian, and one with a box of its own."""
    turned = Affine.translation(500_000, 9_000_000) @ Affine.rotation(30) @ Affine.scale(3, -3)
    far = {"crs": "EPSG:32601", "transform": Affine(30, 0, 165_000, 0, -30, 111_000)}
    places = [{"crs": "EPSG:32720", "transform": turned}, far, GEO]
    paths = [tmp_path / f"{n}.tif" for n in range(3)]
    for path, place in zip(paths, places, strict=True):
        path.write_bytes(encode_tif(draw_bands(), **place))
    manifest = tmp_path / "manifest.csv"
    lines = [f"{paths[0]},,,,", f"{paths[1]},,,,", f"{paths[2]},1.0,2.0,3.0,4.0"]
    manifest.write_text("\n".join(["chip_uri,lon_min,lat_min,lon_max,lat_max", *lines]))
    (batch,) = read_batches(Unit(0, planned_chips(manifest)), TIF, 64)

    chips = sorted(batch.chips.to_pylist(), key=lambda row: row["chip_uri"])
    tilted, cut, nothing = (row["geometry"] for row in chips)
    assert nothing is None  # it is made from the box when rows are staged
    with rasterio.open(paths[0]) as source:
        grid = [source.transform @ corner for corner in ((0, 80), (100, 80), (100, 0), (0, 0))]
        expected = np.transpose(transform(source.crs, "EPSG:4326", *np.transpose(grid)))
    assert shapely.from_wkb(tilted).equals_exact(shapely.Polygon(expected), 1e-9, normalize=True)
    assert shapely.from_wkb(tilted).exterior.is_ccw
    parts = shapely.from_wkb(cut)
    assert parts.geom_type == "MultiPolygon"
    assert parts.bounds[0] == -180
    assert parts.bounds[2] == 180
    boxes = [tuple(row[name] for name in BOUNDS) for row in chips]
    assert shapely.box(*boxes[0]).covers(shapely.from_wkb(tilted))
    assert boxes[1][0] > boxes[1][2]
    assert boxes[2] == (1.0, 2.0, 3.0, 4.0)


def test_the_time_of_a_tif_comes_from_its_tags_unless_the_manifest_has_one(tmp_path):
    archive = write_sample_archive(tmp_path, 3, media_type="tif")
    for path in archive.chip_paths[:2]:
        with rasterio.open(path, "r+") as target:
            target.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2020-05-01 12:00:00")
    manifest = tmp_path / "manifest.csv"
    times = ["", "2020-06-01T00:00:00Z", ""]
    lines = [f"{path},{time}" for path, time in zip(archive.chip_paths, times, strict=True)]
    manifest.write_text("\n".join(["chip_uri,observed_at", *lines]))
    unit = Unit(0, planned_chips(manifest))
    (batch,) = read_batches(unit, TIF, 64)

    rows = batch.chips.select(["observed_at", "observed_at_source"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (datetime(2020, 5, 1, 12, tzinfo=UTC), "tif_tags"),
        (datetime(2020, 6, 1, tzinfo=UTC), "given"),
        (None, None),
    ]
    written = [path.stat().st_mtime for path in archive.chip_paths]
    listed = [time.timestamp() for time in batch.chips["modified_at"].to_pylist()]
    assert listed == pytest.approx(written, abs=1e-4)


def test_reading_ahead_continues_into_the_next_unit_up_to_its_limit(tmp_path, monkeypatch):
    begun = []
    begin = reading_ahead.begin_batch

    def counted(unit, *rest):
        begun.append(unit)
        return begin(unit, *rest)

    monkeypatch.setattr(reading_ahead, "begin_batch", counted)
    monkeypatch.setattr(reading_ahead, "_budget", PixelBudget(BATCHES_AHEAD + 1))
    write_chips(tmp_path, 12)
    ahead = ReadAhead(JPG, 4)
    first = list(ahead.read(_unit(tmp_path, 0)))
    assert [(batch.unit, batch.last) for batch in first] == [(0, False)]
    second = ahead.read(_unit(tmp_path, 1))
    assert next(second).unit == 0
    assert begun == [0, 0, 0, 1]
    rest = [*second, *ahead.drain()]
    found = [(batch.unit, batch.last) for batch in rest]
    assert found == [(0, True), (1, False), (1, False), (1, True)]


def test_a_bundle_yields_every_batch_of_its_units_by_its_end(tmp_path):
    write_chips(tmp_path, 10)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        counts = (
            pipeline
            | beam.Create([0, 1, 2], reshuffle=False)
            | beam.Map(lambda number: _unit(tmp_path, number)).with_output_types(Unit)
            | ReadChips(JPG, lambda: 4)
            | beam.Map(lambda batch: (batch.unit, batch.chips.num_rows))
            | beam.CombinePerKey(sum)
        )
        assert_that(counts, equal_to([(0, 10), (1, 10), (2, 10)]))
