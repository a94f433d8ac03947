"""Listings of `gs://` and `s3://`: by obstore, and by the store's own client where it must be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import obstore
import pyarrow as pa
from obstore.exceptions import GenericError, InvalidPathError

from pipelines import client_listing
from pipelines.object_store import Patience, look_up, open_store, row_of, split
from pipelines.objects import LISTING, LISTING_ROWS
from pipelines.storage_errors import ACCESS_ERRORS, storage_error

_PAGE_ROWS = 1000  # of the stores' own answers


def list_objects(uri: str) -> Iterator[pa.Table]:
    """What lies below a prefix, and the object of that very name, as tables of `LISTING`.

    Raises:
        StorageError: the bucket cannot be listed.
    """
    try:
        for rows in _chunks(uri):
            yield pa.Table.from_pylist(rows, LISTING)
        found = _look_up(uri)
        yield pa.Table.from_pylist([found] if found else [], LISTING)
    except ACCESS_ERRORS as error:
        raise storage_error("list", uri, error) from error


def _chunks(uri: str) -> Iterator[list[dict[str, Any]]]:
    """Rows, in order of their names; a listing that broke off goes on behind its last name."""
    store, prefix = open_store(uri)
    root = uri[: len(uri) - len(prefix)].rstrip("/") + "/"
    patience, last, chunk_size = Patience(), "", LISTING_ROWS
    while True:
        try:
            for chunk in obstore.list(
                store, prefix=prefix or None, offset=last or None, chunk_size=chunk_size
            ):
                yield [row_of(root + meta["path"], meta) for meta in chunk]
                last = chunk[-1]["path"]
                patience.renew()
            return
        except InvalidPathError:
            yield from _chunks_by_client(uri, last)
            return
        except GenericError as error:
            patience.wait_after(error)
            chunk_size = _PAGE_ROWS  # so that each page is progress


def _chunks_by_client(uri: str, last: str) -> Iterator[list[dict[str, Any]]]:
    scheme, bucket, key = split(uri)
    below = f"{key.rstrip('/')}/" if key.strip("/") else ""
    rows = client_listing.list_objects(scheme, bucket, below, last)
    while chunk := list(islice(rows, LISTING_ROWS)):
        yield chunk


def _look_up(uri: str) -> dict[str, Any] | None:
    """The object of the very name that is listed; obstore knows none that it cannot hold."""
    if not split(uri)[2]:
        return None
    try:
        return look_up(uri)
    except InvalidPathError:
        return None
