"""The place of a GeoTIFF agrees with GDAL's, for one chip and for a batch."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import array_bounds, from_gcps
from rasterio.warp import transform, transform_bounds

from pipelines.errors import ChipRejected
from pipelines.imaging.footprint import (
    Place,
    bounds_of,
    footprints_of,
    footprints_of_windows,
    read_place,
)
from pipelines.imaging.tiff_layout import read_layout
from tests.support.mutations import mutate
from tests.support.tiffs import (
    DOUBLE,
    GEO,
    GEO_KEYS,
    GEO_TEXT,
    PIXEL_SCALE,
    SHORT,
    TIEPOINT,
    TRANSFORMATION,
    draw_bands,
    encode_tif,
    with_arrays,
)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

HEIGHT, WIDTH = 16, 20
PLAIN = encode_tif(draw_bands(HEIGHT, WIDTH))
Tags = dict[int, tuple[int, tuple[float, ...]]]


def tif_bounds(tif: bytes) -> tuple[float, ...] | None:
    """West, south, east, north of one tif; None if it has no position."""
    try:
        (found,) = bounds_of([read_place(read_layout(tif))])
    except ChipRejected:
        return None
    return None if np.isnan(found).any() else tuple(found)


def tif_ring(tif: bytes) -> npt.NDArray[np.float64]:
    """Longitudes and latitudes `[4, 2]` of the corners of one tif."""
    ring: npt.NDArray[np.float64] = footprints_of([read_place(read_layout(tif))])[1][0]
    return ring


def grid_by_rasterio(tif: bytes) -> tuple[CRS | None, Affine | None]:
    """The coordinate system and the transform, by rasterio alone."""
    with MemoryFile(tif) as memory, memory.open() as source:
        points, crs = source.gcps
        if points:
            return crs, from_gcps(points)
        return source.crs, None if source.transform.is_identity else source.transform


def bounds_by_rasterio(tif: bytes) -> tuple[float, ...]:
    """West, south, east, north in degrees, by rasterio alone."""
    crs, matrix = grid_by_rasterio(tif)
    with MemoryFile(tif) as memory, memory.open() as source:
        west, south, east, north = array_bounds(source.height, source.width, matrix)
    sides = *sorted((west, east)), *sorted((south, north))
    return tuple(transform_bounds(crs, "EPSG:4326", *(sides[at] for at in (0, 2, 1, 3))))


def ring_by_rasterio(crs: CRS | None, matrix: Affine | None) -> npt.NDArray[np.float64]:
    """The four corners of a small tif in degrees, by rasterio alone."""
    assert matrix is not None
    corners = [matrix @ corner for corner in ((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT))]
    return np.transpose(transform(crs, "EPSG:4326", *np.transpose(corners))[:2])


# --- All ways to write a position -----------------------------------------------------------------

UTM_20, GEOGRAPHIC = ((1024, 1), (3072, 32720)), ((1024, 2), (2048, 4326))
AREA, POINT = (1025, 1), (1025, 2)


def geo_keys(*entries: tuple[int, int]) -> tuple[int, tuple[float, ...]]:
    """A directory of keys that hold one number each."""
    numbers = [number for key, value in sorted(entries) for number in (key, 0, 1, value)]
    return SHORT, (1, 1, 0, len(entries), *numbers)


def doubles(*values: float) -> tuple[int, tuple[float, ...]]:
    return DOUBLE, values


SCALE, TIE = doubles(3, 3, 0), doubles(0, 0, 0, 500_000, 9_000_000, 0)
ROTATED = doubles(3, 1, 0, 5e5, 1.5, -3, 0, 9e6, 0, 0, 0, 0, 0, 0, 0, 1)
SHEARED = doubles(3, 2, 0, 5e5, 0, -3, 0, 9e6, 0, 0, 0, 0, 0, 0, 0, 1)
QUARTER_TURN = doubles(0, 3, 0, 5e5, 3, 0, 0, 9e6, 0, 0, 0, 0, 0, 0, 0, 1)
SOUTH_UP = doubles(3, 0, 0, 5e5, 0, 3, 0, 9e6, 0, 0, 0, 0, 0, 0, 0, 1)
EAST_LEFT = doubles(-3, 0, 0, 5e5, 0, -3, 0, 9e6, 0, 0, 0, 0, 0, 0, 0, 1)
CORNER_POINTS = (0, 0, 0, 5e5, 9e6, 0, 20, 0, 0, 500_060, 9e6, 0, 20, 16, 0, 500_060, 8_999_952, 0)
LAST_POINT = (0, 16, 0, 5e5, 8_999_952, 0)
TILTED_POINTS = (
    0,
    0,
    0,
    5e5,
    9e6,
    0,
    20,
    0,
    0,
    500_060,
    9e6 + 30,
    0,
    20,
    16,
    0,
    500_040,
    8_999_980,
    0,
)

POSITIONS: dict[str, Tags] = {
    "scale": {PIXEL_SCALE: SCALE, TIEPOINT: TIE},
    "negative scale in Y": {PIXEL_SCALE: doubles(3, -3, 0), TIEPOINT: TIE},
    "negative scale in X": {PIXEL_SCALE: doubles(-3, 3, 0), TIEPOINT: TIE},
    "both scales negative": {PIXEL_SCALE: doubles(-3, -3, 0), TIEPOINT: TIE},
    "scale of two numbers": {PIXEL_SCALE: doubles(3, 3), TIEPOINT: TIE},
    "scale of whole numbers": {PIXEL_SCALE: (SHORT, (3, 3, 0)), TIEPOINT: TIE},
    "scale of floats": {PIXEL_SCALE: (11, (2.5, 2.5, 0)), TIEPOINT: TIE},
    "tie point inside": {PIXEL_SCALE: SCALE, TIEPOINT: doubles(7, 5, 0, 5e5, 9e6, 0)},
    "several tie points": {PIXEL_SCALE: SCALE, TIEPOINT: doubles(*CORNER_POINTS)},
    "scale and matrix": {PIXEL_SCALE: SCALE, TIEPOINT: TIE, TRANSFORMATION: ROTATED},
    "no scale but a matrix": {
        PIXEL_SCALE: doubles(0, 3, 0),
        TIEPOINT: TIE,
        TRANSFORMATION: ROTATED,
    },
    "matrix and tie point": {TIEPOINT: TIE, TRANSFORMATION: ROTATED},
    "rotated": {TRANSFORMATION: ROTATED},
    "sheared": {TRANSFORMATION: SHEARED},
    "quarter turn": {TRANSFORMATION: QUARTER_TURN},
    "south up": {TRANSFORMATION: SOUTH_UP},
    "east on the left": {TRANSFORMATION: EAST_LEFT},
    "ground points": {TIEPOINT: doubles(*CORNER_POINTS, *LAST_POINT)},
    "three ground points": {TIEPOINT: doubles(*CORNER_POINTS)},
    "tilted ground points": {TIEPOINT: doubles(*TILTED_POINTS)},
    "two ground points": {TIEPOINT: doubles(*CORNER_POINTS[:6], *CORNER_POINTS[12:])},
}
NOWHERE: dict[str, Tags] = {
    "one ground point": {TIEPOINT: TIE},
    "ground points in one place": {TIEPOINT: doubles(*3 * TIE[1])},
    "scale without a tie point": {PIXEL_SCALE: SCALE},
    "identity": {TRANSFORMATION: doubles(1, 0, 0, 0, 0, 1, *[0] * 9, 1)},
    "short matrix": {TRANSFORMATION: doubles(*ROTATED[1][:15])},
    "flat matrix": {TRANSFORMATION: doubles(3, 3, 0, 5e5, 3, 3, 0, 9e6, *[0] * 7, 1)},
    "not a number": {PIXEL_SCALE: doubles(float("nan"), 3, 0), TIEPOINT: TIE},
    "infinite": {PIXEL_SCALE: SCALE, TIEPOINT: doubles(0, 0, 0, float("inf"), 9e6, 0)},
    "no position": {},
}


@pytest.mark.parametrize("raster_type", [(), (AREA,), (POINT,), ((1025, 3),)])
@pytest.mark.parametrize("position", POSITIONS)
def test_a_tif_is_where_rasterio_places_it(
    position: str, raster_type: tuple[tuple[int, int], ...]
) -> None:
    keys = geo_keys(*UTM_20, *raster_type)
    tif = with_arrays(PLAIN, {**POSITIONS[position], GEO_KEYS: keys})
    assert tif_bounds(tif) == pytest.approx(bounds_by_rasterio(tif), abs=1e-7)
    np.testing.assert_allclose(tif_ring(tif), ring_by_rasterio(*grid_by_rasterio(tif)), atol=1e-9)


@pytest.mark.parametrize("position", NOWHERE)
def test_a_tif_whose_tags_name_no_place_has_no_box_and_no_outline(position: str) -> None:
    tif = with_arrays(PLAIN, {**NOWHERE[position], GEO_KEYS: geo_keys(*UTM_20)})
    assert tif_bounds(tif) is None
    assert np.isnan(tif_ring(tif)).all()


@given(
    tags=st.fixed_dictionaries(
        {},
        optional={
            PIXEL_SCALE: st.lists(st.sampled_from([0, 3, -3, 0.25]), max_size=4),
            TIEPOINT: st.lists(st.integers(0, 30), max_size=26),
            TRANSFORMATION: st.lists(st.integers(-3, 3), min_size=14, max_size=17),
        },
    ),
    types=st.lists(st.sampled_from([8, 9, 11, 12, 17]), min_size=3, max_size=3),
    keys=st.lists(st.sampled_from([*UTM_20, *GEOGRAPHIC, AREA, POINT]), unique=True),
)
def test_any_tags_name_the_place_that_rasterio_reads(
    tags: dict[int, list[float]], types: list[int], keys: list[tuple[int, int]]
) -> None:
    arrays = {
        tag: (kind if all(value % 1 == 0 for value in values) else DOUBLE, values)
        for kind, (tag, values) in zip(types, tags.items(), strict=False)
        if values
    }
    tif = with_arrays(PLAIN, {**arrays, GEO_KEYS: geo_keys(*keys)})
    place = read_place(read_layout(tif))
    try:
        crs, matrix = grid_by_rasterio(tif)
    except ValueError:  # ground points that no transform fits
        crs = matrix = None
    scale, ties = tags.get(PIXEL_SCALE, ()), tags.get(TIEPOINT, ())
    untied = len(scale) >= 2 and scale[0] and scale[1] and len(ties) < 6
    if crs is None or matrix is None or matrix.determinant == 0 or untied:
        assert place is None
    else:
        assert place is not None
        assert (place.crs, Affine(*place.transform)) == (crs, pytest.approx(matrix))


def test_the_box_of_a_tif_does_not_depend_on_keys_that_do_not_place_it() -> None:
    scaled: Tags = {
        PIXEL_SCALE: doubles(60, -60, 0),
        TIEPOINT: doubles(0, 0, 0, 440_720, 3_751_320, 0),
    }
    utm_11, citation = ((1024, 1), (3072, 26711)), {GEO_TEXT: (2, tuple(b"some text|"))}
    texts = (1, 1, 0, 3, 1024, 0, 1, 1, 1026, GEO_TEXT, 9, 0, 3072, 0, 1, 26711)
    tifs = [
        with_arrays(PLAIN, {**scaled, GEO_KEYS: geo_keys(*utm_11)}),
        with_arrays(PLAIN, {**scaled, GEO_KEYS: geo_keys(*utm_11, AREA)}),
        with_arrays(PLAIN, {**scaled, GEO_KEYS: (SHORT, texts), **citation}),
        with_arrays(PLAIN, {**scaled, GEO_KEYS: (4, geo_keys(*utm_11)[1])}),
    ]
    boxes = {tif_bounds(tif) for tif in tifs}
    assert len(boxes) == 1
    assert boxes.pop() == pytest.approx(bounds_by_rasterio(tifs[0]), abs=1e-9)


def test_a_coordinate_system_is_the_same_whichever_chip_is_read_first() -> None:
    for number, first in enumerate(("ground points", "scale")):
        keys = geo_keys(*UTM_20, (1025, number), (3076, 9001))  # keys that no other test has
        tifs = [
            with_arrays(PLAIN, {**POSITIONS[name], GEO_KEYS: keys})
            for name in (first, "ground points", "scale")
        ]
        assert None not in map(tif_bounds, tifs)


def test_systems_that_users_define_are_read() -> None:
    lambert = CRS.from_proj4("+proj=laea +lat_0=-10 +lon_0=-60 +a=6378137 +b=6356752.3 +units=m")
    tilted = Affine(30, 10, 20_000, 10, -30, -40_000)
    for crs in (lambert, CRS.from_epsg(4269), CRS.from_proj4("+proj=longlat +pm=paris")):
        matrix = tilted if crs.is_projected else Affine(0.001, 0.0002, -60, 0, -0.001, -4)
        tif = encode_tif(draw_bands(HEIGHT, WIDTH), crs=crs, transform=matrix)
        assert tif_bounds(tif) == pytest.approx(bounds_by_rasterio(tif), abs=1e-7)
        ring = ring_by_rasterio(*grid_by_rasterio(tif))
        np.testing.assert_allclose(tif_ring(tif), ring, atol=1e-9)


def test_a_system_without_a_datum_or_with_senseless_keys_has_no_place() -> None:
    local = geo_keys((1024, 32767))
    keys = {
        "local": local,
        "empty": (SHORT, (1, 1, 0, 0)),
        "three numbers": (SHORT, (1, 1, 0)),
        "too few keys": (SHORT, (1, 1, 0, 9, 1024, 0, 1, 1)),
        "over 16 bits": (4, (1, 1, 0, 1, 1024, 0, 1, 70_000)),
        "unknown code": geo_keys((1024, 1), (3072, 65_000)),
    }
    for name, values in keys.items():
        tif = with_arrays(PLAIN, {**POSITIONS["scale"], GEO_KEYS: values})
        assert tif_bounds(tif) is None, name


def test_metadata_and_text_of_gdal_do_not_move_a_chip() -> None:
    plain = encode_tif(draw_bands(), **GEO)
    with MemoryFile() as file:
        size = {"count": 4, "height": 80, "width": 100, "dtype": "uint16"}
        with file.open(driver="GTiff", nodata=0, **size, **GEO) as target:
            target.write(draw_bands())
            target.update_tags(AREA_OR_POINT="Area", TIFFTAG_SOFTWARE="x", place="elsewhere")
            target.update_tags(ns="RPC", LINE_OFF="1", SAMP_OFF="1")
        told = bytes(file.read())
    assert tif_bounds(told) == tif_bounds(plain) == pytest.approx(bounds_by_rasterio(told))


# --- Files ----------------------------------------------------------------------------------------


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
    west, south, east, north = box = (-60, -3 - 80 * 0.002, -60 + 100 * 0.001, -3)
    assert tif_bounds(tif) == pytest.approx(box)
    np.testing.assert_allclose(
        tif_ring(tif), [(west, north), (east, north), (east, south), (west, south)]
    )
    west, south, east, north = tif_bounds(encode_tif(draw_bands(), **GEO)) or (0, 0, 0, 0)
    assert west == pytest.approx(-63, abs=1e-3)  # the central meridian of zone 20
    assert (east - west) * 111_000 == pytest.approx(300, rel=0.03)
    assert (north - south) * 111_000 == pytest.approx(240, rel=0.03)
    assert -10 < south < north < -8


@pytest.mark.parametrize(
    "tif",
    [
        encode_tif(draw_bands()),
        encode_tif(draw_bands(), transform=GEO["transform"]),
        encode_tif(draw_bands(), crs=GEO["crs"]),
        encode_tif(draw_bands(), **GEO)[:200],
        encode_tif(draw_bands(), crs=GEO["crs"], transform=Affine(3, 0, 1e30, 0, -3, 1e30)),
        encode_tif(draw_bands(), crs="EPSG:4326", transform=GEO["transform"]),
        b"II*\0",
        b"",
    ],
    ids=["plain", "no CRS", "no place", "cut", "out of this world", "metres", "head", "empty"],
)
def test_a_tif_without_a_place_has_no_bounds(tif: bytes) -> None:
    assert tif_bounds(tif) is None


def test_real_planet_tifs_have_no_bounds(shared_data: Path) -> None:
    path = next(iter(sorted(shared_data.glob("planet/tif/*.tif"))))
    assert tif_bounds(path.read_bytes()) is None


# --- Batches --------------------------------------------------------------------------------------

ZONE_20 = CRS.from_epsg(32720)
ZONE_60 = CRS.from_epsg(32660)
POLAR = CRS.from_epsg(3031)
GEOGRAPHIC_CRS = CRS.from_epsg(4326)


def place_of(crs: CRS, west: float, south: float, east: float, north: float) -> Place:
    """A grid of 20 x 10 pixels, north up."""
    return Place(crs, ((east - west) / 20, 0, west, 0, (south - north) / 10, north), 20, 10)


@given(
    crs=st.sampled_from([ZONE_20, ZONE_60, POLAR, GEOGRAPHIC_CRS, CRS.from_epsg(3857)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_bounds_of_a_batch_are_those_that_gdal_computes_for_each_chip(
    crs: CRS, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scale = 1e-5 if crs.is_geographic else 1.0
    corners = scale * np.stack([rng.uniform(2e5, 8e5, 5), rng.uniform(-2e6, 9e6, 5)], 1)
    sides = scale * 10 ** rng.uniform(2, 5.7, (5, 2))  # to 500 km
    extents = np.hstack([corners, corners + sides])
    expected = np.array([transform_bounds(crs, "EPSG:4326", *extent) for extent in extents])
    expected[:, [1, 3]] = expected[:, [1, 3]].clip(-90, 90)  # degrees may run over a pole
    found = bounds_of([place_of(crs, *extent) for extent in extents])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(
    crs=st.sampled_from([ZONE_20, ZONE_60, POLAR, CRS.from_epsg(3857)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_outlines_of_a_batch_are_the_corners_that_gdal_projects(crs: CRS, seed: int) -> None:
    rng = np.random.default_rng(seed)
    upright = rng.choice([1, -1], (3, 2)) * rng.uniform(1, 100, (3, 2))
    matrices = [(a, 0, c, 0, e, f) for (a, e), (c, f) in zip(upright, _origins(rng), strict=True)]
    for c, f in _origins(rng):
        a, b, d, e = rng.uniform(-50, 50, 4)
        matrices.append((a, b, c, d, e, f))
    found = footprints_of([Place(crs, matrix, WIDTH, HEIGHT) for matrix in matrices])[1]
    for matrix, ring in zip(matrices, found, strict=True):
        difference = ring - ring_by_rasterio(crs, Affine(*matrix))
        difference[:, 0] -= 360 * np.round(difference[:, 0] / 360)
        np.testing.assert_allclose(difference, 0, atol=1e-8)


def _origins(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return np.stack([rng.uniform(2e5, 8e5, 3), rng.uniform(-2e6, 9e6, 3)], 1)


@pytest.mark.parametrize("turned", [0, 30])
def test_a_window_of_a_scene_has_the_footprint_of_a_chip_cut_from_there(turned: float) -> None:
    grid = Affine.translation(399_960, 9_000_020) * Affine.rotation(turned) * Affine.scale(10, -10)
    crs = CRS.from_epsg(32720)
    windows = np.array([[0, 0, 256, 256], [-20, 5120, 256, 256], [10_700, 3, 280, 64]])
    chips = [
        Place(crs, tuple(grid * Affine.translation(x, y))[:6], int(w), int(h))
        for x, y, w, h in windows
    ]
    found = footprints_of_windows(Place(crs, tuple(grid)[:6], 10_980, 10_980), windows)
    for ours, theirs in zip(found, footprints_of(chips), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10, rtol=0)


def test_chips_with_different_or_no_coordinate_systems_keep_their_rows() -> None:
    here = place_of(ZONE_20, 5e5, 9e6, 5.1e5, 9.01e6)
    there = place_of(ZONE_60, 5e5, 0, 5.1e5, 1e4)
    bounds, rings = footprints_of([there, None, here, there])
    assert np.isnan(bounds[1]).all()
    assert np.isnan(rings[1]).all()
    np.testing.assert_array_equal(bounds[0], bounds[3])
    np.testing.assert_array_equal(bounds[[2]], bounds_of([here]))
    np.testing.assert_array_equal(rings[[2]], footprints_of([here])[1])
    assert bounds[2][0] == pytest.approx(-63, abs=1e-3)
    assert bounds_of([]).shape == (0, 4)
    assert footprints_of([])[1].shape == (0, 4, 2)


def test_a_place_off_the_earth_does_not_affect_other_chips() -> None:
    good, lost = (
        place_of(ZONE_20, 5e5, 9e6, 5.1e5, 9.01e6),
        place_of(ZONE_20, 1e30, 1e30, 2e30, 2e30),
    )
    bounds, rings = footprints_of([good, lost, good, good])
    assert np.isnan(bounds[1]).all()
    assert np.isnan(rings[1]).all()
    for found, alone in zip((bounds, rings), footprints_of([good]), strict=True):
        np.testing.assert_array_equal(found[[0, 2, 3]], np.repeat(alone, 3, 0))


# --- The 180th meridian and the poles -------------------------------------------------------------

ACROSS = {
    "UTM": place_of(ZONE_60, 832_000, 0, 834_000, 10_000),
    "Mercator": place_of(CRS.from_epsg(3857), 20_037_000, 0, 20_038_000, 1000),
    "degrees to 360": place_of(GEOGRAPHIC_CRS, 179.9, 0, 180.1, 1),
    "degrees from -360": place_of(CRS.from_epsg(4269), -180.1, 0, -179.9, 1),
    "polar": place_of(POLAR, -1000, -400_000, 1000, -398_000),
}


@pytest.mark.parametrize("name", ACROSS)
def test_a_chip_across_the_180th_meridian_has_its_west_in_the_east_and_a_ring_without_jumps(
    name: str,
) -> None:
    place = ACROSS[name]
    bounds, rings = footprints_of([place])
    west, south, east, north = bounds[0]
    assert 179 < west < 180
    assert -180 < east < -179
    assert south < north
    longitudes = rings[0, :, 0]
    assert 179 < longitudes.min() < 180 < longitudes.max() < 181
    assert longitudes.min() == pytest.approx(west, abs=1e-2)
    assert longitudes.max() == pytest.approx(east + 360, abs=1e-2)


def test_longitudes_that_run_to_360_are_the_same_place() -> None:
    bounds, rings = footprints_of([place_of(GEOGRAPHIC_CRS, 200, 0, 201, 1)])
    assert bounds[0].tolist() == [-160, 0, -159, 1]
    assert rings[0].tolist() == [[-160, 1], [-159, 1], [-159, 0], [-160, 0]]


def test_a_chip_that_contains_a_pole_has_the_box_of_gdal_and_no_outline() -> None:
    for crs, pole in ((POLAR, -90), (CRS.from_epsg(3413), 90)):
        bounds, rings = footprints_of([place_of(crs, -1000, -1000, 1000, 1500)])
        expected = transform_bounds(crs, "EPSG:4326", -1000, -1000, 1000, 1500)
        np.testing.assert_allclose(bounds[0], expected, atol=1e-9)
        assert bounds[0, [0, 2]].tolist() == [-180, 180]
        assert pole in bounds[0]
        assert np.isnan(rings).all()


def test_a_chip_next_to_a_pole_has_an_outline() -> None:
    bounds, rings = footprints_of([place_of(POLAR, -1000, -3000, 1000, -1000)])
    expected = transform_bounds(POLAR, "EPSG:4326", -1000, -3000, 1000, -1000)
    np.testing.assert_allclose(bounds[0], expected, atol=1e-9)
    assert np.isfinite(rings).all()
    assert rings[0, :, 0].max() == pytest.approx(225)  # 135 west, without a jump


def test_the_whole_earth_has_a_box_and_no_outline() -> None:
    for west in (-180, 0):
        bounds, rings = footprints_of([place_of(GEOGRAPHIC_CRS, west, -90.5, west + 360, 90.5)])
        assert bounds[0].tolist() == [-180, -90, 180, 90]
        assert np.isnan(rings).all()


def test_a_damaged_tif_has_a_place_or_none_and_never_fails() -> None:
    data = encode_tif(draw_bands(), **GEO)
    rng = np.random.default_rng(5)
    for _ in range(100):
        tif_bounds(mutate(data, rng))
