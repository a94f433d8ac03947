"""Listings of object stores in several ranges of names give each name once."""

import obstore
import pytest

from pipelines.storage import remote_listing, store
from pipelines.storage._connections import connect
from tests.support.client_writes import put_by_client

NAMES = [
    *(f"night/scene-{i:02d}/{j}.jpg" for i in range(7) for j in range(3)),
    "night/scene-03.jpg",
    "night/scene-030",
    "night/scene-03!/x.jpg",
    "night/scene-03.a/é/森.jpg",
    "night/zz.jpg",
    "night/0.jpg",
]


@pytest.fixture
def pages(monkeypatch):
    """Pages of four names, so that few objects fill several; returns the parts that were listed."""
    parts = []
    chunks = remote_listing._chunks
    monkeypatch.setattr(remote_listing, "_PAGE_ROWS", 4)
    monkeypatch.setattr(remote_listing, "_MOST_PARTS", 5)
    monkeypatch.setattr(
        remote_listing, "_chunks", lambda uri, part: parts.append(part) or chunks(uri, part)
    )
    return parts


def listed(uri: str) -> list[str]:
    tables = store.list_objects(uri)
    return sorted(name[len(uri) + 1 :] for t in tables for name in t["uri"].to_pylist())


def put(uri: str, names: list[str]) -> None:
    for name in names:
        store.write_bytes(f"{uri}/{name}", name.encode())


def test_folders_are_listed_in_parallel_and_every_name_occurs_once(object_store_uri, pages):
    names = [name for name in NAMES if name != "night/0.jpg"]
    put(object_store_uri, names)
    assert listed(object_store_uri) == sorted(names)
    assert len(pages) == 5
    pages.clear()
    assert listed(f"{object_store_uri}/night") == sorted(name[6:] for name in names)
    assert len(pages) == 5


def test_a_folder_of_objects_alone_is_listed_in_one_go(object_store_uri, pages):
    put(object_store_uri, NAMES)  # the first is an object next to the folders
    assert len(listed(f"{object_store_uri}/night")) == len(NAMES)
    assert len(pages) == 1


def test_a_small_prefix_takes_one_request_and_no_part(object_store_uri, pages):
    put(object_store_uri, NAMES[:3])
    assert listed(object_store_uri) == NAMES[:3]
    assert pages == []


@pytest.mark.parametrize("name", ["night/scene-02/tab\there.jpg", "night/a//b.jpg"])
def test_names_that_obstore_refuses_are_listed_once_too(s3_uri, pages, name):
    put(s3_uri, NAMES[:-1])
    put_by_client(s3_uri, name)
    assert listed(s3_uri) == sorted([*NAMES[:-1], name])


def test_a_part_by_the_stores_own_client_ends_where_it_should(s3_uri):
    put(s3_uri, NAMES)
    bucket = s3_uri.removeprefix("s3://")
    part = remote_listing._Part("night/scene-01/1.jpg", "night/scene-030")
    chunks = remote_listing._chunks_by_client(s3_uri, part)
    found = [row["uri"] for chunk in chunks for row in chunk]
    opened, _ = connect(s3_uri)
    every = sorted(m["path"] for chunk in obstore.list(opened) for m in chunk)
    assert found == [f"s3://{bucket}/{name}" for name in every if part.holds(name)]
