"""Listings of `gs://` and `s3://`: by obstore, and by the store's own client where it must be."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, takewhile
from typing import Any, NamedTuple

import obstore
import pyarrow as pa
from obstore.exceptions import GenericError, InvalidPathError

from pipelines.storage import client_listing
from pipelines.storage.object_store import Patience, look_up, open_store, row_of, split
from pipelines.storage.objects import LISTING, LISTING_ROWS
from pipelines.storage.storage_errors import ACCESS_ERRORS, storage_error

_PAGE_ROWS = 1000  # of the stores' own answers
_THREADS = 8
_MOST_PARTS = 64  # so that a large folder does not keep all others waiting for its thread
_MOST_LEVELS = 8


def list_objects(uri: str) -> Iterator[pa.Table]:
    """What lies below a prefix, and the object of that very name, as tables of `LISTING`.

    Many objects in several folders are listed in several ranges of names at a time.

    Raises:
        StorageError: the bucket cannot be listed.
    """
    try:
        page = _first_page(uri)
        if len(page) >= _PAGE_ROWS:
            yield from _in_parts(uri, _parts(uri, page[0]["uri"]))
        elif page:
            yield pa.Table.from_pylist(page, LISTING)
        else:  # nothing there, or an error, which this mends or tells
            yield from _tables(uri, _ALL)
        found = _look_up(uri)
        yield pa.Table.from_pylist([found] if found else [], LISTING)
    except ACCESS_ERRORS as error:
        raise storage_error("list", uri, error) from error


class _Part(NamedTuple):
    """The names behind `after` up to `until`; None is the end of all."""

    after: str
    until: str | None

    def holds(self, name: str) -> bool:
        return name > self.after and not self.is_over(name)

    def is_over(self, name: str) -> bool:
        return self.until is not None and name > self.until


_ALL = _Part("", None)


def _first_page(uri: str) -> list[dict[str, Any]]:
    """The first rows of a listing, all of them where they fill no page; none where they cannot be
    had."""
    store, prefix = open_store(uri)
    chunks = obstore.list(store, prefix=prefix or None, chunk_size=_PAGE_ROWS)
    try:
        return [row_of(_root(uri) + meta["path"], meta) for meta in next(iter(chunks), [])]
    except (InvalidPathError, GenericError):
        return []


def _in_parts(uri: str, parts: list[_Part]) -> Iterator[pa.Table]:
    with ThreadPoolExecutor(_THREADS, "list") as pool:
        for tables in pool.map(lambda part: [*_tables(uri, part)], parts):
            yield from tables


def _parts(uri: str, first: str) -> list[_Part]:
    """Ranges of names that hold every name once, whatever lies where: only how long each takes
    depends on the folders at whose ends they are cut.

    Args:
        first: address of the first object.
    """
    if "/" not in first[len(uri) :].strip("/"):
        return [_ALL]  # to look for folders among objects would be to list them
    store, prefix = open_store(uri)
    try:
        folders = _folders(store, prefix)
    except (InvalidPathError, GenericError):
        return [_ALL]
    step = -(-len(folders) // _MOST_PARTS) or 1
    ends = [f"{folder}0" for folder in folders[step - 1 :: step]]  # "0" comes next behind "/"
    return [_Part(*pair) for pair in zip(["", *ends], [*ends, None], strict=True)]


def _folders(store: Any, prefix: str) -> list[str]:
    """The folders below a prefix in order of their names, as deep as it takes to find several."""
    for _ in range(_MOST_LEVELS):
        found = obstore.list_with_delimiter(store, prefix or None, return_arrow=True)
        folders = found["common_prefixes"]
        if len(folders) != 1:
            break
        prefix = folders[0]
    return sorted((folder.rstrip("/") for folder in folders), key=lambda folder: f"{folder}/")


def _tables(uri: str, part: _Part) -> Iterator[pa.Table]:
    return (pa.Table.from_pylist(rows, LISTING) for rows in _chunks(uri, part))


def _root(uri: str) -> str:
    """Address of a bucket, with a slash behind it."""
    return uri[: len(uri) - len(split(uri)[2])].rstrip("/") + "/"


def _chunks(uri: str, part: _Part) -> Iterator[list[dict[str, Any]]]:
    """Rows, in order of their names; a listing that broke off goes on behind its last name."""
    store, prefix = open_store(uri)
    root = _root(uri)
    patience, last, chunk_size = Patience(), part.after, _PAGE_ROWS if part.until else LISTING_ROWS
    while True:
        try:
            for chunk in obstore.list(
                store, prefix=prefix or None, offset=last or None, chunk_size=chunk_size
            ):
                yield [row_of(root + m["path"], m) for m in chunk if part.holds(m["path"])]
                last = chunk[-1]["path"]
                if part.is_over(last):
                    return
                patience.renew()
            return
        except InvalidPathError:
            yield from _chunks_by_client(uri, part._replace(after=last))
            return
        except GenericError as error:
            patience.wait_after(error)
            chunk_size = _PAGE_ROWS  # so that each page is progress


def _chunks_by_client(uri: str, part: _Part) -> Iterator[list[dict[str, Any]]]:
    scheme, bucket, key = split(uri)
    below = f"{key.rstrip('/')}/" if key.strip("/") else ""
    start = len(f"{scheme}://{bucket}/")
    rows = client_listing.list_objects(scheme, bucket, below, part.after)
    held = takewhile(lambda row: not part.is_over(row["uri"][start:]), rows)
    while chunk := list(islice(held, LISTING_ROWS)):
        yield chunk


def _look_up(uri: str) -> dict[str, Any] | None:
    """The object of the very name that is listed; obstore knows none that it cannot hold."""
    if not split(uri)[2]:
        return None
    try:
        return look_up(uri)
    except InvalidPathError:
        return None
