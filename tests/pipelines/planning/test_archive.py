"""The chips of an archive come from its listing."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.errors import UsageError
from pipelines.planning.archive import list_chips
from pipelines.storage import store
from tests.support.planned_chips import planned_chips
from tests.support.samples import write_chips


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
