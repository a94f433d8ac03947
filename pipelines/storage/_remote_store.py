"""Objects on `gs://` and `s3://`, through obstore (docs/decisions/obstore.md)."""

from __future__ import annotations

import io
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import obstore
import pyarrow as pa
from obstore.exceptions import AlreadyExistsError, GenericError

from pipelines.errors import StoreDown
from pipelines.storage._connections import connect, wait_for_read
from pipelines.storage._content_encoding import (
    GZIP_MAGIC,
    decode_content,
    is_decompressed_by_store,
)
from pipelines.storage._objects import ETAG, check_size, check_version, clean_etag, row_of
from pipelines.storage.remote_listing import list_prefix
from pipelines.storage.retries import with_retries
from pipelines.storage.storage_errors import (
    ACCESS_ERRORS,
    MISSING_ERRORS,
    detail,
    is_temporary,
    translate_errors,
    without_secrets,
)


class RemoteStore:
    """The objects of all buckets."""

    def read(self, uri: str, most_bytes: int | None, etag: str | None = None) -> bytes:
        """The whole object, in one request, as it was before a compression that its metadata name.

        Raises:
            ObjectTooLarge: it has more than `most_bytes`; its body is not read.
            ObjectDamaged: it cannot be decompressed.
            StoreDown: the store answers no other request either.
        """
        wait_for_read(uri)
        try:
            answer = _ask(uri, lambda store, key: store.get(_checked(key)))
            if etag is not None and ETAG.fullmatch(etag):  # the size of another is no reason
                check_version(uri, clean_etag(answer.meta["e_tag"]), etag)
            check_size(uri, answer.range[1], most_bytes)  # its end, without all of `meta`
            data = bytes(answer.bytes())
            if data.startswith(GZIP_MAGIC):
                return decode_content(uri, data, answer.attributes, most_bytes)
            return data
        except GenericError as error:
            if is_temporary(error) and not _answers(connect(uri)[0]):
                where = f"cannot read {without_secrets(uri)!r}"
                raise StoreDown(f"{where}, or anything else there: {detail(error)}") from error
            raise

    def read_range(self, uri: str, start: int, length: int, etag: str | None) -> bytes:
        """Part of an object as it is stored, in one request."""
        wait_for_read(uri)
        options = {"range": (start, start + length)}
        answer = _ask(uri, lambda store, key: store.get(_checked(key), options=options))
        check_version(uri, clean_etag(answer.meta["e_tag"]), etag)
        return bytes(answer.bytes())

    def open_file(self, uri: str, read_ahead_bytes: int) -> BinaryIO:
        """The object as it is stored, as a seekable file, read with range requests."""
        return io.BufferedReader(_RemoteFile(uri), read_ahead_bytes)

    def write(self, uri: str, data: bytes) -> None:
        """Put the whole object."""
        store, key = connect(uri)
        store.put(key, data)

    @contextmanager
    def create_file(self, uri: str) -> Iterator[BinaryIO]:
        """A temporary file, put at the end; a large one in parts, which become visible together."""
        store, key = connect(uri)
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            store.put(key, file)

    def create(self, uri: str, data: bytes) -> bool:
        """Put the whole object with a conditional request."""
        store, key = connect(uri)
        try:
            store.put(key, data, mode="create")
        except AlreadyExistsError:
            return self.read(uri, None) == data
        return True

    def copy(self, source: str, target: str) -> None:
        """Copy an object within its bucket, over an existing one."""
        store, key = connect(source)
        with_retries(lambda: store.copy(key, connect(target)[1], overwrite=True))

    def delete_folder(self, uri: str) -> None:
        """Delete every object below a prefix."""
        store, prefix = connect(uri)
        with_retries(lambda: _delete_below(store, prefix))

    def head(self, uri: str) -> dict[str, Any] | None:
        """A row of `LISTING` for one object; None if there is no such object."""
        try:
            return row_of(uri, _ask(uri, lambda store, key: store.head(key)))
        except MISSING_ERRORS:
            return None

    def exists(self, uri: str) -> bool:
        """Whether there is an object at this address or below it."""
        return any(table.num_rows for table in list_prefix(uri))

    def list_below(self, uri: str, depth: float) -> Iterator[pa.Table]:
        """All objects below a prefix, however deep, and the object of exactly this address."""
        return list_prefix(uri)


def _ask(uri: str, request: Callable[[Any, str], Any]) -> Any:
    """The answer to a request; asked again if the store has decompressed the object."""
    try:
        return request(*connect(uri))
    except GenericError as error:
        if not is_decompressed_by_store(error):
            raise
    return request(*connect(uri, as_stored=True))


def _checked(key: str) -> str:
    """A key, if obstore uses it as it is: it would read `a` instead of `/a`."""
    if key.startswith("/") or key.endswith("/"):
        raise ValueError("no name can begin or end with a slash here (rename that object)")
    return key


def _answers(store: Any) -> bool:
    """Whether a store answers a request for an object that does not exist."""
    try:
        store.head(f"is-anybody-there-{uuid.uuid4().hex}")
    except MISSING_ERRORS:
        return True
    except ACCESS_ERRORS as error:
        return not is_temporary(error)
    return True


def _delete_below(store: Any, prefix: str) -> None:
    for chunk in obstore.list(store, prefix=prefix):
        try:
            store.delete([meta["path"] for meta in chunk])
        except MISSING_ERRORS:  # deleted by an earlier try
            continue


class _RemoteFile(io.RawIOBase):
    """An object as a seekable file: each read is one range request."""

    def __init__(self, uri: str) -> None:
        self._uri, self._at = uri, 0
        self._size = _ask(uri, lambda store, key: store.head(key))["size"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        with translate_errors("read", self._uri):
            buffer[:length] = bytes(_ask(self._uri, self._read_range(length)))
        self._at += length
        return int(length)

    def _read_range(self, length: int) -> Callable[[Any, str], Any]:
        start = self._at
        return lambda store, key: store.get_range(key, start=start, length=length)
