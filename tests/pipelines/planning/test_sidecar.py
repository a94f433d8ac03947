"""The values of a sidecar reach the rows of its chips."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from pipelines.errors import UsageError
from pipelines.planning.manifests import read_manifest
from pipelines.planning.selection import select_chips
from pipelines.planning.sidecar import GIVEN, read_sidecar
from schemas.chip_columns import BOUNDS
from tests.support.planned_chips import chips_of, versions

_BOX = {"lon_min": -61.5, "lat_min": -3.5, "lon_max": -61.4, "lat_max": -3.4}
_NOTHING = dict.fromkeys(GIVEN)


def values_by_chip(sidecar, chips):
    """Chip id to its sidecar columns after planning."""
    rows = select_chips(chips, versions([]), None, read_sidecar(str(sidecar))).chips.read_all()
    return {row["chip_id"]: {name: row[name] for name in GIVEN} for row in rows.to_pylist()}


def test_a_csv_by_stem_provides_time_scene_and_place(tmp_path):
    sidecar = tmp_path / "s.csv"
    sidecar.write_text(
        "chip_id,observed_at,scene_id,lon_min,lat_min,lon_max,lat_max,note\n"
        "a,2026-07-01T14:03:00Z,007,-61.5,-3.5,-61.4,-3.4,x\n"
        "b,2026-07-02 14:03:00,,,,,,\n"
        "unlisted,,,,,,,\n"
    )
    found = values_by_chip(sidecar, chips_of([("a", "1"), ("b", "1"), ("c", "1")]))
    first, second = datetime(2026, 7, 1, 14, 3, tzinfo=UTC), datetime(2026, 7, 2, 14, 3, tzinfo=UTC)
    assert found == {
        "a": {"scene_id": "007", "observed_at": first, **_BOX},
        "b": {**_NOTHING, "observed_at": second},
        "c": _NOTHING,
    }


def test_the_values_of_a_parquet_sidecar_replace_those_of_the_manifest(tmp_path):
    chips = chips_of([("a", "1"), ("b", "1")])
    known = {"scene_id": ["old", "old"], "lon_min": [1.0, 1.0], "lat_min": [2.0, 2.0]}
    known |= {"lon_max": [3.0, 3.0], "lat_max": [4.0, 4.0]}
    for name, values in known.items():
        chips = chips.append_column(name, pa.array(values))
    rows = {"chip_uri": ["/a.jpg", "/b.jpg"], "scene_id": ["new", None]}
    rows |= {name: [None, value] for name, value in _BOX.items()}
    pq.write_table(pa.table(rows), tmp_path / "s.parquet")
    found = values_by_chip(tmp_path / "s.parquet", chips)
    old_box = {"lon_min": 1.0, "lat_min": 2.0, "lon_max": 3.0, "lat_max": 4.0}
    assert found["a"] == {**_NOTHING, "scene_id": "new", **old_box}
    assert found["b"] == {**_NOTHING, "scene_id": "old", **_BOX}


def test_relative_addresses_are_taken_from_the_sidecars_folder(tmp_path):
    (tmp_path / "s.csv").write_text("chip_uri,scene_id\nchips/a.jpg,s1\n")
    assert read_sidecar(str(tmp_path / "s.csv")).rows["chip_uri"].to_pylist() == [
        str(tmp_path / "chips/a.jpg")
    ]


def test_one_stem_may_name_several_chips(tmp_path):
    (tmp_path / "s.csv").write_text("chip_id,scene_id\na,s1\n")
    rows = select_chips(
        chips_of([("x/a", "1"), ("y/a", "1")]),
        versions([]),
        None,
        read_sidecar(f"{tmp_path}/s.csv"),
    ).chips.read_all()
    assert rows["scene_id"].to_pylist() == ["s1", "s1"]


def test_a_box_may_cross_the_180th_meridian(tmp_path):
    box = "chip_id,lon_min,lat_min,lon_max,lat_max\na,179.9,0,-179.9,1\n"
    (tmp_path / "s.csv").write_text(box)
    assert values_by_chip(tmp_path / "s.csv", chips_of([("a", "1")]))["a"]["lon_max"] == -179.9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,scene_id\na,1\n", "no column chip_uri or chip_id .it has: name, scene_id"),
        ("chip_id,chip_uri,scene_id\na,a.jpg,1\n", "both chip_uri and chip_id: keep one"),
        ("chip_id,note\na,1\n", "adds no column: it may have scene_id, observed_at"),
        ("chip_id,scene_id\n", "has no rows"),
        ("chip_id,scene_id,scene_id\na,1,2\n", "more than one column scene_id"),
        ("chip_id,lon_min\na,1\n", "half a bounding box"),
        (
            "chip_id,scene_id\na,1\nb,1\nb,2\n",
            "chip_id 'b': it occurs more than once .wrong rows: 2",
        ),
        ("chip_id,scene_id\n,1\n", "it is empty"),
        ("chip_uri,scene_id\n,1\n", "chip_uri must be text and may not be empty"),
        ("chip_id,observed_at\na,yesterday\n", "column observed_at, has invalid values.*yesterday"),
        ("chip_id,observed_at\na,infinity\n", "time is not in the years 1 to 9999 .wrong rows: 1"),
        ("chip_id,lon_min,lat_min,lon_max,lat_max\na,1,,3,4\n", "bounding box is incomplete"),
        ("chip_id,lon_min,lat_min,lon_max,lat_max\na,1,2,181,4\n", "longitude is not between"),
        ("chip_id,lon_min,lat_min,lon_max,lat_max\na,-inf,2,3,4\n", "longitude is not between"),
        ("chip_id,lon_min,lat_min,lon_max,lat_max\na,1,-91,3,4\n", "latitude is not between"),
        ("chip_id,lon_min,lat_min,lon_max,lat_max\na,1,4,3,2\n", "lat_min is greater than lat_max"),
        ("", "cannot be read"),
    ],
)
def test_an_invalid_sidecar_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(UsageError, match=message) as refused:
        read_sidecar(str(tmp_path / "s.csv"))
    assert "\n" not in str(refused.value)


def test_a_sidecar_that_is_missing_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--sidecar: cannot read .*s\.csv"):
        read_sidecar(str(tmp_path / "s.csv"))


def test_a_sidecar_that_names_no_listed_chip_is_refused(tmp_path):
    (tmp_path / "s.csv").write_text("chip_id,scene_id\na.jpg,1\n")
    with pytest.raises(UsageError, match=r"names no chip.* like 'a\.jpg', those listed like 'a'"):
        values_by_chip(tmp_path / "s.csv", chips_of([("a", "1")]))


# ------------------------------------------------------------------------------ footprints

FOUND = "POLYGON ((-61.5 -3.5, -61.4 -3.5, -61.4 -3.4, -61.5 -3.4, -61.5 -3.5))"
TILTED = "POLYGON ((0 1, 1 0, 2 1, 1 2, 0 1))"


def footprints(tmp_path, *lines, header="chip_id,footprint_wkt"):
    """Rows of a sidecar of such lines, planned: chip id to box and geometry."""
    path = tmp_path / "s.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    chips = chips_of([(name, "1") for name in "abc"])
    rows = select_chips(chips, versions([]), None, read_sidecar(str(path))).chips.read_all()
    return {
        row["chip_id"]: (
            tuple(row[name] for name in BOUNDS),
            row["geometry"] and shapely.from_wkb(row["geometry"]),
        )
        for row in rows.to_pylist()
    }


def test_a_polygon_gives_the_footprint_and_the_box(tmp_path):
    found = footprints(tmp_path, f'a,"{FOUND}"', f'b,"{TILTED}"')
    box, shape = found["a"]
    assert box == tuple(_BOX.values())
    assert shape == shapely.from_wkt(FOUND)
    assert shape.exterior.is_ccw
    assert found["b"][0] == (0, 0, 2, 2)
    assert found["b"][1].equals(shapely.from_wkt(TILTED))
    assert found["c"] == ((None,) * 4, None)


def test_a_clockwise_polygon_with_heights_is_turned_and_flattened(tmp_path):
    _, shape = footprints(tmp_path, 'a,"POLYGON Z ((0 1 5, 1 2 5, 2 1 5, 1 0 5, 0 1 5))"')["a"]
    assert shape.exterior.is_ccw
    assert not shape.has_z
    assert shape.equals(shapely.from_wkt(TILTED))


@pytest.mark.parametrize(
    "wkt",
    [
        "POLYGON ((179 0, -179 0, -179 1, 179 1, 179 0))",
        "POLYGON ((-179 1, -179 0, 179 0, 179 1, -179 1))",
    ],
)
def test_a_polygon_across_the_180th_meridian_is_cut_there(tmp_path, wkt):
    box, shape = footprints(tmp_path, f'a,"{wkt}"')["a"]
    assert box == (179, 0, -179, 1)
    parts = [shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]
    assert shape.geom_type == "MultiPolygon"
    assert shape.equals(shapely.union_all(parts))
    assert all(part.exterior.is_ccw for part in shape.geoms)


def test_a_polygon_that_is_wide_without_a_long_edge_is_refused(tmp_path):
    corners = ", ".join(f"{x} 0" for x in range(-170, 171, 85))
    with pytest.raises(UsageError, match="is 180 degrees wide or more"):
        footprints(tmp_path, f'a,"POLYGON (({corners}, 170 1, 0 1, -170 1, -170 0))"')


@pytest.mark.parametrize(
    ("wkt", "fault"),
    [
        ("nonsense", "is not POLYGON"),
        ("POINT (1 2)", "is not POLYGON"),
        ("POLYGON EMPTY", "is not POLYGON"),
        ("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))", "is not POLYGON"),
        ("GEOMETRYCOLLECTION (POLYGON ((0 0, 1 0, 1 1, 0 0)))", "is not POLYGON"),
        ("SRID=32720;POLYGON ((0 0, 1 0, 1 1, 0 0))", "is not POLYGON"),
        ("POLYGON ((0 0, 1 0, 1 1", "is not POLYGON"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 1))", "is not POLYGON"),  # not closed
        (
            "POLYGON ((500000 9000000, 500300 9000000, 500300 9000300, 500000 9000000))",
            "outside of",
        ),
        ("POLYGON ((-60 -91, -59 -91, -59 -90, -60 -91))", "outside of"),
        ("POLYGON ((nan 0, 1 0, 1 1, nan 0))", "outside of|is not"),
        ("POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))", "not a valid polygon"),
        ("POLYGON ((0 0, 0 0, 0 0, 0 0))", "not a valid polygon"),
        ("POLYGON ((0 0, 1 1, 2 2, 0 0))", "not a valid polygon"),
        (
            "POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0), (5 5, 6 5, 6 6, 5 5))",
            "not a valid polygon",
        ),
        ("POLYGON ((-120 80, 0 80, 120 80, -120 80))", "not a valid|contains a pole"),
        (f"POLYGON (({'0.000000 0, ' * 1000}1 0, 1 1, 0 0))", "over 10,000 letters"),
    ],
)
def test_a_wrong_footprint_is_refused_in_one_line_with_its_chip(tmp_path, wkt, fault):
    with pytest.raises(UsageError, match=fault) as refused:
        footprints(tmp_path, f'a,"{FOUND}"', f'c,"{wkt}"', f'b,"{wkt}"')
    text = str(refused.value)
    assert "s.csv', chip_id 'b': footprint_wkt" in text
    assert text.endswith("(wrong rows: 2)")
    assert "\n" not in text
    assert len(text) < 400


_BOTH = "chip_id,lon_min,lat_min,lon_max,lat_max,footprint_wkt"


def test_a_box_may_be_given_too_if_it_contains_the_footprint(tmp_path):
    lines = f'a,0,0,2.5,2,"{TILTED}"', "b,179,0,-179,1,"
    lines = *lines, 'c,179,0,-179,1,"POLYGON ((179.5 0, -179.5 0, -179.5 1, 179.5 1, 179.5 0))"'
    found = footprints(tmp_path, *lines, header=_BOTH)
    assert found["a"][0] == (0, 0, 2.5, 2)
    assert found["a"][1].equals(shapely.from_wkt(TILTED))
    assert found["b"] == ((179, 0, -179, 1), None)
    assert found["c"][0] == (179, 0, -179, 1)


@pytest.mark.parametrize("box", ["0,0,1,2", "0,0.5,2,2", "179,0,-179,2", "10,10,12,12"])
def test_a_box_that_does_not_contain_the_footprint_is_refused(tmp_path, box):
    with pytest.raises(UsageError, match="outside of the row's bounding box: give one of them"):
        footprints(tmp_path, f'a,{box},"{TILTED}"', header=_BOTH)


def test_a_sidecars_box_replaces_the_footprint_of_the_manifest_too(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text(f'chip_uri,etag,footprint_wkt\n/a.jpg,1,"{FOUND}"\n/b.jpg,1,"{FOUND}"\n')
    (tmp_path / "s.csv").write_text("chip_id,lon_min,lat_min,lon_max,lat_max\na,1,2,3,4\n")
    sidecar = read_sidecar(str(tmp_path / "s.csv"))
    chips = select_chips(read_manifest(str(manifest)), versions([]), None, sidecar).chips
    rows = {row["chip_id"]: row for row in chips.read_all().to_pylist()}
    assert [rows["a"][name] for name in BOUNDS] == [1, 2, 3, 4]
    assert rows["a"]["geometry"] is None
    assert [rows["b"][name] for name in BOUNDS] == [*_BOX.values()]
    assert shapely.from_wkb(rows["b"]["geometry"]) == shapely.from_wkt(FOUND)


def test_a_column_geometry_of_the_user_is_not_taken_for_a_footprint(tmp_path):
    """Its bytes would reach the tables unchecked."""
    rows = {"chip_uri": ["/a.jpg"], "etag": ["1"], "geometry": [b"junk"]}
    pq.write_table(pa.table(rows), tmp_path / "m.parquet")
    assert "geometry" not in read_manifest(str(tmp_path / "m.parquet")).column_names
