"""Objects on `gs://` and `s3://`, through obstore (docs/decisions/obstore.md).

Errors are obstore's own here, or an `OSError` or `ValueError`; `storage` makes one line of them.
"""

from __future__ import annotations

import io
import json
import os
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, BinaryIO, TypeVar

import obstore
import obstore.store
from obstore.exceptions import GenericError

from pipelines.errors import StoreDown
from pipelines.storage.objects import check_size, check_version, clean_etag
from pipelines.storage.request_rate import RequestRate
from pipelines.storage.s3_endpoint import S3Endpoint, s3_endpoint
from pipelines.storage.storage_errors import (
    ACCESS_ERRORS,
    MISSING_ERRORS,
    detail,
    is_passing,
    storage_error,
    without_secrets,
)

_T = TypeVar("_T")
_PAGE_ROWS = 1000  # of the stores' own listings
TIMEOUT_S = 30.0
"""Seconds that one request may take before it counts as failed; what came of a body by then is
kept, and the rest asked for."""

_MOST_RETRIES = 100  # time is the bound
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 15.0


@dataclass(frozen=True)
class StoreSettings:
    """Which object stores a process asks, how patient it is with them, and how hasty.

    Attributes:
        deadline_s: seconds over which a request that fails for a passing reason is repeated.
        gcs_reads_per_second: reads that a process sends to one bucket on `gs://`, at first; the
            rate doubles every 20 minutes.
        s3_endpoint: address of the store that `s3://` means; "" leaves it to the environment.
        s3_region: its region; "" leaves it to the environment.
    """

    deadline_s: float = 60.0
    gcs_reads_per_second: float = 5000.0
    s3_endpoint: str = ""
    s3_region: str = ""


_settings = StoreSettings()


def configure(settings: StoreSettings) -> None:
    """Take settings for this process."""
    global _settings
    if settings != _settings:
        _settings = settings
        forget_stores()


def read(uri: str, most_bytes: int | None) -> bytes:
    """A whole object, in one request.

    Raises:
        ObjectTooLarge: it has more than `most_bytes`; its body is not read.
        StoreDown: not only this request is left without an answer.
    """
    scheme, bucket, key = split(uri)
    store = _store(scheme, bucket)
    if scheme == "gs":
        _read_rate(bucket).wait_turn()
    try:
        answer = store.get(_checked(key))
        check_size(uri, answer.range[1], most_bytes)  # its end; all of `meta` would cost more
        return bytes(answer.bytes())
    except GenericError as error:
        if is_passing(error) and not _answers(store):
            where = f"cannot read {without_secrets(uri)!r}"
            raise StoreDown(f"{where}, nor anything else there: {detail(error)}") from error
        raise


def read_range(uri: str, start: int, length: int, etag: str | None) -> bytes:
    """Part of an object, in one request, if it is the version that is meant."""
    scheme, bucket, key = split(uri)
    if scheme == "gs":
        _read_rate(bucket).wait_turn()
    answer = _store(scheme, bucket).get(_checked(key), options={"range": (start, start + length)})
    check_version(uri, clean_etag(answer.meta["e_tag"]), etag)
    return bytes(answer.bytes())


def open_file(uri: str, read_ahead_bytes: int) -> io.BufferedReader:
    """An object as a file to read parts of, by range requests."""
    return io.BufferedReader(_RemoteFile(uri), read_ahead_bytes)


def write(uri: str, data: bytes) -> None:
    """Put an object whole."""
    store, key = open_store(uri)
    store.put(key, data)


@contextmanager
def write_file(uri: str) -> Iterator[BinaryIO]:
    """A scratch file, put once it is written; a large one in parts, which show as one."""
    store, key = open_store(uri)
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        store.put(key, file)


def create(uri: str, data: bytes) -> None:
    """Put an object whole where there is none, by a conditional put."""
    store, key = open_store(uri)
    store.put(key, data, mode="create")


def copy(source: str, target: str) -> None:
    """Copy an object within its bucket, over whatever was at the target."""
    store, key = open_store(source)
    insist(lambda: store.copy(key, open_store(target)[1], overwrite=True))


def delete_folder(uri: str) -> None:
    """Delete every object below a prefix."""
    store, prefix = open_store(uri)
    insist(lambda: _delete_below(store, prefix))


def look_up(uri: str) -> dict[str, Any] | None:
    """A row of `LISTING` for one object; None where there is none."""
    try:
        store, key = open_store(uri)
        return row_of(uri, store.head(key))
    except MISSING_ERRORS:
        return None


def split(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and key of an address."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return scheme, bucket, key


def delta_options(uri: str) -> dict[str, str]:
    """Options with which delta-rs reaches the same store as this module does; none for a path."""
    scheme = uri.partition("://")[0]
    if scheme == "s3":
        return {"aws_conditional_put": "etag", **current_s3().for_delta()}
    if scheme == "gs" and "STORAGE_EMULATOR_HOST" in os.environ:
        return {"google_service_account_key": _emulator_key(), "allow_http": "true"}
    return {}


def current_s3() -> S3Endpoint:
    """Where `s3://` leads in this process."""
    return s3_endpoint(_settings.s3_endpoint, _settings.s3_region)


def forget_stores() -> None:
    """Drop the cached connections, for when the environment that made them has changed."""
    _store.cache_clear()
    _read_rate.cache_clear()


def insist(operation: Callable[[], _T]) -> _T:
    """Repeat, until the deadline, what obstore and delta-rs do not: requests whose answer broke
    off, of which they cannot know that to repeat them does no harm."""
    patience = Patience()
    while True:
        try:
            return operation()
        except MISSING_ERRORS:
            raise
        except Exception as error:  # whatever does not pass is raised again
            patience.wait_after(error)


class Patience:
    """Waits with jitter, longer each time, and gives up at the deadline."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: there was progress."""
        self._longest_s, self._ends = _FIRST_WAIT_S, time.monotonic() + _settings.deadline_s

    def wait_after(self, error: Exception) -> None:
        """Wait, or raise the error again where it will not pass or there is no time left."""
        wait_s = random.uniform(0, self._longest_s)
        if not is_passing(error) or time.monotonic() + wait_s > self._ends:
            raise error
        time.sleep(wait_s)
        self._longest_s = min(2 * self._longest_s, _LONGEST_WAIT_S)


def open_store(uri: str) -> tuple[Any, str]:
    """The store of an address and the key in it."""
    scheme, bucket, key = split(uri)
    return _store(scheme, bucket), key


def row_of(uri: str, meta: Any) -> dict[str, Any]:
    """A row of `LISTING` from what obstore tells of an object."""
    return {
        "uri": uri,
        "etag": clean_etag(meta["e_tag"]),
        "size_bytes": meta["size"],
        "modified_at": meta["last_modified"],
    }


def _checked(key: str) -> str:
    """A key, if obstore takes it as it is: of `/a` it would read `a`, another object."""
    if key.startswith("/") or key.endswith("/"):
        raise ValueError("no name can begin or end with a slash here (rename that object)")
    return key


def _answers(store: Any) -> bool:
    """Whether a store answers at all: here, that there is no such object."""
    try:
        store.head(f"is-anybody-there-{uuid.uuid4().hex}")
    except MISSING_ERRORS:
        return True
    except ACCESS_ERRORS as error:
        return not is_passing(error)
    return True


def _delete_below(store: Any, prefix: str) -> None:
    for chunk in obstore.list(store, prefix=prefix):
        try:
            store.delete([meta["path"] for meta in chunk])
        except MISSING_ERRORS:  # a repeated request finds what the first one did
            continue


@lru_cache(maxsize=64)
def _read_rate(bucket: str) -> RequestRate:
    return RequestRate(_settings.gcs_reads_per_second)


@lru_cache(maxsize=64)
def _store(scheme: str, bucket: str) -> Any:
    if not bucket:
        raise ValueError("the address names no bucket")
    patience: Any = {"retry_config": _retries(), "client_options": _client_options(scheme)}
    if scheme == "s3":
        return obstore.store.S3Store(bucket, config=current_s3().for_obstore(), **patience)
    if "STORAGE_EMULATOR_HOST" in os.environ:
        key = {"service_account_key": _emulator_key()}
        return obstore.store.GCSStore(bucket, config=key, **patience)
    return obstore.store.GCSStore(bucket, **patience)


def _retries() -> dict[str, Any]:
    waits = {
        "init_backoff": timedelta(seconds=_FIRST_WAIT_S),
        "max_backoff": timedelta(seconds=_LONGEST_WAIT_S),
        "base": 2,
    }
    deadline = timedelta(seconds=_settings.deadline_s)
    return {"max_retries": _MOST_RETRIES, "retry_timeout": deadline, "backoff": waits}


def _client_options(scheme: str) -> dict[str, Any]:
    emulated = scheme == "gs" and "STORAGE_EMULATOR_HOST" in os.environ
    plain = emulated or (scheme == "s3" and current_s3().allow_http)
    allow = {"allow_http": "true"} if plain else {}
    return {"timeout": timedelta(seconds=TIMEOUT_S), **allow}


def _emulator_key() -> str:
    """A service account key that sends requests, unsigned, to STORAGE_EMULATOR_HOST."""
    host = os.environ["STORAGE_EMULATOR_HOST"]
    url = host if "://" in host else f"http://{host}"
    blank = {"client_email": "", "private_key": "", "private_key_id": ""}
    return json.dumps({"gcs_base_url": url, "disable_oauth": True, **blank})


class _RemoteFile(io.RawIOBase):
    """An object as a seekable file: each read is one range request."""

    def __init__(self, uri: str) -> None:
        self._uri, self._at = uri, 0
        self._store, self._key = open_store(uri)
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
