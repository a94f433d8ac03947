"""Answers as GeoJSON, read back by geopandas and shapely."""

import io
import json
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely

from beam_jobs import query
from beam_jobs.answers import as_geojson
from pipelines.errors import UsageError
from tests.support.published_runs import publish, scored

BOX = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.5, "lat_max": -2.5}
CLOCKWISE = "POLYGON((0 0, 0 4, 4 4, 4 0, 0 0), (1 1, 2 1, 2 2, 1 2, 1 1))"


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path)


def asked(output: str, sql: str) -> tuple[list[Any], list[dict[str, Any]]]:
    """The shapes and properties of an answer; each is also what geopandas reads."""
    text = as_geojson(query.ask(output, sql))
    collection = json.loads(text)
    assert collection["type"] == "FeatureCollection"
    assert all(feature["type"] == "Feature" for feature in collection["features"])
    shapes = [
        shapely.from_geojson(json.dumps(feature["geometry"])) if feature["geometry"] else None
        for feature in collection["features"]
    ]
    if shapes:
        frame = geopandas.read_file(io.StringIO(text))
        assert frame.crs.to_epsg() == 4326
        assert [*frame.geometry] == shapes
    return shapes, [feature["properties"] for feature in collection["features"]]


def test_chips_are_features_with_their_boxes_and_all_columns(output: str) -> None:
    publish(output, "run-1", [scored("a", "road", **BOX), scored("b")])
    sql = "SELECT chip_uri, labels, lon_min, lat_min, lon_max, lat_max FROM chip_scores ORDER BY 1"
    shapes, properties = asked(output, sql)
    assert shapes == [shapely.box(-60, -3, -59.5, -2.5), None]
    assert properties[0] == {"chip_uri": "a", "labels": ["clear", "road"], **BOX}
    assert properties[1] == {"chip_uri": "b", "labels": ["clear"], **dict.fromkeys(BOX)}


def test_the_command_prints_a_feature_collection(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(output, "run-1", [scored("a", **BOX)])
    sql = "SELECT chip_uri, lon_min, lat_min, lon_max, lat_max FROM latest_chip_scores"
    assert query.main(["--output", output, "--format", "geojson", sql]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["features"][0]["geometry"]["type"] == "Polygon"
    assert printed.count("\n") == 3


@pytest.mark.parametrize("column", ["{}", "ST_AsWKB({})"], ids=["GEOMETRY", "WKB"])
def test_outer_rings_are_counter_clockwise_and_holes_clockwise(output: str, column: str) -> None:
    value = column.format(f"'{CLOCKWISE}'::GEOMETRY")
    shapes, properties = asked(output, f"SELECT 1 AS n, {value} AS shape")
    assert properties == [{"n": 1}]
    assert shapes[0].exterior.is_ccw
    assert not shapes[0].interiors[0].is_ccw
    assert shapes[0].area == 15


def test_a_box_across_180_degrees_is_cut_there(output: str) -> None:
    sql = "SELECT 179.5 AS lon_min, -10 AS lat_min, -179 AS lon_max, -9 AS lat_max"
    (shape,), properties = asked(output, sql)
    assert shape == shapely.MultiPolygon(
        [shapely.box(179.5, -10, 180, -9), shapely.box(-180, -10, -179, -9)]
    )
    assert all(part.exterior.is_ccw for part in shape.geoms)
    assert properties == [{"lon_min": 179.5, "lat_min": -10, "lon_max": -179, "lat_max": -9}]


def test_a_bbox_is_a_box_and_a_longitude_with_a_latitude_a_point(output: str) -> None:
    box = "{'xmin': 1, 'ymin': 2, 'xmax': 3, 'ymax': 4}"
    assert asked(output, f"SELECT 'x' AS t, {box} AS bbox") == (
        [shapely.box(1, 2, 3, 4)],
        [{"t": "x"}],
    )
    sql = "SELECT * FROM (VALUES (1.5, 2.5), (NULL, 3)) AS t (longitude, latitude)"
    shapes, properties = asked(output, sql)
    assert shapes == [shapely.Point(1.5, 2.5), None]
    assert properties[0] == {"longitude": 1.5, "latitude": 2.5}


def test_a_row_without_a_shape_has_its_box_and_one_without_a_box_its_point(output: str) -> None:
    sql = """
      SELECT * FROM (VALUES
        ('POINT(9 9)'::GEOMETRY, {'xmin': 1, 'ymin': 2, 'xmax': 3, 'ymax': 4}, 7, 8),
        (NULL, {'xmin': 1, 'ymin': 2, 'xmax': 3, 'ymax': 4}, 7, 8), (NULL, NULL, 7, 8),
        (NULL, NULL, NULL, 8), (NULL, {'xmin': NULL, 'ymin': 2, 'xmax': 3, 'ymax': 4}, 400, 8)
      ) AS t (geometry, bbox, longitude, latitude)"""
    shapes, properties = asked(output, sql)
    assert shapes == [
        shapely.Point(9, 9),
        shapely.box(1, 2, 3, 4),
        shapely.Point(7, 8),
        None,
        None,
    ]
    assert properties[0].keys() == {"bbox", "longitude", "latitude"}


def test_other_bytes_are_properties(output: str) -> None:
    sql = "SELECT 'abc'::BLOB AS other, ST_AsWKB('POINT(1 2)'::GEOMETRY) AS geometry"
    assert asked(output, sql) == ([shapely.Point(1, 2)], [{"other": "616263"}])
    two = f"{sql}, ST_AsWKB('POINT(3 4)'::GEOMETRY) AS there"
    assert asked(output, two)[0] == [shapely.Point(1, 2)]


def test_an_answer_of_geometries_alone_has_features_without_properties(output: str) -> None:
    shapes, properties = asked(output, "SELECT 'POINT(1 2)'::GEOMETRY AS g FROM range(2)")
    assert shapes == [shapely.Point(1, 2)] * 2
    assert properties == [{}, {}]


def test_an_answer_without_rows_has_no_features(output: str) -> None:
    assert asked(output, "SELECT * FROM chip_scores") == ([], [])


def test_what_json_cannot_have_is_null(output: str) -> None:
    sql = """SELECT * FROM (VALUES (0, ST_AsWKB('POINT(1 2)'::GEOMETRY)), (1,
      '\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\xF8\\x7F\\x00\\x00\\x00\\x00\\x00\\x00\\xF0\\x7F'
      ::BLOB)) AS t (n, geometry)"""
    assert asked(output, sql)[0] == [shapely.Point(1, 2), None]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 AS n", "needs a geometry: a column of GEOMETRY or WKB, or a bbox, or lon_min"),
        ("SELECT 1 AS lon_min, 2 AS lat_min", "needs a geometry"),
        ("SELECT 'abc'::BLOB AS b", "needs a geometry"),
        ("SELECT 'POINT(1 2)'::GEOMETRY AS a, 'POINT(1 2)'::GEOMETRY AS b", "select one of a, b"),
        ("SELECT 'POINT(1 2)'::GEOMETRY AS a, 1 AS b, 2 AS b", "use AS for b"),
    ],
)
def test_an_answer_that_is_no_map_is_refused(output: str, sql: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_geojson(query.ask(output, sql))
