"""From an archive to a manifest."""

import os
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import planning, storage
from pipelines.errors import UsageError
from pipelines.planning import RunPlan, list_chips, select_chips, unit_rows
from pipelines.reading import UnitAddress, read_unit
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST
from tests.support import write_chips

_MANIFEST = file_schema(CHIP_MANIFEST)
_PAIRS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("123")), max_size=12)


def _chips(pairs):
    rows = [{"chip_uri": f"/{uri}.jpg", "chip_id": uri, "etag": etag} for uri, etag in pairs]
    return pa.Table.from_pylist(rows, _MANIFEST)


def _done(pairs):
    rows = [{"chip_uri": f"/{uri}.jpg", "etag": etag} for uri, etag in pairs]
    return pa.Table.from_pylist(rows, planning.CHIP_VERSIONS)


@given(_PAIRS, _PAIRS)
def test_a_chip_is_planned_once_unless_this_version_of_it_is_done(listed, done):
    once = dict(reversed(listed))  # listed twice: once, in one of its versions
    manifest, count = select_chips(_chips(once.items()), _done(done))
    expected = sorted(uri for uri, etag in once.items() if (uri, etag) not in done)
    assert manifest["chip_id"].to_pylist() == expected
    assert count == len(once)


@given(_PAIRS)
def test_planning_after_all_is_done_leaves_nothing(listed):
    chips = _chips(listed)
    manifest, _ = select_chips(chips, _done([]))
    left, count = select_chips(manifest, manifest.select(["chip_uri", "etag"]))
    assert (left.num_rows, count) == (0, manifest.num_rows)


def test_a_chip_without_an_etag_is_never_taken_for_done():
    chips = _chips([("a", None)])
    assert select_chips(chips, _done([("a", None)]))[0].num_rows == 1


def test_a_folder_gives_its_pictures_with_address_stem_size_and_version(tmp_path):
    (path,) = write_chips(tmp_path / "deep" / "er", 1)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "SHOUTED.JPEG").write_bytes(b"x")
    (tmp_path / "elevation.TIFF").write_bytes(b"y")

    rows = {row["chip_id"]: row for row in list_chips(str(tmp_path), None).to_pylist()}
    assert set(rows) == {"chip_00000", "SHOUTED", "elevation"}
    row = rows["chip_00000"]
    assert row["chip_uri"] == str(path)
    assert row["size_bytes"] == path.stat().st_size
    assert row["etag"] == storage.head_object(str(path))["etag"]
    assert row["modified_at"] == datetime.fromtimestamp(0, UTC) + timedelta(
        microseconds=os.stat(path).st_mtime_ns // 1000
    )
    assert set(list_chips(str(tmp_path), "tif")["chip_id"].to_pylist()) == {"elevation"}


@pytest.mark.parametrize(
    "name",
    ["a b.jpg", 'it\'s "q".jpg', "tab\there.jpg", "new\nline.jpg", "árvore 森.jpg", "%41.jpg"],
)
def test_any_file_name_is_data(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    (row,) = list_chips(str(tmp_path), None).to_pylist()
    assert row["chip_uri"] == str(tmp_path / name)
    assert row["chip_id"] == name.removesuffix(".jpg")


def test_an_empty_folder_a_missing_one_and_one_without_pictures_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no image: 0 objects"):
        list_chips(str(tmp_path), None)
    with pytest.raises(UsageError, match="nowhere"):
        list_chips(str(tmp_path / "nowhere"), None)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UsageError, match=r"holds no image: 1 objects, none ending in \.jpg"):
        list_chips(str(tmp_path), None)


def test_an_empty_prefix_of_a_bucket_is_refused(object_store_uri):
    with pytest.raises(UsageError, match="holds no image"):
        list_chips(f"{object_store_uri}/nothing", None)


def test_a_csv_manifest_gives_what_it_knows_and_the_store_the_rest(tmp_path):
    (path,) = write_chips(tmp_path / "chips", 1)
    manifest = tmp_path / "night.csv"
    manifest.write_bytes(
        "\ufeffchip_uri,scene_id,observed_at,lon_min,note\r\n"
        "chips/chip_00000.jpg,007,2026-11-21T14:03:00Z,-61.5,x\r\n".encode()
    )
    (row,) = list_chips(str(manifest), None).to_pylist()
    assert row["chip_uri"] == str(path)  # relative to the manifest
    assert row["scene_id"] == "007"
    assert row["observed_at"] == datetime(2026, 11, 21, 14, 3, tzinfo=UTC)
    assert (row["lon_min"], row["lat_min"]) == (-61.5, None)
    assert row["etag"] == storage.head_object(str(path))["etag"]
    assert row["size_bytes"] == path.stat().st_size


def test_a_parquet_manifest_may_name_chips_that_are_gone(tmp_path):
    manifest = tmp_path / "night.parquet"
    pq.write_table(pa.table({"chip_uri": [str(tmp_path / "gone.jpg")], "etag": ['"v1"']}), manifest)
    (row,) = list_chips(str(manifest), None).to_pylist()
    assert (row["chip_id"], row["etag"], row["size_bytes"]) == ("gone", "v1", None)


def test_a_chip_without_an_id_in_the_manifest_gets_its_files_stem(tmp_path):
    manifest = tmp_path / "night.csv"
    manifest.write_text("chip_uri,chip_id\na.jpg,\nb.jpg,own\n")
    assert list_chips(str(manifest), None)["chip_id"].to_pylist() == ["a", "own"]


def test_a_long_csv_manifest_may_hold_line_ends_in_its_values(tmp_path):
    manifest = tmp_path / "night.csv"
    line = '"new\nline.jpg",' + '"' + "a long\nstory " * 1000 + '"\n'
    manifest.write_text("chip_uri,scene_id\n" + line * 150)  # longer than Arrow reads at once
    chips = list_chips(str(manifest), None)
    assert set(chips["chip_uri"].to_pylist()) == {str(tmp_path / "new\nline.jpg")}


def test_only_rows_without_an_etag_are_looked_up(tmp_path, monkeypatch):
    (path, other) = write_chips(tmp_path, 2)
    manifest = tmp_path / "night.csv"
    manifest.write_text(f'chip_uri,etag,size_bytes\n{path},,\n{other},"W/""v1""",7\n')
    asked = []
    head = storage.head_object
    monkeypatch.setattr(storage, "head_object", lambda uri: asked.append(uri) or head(uri))
    rows = {row["chip_uri"]: row for row in list_chips(str(manifest), None).to_pylist()}
    assert asked == [str(path)]
    assert rows[str(path)]["size_bytes"] == path.stat().st_size
    assert (rows[str(other)]["etag"], rows[str(other)]["size_bytes"]) == ("v1", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chip_uri,chip_uri\na,b\n", "more than one column chip_uri"),
        ("chip_uri,etag,etag\na,1,2\n", "more than one column etag"),
        ("uri\na.jpg\n", "has no column chip_uri .it has: uri"),
        ("chip_uri\n", "names no chip"),
        ("chip_uri,lon_min\na.jpg,west\n", "unfit values.*west"),
        ("chip_uri,scene_id\n,s1\n", "may not be empty"),
        ("", "cannot be read"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path, text, message):
    manifest = tmp_path / "m.csv"
    manifest.write_text(text)
    with pytest.raises(UsageError, match=message):
        list_chips(str(manifest), None)


def test_a_parquet_manifest_that_is_no_parquet_is_refused(tmp_path):
    manifest = tmp_path / "m.parquet"
    manifest.write_bytes(b"chip_uri\n")
    with pytest.raises(UsageError, match=r"m\.parquet' cannot be read"):
        list_chips(str(manifest), None)


@pytest.fixture
def plan(tmp_path) -> RunPlan:
    return RunPlan(
        run_id="r1",
        run_date="2026-11-22",
        output=str(tmp_path),
        artifact="/a",
        model_digest="m",
        thresholds_digest="t",
        listed=5000,
        skipped=0,
        unit_rows=unit_rows(5000),
        max_quarantine_ratio=0.2,
        attempt=1,
        options={"chips": "/c"},
        versions={"numpy": "2"},
        started_at=1.5,
        planned_at=2.5,
    )


def test_a_stored_manifest_gives_each_unit_its_own_rows(plan):
    pairs = [(f"{i:05d}", "1") for i in range(5000)]
    planning.store_plan(plan, _chips(pairs))
    assert plan.unit_rows == (4096, 904)
    units = [read_unit(UnitAddress(number, plan.manifest)) for number in range(2)]
    found = pa.concat_tables(unit.chips for unit in units)["chip_id"].to_pylist()
    assert found == [uri for uri, _ in pairs]
    assert [unit.chips.num_rows for unit in units] == [4096, 904]


def test_a_plan_survives_its_way_through_json(plan):
    assert RunPlan.from_json(plan.to_json()) == plan


@given(st.integers(0, 3 * planning.UNIT_CHIPS))
def test_units_hold_all_chips_and_none_is_empty(chips):
    rows = unit_rows(chips)
    assert sum(rows) == chips
    assert all(0 < count <= planning.UNIT_CHIPS for count in rows)
