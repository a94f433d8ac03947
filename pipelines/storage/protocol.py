"""What every store can do: one protocol, with an implementation for disks and one for buckets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol

import pyarrow as pa


class Store(Protocol):
    """Objects by absolute address. `pipelines.storage.store` documents each operation; it also
    translates the errors, which are `storage_errors.ACCESS_ERRORS` or `StorageError` here."""

    def read(self, uri: str, most_bytes: int | None, etag: str | None = None) -> bytes:
        """The whole object, if its etag is this one (None: any)."""

    def read_range(self, uri: str, start: int, length: int, etag: str | None) -> bytes:
        """Part of an object, if its etag is this one (None: any)."""

    def open_file(self, uri: str, read_ahead_bytes: int) -> BinaryIO:
        """The object as a seekable file."""

    def write(self, uri: str, data: bytes) -> None:
        """Write the whole object, over an existing one."""

    def create_file(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """A file to write to, which replaces the object when the context ends."""

    def create(self, uri: str, data: bytes) -> bool:
        """Write the whole object unless the address is taken; whether it has these bytes now."""

    def delete_folder(self, uri: str) -> None:
        """Delete every object below an address."""

    def head(self, uri: str) -> dict[str, Any] | None:
        """A row of `LISTING` for one object; None if there is no such object."""

    def exists(self, uri: str) -> bool:
        """Whether there is an object or a folder at exactly this address."""

    def list_below(self, uri: str, depth: float) -> Iterator[pa.Table]:
        """Tables of `LISTING`, at least one: the objects in a folder and in at least `depth`
        levels of folders below it, and the object of exactly this address."""
