"""Manifests instead of an archive."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import UsageError
from pipelines.planning.archive import list_chips
from pipelines.storage import store
from tests.support.planned_chips import planned_chips
from tests.support.samples import write_chips


def test_columns_missing_in_a_csv_manifest_come_from_the_store(tmp_path):
    (path,) = write_chips(tmp_path / "chips", 1)
    manifest = tmp_path / "night.csv"
    manifest.write_bytes(
        "\ufeffchip_uri,scene_id,observed_at,lon_min,lat_min,lon_max,lat_max,note\r\n"
        "chips/chip_00000.jpg,007,2026-11-21T14:03:00Z,-61.5,-3,-61.4,-2.9,x\r\n".encode()
    )
    (row,) = planned_chips(manifest).to_pylist()
    assert row["chip_uri"] == str(path)  # relative to the manifest
    assert row["scene_id"] == "007"
    assert row["observed_at"] == datetime(2026, 11, 21, 14, 3, tzinfo=UTC)
    assert (row["lon_min"], row["lat_min"]) == (-61.5, -3)
    assert row["etag"] == store.head_object(str(path))["etag"]
    assert row["size_bytes"] == path.stat().st_size


def test_a_parquet_manifest_may_name_chips_that_are_gone(tmp_path):
    manifest = tmp_path / "night.parquet"
    pq.write_table(pa.table({"chip_uri": [str(tmp_path / "gone.jpg")], "etag": ['"v1"']}), manifest)
    (row,) = planned_chips(manifest).to_pylist()
    assert (row["chip_id"], row["etag"], row["size_bytes"]) == ("gone", "v1", None)


def test_a_chip_without_an_id_in_the_manifest_gets_its_files_stem(tmp_path):
    manifest = tmp_path / "night.csv"
    manifest.write_text("chip_uri,chip_id\na.jpg,\nb.jpg,own\n")
    assert planned_chips(manifest)["chip_id"].to_pylist() == ["a", "own"]


def test_a_long_csv_manifest_may_hold_line_ends_in_its_values(tmp_path):
    manifest = tmp_path / "night.csv"
    line = '"new\nline.jpg",' + '"' + "a long\nstory " * 1000 + '"\n'
    manifest.write_text("chip_uri,scene_id\n" + line * 150)  # longer than Arrow reads at once
    chips = planned_chips(manifest)
    assert set(chips["chip_uri"].to_pylist()) == {str(tmp_path / "new\nline.jpg")}


def test_only_rows_without_an_etag_are_looked_up(tmp_path, monkeypatch):
    (path, other) = write_chips(tmp_path, 2)
    manifest = tmp_path / "night.csv"
    manifest.write_text(f'chip_uri,etag,size_bytes\n{path},,\n{other},"W/""v1""",7\n')
    asked = []
    head = store.head_object
    monkeypatch.setattr(store, "head_object", lambda uri: asked.append(uri) or head(uri))
    rows = {row["chip_uri"]: row for row in planned_chips(manifest).to_pylist()}
    assert asked == [str(path)]
    assert rows[str(path)]["size_bytes"] == path.stat().st_size
    assert (rows[str(other)]["etag"], rows[str(other)]["size_bytes"]) == ("v1", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chip_uri,chip_uri\na,b\n", "more than one column chip_uri"),
        ("chip_uri,etag,etag\na,1,2\n", "more than one column etag"),
        ("uri\na.jpg\n", "has no column chip_uri .it has: uri"),
        ("chip_uri\n", "has no rows"),
        ("chip_uri,lon_min\na.jpg,west\n", "invalid values.*west"),
        ("chip_uri,scene_id\n,s1\n", "may not be empty"),
        ("", "cannot be read"),
    ],
)
def test_an_invalid_manifest_is_refused(tmp_path, text, message):
    manifest = tmp_path / "m.csv"
    manifest.write_text(text)
    with pytest.raises(UsageError, match=message):
        list_chips(str(manifest), None)


def test_a_parquet_manifest_that_is_not_parquet_is_refused(tmp_path):
    manifest = tmp_path / "m.parquet"
    manifest.write_bytes(b"chip_uri\n")
    with pytest.raises(UsageError, match=r"m\.parquet' cannot be read"):
        list_chips(str(manifest), None)


@pytest.mark.parametrize(
    ("header", "row", "fault"),
    [
        ("size_bytes", "-5", "/a.jpg': size_bytes is not a file size (wrong rows: 1)"),
        ("size_bytes", "9223372036854775807", "size_bytes is not a file size"),
        ("lon_min", "-61.5", "/a.jpg': its bounding box is incomplete (wrong rows: 1)"),
        ("lon_min,lat_min,lon_max,lat_max", "1,2,500,3", "a longitude is not between"),
        ("observed_at", "infinity", "column observed_at: a time is not in the years 1 to 9999"),
        ("modified_at", "290000-01-01", "column modified_at: a time is not in the years"),
    ],
)
def test_a_manifest_with_a_value_that_no_chip_can_have_is_refused(tmp_path, header, row, fault):
    manifest = tmp_path / "night.csv"
    manifest.write_text(f"chip_uri,{header}\na.jpg,{row}\nb.jpg{',' * (row.count(',') + 1)}\n")
    with pytest.raises(UsageError) as refused:
        list_chips(str(manifest), None)
    assert fault in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_an_empty_etag_and_an_empty_id_in_parquet_count_as_missing(tmp_path):
    (path,) = write_chips(tmp_path, 1)
    manifest = tmp_path / "night.parquet"
    pq.write_table(pa.table({"chip_uri": [str(path)], "chip_id": [""], "etag": [""]}), manifest)
    (row,) = planned_chips(manifest).to_pylist()
    assert (row["chip_id"], row["etag"]) == (path.stem, store.head_object(str(path))["etag"])


def test_a_manifest_may_have_arrow_string_views(tmp_path):
    manifest = tmp_path / "night.parquet"
    columns = {name: pa.array(["x.jpg"], pa.string_view()) for name in ("chip_uri", "etag")}
    pq.write_table(pa.table(columns), manifest)
    (row,) = planned_chips(manifest).to_pylist()
    assert (row["chip_uri"], row["etag"]) == (str(tmp_path / "x.jpg"), "x.jpg")
