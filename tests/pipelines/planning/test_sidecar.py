"""The values of a sidecar reach the rows of its chips."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import UsageError
from pipelines.planning.selection import select_chips
from pipelines.planning.sidecar import GIVEN, read_sidecar
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
