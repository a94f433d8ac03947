"""Chips in tars are listed, planned and read like other chips."""

import os

import numpy as np
import pytest

from pipelines.elements import Unit
from pipelines.errors import ChipRejected
from pipelines.reading import chip_bytes
from pipelines.reading.chip_bytes import ChipBytes, read_named
from pipelines.reading.reading_ahead import ReadAhead
from pipelines.storage import store
from pipelines.tars import tar_chips
from tests.support.planned_chips import planned_chips
from tests.support.samples import JPG, jpg_bytes
from tests.support.tars import header, tar_bytes

PICTURES = {f"deep/{i}.jpg": jpg_bytes((10 * i, 90, 40)) for i in range(6)}


def read(uri) -> tuple[dict[str, float], dict[str, str]]:
    """Mean colour of each chip, and the reason of each rejected one, by chip_id."""
    ahead = ReadAhead(JPG, 4)
    batches = [*ahead.read(Unit(0, planned_chips(uri))), *ahead.drain()]
    means = {
        chip: float(pixels.mean())
        for batch in batches
        for chip, pixels in zip(batch.chips["chip_id"].to_pylist(), batch.pixels, strict=True)
    }
    rejected = [row for batch in batches for row in batch.rejected.to_pylist()]
    return means, {row["chip_id"]: row["reason"] for row in rejected}


def test_members_have_the_same_pixels_as_loose_files(tmp_path, object_store_uri):
    loose = tmp_path / "loose" / "deep"
    loose.mkdir(parents=True)
    for name, data in PICTURES.items():
        (tmp_path / "loose" / name).write_bytes(data)
    expected = read(tmp_path / "loose")
    shard = tar_bytes([*PICTURES.items(), ("notes.txt", b"x")])
    for uri in (str(tmp_path / "tars"), object_store_uri):
        store.write_bytes(f"{uri}/s.tar", shard)
        assert read(uri) == expected == (expected[0], {})
        rows = planned_chips(uri).to_pylist()
        assert [row["chip_uri"] for row in rows] == [f"{uri}/s.tar#{name}" for name in PICTURES]
        for row, data in zip(rows, PICTURES.values(), strict=True):
            assert shard[row["offset_bytes"] :].startswith(data)
            assert row["size_bytes"] == len(data)
            etag = store.head_object(f"{uri}/s.tar")["etag"]
            assert row["etag"] == f"{etag}@{row['offset_bytes']}+{len(data)}"


def test_a_file_with_a_name_like_a_member_is_read_as_a_file(tmp_path):
    (tmp_path / "s.tar#a.jpg").write_bytes(PICTURES["deep/1.jpg"])
    (tmp_path / "s.tar").write_bytes(tar_bytes([("b#c.jpg", PICTURES["deep/2.jpg"])]))
    means, rejected = read(tmp_path)
    assert (set(means), rejected) == ({"s.tar#a", "b#c"}, {})


def test_any_member_name_is_accepted_and_if_it_occurs_twice_the_last_counts(tmp_path):
    first, last = jpg_bytes((20, 20, 20)), jpg_bytes((250, 250, 250))
    names = ["../../etc/a.jpg", "/abs.jpg", "new\nline.jpg", "q'\"uote.jpg", "top.JPG"]
    files = [("twice.jpg", first), *((name, first) for name in names), ("twice.jpg", last)]
    (tmp_path / "s.tar").write_bytes(tar_bytes(files))
    means, rejected = read(tmp_path)
    assert set(means) == {"twice", "a", "abs", "new\nline", "q'\"uote", "top"}
    assert rejected == {}
    assert means["twice"] > 200
    uris = planned_chips(tmp_path)["chip_uri"].to_pylist()
    assert f"{tmp_path}/s.tar#../../etc/a.jpg" in uris


def test_a_tar_that_was_replaced_has_new_chips(tmp_path):
    shard = tmp_path / "s.tar"
    shard.write_bytes(tar_bytes(PICTURES.items()))
    before = planned_chips(tmp_path)
    os.utime(shard, (1, 1))
    after = planned_chips(tmp_path)
    assert before["chip_uri"].equals(after["chip_uri"])
    assert not set(before["etag"].to_pylist()) & set(after["etag"].to_pylist())

    with pytest.raises(ChipRejected, match=r"unreadable.*was replaced since it was listed"):
        ChipBytes(before, 10**6).of_rows(0, 6)(0)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("s.tar", b"", "bad_shard"),
        ("s.tar", b"\x1f\x8b" + bytes(600), "bad_shard"),
        ("s.tgz", b"\x1f\x8b" + bytes(600), "bad_shard"),
        ("s.tar", header("a.jpg", b"0", 10**9), "bad_shard"),
    ],
)
def test_a_tar_that_cannot_be_read_is_rejected_with_the_reason(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(data)
    (tmp_path / "a.jpg").write_bytes(jpg_bytes())
    means, rejected = read(tmp_path)
    assert (set(means), rejected) == ({"a"}, {store.file_stem(name): reason})


def test_complete_members_of_a_truncated_tar_are_scored(tmp_path):
    data = tar_bytes(PICTURES.items())
    (tmp_path / "s.tar").write_bytes(data[: len(data) // 2])
    means, rejected = read(tmp_path)
    assert 1 < len(means) < 6
    assert rejected == {"s": "bad_shard"}


def test_a_member_that_is_too_large_is_not_read_and_affects_no_other(tmp_path, monkeypatch):
    asked = []
    read_range = store.read_range
    monkeypatch.setattr(
        store, "read_range", lambda *args: asked.append(args[1:3]) or read_range(*args)
    )
    files = [("a.jpg", b"a" * 900), ("big.jpg", b"b" * 5000), ("c.jpg", b"c" * 900)]
    (tmp_path / "s.tar").write_bytes(tar_bytes(files))
    chips = planned_chips(tmp_path)
    read_row = ChipBytes(chips, 1000).of_rows(0, 3)
    assert read_row(0) == b"a" * 900
    with pytest.raises(ChipRejected, match=r"too_large.*5,000 bytes"):
        read_row(1)
    assert read_row(2) == b"c" * 900
    assert [length for _, length in asked] == [900, 900]


def test_the_rows_of_a_task_are_read_as_one_range_unless_gaps_are_too_long(tmp_path, monkeypatch):
    asked = []
    read_range = store.read_range
    monkeypatch.setattr(
        store, "read_range", lambda *args: asked.append(args[1:3]) or read_range(*args)
    )
    files = [(f"{i}.jpg", bytes([i]) * 700) for i in range(4)]
    gap = ("gap.txt", bytes(chip_bytes.MOST_GAP_BYTES))
    (tmp_path / "s.tar").write_bytes(tar_bytes([*files[:2], gap, *files[2:]]))
    read_row = ChipBytes(planned_chips(tmp_path), 1000).of_rows(0, 4)
    assert [read_row(row) for row in range(4)] == [data for _, data in files]
    assert len(asked) == 2


def test_a_manifest_may_not_point_anywhere_in_a_tar(tmp_path):
    (tmp_path / "s.tar").write_bytes(tar_bytes([("a.jpg", b"x" * 900)]))
    uri = tmp_path / "s.tar"
    (tmp_path / "m.csv").write_text(
        "chip_uri,shard_uri,offset_bytes,size_bytes,etag\n"
        f"{uri}#1,{uri},-512,900,\n{uri}#2,{uri},512,,\n{uri}#3,{uri},999999,5,\n"
    )
    read_row = ChipBytes(planned_chips(tmp_path / "m.csv"), 1000).of_rows(0, 3)
    for row in range(3):
        with pytest.raises(ChipRejected, match="unreadable"):
            read_row(row)


def test_a_chip_is_found_by_its_address_alone(tmp_path, object_store_uri):
    for uri in (str(tmp_path), object_store_uri):
        store.write_bytes(f"{uri}/a.tar#b/s.tar", tar_bytes([("c.tar#d/e.jpg", b"in")]))
        store.write_bytes(f"{uri}/a.tar", tar_bytes([("other.jpg", b"x")]))
        store.write_bytes(f"{uri}/a.tar#file.jpg", b"file")
        assert read_named(f"{uri}/a.tar#b/s.tar#c.tar#d/e.jpg", 100) == b"in"
        assert read_named(f"{uri}/a.tar#file.jpg", 100) == b"file"
        with pytest.raises(ChipRejected, match="unreadable"):
            read_named(f"{uri}/a.tar#none.jpg", 100)


def test_a_manifest_may_name_members_by_their_addresses_alone(tmp_path):
    (tmp_path / "s.tar").write_bytes(tar_bytes(PICTURES.items()))
    (tmp_path / "r.jpg").write_bytes(jpg_bytes())
    listed = planned_chips(tmp_path)
    lines = ["chip_uri,etag,size_bytes", *listed["chip_uri"].to_pylist()]
    (tmp_path / "m.csv").write_text(",,\n".join(lines).replace("bytes,,", "bytes") + ",,\n")
    assert planned_chips(tmp_path / "m.csv").equals(listed)


def test_a_tar_in_a_manifest_is_rejected_with_the_reason(tmp_path):
    (tmp_path / "bad.tar").write_bytes(b"x" * 600)
    (tmp_path / "sound.tar").write_bytes(tar_bytes(PICTURES.items()))
    (tmp_path / "m.csv").write_text("chip_uri\nbad.tar\nsound.tar\n")
    assert read(tmp_path / "m.csv") == ({}, {"bad": "bad_shard", "sound": "unreadable"})


def test_media_types_come_from_the_names_of_the_members(tmp_path):
    (tmp_path / "s.tar").write_bytes(tar_bytes([("a.jpg", b"1"), ("b.TIF", b"2")]))
    assert planned_chips(tmp_path, "tif")["chip_id"].to_pylist() == ["b"]


def test_the_etag_of_a_shard_can_be_read_from_that_of_a_member():
    assert tar_chips.shard_etag("a@b@512+3") == "a@b"
    assert tar_chips.shard_etag(None) is None
    assert tar_chips.shard_etag("plain") is None


def test_a_shard_next_to_loose_chips_is_read_with_them(tmp_path):
    (tmp_path / "s.tar").write_bytes(tar_bytes(PICTURES.items()))
    (tmp_path / "r.jpg").write_bytes(jpg_bytes())
    (tmp_path / "t.jpg").write_bytes(jpg_bytes())
    means, rejected = read(tmp_path)
    assert len(means) == 8
    assert rejected == {}
    assert np.isfinite(list(means.values())).all()
