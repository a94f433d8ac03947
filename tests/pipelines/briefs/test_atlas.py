import hashlib
from importlib.resources import files

import pyproj
import pytest
import shapely

from pipelines.briefs.atlas import countries_in

WORLD = (-180.0, -90.0, 180.0, 90.0)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("leaflet.js", "db49d009c841f5ca34a888c96511ae936fd9f5533e90d8b2c4d57596f4e5641a"),
        ("leaflet.css", "a7837102824184820dfa198d1ebcd109ff6d0ff9a2672a074b9a1b4d147d04c6"),
        ("countries-50m.json", "04342cdc1e3016bcd7db1630de95684d67b79fe3c8c460321e87aef469502394"),
    ],
)
def test_a_file_of_another_project_is_byte_by_byte_as_its_package_has_it(
    name: str, digest: str
) -> None:
    content = files("pipelines.briefs").joinpath("vendor", name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert len(content) < 1_000_000


@pytest.mark.parametrize(
    ("place", "is_land"),
    [
        ((-60.0, -3.0), True),  # Manaus
        ((-30.0, 0.0), False),  # the Atlantic
        ((178.0, -17.8), True),  # Fiji
        ((28.2, -29.5), True),  # Lesotho, inside of South Africa
        ((51.0, 42.0), False),  # the Caspian Sea
    ],
)
def test_land_is_where_it_is(place: tuple[float, float], is_land: bool) -> None:
    land = countries_in(WORLD)
    assert any(shape.contains(shapely.Point(place)) for shape in land) is is_land


def test_the_land_of_the_world_has_the_area_that_it_has() -> None:
    earth = pyproj.Geod(ellps="WGS84")
    areas = [
        earth.geometry_area_perimeter(shapely.orient_polygons(s))[0] for s in countries_in(WORLD)
    ]
    assert sum(areas) / 1e12 == pytest.approx(147, rel=0.02)  # million km2, ice included


def test_outlines_are_cut_to_the_box() -> None:
    box = (-62.0, -5.0, -58.0, -1.0)
    land = countries_in(box)
    assert shapely.union_all(land).area == pytest.approx(16)
    assert shapely.union_all(land).bounds == pytest.approx(box)


def test_a_box_across_180_degrees_has_land_on_both_sides() -> None:
    land = shapely.union_all(countries_in((176.0, -20.0, 182.0, -15.0)))
    assert land.bounds[0] < 178 < 180 < land.bounds[2] <= 182
    west = shapely.union_all(countries_in((-180.0, -20.0, -178.0, -15.0)))
    assert land.intersection(shapely.box(180, -90, 182, 90)).area == pytest.approx(west.area)


@pytest.mark.parametrize("sea", [(-100.0, -17.0), (-20.0, -17.0), (-100.0, -60.0), (0.0, 68.0)])
def test_no_outline_crosses_the_sea(sea: tuple[float, float]) -> None:
    edges = shapely.boundary(shapely.union_all(countries_in(WORLD)))
    assert shapely.distance(edges, shapely.Point(sea)) > 2


def test_land_goes_on_to_the_south_pole() -> None:
    assert shapely.union_all(countries_in((100.0, -90.0, 110.0, -80.0))).area == pytest.approx(100)
