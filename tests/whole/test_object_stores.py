"""The object-store servers behave as other tests assume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import boto3
import deltalake
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction
from google.api_core.exceptions import PreconditionFailed
from google.cloud import storage
from obstore.store import GCSStore, ObjectStore, S3Store

from tests.support.object_stores import GcsServer

# Names that every client can hold, each with something that a URL or an XML body must escape.
HOSTILE = [
    "a b.jpg",
    " lead",
    "trail ",
    "quote'\".jpg",
    "per%cent",
    "p%20encoded",
    "ha#sh",
    "que?stion=1&b=2",
    "plus+x",
    "<tag>&amp;",
    "back\\slash",
    "[br]{ac}~*",
    "sub dir/a=b/:;,@!$()|^`",
    "ünï/çø∂é 漢字 🛰",
]

# Names that stores take and obstore does not: object_store's paths rule them out.
REFUSED_BY_OBSTORE = ["tab\there", "new\nline", "cr\rreturn", "x//y", "dot/../z", "/lead"]

SCHEMA = pa.schema([("chip", pa.string()), ("score", pa.float32())])
APP = "publish"


def _key() -> str:
    """What production code derives from STORAGE_EMULATOR_HOST for obstore and delta-rs."""
    return json.dumps(
        {
            "gcs_base_url": os.environ["STORAGE_EMULATOR_HOST"],
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
    )


def _open(uri: str) -> ObjectStore:
    scheme, _, bucket = uri.partition("://")
    if scheme == "s3":
        return S3Store(bucket)
    config = {"service_account_key": _key()}
    return GCSStore(bucket, config=config, client_options={"allow_http": True})


def _delta_options(uri: str) -> dict[str, str]:
    if uri.startswith("s3://"):
        return {}  # all of it in the environment
    return {"google_service_account_key": _key(), "allow_http": "true"}


def _read(store: ObjectStore, name: str) -> bytes:
    return bytes(obstore.get(store, name).bytes())


def _names(store: ObjectStore, prefix: str | None = None, **options: Any) -> list[str]:
    return [meta["path"] for meta in obstore.list(store, prefix, **options).collect()]


def _gcs_bucket(uri: str) -> storage.Bucket:
    return storage.Client().bucket(uri.removeprefix("gs://"))


# Objects


def test_hostile_names_are_unchanged_by_put_list_and_get(object_store_uri: str) -> None:
    store = _open(object_store_uri)
    for name in HOSTILE:
        obstore.put(store, name, name.encode())
    listed = _names(store)
    assert sorted(listed) == sorted(HOSTILE)
    assert {name: _read(store, name).decode() for name in listed} == {n: n for n in HOSTILE}
    obstore.delete(store, listed)
    assert _names(store) == []


def test_copy_and_rename_hostile_names(object_store_uri: str) -> None:
    store = _open(object_store_uri)
    for name in HOSTILE:
        obstore.put(store, name, name.encode())
        obstore.copy(store, name, f"copy/{name}")
        obstore.rename(store, name, f"moved/{name}")
        assert _read(store, f"copy/{name}") == _read(store, f"moved/{name}") == name.encode()
    assert sorted(_names(store)) == sorted(f"{to}/{n}" for to in ("copy", "moved") for n in HOSTILE)


def test_conditional_create_refuses_the_second(object_store_uri: str) -> None:
    store = _open(object_store_uri)
    obstore.put(store, "once", b"first", mode="create")
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "once", b"second", mode="create")
    assert _read(store, "once") == b"first"


def test_of_concurrent_creates_one_wins(object_store_uri: str) -> None:
    store = _open(object_store_uri)

    def create(body: bytes) -> bytes | None:
        try:
            obstore.put(store, "once", body, mode="create")
        except obstore.exceptions.AlreadyExistsError:
            return None
        return body

    with ThreadPoolExecutor(16) as pool:
        won = [body for body in pool.map(create, (b"%d" % n for n in range(16))) if body]
    assert won == [_read(store, "once")]


def test_conditional_update_refuses_a_stale_version(object_store_uri: str) -> None:
    store = _open(object_store_uri)
    seen = {k: v for k, v in obstore.put(store, "state", b"1").items() if v is not None}
    obstore.put(store, "state", b"2", mode=seen)
    with pytest.raises(obstore.exceptions.PreconditionError):
        obstore.put(store, "state", b"3", mode=seen)
    assert _read(store, "state") == b"2"


def test_ranges_and_attributes(object_store_uri: str) -> None:
    store = _open(object_store_uri)
    attributes = {"Content-Type": "image/jpeg", "run": "7"}
    obstore.put(store, "a", b"0123456789", attributes=attributes)
    assert bytes(obstore.get_range(store, "a", start=2, end=5)) == b"234"
    assert bytes(obstore.get(store, "a", options={"range": {"suffix": 3}}).bytes()) == b"789"
    assert bytes(obstore.get(store, "a", options={"range": {"offset": 8}}).bytes()) == b"89"
    assert dict(obstore.get(store, "a").attributes) == attributes
    assert obstore.head(store, "a")["size"] == 10


def test_conditional_get_knows_the_etag(object_store_uri: str) -> None:
    """Quoted in a header; in a listing quoted by one server and bare from the other."""
    store = _open(object_store_uri)
    etag = obstore.put(store, "a", b"1")["e_tag"]
    assert obstore.head(store, "a")["e_tag"] == etag
    assert obstore.list(store).collect()[0]["e_tag"].strip('"') == etag.strip('"')
    with pytest.raises(obstore.exceptions.NotModifiedError):
        obstore.get(store, "a", options={"if_none_match": etag})
    with pytest.raises(obstore.exceptions.PreconditionError):
        obstore.get(store, "a", options={"if_match": '"another"'})


def test_large_and_empty_objects(object_store_uri: str) -> None:
    store = _open(object_store_uri)
    large = os.urandom(11 << 20)  # goes up in parts
    obstore.put(store, "large", large)
    obstore.put(store, "empty", b"")
    assert _read(store, "large") == large
    assert _read(store, "empty") == b""


def test_missing_objects_are_not_found(object_store_uri: str) -> None:
    store = _open(object_store_uri)
    for call in (obstore.get, obstore.head):
        with pytest.raises(FileNotFoundError):
            call(store, "none")
    with pytest.raises(FileNotFoundError):
        obstore.copy(store, "none", "other")


def test_listing_by_folder_and_from_an_offset(object_store_uri: str) -> None:
    store = _open(object_store_uri)
    for name in ("a/1", "a/2", "a%2Fb", "b/c/3", "top"):
        obstore.put(store, name, b"")
    page = obstore.list_with_delimiter(store)
    assert page["common_prefixes"] == ["a", "b"]
    assert [meta["path"] for meta in page["objects"]] == ["a%2Fb", "top"]
    assert _names(store, "a") == ["a/1", "a/2"]
    assert _names(store, offset="a/1") == ["a/2", "b/c/3", "top"]


# gs:// only: its XML API is made here


def _list_raw(server: GcsServer, uri: str, **query: str) -> list[list[str]]:
    """The pages of a listing, read by another XML parser than obstore's."""
    pages: list[list[str]] = []
    while True:
        address = f"{server.url}/{uri.removeprefix('gs://')}?{urlencode(query)}"
        with urlopen(address) as answer:
            root = ElementTree.parse(answer).getroot()
        keys = [e.text or "" for e in root.iterfind("{*}Contents/{*}Key")]
        folders = [e.text or "" for e in root.iterfind("{*}CommonPrefixes/{*}Prefix")]
        pages.append(keys + folders)
        token = root.findtext("{*}NextContinuationToken")
        assert root.findtext("{*}IsTruncated") == ("true" if token else "false")
        if not token:
            return pages
        query["continuation-token"] = token


def test_gcs_pages_neither_repeat_nor_lose_a_name(gcs_server: GcsServer, gs_uri: str) -> None:
    store = _open(gs_uri)
    for name in ("a%20", "b/1", "b/2", "b/3", "c d", "d/1", "d/2"):
        obstore.put(store, name, b"")
    query = {"list-type": "2", "max-keys": "2"}
    assert _list_raw(gcs_server, gs_uri, **query) == [
        ["a%20", "b/1"],
        ["b/2", "b/3"],
        ["c d", "d/1"],
        ["d/2"],
    ]
    rolled = _list_raw(gcs_server, gs_uri, **query, delimiter="/")
    assert rolled == [["a%20", "b/"], ["c d", "d/"]]


def test_gcs_obstore_follows_pages(gs_uri: str) -> None:
    names = [f"n/{n:04}" for n in range(1001)]
    store = _open(gs_uri)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: obstore.put(store, name, b""), names))
    assert _names(store) == names


def test_gcs_client_and_obstore_see_the_same_objects(gs_uri: str) -> None:
    store, bucket = _open(gs_uri), _gcs_bucket(gs_uri)
    binary = os.urandom(5000) + b"\r\n\n\r"
    for name in HOSTILE:
        obstore.put(store, name, binary, attributes={"Content-Type": "image/jpeg", "run": "7"})
    seen = {blob.name: blob for blob in bucket.list_blobs()}
    assert sorted(seen) == sorted(HOSTILE)
    for blob in seen.values():
        assert blob.download_as_bytes() == binary
        assert (blob.content_type, blob.metadata) == ("image/jpeg", {"run": "7"})
        bucket.blob(f"back/{blob.name}").upload_from_string(binary[::-1])
        assert _read(store, f"back/{blob.name}") == binary[::-1]


def test_gcs_client_batches(gs_uri: str) -> None:
    """Beam renames and deletes by batch requests."""
    store, bucket = _open(gs_uri), _gcs_bucket(gs_uri)
    for name in ("a b", "c%"):
        obstore.put(store, name, b"1")
    with bucket.client.batch():
        bucket.delete_blob("a b")
        bucket.copy_blob(bucket.blob("c%"), bucket, "d")
    assert _names(store) == ["c%", "d"]


def test_gcs_client_preconditions_hold(gs_uri: str) -> None:
    bucket = _gcs_bucket(gs_uri)
    blob = bucket.blob("once")
    blob.upload_from_string(b"first", if_generation_match=0)
    refused: list[Callable[[], Any]] = [
        lambda: bucket.blob("once").upload_from_string(b"second", if_generation_match=0),
        lambda: bucket.copy_blob(blob, bucket, "once", if_generation_match=0),
        lambda: blob.delete(if_generation_match=5),
    ]
    for call in refused:
        with pytest.raises(PreconditionFailed):
            call()
    assert blob.download_as_bytes() == b"first"
    blob.delete(if_generation_match=blob.generation)
    assert not blob.exists()


def test_gcs_names_that_obstore_refuses(gcs_server: GcsServer, gs_uri: str) -> None:
    """Both APIs keep them; obstore's listing fails completely, which callers must expect."""
    bucket = _gcs_bucket(gs_uri)
    for name in REFUSED_BY_OBSTORE:
        bucket.blob(name).upload_from_string(name.encode())
        with pytest.raises(ValueError, match="path"):
            obstore.put(_open(gs_uri), name.removeprefix("/") + "\n", b"")
    assert [blob.name for blob in bucket.list_blobs()] == sorted(REFUSED_BY_OBSTORE)
    assert _list_raw(gcs_server, gs_uri) == [sorted(REFUSED_BY_OBSTORE)]
    for name in REFUSED_BY_OBSTORE:
        address = f"{gcs_server.url}/{bucket.name}/{quote(name, safe='')}"
        with urlopen(address) as answer:
            assert answer.read() == bucket.blob(name).download_as_bytes() == name.encode()
    with pytest.raises(obstore.exceptions.BaseError, match="invalid path"):
        _names(_open(gs_uri))


def test_gcs_abandoned_or_damaged_uploads_leave_nothing(gcs_server: GcsServer, gs_uri: str) -> None:
    address = f"{gcs_server.url}/{gs_uri.removeprefix('gs://')}/name"

    def call(method: str, query: str, data: bytes | None = None) -> bytes:
        with urlopen(Request(f"{address}?{query}", data=data, method=method)) as answer:
            return answer.read()

    for last in ("DELETE", "POST"):
        started = ElementTree.fromstring(call("POST", "uploads"))
        upload = f"uploadId={started.findtext('{*}UploadId')}"
        call("PUT", f"partNumber=1&{upload}", b"one")
        part = b"<C><Part><PartNumber>1</PartNumber><ETag>another</ETag></Part></C>"
        if last == "DELETE":
            call("DELETE", upload)
        with pytest.raises(HTTPError) as refused:
            call("POST", upload, part)
        assert refused.value.code == (404 if last == "DELETE" else 400)
    assert _names(_open(gs_uri)) == []


# s3:// only


def test_s3_boto3_and_obstore_see_the_same_objects(s3_uri: str) -> None:
    store, client, bucket = _open(s3_uri), boto3.client("s3"), s3_uri.removeprefix("s3://")
    for name in HOSTILE:
        obstore.put(store, name, name.encode())
    seen = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(seen) == sorted(HOSTILE)
    for name in seen:
        assert client.get_object(Bucket=bucket, Key=name)["Body"].read() == name.encode()
        client.put_object(Bucket=bucket, Key=f"back/{name}", Body=b"back")
        assert _read(store, f"back/{name}") == b"back"


# Delta Lake


def _put_parquet(store: ObjectStore, name: str, rows: int) -> AddAction:
    sink = BytesIO()
    chips = [f"{name}-{row}" for row in range(rows)]
    pq.write_table(pa.table([chips, [0.5] * rows], schema=SCHEMA), sink)
    obstore.put(store, f"table/{name}", sink.getvalue())
    stats = json.dumps({"numRecords": rows})
    size = len(sink.getvalue())
    return AddAction(name, size, {}, int(time.time() * 1000), data_change=True, stats=stats)


def _commit(table: DeltaTable, action: AddAction, version: int | None = None) -> None:
    transactions = None if version is None else [Transaction(APP, version)]
    table.create_write_transaction(
        [action],
        mode="append",
        schema=SCHEMA,
        commit_properties=CommitProperties(app_transactions=transactions),
    )


def _create_table(uri: str) -> Callable[[], DeltaTable]:
    options = _delta_options(uri)
    DeltaTable.create(f"{uri}/table", schema=SCHEMA, storage_options=options)
    return lambda: DeltaTable(f"{uri}/table", storage_options=options)


def test_delta_commits_and_reads_back(object_store_uri: str) -> None:
    store, table = _open(object_store_uri), _create_table(object_store_uri)
    _put_parquet(store, "not-committed.parquet", 5)
    _commit(table(), _put_parquet(store, "part-0.parquet", 2), version=1)
    deltalake.write_deltalake(
        f"{object_store_uri}/table",
        pa.table([["written"], [1.0]], schema=SCHEMA),
        mode="append",
        storage_options=_delta_options(object_store_uri),
    )
    read = table()
    assert (read.version(), read.transaction_version(APP)) == (2, 1)
    chips = read.to_pyarrow_dataset().to_table()["chip"].to_pylist()
    assert sorted(chips) == ["part-0.parquet-0", "part-0.parquet-1", "written"]


def test_delta_conflicting_transactions_of_one_app_fail(object_store_uri: str) -> None:
    store, table = _open(object_store_uri), _create_table(object_store_uri)
    first, second = table(), table()
    _commit(first, _put_parquet(store, "first.parquet", 1), version=1)
    with pytest.raises(CommitFailedError, match="Concurrent transaction"):
        _commit(second, _put_parquet(store, "second.parquet", 1), version=1)
    assert table().to_pyarrow_dataset().to_table()["chip"].to_pylist() == ["first.parquet-0"]


def test_delta_concurrent_appends_all_land(object_store_uri: str) -> None:
    store, table = _open(object_store_uri), _create_table(object_store_uri)
    actions = [_put_parquet(store, f"part-{n}.parquet", 1) for n in range(6)]
    with ThreadPoolExecutor(len(actions)) as pool:
        list(pool.map(lambda action: _commit(table(), action), actions))
    assert table().version() == len(actions)
    assert table().to_pyarrow_dataset().count_rows() == len(actions)


# The processes


READ_IN_A_SUBPROCESS = """
import os, sys, urllib.request
import obstore
scheme, bucket = sys.argv[1].split("://")
if scheme == "s3":
    data = bytes(obstore.get(obstore.store.S3Store(bucket), "name").bytes())
else:
    host = os.environ["STORAGE_EMULATOR_HOST"]
    address = f"{host}/storage/v1/b/{bucket}/o/name?alt=media"
    data = urllib.request.urlopen(address).read()
sys.stdout.buffer.write(data)
"""


def test_a_subprocess_reaches_the_server(object_store_uri: str) -> None:
    obstore.put(_open(object_store_uri), "name", b"hello")
    command = [sys.executable, "-c", READ_IN_A_SUBPROCESS, object_store_uri]
    assert subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout == b"hello"


def test_a_server_ends_with_its_parent() -> None:
    server = GcsServer()
    server.start()
    process = server._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # as when the parent dies
    assert process.wait(timeout=10) == 0
    server.stop()
