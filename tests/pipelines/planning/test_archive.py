"""The chips of an archive come from its listing."""

import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.planning.archive import list_chips
from pipelines.storage import _local_store, store
from tests.support.planned_chips import planned_chips
from tests.support.samples import write_chips
from tests.support.tars import tar_bytes


def test_pictures_of_a_folder_are_listed_with_address_stem_size_and_version(tmp_path):
    (path,) = write_chips(tmp_path / "deep" / "er", 1)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "SHOUTED.JPEG").write_bytes(b"x")
    (tmp_path / "elevation.TIFF").write_bytes(b"y")

    rows = {row["chip_id"]: row for row in planned_chips(tmp_path).to_pylist()}
    assert set(rows) == {"chip_00000", "SHOUTED", "elevation"}
    row = rows["chip_00000"]
    assert row["chip_uri"] == str(path)
    assert row["size_bytes"] == path.stat().st_size
    assert row["etag"] == store.head_object(str(path))["etag"]
    assert row["modified_at"] == datetime.fromtimestamp(0, UTC) + timedelta(
        microseconds=os.stat(path).st_mtime_ns // 1000
    )
    assert set(planned_chips(tmp_path, "tif")["chip_id"].to_pylist()) == {"elevation"}


@pytest.mark.parametrize(
    "name",
    ["a b.jpg", 'it\'s "q".jpg', "tab\there.jpg", "new\nline.jpg", "árvore 森.jpg", "%41.jpg"],
)
def test_any_file_name_is_accepted(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    (row,) = planned_chips(tmp_path).to_pylist()
    assert row["chip_uri"] == str(tmp_path / name)
    assert row["chip_id"] == name.removesuffix(".jpg")


def test_an_empty_folder_a_missing_one_and_one_without_pictures_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no image: there is nothing"):
        list_chips(str(tmp_path), None)
    with pytest.raises(UsageError, match="nowhere"):
        list_chips(str(tmp_path / "nowhere"), None)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UsageError, match=r"holds no image: 1 \.txt file, none ending in \.jpg"):
        list_chips(str(tmp_path), None)


def test_an_empty_prefix_of_a_bucket_is_refused(object_store_uri):
    with pytest.raises(UsageError, match="holds no image"):
        list_chips(f"{object_store_uri}/nothing", None)


TWINS = ["._a.jpg", ".DS_Store", "sub/Thumbs.db", "__MACOSX/sub/._b.jpg", ".git/x.jpg"]


def test_names_that_systems_add_are_left_out_and_counted_in_folders_and_tars(tmp_path):
    root = tmp_path / ".cache" / "chips"  # a hidden root is what the user asks for
    for name in ["a.jpg", "sub/b.jpg", *TWINS]:
        store.write_bytes(str(root / name), b"x")
    members = ["./c.jpg", "./deep/d.jpg", "./._c.jpg", "__MACOSX/._d.jpg"]
    (root / "t.tar").write_bytes(tar_bytes([(name, b"x") for name in members]))
    found = list_chips(str(root), None)
    expected = ["a.jpg", "sub/b.jpg", "t.tar#./c.jpg", "t.tar#./deep/d.jpg"]
    assert sorted(found.chips["chip_uri"].to_pylist()) == [f"{root}/{name}" for name in expected]
    assert found.ignored == len(TWINS) + 2


def test_names_that_systems_add_are_left_out_of_buckets_and_globs(object_store_uri):
    for name in ["n1/a.jpg", *(f"n1/{twin}" for twin in TWINS)]:
        store.write_bytes(f"{object_store_uri}/{name}", b"x")
    for listed, ignored in (("n1", 5), ("**/*.jpg", 3), ("n1/*.jpg", 1)):
        chips, found = list_chips(f"{object_store_uri}/{listed}", None)
        assert chips["chip_uri"].to_pylist() == [f"{object_store_uri}/n1/a.jpg"]
        assert found == ignored


def test_a_manifest_or_an_address_may_name_a_hidden_file(tmp_path):
    hidden = write_chips(tmp_path / ".x", 1)[0].rename(tmp_path / "._a.jpg")
    (tmp_path / "m.csv").write_text(f"chip_uri\n{hidden}\n")
    for uri in (tmp_path / "m.csv", hidden):
        found = list_chips(str(uri), None)
        assert (found.chips["chip_uri"].to_pylist(), found.ignored) == ([str(hidden)], 0)


def test_a_folder_of_other_pictures_is_refused_with_what_to_do(tmp_path):
    for name in ("a.gif", "b.GIF", "c.txt", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError) as caught:
        list_chips(str(tmp_path), "jpg")
    assert str(caught.value) == (
        f"--chips {str(tmp_path)!r} holds no image: 2 GIF files, 1 .txt file, 1 with hidden names, "
        "none ending in .jpg, .jpeg; convert them as docs/data.md shows"
    )


def test_file_times_outside_the_calendar_are_null_and_all_others_are_kept(tmp_path):
    times_s = {"a": -62_135_596_800, "b": -1, "c": 0, "d": 9_246_182_400, "e": 253_402_300_799}
    times_s |= {"early": -62_135_596_801, "late": 253_402_300_800, "last": 2**62}
    stats = {}
    for name, time_s in times_s.items():
        write_chips(tmp_path / name, 1)[0].rename(tmp_path / f"{name}.jpg")
        os.utime(tmp_path / f"{name}.jpg", (time_s, time_s))
        stats[name] = os.stat(tmp_path / f"{name}.jpg").st_mtime_ns  # what the disk can store
    found = {row["chip_id"]: row["modified_at"] for row in planned_chips(tmp_path).to_pylist()}
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for name, time_ns in stats.items():
        seconds = time_ns // 10**9
        known = -62_135_596_800 <= seconds <= 253_402_300_799
        expected = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds) if known else None
        assert found[name] == expected
        assert expected is None or first <= expected <= last


@given(st.integers(-(2**70), 2**70))
def test_any_time_of_a_file_can_be_listed(time_ns):
    stat = SimpleNamespace(st_mtime_ns=time_ns, st_size=1)
    (row,) = _local_store._as_listing(["a.jpg"], [stat]).to_pylist()
    assert row["etag"] == f"{time_ns:x}-1"
    start = datetime(1, 1, 1, tzinfo=UTC)
    since_ns = time_ns + 62_135_596_800 * 10**9
    if 0 <= since_ns < 315_537_897_600 * 10**9:
        assert row["modified_at"] == start + timedelta(microseconds=since_ns // 1000)
    else:
        assert row["modified_at"] is None
