"""Objects that are stored with `Content-Encoding: gzip` are read as they were before."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_jobs.query import ask
from pipelines.errors import ObjectDamaged, ObjectTooLarge
from pipelines.planning.archive import list_chips
from pipelines.storage import store
from pipelines.storage._connections import connect
from tests.support.samples import jpg_bytes
from tests.support.tars import tar_bytes

TEXT = b"a chip's bytes " * 1000


def put(uri: str, data: bytes, encoding: str = "gzip") -> None:
    bucket, key = connect(uri)
    bucket.put(key, data, attributes={"Content-Encoding": encoding})


@pytest.mark.parametrize(
    ("encoding", "stored"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:7000], mtime=0) + gzip.compress(TEXT[7000:], mtime=0)),
        ("gzip", gzip.compress(TEXT, mtime=0) + bytes(512)),
    ],
    ids=["plain", "two parts", "padded"],
)
def test_the_bytes_before_compression_are_read(
    object_store_uri: str, encoding: str, stored: bytes
) -> None:
    uri = f"{object_store_uri}/a.jpg"
    put(uri, stored, encoding)
    assert store.read_bytes(uri) == store.read_bytes(uri, len(TEXT)) == TEXT
    head = store.head_object(uri)
    assert head
    assert head["size_bytes"] == len(stored)
    (row,) = pa.concat_tables(store.list_objects(object_store_uri)).to_pylist()
    assert (row["etag"], row["size_bytes"]) == (head["etag"], head["size_bytes"])


@pytest.mark.parametrize("encoding", ["GZIP", "x-gzip", "gzip,aws-chunked", "aws-chunked, gzip"])
def test_other_spellings_of_the_encoding_are_the_same(s3_uri: str, encoding: str) -> None:
    put(f"{s3_uri}/a", gzip.compress(TEXT), encoding)
    assert store.read_bytes(f"{s3_uri}/a") == TEXT
    put(f"{s3_uri}/b", gzip.compress(gzip.compress(TEXT)), f"gzip, {encoding}")
    assert store.read_bytes(f"{s3_uri}/b") == TEXT


def test_bytes_are_left_as_they_are_if_the_metadata_or_the_bytes_say_nothing_of_gzip(
    s3_uri: str, tmp_path: Path
) -> None:
    put(f"{s3_uri}/a", TEXT)
    put(f"{s3_uri}/b", gzip.compress(TEXT), "identity")
    store.write_bytes(f"{s3_uri}/c", gzip.compress(TEXT, mtime=0))
    (tmp_path / "d").write_bytes(gzip.compress(TEXT, mtime=0))
    assert store.read_bytes(f"{s3_uri}/a") == TEXT
    assert gzip.decompress(store.read_bytes(f"{s3_uri}/b")) == TEXT
    assert store.read_bytes(f"{s3_uri}/c") == store.read_bytes(str(tmp_path / "d"))


def test_a_bomb_is_too_large_and_a_damaged_object_damaged(object_store_uri: str) -> None:
    uri = f"{object_store_uri}/a"
    put(uri, gzip.compress(bytes(100 << 20)))
    with pytest.raises(ObjectTooLarge, match="more than 1,000,000 bytes after decompression"):
        store.read_bytes(uri, 1_000_000)
    put(uri, gzip.compress(TEXT))
    for limit in (len(TEXT) - 1, 200):
        with pytest.raises(ObjectTooLarge):
            store.read_bytes(uri, limit)


@pytest.mark.parametrize(
    "stored",
    [gzip.compress(TEXT, mtime=0)[:-20], b"\x1f\x8bno gzip", gzip.compress(b"", mtime=0) * 200],
)
def test_what_cannot_be_decompressed_is_damaged(s3_uri: str, stored: bytes) -> None:
    put(f"{s3_uri}/a", stored)
    with pytest.raises(ObjectDamaged, match="Content-Encoding gzip"):
        store.read_bytes(f"{s3_uri}/a")


def test_a_whole_archive_of_compressed_chips_is_scored(
    quick_score: Any, artifact: Path, object_store_uri: str, tmp_path: Path
) -> None:
    archive, output = f"{object_store_uri}/chips", str(tmp_path / "out")
    for number in range(3):
        put(f"{archive}/{number}.jpg", gzip.compress(jpg_bytes((number, 90, 40))))
    store.write_bytes(f"{archive}/3.jpg", jpg_bytes())
    put(f"{archive}/bomb.jpg", gzip.compress(bytes(400 << 20)))
    tar = tar_bytes([("a.jpg", jpg_bytes())])
    put(f"{archive}/t.tar", gzip.compress(tar))
    flags = {"chips": archive, "artifact": artifact, "output": output}
    assert quick_score(**flags, max_quarantine_ratio=0.5) == 0
    named = ask(output, "SELECT chip_uri FROM chip_scores ORDER BY 1")["chip_uri"].to_pylist()
    assert named == [f"{archive}/{number}.jpg" for number in range(4)]
    reasons = ask(output, "SELECT chip_uri, reason FROM quarantine").to_pylist()
    assert {row["chip_uri"].rpartition("/")[2]: row["reason"] for row in reasons} == {
        "bomb.jpg": "too_large",
        "t.tar": "bad_shard",
    }
    assert quick_score(**flags) == 0
    again = ask(output, "SELECT skipped FROM runs ORDER BY planned_at DESC LIMIT 1").to_pylist()
    assert again == [{"skipped": 6}]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_compressed_manifest_is_read(object_store_uri: str, ending: str) -> None:
    rows = pa.table({"chip_uri": ["a.jpg", "b.jpg"], "etag": ["1", "2"]})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    text = b"chip_uri,etag\na.jpg,1\nb.jpg,2\n"
    data = text if ending == "csv" else sink.getvalue().to_pybytes()
    put(f"{object_store_uri}/m.{ending}", gzip.compress(data))
    found = list_chips(f"{object_store_uri}/m.{ending}", None).chips["chip_uri"].to_pylist()
    assert found == [f"{object_store_uri}/a.jpg", f"{object_store_uri}/b.jpg"]


def test_a_compressed_artifact_opens(
    quick_score: Any, artifact: Path, object_store_uri: str, tmp_path: Path
) -> None:
    for name in os.listdir(artifact):
        put(f"{object_store_uri}/model/{name}", gzip.compress((artifact / name).read_bytes()))
    (tmp_path / "a.jpg").write_bytes(jpg_bytes())
    places = {"chips": tmp_path / "a.jpg", "output": tmp_path / "out"}
    assert quick_score(**places, artifact=f"{object_store_uri}/model") == 0
    assert json.loads(store.read_bytes(f"{object_store_uri}/model/artifact.json"))
