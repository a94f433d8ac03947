"""Objects by address: local paths, `gs://` and `s3://`, read, listed and written the same way.

Local files go through the operating system (`local_files`), remote ones through obstore
(`object_store`), which reads an object at a twentieth of the CPU time of google-cloud-storage
(docs/decisions/obstore.md). This module tells them apart, and is the one that others import.
"""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import unquote

import pyarrow as pa

from pipelines.errors import StorageError, UsageError
from pipelines.storage import globs, local_files, object_listing, object_store
from pipelines.storage.object_store import StoreSettings as StoreSettings
from pipelines.storage.object_store import configure as configure
from pipelines.storage.object_store import delta_options as delta_options
from pipelines.storage.object_store import forget_stores as forget_stores
from pipelines.storage.objects import LISTING as LISTING
from pipelines.storage.objects import clean_etag as clean_etag
from pipelines.storage.storage_errors import ACCESS_ERRORS, SIGNED, TAKEN_ERRORS, storage_error

REMOTE_SCHEMES = ("gs", "s3")


def scheme_of(uri: str) -> str:
    """`gs`, `s3`, or "" for a local path.

    Raises:
        UsageError: another scheme.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme == "file" or "/" in scheme:
        return ""
    if scheme not in REMOTE_SCHEMES:
        raise UsageError(f"{uri!r}: use a local path, gs:// or s3://, not {scheme}://")
    return scheme


def is_remote(uri: str) -> bool:
    """Whether an address lies in an object store."""
    return scheme_of(uri) != ""


def absolute_uri(uri: str, base: str = "") -> str:
    """An address that does not depend on the working directory, without a trailing slash.

    A relative local path is taken from `base` (an absolute folder) or the working directory;
    `file://` addresses become paths.

    Raises:
        UsageError: another scheme, an address that is signed, or a `file://` address of another
            machine.
    """
    if is_remote(uri):
        _check_unsigned(uri)
        scheme, _, rest = uri.partition("://")
        return f"{scheme}://{rest.rstrip('/')}"
    if uri.startswith("file://"):
        return os.path.abspath(_file_path(uri))
    if base and not os.path.isabs(uri):
        return _below(base, uri) if is_remote(base) else os.path.abspath(os.path.join(base, uri))
    return os.path.abspath(uri)


def _check_unsigned(uri: str) -> None:
    """Addresses stand in tables and logs: what is to be kept secret has no place in them."""
    rest = uri.partition("://")[2]
    if SIGNED.search(rest) or "@" in rest.partition("/")[0]:
        shown = uri[: uri.find("?")] if SIGNED.search(rest) else uri.partition("://")[0] + "://"
        raise UsageError(
            f"an address that holds credentials ({shown!r}...): give it without them, "
            "and the credentials in the environment"
        )


def _below(base: str, path: str) -> str:
    """A relative path taken from a remote folder. Stores know no `.` and `..`, people do; nothing
    else is tidied: `a//b` and `a/b` are two objects."""
    if not {".", ".."} & set(path.split("/")):
        return f"{base}/{path}"
    scheme, bucket, key = object_store.split(base)
    return f"{scheme}://{bucket}/{posixpath.normpath(posixpath.join(key, path))}"


def join_uri(uri: str, *parts: str) -> str:
    """An address below another."""
    return "/".join([uri.rstrip("/"), *parts])


def parent_uri(uri: str) -> str:
    """The folder that an object lies in."""
    return uri.rpartition("/")[0] or "/"


def file_stem(uri: str) -> str:
    """File name without folder and extension.

    >>> file_stem("gs://bucket/night/train_1.v2.jpg"), file_stem("/chips/.hidden")
    ('train_1.v2', '.hidden')
    """
    name = uri.rstrip("/").rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def read_bytes(uri: str, most_bytes: int | None = None) -> bytes:
    """The whole object.

    Args:
        most_bytes: a size over which the object is not read at all.

    Raises:
        ObjectTooLarge: it has more than `most_bytes`.
        StorageError: it is not there, may not be read, or its store does not answer.
    """
    try:
        if not is_remote(uri):
            return local_files.read(uri, most_bytes)
        return object_store.read(uri, most_bytes)
    except ACCESS_ERRORS as error:
        raise storage_error("read", uri, error) from error


def read_range(uri: str, start: int, length: int, etag: str | None = None) -> bytes:
    """Part of an object; fewer bytes where it ends before.

    Args:
        etag: the version that is meant; None for any.

    Raises:
        StorageError: it is not there, was replaced, may not be read, or its store does not answer.
    """
    try:
        if not is_remote(uri):
            return local_files.read_range(uri, start, length, etag)
        return object_store.read_range(uri, start, length, etag)
    except ACCESS_ERRORS as error:
        raise storage_error("read", uri, error) from error


def open_file(uri: str, read_ahead_bytes: int = 1 << 20) -> BinaryIO:
    """The object as a file to read parts of, by range requests where it is remote.

    Args:
        read_ahead_bytes: what a range request asks for at least.

    Raises:
        StorageError: it is not there or may not be read.
    """
    try:
        if not is_remote(uri):
            return local_files.open_file(uri)
        return object_store.open_file(uri, read_ahead_bytes)
    except ACCESS_ERRORS as error:
        raise storage_error("read", uri, error) from error


def write_bytes(uri: str, data: bytes) -> None:
    """Put an object whole: readers see the old one or the new one, never a part.

    Raises:
        StorageError: the place cannot be written.
    """
    try:
        if is_remote(uri):
            object_store.write(uri, data)
        else:
            local_files.write(Path(uri), data)
    except ACCESS_ERRORS as error:
        raise storage_error("write", uri, error) from error


@contextmanager
def create_file(uri: str) -> Iterator[BinaryIO]:
    """A file to write to; put whole under its address, over what is there, once it is written.

    Raises:
        StorageError: the place cannot be written.
    """
    put = object_store.write_file if is_remote(uri) else local_files.write_file
    try:
        with put(uri) as file:
            yield file
    except ACCESS_ERRORS as error:
        raise storage_error("write", uri, error) from error


def create_bytes(uri: str, data: bytes) -> bool:
    """Put an object whole where there is none; of several who try at once, one does.

    Returns:
        Whether these bytes are there now; False leaves alone the others that are. (An object store
        whose answer is lost is asked again, and finds that the name is taken: by this very call.)

    Raises:
        StorageError: the place cannot be written.
    """
    try:
        if is_remote(uri):
            object_store.create(uri, data)
        else:
            local_files.create(Path(uri), data)
    except TAKEN_ERRORS:
        return is_remote(uri) and read_bytes(uri) == data
    except ACCESS_ERRORS as error:
        raise storage_error("write", uri, error) from error
    return True


def copy_object(source: str, target: str) -> None:
    """Copy an object over whatever was at the target; within a bucket the store does it.

    Raises:
        StorageError: the source is not there or the target cannot be written.
    """
    try:
        if is_remote(source) and _bucket(source) == _bucket(target):
            object_store.copy(source, target)
        else:
            write_bytes(target, read_bytes(source))
    except ACCESS_ERRORS as error:
        raise storage_error("copy", f"{source} to {target}", error) from error


def delete_folder(uri: str) -> None:
    """Delete every object below an address; a folder that is not there is no error.

    Raises:
        StorageError: something below it cannot be deleted.
    """
    try:
        if is_remote(uri):
            object_store.delete_folder(uri)
        else:
            local_files.delete_folder(uri)
    except ACCESS_ERRORS as error:
        raise storage_error("delete", uri, error) from error


def head_object(uri: str) -> dict[str, Any] | None:
    """A row of `LISTING` for one object, None where there is none (a folder is none).

    Raises:
        StorageError: the store does not answer.
    """
    try:
        return object_store.look_up(uri) if is_remote(uri) else local_files.look_up(uri)
    except ACCESS_ERRORS as error:
        raise storage_error("look up", uri, error) from error


def list_objects(uri: str) -> Iterator[pa.Table]:
    """What lies below a folder or matches a glob, as tables of schema `LISTING`, at least one.

    In a glob `*`, `?` and `[...]` stay within a folder and `**` crosses folders. What exists under
    the very address is listed, whatever characters it holds. One object's own address lists that
    object.

    Raises:
        StorageError: there is no such folder, or it cannot be listed.
    """
    folder = _fixed_part(uri)
    if folder == uri or _exists(uri):
        yield from _list_below(uri)
        return
    pattern = globs.to_regex(uri)
    for table in _list_below(folder, globs.depth_below(folder, uri)):
        matches = [pattern.fullmatch(name) is not None for name in table["uri"].to_pylist()]
        yield table.filter(pa.array(matches, pa.bool_()))


def fetch_folder(uri: str, folder: Path) -> None:
    """Copy the objects directly below a remote address into a local folder.

    Raises:
        StorageError: they cannot be listed or read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table in _list_below(uri):
        for found in table["uri"].to_pylist():
            if parent_uri(found) == uri.rstrip("/"):
                (folder / PurePosixPath(found).name).write_bytes(read_bytes(found))


def _bucket(uri: str) -> tuple[str, str]:
    return object_store.split(uri)[:2]


def _file_path(uri: str) -> str:
    host, _, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost"):
        raise UsageError(f"{uri!r} names the machine {host!r}; a local path is file:///PATH")
    return "/" + unquote(path)


def _exists(uri: str) -> bool:
    """Whether something lies under this very address, wildcard characters taken literally."""
    if not is_remote(uri):
        return os.path.exists(uri)
    return any(table.num_rows for table in object_listing.list_objects(uri))


def _list_below(uri: str, depth: float = math.inf) -> Iterator[pa.Table]:
    """List a folder and `depth` levels of folders in it (a remote listing goes through all)."""
    return (
        object_listing.list_objects(uri) if is_remote(uri) else local_files.list_files(uri, depth)
    )


def _fixed_part(pattern: str) -> str:
    """The folder above a glob's first wildcard; the address itself where it has none."""
    if not globs.WILDCARDS.search(pattern):
        return pattern
    if is_remote(pattern) and globs.WILDCARDS.search(_bucket(pattern)[1]):
        raise StorageError(f"cannot list {pattern!r}: a bucket's name holds no wildcards")
    return parent_uri(globs.WILDCARDS.split(pattern, maxsplit=1)[0])
