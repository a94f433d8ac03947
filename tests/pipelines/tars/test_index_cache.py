"""Stored indexes of tars save reading, and a wrong one is never used."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.errors import StorageError
from pipelines.planning.archive import list_chips
from pipelines.storage import store
from pipelines.tars import index_cache
from pipelines.tars.index_cache import FOLDER, IndexCache
from pipelines.tars.tar_chips import members_of
from pipelines.version_cache import drop_old
from tests.support.tars import header, tar_bytes

FILES = [("b/1.jpg", b"one"), ("a.TIF", b"22"), ("notes.txt", b"x"), ("árvore 森.jpg", b"4" * 600)]


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Names of the tars whose headers were read."""
    names: list[str] = []

    def members(uri: str) -> Iterator:
        names.append(uri.rpartition("/")[2])
        return members_of(uri)

    monkeypatch.setattr(index_cache, "members_of", members)
    return names


@pytest.fixture
def archive(tmp_path) -> str:
    """A tar of chips, a tar without chips, and a loose chip."""
    return fill(f"{tmp_path}/chips")


def fill(uri: str) -> str:
    store.write_bytes(f"{uri}/s.tar", tar_bytes(FILES))
    store.write_bytes(f"{uri}/t.tar", tar_bytes([]))
    store.write_bytes(f"{uri}/loose.jpg", b"x")
    return uri


def listed(archive: str, output: object, media_type=None, store_new: bool = True) -> pa.Table:
    """The chips as the nightly plan lists them; they are the same as without stored indexes."""
    found = list_chips(archive, media_type, IndexCache(str(output), store_new).members_of).chips
    assert found.equals(list_chips(archive, media_type).chips)
    return found


def kept(output: Path) -> list[Path]:
    return [path for path in Path(output).rglob("*") if path.is_file()]


def kept_of(output: Path, shard: str) -> Path:
    return Path(IndexCache(str(output))._stored.uri_of({"chip_uri": shard}))


def test_the_second_night_reads_no_header_of_an_unchanged_tar(tmp_path, object_store_uri, opened):
    for place in (str(tmp_path), object_store_uri):
        archive = fill(f"{place}/chips")
        assert listed(archive, f"{place}/out").num_rows == 4
        assert sorted(opened) == ["s.tar", "t.tar"]
        assert listed(archive, f"{place}/out").num_rows == 4
        assert listed(archive, f"{place}/out", "tif").num_rows == 1
        assert len(opened) == 2
        opened.clear()


def test_a_replaced_tar_is_read_again_and_its_index_replaces_the_old_one(tmp_path, archive, opened):
    listed(archive, tmp_path / "out")
    before = len(kept(tmp_path / "out"))
    store.write_bytes(f"{archive}/s.tar", tar_bytes(FILES[1:]))
    opened.clear()
    assert listed(archive, tmp_path / "out").num_rows == 3
    listed(archive, tmp_path / "out")
    assert opened == ["s.tar"]
    assert len(kept(tmp_path / "out")) == before == 2


def test_a_stored_index_with_one_changed_byte_is_not_used(tmp_path, archive, opened):
    listed(archive, tmp_path / "out")
    index = kept_of(tmp_path / "out", f"{archive}/s.tar")
    whole = index.read_bytes()
    for at in range(0, len(whole), 7):
        index.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        indexes = IndexCache(str(tmp_path / "out"), store_new=False)
        opened.clear()
        list_chips(archive, None, indexes.members_of)
        assert opened == ["s.tar"], f"byte {at}"


@pytest.mark.parametrize(
    "found", [b"", b"some other file, not of ours, of over 32 bytes", "cut", "t"]
)
def test_an_index_that_is_cut_off_or_of_another_tar_is_replaced(found, tmp_path, archive, opened):
    out = tmp_path / "out"
    listed(archive, out)
    index = kept_of(out, f"{archive}/s.tar")
    other = kept_of(out, f"{archive}/t.tar").read_bytes()
    index.write_bytes({"cut": index.read_bytes()[:-1], "t": other}.get(found, found))
    for expected in (["s.tar"], []):
        opened.clear()
        listed(archive, out)
        assert opened == expected


def test_an_index_of_another_format_is_not_used(tmp_path, archive, opened, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(index_cache, "_FORMAT", 0)
        listed(archive, tmp_path / "out")
    opened.clear()
    listed(archive, tmp_path / "out")
    assert sorted(opened) == ["s.tar", "t.tar"]


def test_a_tar_that_was_not_read_to_its_end_is_read_again(tmp_path, archive, opened):
    data = tar_bytes([("a.jpg", b"a" * 900)])
    store.write_bytes(f"{archive}/cut.tar", data[:1024])
    store.write_bytes(f"{archive}/bad.tar", header("a.jpg", b"0", 10**9))
    for _ in range(2):
        opened.clear()
        assert f"{archive}/cut.tar" in listed(archive, tmp_path / "out")["chip_uri"].to_pylist()
        assert {"cut.tar", "bad.tar"} <= set(opened)
    store.write_bytes(f"{archive}/cut.tar", data)
    assert f"{archive}/cut.tar#a.jpg" in listed(archive, tmp_path / "out")["chip_uri"].to_pylist()


def test_the_index_of_a_tar_that_is_replaced_while_being_read_is_not_stored(
    tmp_path, archive, monkeypatch
):
    """If the etag depends on the content, the version that was listed may come back."""
    path = Path(archive) / "s.tar"
    old, when = path.read_bytes(), path.stat().st_mtime_ns

    def replaced_first(uri: str) -> Iterator:
        if uri.endswith("s.tar"):
            path.write_bytes(tar_bytes(FILES[::-1]))
        return members_of(uri)

    with monkeypatch.context() as patched:
        patched.setattr(index_cache, "members_of", replaced_first)
        list_chips(archive, None, IndexCache(str(tmp_path / "out")).members_of)
    path.write_bytes(old)
    os.utime(path, ns=(when, when))
    listed(archive, tmp_path / "out")


def test_the_index_of_a_tar_without_an_etag_is_not_stored(tmp_path, archive, opened):
    shard = {"chip_uri": f"{archive}/s.tar", "etag": None, "size_bytes": 1}
    for _ in range(2):
        assert len(list(IndexCache(str(tmp_path / "out")).members_of(shard))) == 4
    assert (len(opened), kept(tmp_path / "out")) == (2, [])


def test_an_estimate_uses_stored_indexes_and_stores_no_new_ones(tmp_path, archive, opened):
    listed(archive, tmp_path / "out", store_new=False)
    assert kept(tmp_path / "out") == []
    listed(archive, tmp_path / "out")
    opened.clear()
    listed(archive, tmp_path / "out", store_new=False)
    assert opened == []


@pytest.mark.parametrize("broken", ["write_bytes", "read_bytes", "head_object"])
def test_a_store_that_refuses_writes_causes_one_warning_and_loses_no_chip(
    broken, tmp_path, archive, monkeypatch, caplog
):
    for number in range(40):
        store.write_bytes(f"{archive}/{number}.tar", tar_bytes(FILES[:1]))
    expected = listed(archive, tmp_path / "out") if broken == "read_bytes" else None
    working, asked = getattr(store, broken), []

    def refuse(uri: str, *more: object):
        if "_tar_index" not in uri:
            return working(uri, *more)
        asked.append(uri)
        raise StorageError(f"cannot reach {uri!r}: no answer")

    monkeypatch.setattr(store, broken, refuse)
    found = listed(archive, tmp_path / "out")
    assert found.num_rows == 44
    assert expected is None or found.equals(expected)
    assert 1 <= len(asked) <= 8  # one try per thread, not one per tar
    assert "tars are read without their stored indexes: cannot reach" in caplog.text


def test_old_indexes_are_deleted_and_younger_ones_kept(tmp_path, object_store_uri, opened):
    later, earlier = (datetime.now(UTC) + timedelta(hours=sign) for sign in (1, -1))
    for place in (str(tmp_path), object_store_uri):
        output, archive = f"{place}/out", fill(f"{place}/chips")
        store.write_bytes(f"{output}/chip_scores/part", b"x")
        assert drop_old(output, FOLDER, later, preview=False) == 0
        listed(archive, output)
        assert drop_old(output, FOLDER, earlier, preview=False) == 0
        assert drop_old(output, FOLDER, later, preview=True) == 2
        assert drop_old(output, FOLDER, later, preview=False) == 2
        assert drop_old(output, FOLDER, later, preview=False) == 0
        assert store.head_object(f"{output}/chip_scores/part")
        opened.clear()
        listed(archive, output)
        assert len(opened) == 2
