"""The place of a GeoTIFF agrees with GDAL's, for one chip and for a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from pipelines.errors import ChipRejected
from pipelines.imaging.footprint import Place, bounds_of, read_place
from pipelines.imaging.tiff_layout import read_layout
from tests.support.mutations import mutate
from tests.support.tiffs import GEO, draw_bands, encode_tif

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def tif_bounds(tif: bytes) -> tuple[float, ...] | None:
    """West, south, east, north of one tif; None if it has no position."""
    try:
        (found,) = bounds_of([read_place(tif, read_layout(tif))])
    except ChipRejected:
        return None
    return None if np.isnan(found).any() else tuple(found)


def test_the_bounds_of_real_geotiffs_are_those_of_their_corners(shared_data: Path) -> None:
    paths = sorted(shared_data.glob("geotiff/*.tif"))
    assert paths
    for path in paths:
        with rasterio.open(path) as source:
            expected = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
        assert tif_bounds(path.read_bytes()) == pytest.approx(expected, abs=1e-6), path.name


def test_the_bounds_of_a_tif_are_those_it_was_written_with() -> None:
    placed = Affine(0.001, 0, -60, 0, -0.002, -3)
    tif = encode_tif(draw_bands(), crs="EPSG:4326", transform=placed)
    assert tif_bounds(tif) == pytest.approx((-60, -3 - 80 * 0.002, -60 + 100 * 0.001, -3))
    west, south, east, north = tif_bounds(encode_tif(draw_bands(), **GEO)) or (0, 0, 0, 0)
    assert west == pytest.approx(-63, abs=1e-3)  # the central meridian of zone 20
    assert (east - west) * 111_000 == pytest.approx(300, rel=0.03)
    assert (north - south) * 111_000 == pytest.approx(240, rel=0.03)
    assert -10 < south < north < -8


def test_the_west_of_a_chip_across_the_180th_meridian_is_greater_than_its_east() -> None:
    zone_60 = {"crs": "EPSG:32660", "transform": Affine(30, 0, 832_000, 0, -30, 10_000)}
    west, _, east, _ = tif_bounds(encode_tif(draw_bands(), **zone_60)) or (0, 0, 0, 0)
    assert 179 < west < 180
    assert -180 < east < -179


@pytest.mark.parametrize(
    "tif",
    [
        encode_tif(draw_bands()),
        encode_tif(draw_bands(), transform=GEO["transform"]),
        encode_tif(draw_bands(), crs=GEO["crs"]),
        encode_tif(draw_bands(), **GEO)[:200],
        encode_tif(draw_bands(), crs=GEO["crs"], transform=Affine(3, 0, 1e30, 0, -3, 1e30)),
        b"II*\0",
        b"",
    ],
    ids=["plain", "no CRS", "no place", "cut", "out of this world", "head", "empty"],
)
def test_a_tif_without_a_place_has_no_bounds(tif: bytes) -> None:
    assert tif_bounds(tif) is None


def test_real_planet_tifs_have_no_bounds(shared_data: Path) -> None:
    path = next(iter(sorted(shared_data.glob("planet/tif/*.tif"))))
    assert tif_bounds(path.read_bytes()) is None


ZONE_20 = CRS.from_epsg(32720)
ZONE_60 = CRS.from_epsg(32660)
POLAR = CRS.from_epsg(3031)


@given(
    crs=st.sampled_from([ZONE_20, ZONE_60, POLAR, CRS.from_epsg(4326), CRS.from_epsg(3857)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_bounds_of_a_batch_are_those_that_gdal_computes_for_each_chip(
    crs: CRS, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scale = 1e-5 if crs.is_geographic else 1.0
    corners = scale * np.stack([rng.uniform(2e5, 8e5, 5), rng.uniform(-2e6, 9e6, 5)], 1)
    extents = np.hstack([corners, corners + scale * rng.uniform(100, 10_000, (5, 2))])
    places = [Place(crs, tuple(extent)) for extent in extents]
    expected = [transform_bounds(crs, "EPSG:4326", *place.extent) for place in places]
    np.testing.assert_allclose(bounds_of(places), expected, atol=3e-6)


def test_chips_with_different_or_no_coordinate_systems_keep_their_rows() -> None:
    here, there = Place(ZONE_20, (5e5, 9e6, 5.1e5, 9.01e6)), Place(ZONE_60, (5e5, 0, 5.1e5, 1e4))
    found = bounds_of([there, None, here, there])
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[0], found[3])
    np.testing.assert_array_equal(found[[2]], bounds_of([here]))
    assert found[2][0] == pytest.approx(-63, abs=1e-3)
    assert bounds_of([]).shape == (0, 4)


def test_a_place_off_the_earth_does_not_affect_other_chips() -> None:
    good, lost = Place(ZONE_20, (5e5, 9e6, 5.1e5, 9.01e6)), Place(ZONE_20, (1e30, 1e30, 2e30, 2e30))
    found = bounds_of([good, lost, good])
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], np.repeat(bounds_of([good]), 2, 0))


def test_a_damaged_tif_has_a_place_or_none_and_never_fails() -> None:
    data = encode_tif(draw_bands(), **GEO)
    rng = np.random.default_rng(5)
    for _ in range(100):
        tif_bounds(mutate(data, rng))
