"""Listings of `gs://` and `s3://`: by obstore, or by the store's own client if obstore cannot."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, takewhile
from typing import Any, NamedTuple

import obstore
import pyarrow as pa
from obstore.exceptions import GenericError, InvalidPathError

from pipelines.storage._client_listing import list_by_client
from pipelines.storage._connections import connect
from pipelines.storage._objects import LISTING, LISTING_ROWS, row_of
from pipelines.storage.addresses import split_uri
from pipelines.storage.retries import Patience
from pipelines.storage.storage_errors import MISSING_ERRORS

_PAGE_ROWS = 1000  # of the stores' own answers
_THREADS = 8
_MOST_PARTS = 64  # so that a large folder does not keep all others waiting for its thread
_MOST_LEVELS = 8


def list_prefix(uri: str) -> Iterator[pa.Table]:
    """The objects below a prefix and the object of exactly this address: tables of `LISTING`, at
    least one.

    Many objects in several folders are listed as several ranges of names at a time.

    Raises:
        StorageError: the store's own client cannot list the bucket.
        OSError, ValueError, obstore.exceptions.BaseError: obstore cannot.
    """
    page = _first_page(uri)
    if len(page) >= _PAGE_ROWS:
        yield from _in_parts(uri, _parts(uri, page[0]["uri"]))
    elif page:
        yield pa.Table.from_pylist(page, LISTING)
    else:  # nothing there, or an error, which this retries or raises
        yield from _tables(uri, _ALL)
    yield pa.Table.from_pylist(_exact(uri), LISTING)


class _Part(NamedTuple):
    """The names after `after` up to `until`; None is the end of all names."""

    after: str
    until: str | None

    def holds(self, name: str) -> bool:
        return name > self.after and not self.is_over(name)

    def is_over(self, name: str) -> bool:
        return self.until is not None and name > self.until


_ALL = _Part("", None)


def _first_page(uri: str) -> list[dict[str, Any]]:
    """The first rows of a listing, all of them if they fit a page; none if obstore cannot list
    them."""
    store, prefix = connect(uri)
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
    """Ranges of names that together contain every name once, wherever the objects are: the
    folders at which they are cut only decide how long each range takes.

    Args:
        first: address of the first object.
    """
    if "/" not in first[len(uri) :].strip("/"):
        return [_ALL]  # to look for folders among objects would be to list them
    store, prefix = connect(uri)
    try:
        folders = _folders(store, prefix)
    except (InvalidPathError, GenericError):
        return [_ALL]
    step = -(-len(folders) // _MOST_PARTS) or 1
    ends = [f"{folder}0" for folder in folders[step - 1 :: step]]  # "0" comes next after "/"
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
    """Address of a bucket, with a slash at its end."""
    return uri[: len(uri) - len(split_uri(uri)[2])].rstrip("/") + "/"


def _chunks(uri: str, part: _Part) -> Iterator[list[dict[str, Any]]]:
    """Rows, in order of their names; a listing that broke off continues after its last name."""
    store, prefix = connect(uri)
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
    scheme, bucket, key = split_uri(uri)
    below = f"{key.rstrip('/')}/" if key.strip("/") else ""
    start = len(f"{scheme}://{bucket}/")
    rows = list_by_client(scheme, bucket, below, part.after)
    wanted = takewhile(lambda row: not part.is_over(row["uri"][start:]), rows)
    while chunk := list(islice(wanted, LISTING_ROWS)):
        yield chunk


def _exact(uri: str) -> list[dict[str, Any]]:
    """The row of the object of exactly this address, if there is one. An object whose name obstore
    does not accept has none."""
    store, key = connect(uri)
    try:
        return [row_of(uri, store.head(key))] if key else []
    except (InvalidPathError, *MISSING_ERRORS):
        return []
