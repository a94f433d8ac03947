"""Objects on `gs://` and `s3://`, through obstore (docs/decisions/obstore.md).

Errors are obstore's own here, or an `OSError` or `ValueError`; `storage` makes one line of them.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any

import obstore
import obstore.store
import pyarrow as pa

from pipelines.objects import LISTING, LISTING_ROWS, check_size, clean_etag
from pipelines.storage_errors import ACCESS_ERRORS, MISSING_ERRORS, storage_error

_READ_AHEAD_BYTES = 1 << 20
RETRIES: Any = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=120),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=15),
        "base": 2,
    },
}


def read(uri: str, most_bytes: int | None) -> bytes:
    """A whole object, in one request.

    Raises:
        ObjectTooLarge: it has more than `most_bytes`; its body is not read.
    """
    store, key = _open(uri)
    answer = store.get(key)
    check_size(uri, answer.range[1], most_bytes)  # its end; all of `meta` would cost more
    return bytes(answer.bytes())


def open_file(uri: str) -> io.BufferedReader:
    """An object as a file to read parts of, by range requests."""
    return io.BufferedReader(_RemoteFile(uri), _READ_AHEAD_BYTES)


def write(uri: str, data: bytes) -> None:
    """Put an object whole."""
    store, key = _open(uri)
    store.put(key, data)


def create(uri: str, data: bytes) -> None:
    """Put an object whole where there is none, by a conditional put."""
    store, key = _open(uri)
    store.put(key, data, mode="create")


def copy(source: str, target: str) -> None:
    """Copy an object within its bucket, over whatever was at the target."""
    store, key = _open(source)
    store.copy(key, _open(target)[1], overwrite=True)


def delete_folder(uri: str) -> None:
    """Delete every object below a prefix."""
    store, prefix = _open(uri)
    for chunk in obstore.list(store, prefix=prefix):
        store.delete([meta["path"] for meta in chunk])


def look_up(uri: str) -> dict[str, Any] | None:
    """A row of `LISTING` for one object; None where there is none."""
    try:
        store, key = _open(uri)
        return _row(uri, store.head(key))
    except MISSING_ERRORS:
        return None


def list_objects(uri: str) -> Iterator[pa.Table]:
    """What lies below a prefix, and the object of that very name, as tables of `LISTING`.

    Raises:
        StorageError: the bucket cannot be listed.
    """
    try:
        store, prefix = _open(uri)
        root = uri[: len(uri) - len(prefix)].rstrip("/") + "/"
        for chunk in obstore.list(store, prefix=prefix or None, chunk_size=LISTING_ROWS):
            yield _listing(_row(root + meta["path"], meta) for meta in chunk)
        found = look_up(uri) if prefix else None
        yield _listing([found] if found else [])
    except ACCESS_ERRORS as error:
        raise storage_error("list", uri, error) from error


def split(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and key of an address."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return scheme, bucket, key


def delta_options(uri: str) -> dict[str, str]:
    """Options with which delta-rs reaches the same store as this module does; none for a path."""
    scheme = uri.partition("://")[0]
    if scheme == "s3":
        return {"aws_conditional_put": "etag", **_allow_http("AWS_ENDPOINT_URL")}
    if scheme == "gs" and "STORAGE_EMULATOR_HOST" in os.environ:
        return {"google_service_account_key": _emulator_key(), "allow_http": "true"}
    return {}


def forget_stores() -> None:
    """Drop the cached connections, for when the environment that made them has changed."""
    _store.cache_clear()


def _open(uri: str) -> tuple[Any, str]:
    scheme, bucket, key = split(uri)
    if not bucket:
        raise ValueError("the address names no bucket")
    return _store(scheme, bucket), key


@lru_cache(maxsize=64)
def _store(scheme: str, bucket: str) -> Any:
    if scheme == "s3":
        options: Any = _allow_http("AWS_ENDPOINT_URL")
        return obstore.store.S3Store(bucket, client_options=options, retry_config=RETRIES)
    if "STORAGE_EMULATOR_HOST" in os.environ:
        return obstore.store.GCSStore(
            bucket,
            config={"service_account_key": _emulator_key()},
            client_options={"allow_http": True},
            retry_config=RETRIES,
        )
    return obstore.store.GCSStore(bucket, retry_config=RETRIES)


def _allow_http(variable: str) -> dict[str, str]:
    return {"allow_http": "true"} if os.environ.get(variable, "").startswith("http:") else {}


def _emulator_key() -> str:
    """A service account key that sends requests, unsigned, to STORAGE_EMULATOR_HOST."""
    host = os.environ["STORAGE_EMULATOR_HOST"]
    url = host if "://" in host else f"http://{host}"
    blank = {"client_email": "", "private_key": "", "private_key_id": ""}
    return json.dumps({"gcs_base_url": url, "disable_oauth": True, **blank})


def _row(uri: str, meta: Any) -> dict[str, Any]:
    return {
        "uri": uri,
        "etag": clean_etag(meta["e_tag"]),
        "size_bytes": meta["size"],
        "modified_at": meta["last_modified"],
    }


def _listing(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), LISTING)


class _RemoteFile(io.RawIOBase):
    """An object as a seekable file: each read is one range request."""

    def __init__(self, uri: str) -> None:
        self._uri, self._at = uri, 0
        self._store, self._key = _open(uri)
        self._size = self._store.head(self._key)["size"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} lies before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        try:
            buffer[:length] = bytes(self._store.get_range(self._key, start=self._at, length=length))
        except ACCESS_ERRORS as error:
            raise storage_error("read", self._uri, error) from error
        self._at += length
        return int(length)
