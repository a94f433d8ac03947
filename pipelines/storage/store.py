"""Objects by address: local paths, `gs://` and `s3://`, read, listed and written the same way.

This is the module that others import. `store_of` chooses the store: files on disk go through the
operating system, remote objects through obstore, which uses a twentieth of the CPU time of
google-cloud-storage per read (docs/decisions/obstore.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.storage import _globs
from pipelines.storage._connections import StoreSettings as StoreSettings
from pipelines.storage._connections import configure as configure
from pipelines.storage._connections import delta_options as delta_options
from pipelines.storage._connections import forget_stores as forget_stores
from pipelines.storage._local_store import LocalStore
from pipelines.storage._objects import LISTING as LISTING
from pipelines.storage._objects import clean_etag as clean_etag
from pipelines.storage._remote_store import RemoteStore
from pipelines.storage.addresses import absolute_uri as absolute_uri
from pipelines.storage.addresses import file_stem as file_stem
from pipelines.storage.addresses import is_remote as is_remote
from pipelines.storage.addresses import join_uri as join_uri
from pipelines.storage.addresses import parent_uri as parent_uri
from pipelines.storage.addresses import scheme_of as scheme_of
from pipelines.storage.addresses import split_uri
from pipelines.storage.protocol import Store
from pipelines.storage.storage_errors import ACCESS_ERRORS, storage_error, translate_errors

_LOCAL: Store = LocalStore()
_REMOTE = RemoteStore()


def store_of(uri: str) -> Store:
    """The store of an address.

    Raises:
        UsageError: its scheme is not supported.
    """
    return _REMOTE if is_remote(uri) else _LOCAL


def read_bytes(uri: str, most_bytes: int | None = None, etag: str | None = None) -> bytes:
    """The whole object.

    Args:
        most_bytes: larger objects are not read.
        etag: the expected version; None for any, and so is a text that is no etag of this store.

    Raises:
        ObjectTooLarge: it has more than `most_bytes`.
        StorageError: it does not exist, was replaced, may not be read, or its store does not
            answer.
    """
    try:  # called for each chip: a context manager would cost a tenth of a local read
        return store_of(uri).read(uri, most_bytes, etag)
    except ACCESS_ERRORS as error:
        raise storage_error("read", uri, error) from error


def read_range(uri: str, start: int, length: int, etag: str | None = None) -> bytes:
    """Part of an object; fewer bytes if it ends before.

    Args:
        etag: the expected version; None for any.

    Raises:
        StorageError: it does not exist, was replaced, may not be read, or its store does not
            answer.
    """
    with translate_errors("read", uri):
        return store_of(uri).read_range(uri, start, length, etag)


def open_file(uri: str, read_ahead_bytes: int = 1 << 20) -> BinaryIO:
    """The object as a seekable file, read with range requests if it is remote.

    Args:
        read_ahead_bytes: what a range request asks for at least.

    Raises:
        StorageError: it does not exist or may not be read.
    """
    with translate_errors("read", uri):
        return store_of(uri).open_file(uri, read_ahead_bytes)


def write_bytes(uri: str, data: bytes) -> None:
    """Write a whole object: readers see the old one or the new one, never a part.

    Raises:
        StorageError: it cannot be written.
    """
    with translate_errors("write", uri):
        store_of(uri).write(uri, data)


@contextmanager
def create_file(uri: str) -> Iterator[BinaryIO]:
    """A file to write to. At the end of the context it becomes the object, over an existing one.

    Raises:
        StorageError: it cannot be written.
    """
    with translate_errors("write", uri), store_of(uri).create_file(uri) as file:
        yield file


def create_bytes(uri: str, data: bytes) -> bool:
    """Write a whole object unless the address is taken; of several concurrent calls one succeeds.

    Returns:
        Whether the object has these bytes now. (If the answer of an object store is lost, the
        repeated request finds the name taken, by this same call.)

    Raises:
        StorageError: it cannot be written.
    """
    with translate_errors("write", uri):
        return store_of(uri).create(uri, data)


def copy_object(source: str, target: str) -> None:
    """Copy an object over an existing one; within a bucket the store does it.

    Raises:
        StorageError: the source does not exist or the target cannot be written.
    """
    with translate_errors("copy", f"{source} to {target}"):
        if is_remote(source) and split_uri(source)[:2] == split_uri(target)[:2]:
            _REMOTE.copy(source, target)
        else:
            write_bytes(target, read_bytes(source))


def delete_folder(uri: str) -> None:
    """Delete every object below an address; a missing folder is no error.

    Raises:
        StorageError: something below it cannot be deleted.
    """
    with translate_errors("delete", uri):
        store_of(uri).delete_folder(uri)


def head_object(uri: str) -> dict[str, Any] | None:
    """A row of `LISTING` for one object; None if there is no object, or only a folder.

    Raises:
        StorageError: the store does not answer.
    """
    with translate_errors("look up", uri):
        return store_of(uri).head(uri)


def written_bytes(uri: str) -> int:
    """Size of an object that was just written, for callers who then delete what it replaces.

    Raises:
        StorageError: the store does not have it, or does not answer.
    """
    found = head_object(uri)
    if found is None:
        raise StorageError(f"{uri!r} was written, but the store does not have it")
    return int(found["size_bytes"])


def list_objects(uri: str) -> Iterator[pa.Table]:
    """The objects below a folder, or those that match a glob: tables of `LISTING`, at least one.

    In a glob `*`, `?` and `[...]` stay within a folder and `**` crosses folders. If something
    exists at exactly this address, that is listed, whatever characters it contains. The address of
    one object lists that object.

    Raises:
        StorageError: there is no such folder, or it cannot be listed.
    """
    folder = _fixed_part(uri)
    with translate_errors("list", uri):
        exists = folder == uri or store_of(uri).exists(uri)
    if exists:
        yield from _list_below(uri)
        return
    for table in _list_below(folder, _globs.depth_below(folder, uri)):
        yield table.filter(_globs.matches(table["uri"], uri))


def _list_below(uri: str, depth: float = math.inf) -> Iterator[pa.Table]:
    with translate_errors("list", uri):
        yield from store_of(uri).list_below(uri, depth)


def _fixed_part(pattern: str) -> str:
    """The folder above a glob's first wildcard; the whole address if it has none."""
    if not _globs.WILDCARDS.search(pattern):
        return pattern
    if is_remote(pattern) and _globs.WILDCARDS.search(split_uri(pattern)[1]):
        raise StorageError(f"cannot list {pattern!r}: a bucket's name holds no wildcards")
    return parent_uri(_globs.WILDCARDS.split(pattern, maxsplit=1)[0])
