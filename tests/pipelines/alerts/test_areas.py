"""Areas are read from the files that people have, and found where alerts are."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from pipelines.alerts.areas import names_of_places, read_areas
from pipelines.errors import UsageError

PARK, DISTRICT = (
    box(-60, -10, -59, -9),
    MultiPolygon([box(-61, -12, -60, -11), box(-58, -9, -57, -8)]),
)
SHAPES = {"Park São": PARK, "District": DISTRICT}


def write(
    path: Path, shapes=None, crs: str | None = "EPSG:4326", to_crs: str = "", **columns
) -> str:
    frame = geopandas.GeoDataFrame(
        columns or {"name": list(shapes or SHAPES)},
        geometry=list((shapes or SHAPES).values()),
        crs=crs,
    )
    frame = frame.to_crs(to_crs) if to_crs else frame
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return str(path)


def read(uri: str) -> tuple[dict[str, shapely.Geometry], list[str]]:
    rows, notes = read_areas(uri)
    return dict(
        zip(rows["name"].to_pylist(), shapely.from_wkb(rows["geometry"]), strict=True)
    ), notes


def refused(uri: str) -> str:
    with pytest.raises(UsageError) as error:
        read_areas(uri)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("ending", ["geojson", "gpkg", "parquet"])
@pytest.mark.parametrize("crs", ["", "EPSG:31981", "EPSG:3857", "EPSG:4674"])
def test_areas_are_read_in_wgs_84_from_every_format(tmp_path, ending, crs):
    found, notes = read(write(tmp_path / f"areas.{ending}", to_crs=crs))
    assert found.keys() == SHAPES.keys()
    for name, shape in SHAPES.items():
        assert found[name].symmetric_difference(shape).area < 1e-6
    converted = crs and not (ending == "geojson" and crs == "EPSG:4326")
    assert len(notes) == bool(converted), notes


def test_a_file_of_any_name_is_opened_by_its_content(tmp_path):
    path = Path(write(tmp_path / "areas.gpkg"))
    assert read(str(path.rename(tmp_path / "areas.zip")))[0].keys() == SHAPES.keys()


def test_the_rows_have_boxes_and_are_sorted(tmp_path):
    rows = read_areas(write(tmp_path / "areas.geojson")).rows
    assert rows["name"].to_pylist() == ["District", "Park São"]
    assert rows["bbox"][1].as_py() == {"xmin": -60, "ymin": -10, "xmax": -59, "ymax": -9}
    assert all(
        shape.exterior.is_ccw for shape in shapely.get_parts(shapely.from_wkb(rows["geometry"]))
    )


def test_an_area_across_180_degrees_is_cut_there(tmp_path):
    found, _ = read(write(tmp_path / "areas.geojson", {"Fiji": box(179, -18, 181, -17)}))
    assert sorted(part.bounds for part in found["Fiji"].geoms) == [
        (-180, -18, -179, -17),
        (179, -18, 180, -17),
    ]
    rows = read_areas(str(tmp_path / "areas.geojson")).rows
    assert rows["bbox"][0].as_py() == {"xmin": 179, "ymin": -18, "xmax": -179, "ymax": -17}


def test_invalid_polygons_are_repaired_and_everything_else_is_left_out_and_reported(tmp_path):
    bow = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    shapes = {"bow": bow, "point": Point(0, 0), "line": LineString([(0, 0), (1, 1)]), "ok": PARK}
    found, notes = read(write(tmp_path / "areas.geojson", shapes))
    assert found.keys() == {"bow", "ok"}
    assert found["bow"].is_valid
    assert found["bow"].area == pytest.approx(2)
    assert notes == ["2 features without a polygon left out", "1 invalid polygon repaired"]


def test_areas_without_a_name_are_left_out_and_reported(tmp_path):
    path = write(tmp_path / "areas.geojson", NAME=["Park", None])
    found, notes = read(path)
    assert (list(found), notes) == (["Park"], ["1 area without a name left out"])


def test_a_name_may_have_several_polygons(tmp_path):
    path = write(tmp_path / "areas.gpkg", name=["Park", "Park"])
    rows = read_areas(path).rows
    places = [shape.centroid.buffer(0.01).wkb for shape in (PARK, box(0, 0, 1, 1))]
    assert names_of_places(rows, pa.array(places, pa.binary())).to_pylist() == [["Park"], []]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not a GeoJSON, GeoPackage or GeoParquet file"),
        (b"<VRTDataset/>", "is not a GeoJSON"),
        (b"SQLite format 3\0" + b"\0" * 100, "is not a GeoJSON"),
        (b"SQLite format 3\0" + b"\0" * 52 + b"GPKG" + b"\0" * 100, "cannot be read"),
        (b"PAR1", "cannot be read"),
        (b"{", "is not a GeoJSON FeatureCollection"),
        (b'{"type": "Topology"}', "is not a GeoJSON FeatureCollection"),
        (b'{"features": []}', "needs a column 'name'; its columns: none"),
        (b"[" * 100_000, "is not a GeoJSON"),
        (b'{"features": ' + b"[" * 100_000, "is not a GeoJSON FeatureCollection"),
        (
            b'{"features": [{"properties": {"name": "a"}, "geometry": {"type": "Polygon", '
            b'"coordinates": [[["x"]]]}}]}',
            "has no polygons with a name",
        ),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, why):
    path = tmp_path / "areas"
    path.write_bytes(content)
    assert why in refused(str(path))


def test_what_cannot_be_areas_is_refused_with_what_to_change(tmp_path):
    named = write(tmp_path / "a.gpkg", nome=["a", "b"], code=[1, 2])
    assert "needs a column 'name'; its columns: 'nome', 'code'" in refused(named)
    points = write(tmp_path / "b.gpkg", {"a": Point(0, 0)})
    assert "has no polygons with a name" in refused(points)
    metres = write(tmp_path / "c.parquet", {"a": box(5e5, 9e6, 6e5, 9.1e6)}, crs=None)
    assert "not longitude and latitude in degrees" in refused(metres)
    geopandas.GeoDataFrame({"name": ["a"]}, geometry=[PARK], crs=4326).to_file(
        tmp_path / "a.gpkg", layer="second"
    )
    assert "must have one layer with polygons, not 'a', 'second'" in refused(
        str(tmp_path / "a.gpkg")
    )
    assert "areas.geojson" in refused(str(tmp_path / "areas.geojson"))
    plain = tmp_path / "plain.parquet"
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"name": ["a"]}), plain)
    assert "cannot be read" in refused(str(plain))


def test_an_unknown_coordinate_system_is_refused(tmp_path):
    data = {"crs": {"properties": {"name": "EPSG:1"}}, "features": []}
    data["features"] = [
        {"properties": {"name": "a"}, "geometry": json.loads(shapely.to_geojson(PARK))}
    ]
    path = tmp_path / "areas.geojson"
    path.write_text(json.dumps(data))
    assert "unknown coordinate system: 'EPSG:1'" in refused(str(path))


def test_places_name_the_areas_that_they_touch(tmp_path):
    draw = np.random.default_rng(3)
    corners = draw.uniform(-1, 1, (12, 2))
    shapes = {
        f"area {n}": box(x, y, x + s, y + s) for n, (x, y) in enumerate(corners) for s in [0.6]
    }
    rows = read_areas(write(tmp_path / "areas.geojson", shapes)).rows
    places = [Point(x, y).buffer(0.05) for x, y in draw.uniform(-1.5, 1.5, (300, 2))]
    geometry = pa.array([*(place.wkb for place in places), None], pa.binary())
    expected = [
        sorted(name for name, shape in shapes.items() if shape.intersects(place))
        for place in places
    ]
    assert names_of_places(rows, geometry).to_pylist() == [*expected, []]
    assert names_of_places(rows.slice(0, 0), geometry).to_pylist() == [[]] * 301
