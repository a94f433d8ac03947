"""Objects by address: local paths, `gs://` and `s3://`, read, listed and written the same way.

Local files go through the operating system (obstore's local store costs eight times as much a
file, and fails on names that are not UTF-8); remote ones through obstore, which reads an object
at a twentieth of the CPU time of google-cloud-storage (docs/decisions/obstore.md).
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import posixpath
import re
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import unquote

import obstore
import obstore.store
import pyarrow as pa
from obstore.exceptions import BaseError as ObstoreError
from obstore.exceptions import InvalidPathError, NotFoundError

from pipelines import globs
from pipelines.errors import ObjectTooLarge, StorageError, UsageError

REMOTE_SCHEMES = ("gs", "s3")

LISTING = pa.schema(
    [
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Schema of what `list_objects` yields."""

_LIST_CHUNK = 50_000
_READ_AHEAD_BYTES = 1 << 20
_RETRIES: Any = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=120),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=15),
        "base": 2,
    },
}


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
        UsageError: another scheme, or a `file://` address of another machine.
    """
    if is_remote(uri):
        scheme, _, rest = uri.partition("://")
        return f"{scheme}://{rest.rstrip('/')}"
    if uri.startswith("file://"):
        return os.path.abspath(_file_path(uri))
    if base and not os.path.isabs(uri):
        return _below(base, uri) if is_remote(base) else os.path.abspath(os.path.join(base, uri))
    return os.path.abspath(uri)


def _below(base: str, path: str) -> str:
    """A relative path taken from a remote folder. Stores know no `.` and `..`, people do; nothing
    else is tidied: `a//b` and `a/b` are two objects."""
    if not {".", ".."} & set(path.split("/")):
        return f"{base}/{path}"
    scheme, bucket, key = _split(base)
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
            return _read_file(uri, most_bytes)
        store, key = _open(uri)
        answer = store.get(key)
        _check_size(uri, answer.range[1], most_bytes)  # its end; all of `meta` would cost more
        return bytes(answer.bytes())
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("read", uri, error) from error


def _check_size(uri: str, size_bytes: int, most_bytes: int | None) -> None:
    if most_bytes is not None and size_bytes > most_bytes:
        raise ObjectTooLarge(f"{uri!r} has {size_bytes:,} bytes, at most {most_bytes:,} are read")


def open_file(uri: str) -> BinaryIO:
    """The object as a file to read parts of, by range requests where it is remote.

    Raises:
        StorageError: it is not there or may not be read.
    """
    try:
        if not is_remote(uri):
            return os.fdopen(_open_regular(uri)[0], "rb")
        return cast(BinaryIO, io.BufferedReader(_RemoteFile(uri), _READ_AHEAD_BYTES))
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("read", uri, error) from error


def write_bytes(uri: str, data: bytes) -> None:
    """Put an object whole: readers see the old one or the new one, never a part.

    Raises:
        StorageError: the place cannot be written.
    """
    try:
        if is_remote(uri):
            store, key = _open(uri)
            store.put(key, data)
        else:
            _write_file(Path(uri), data)
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("write", uri, error) from error


def copy_object(source: str, target: str) -> None:
    """Copy an object over whatever was at the target; within a bucket the store does it.

    Raises:
        StorageError: the source is not there or the target cannot be written.
    """
    try:
        if is_remote(source) and _bucket(source) == _bucket(target):
            store, key = _open(source)
            store.copy(key, _open(target)[1], overwrite=True)
        else:
            write_bytes(target, read_bytes(source))
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("copy", f"{source} to {target}", error) from error


def delete_folder(uri: str) -> None:
    """Delete every object below an address; a folder that is not there is no error.

    Raises:
        StorageError: something below it cannot be deleted.
    """
    try:
        if is_remote(uri):
            store, prefix = _open(uri)
            for chunk in obstore.list(store, prefix=prefix):
                store.delete([meta["path"] for meta in chunk])
        elif os.path.isdir(uri):
            shutil.rmtree(uri)
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("delete", uri, error) from error


def head_object(uri: str) -> dict[str, Any] | None:
    """A row of `LISTING` for one object, None where there is none (a folder is none).

    Raises:
        StorageError: the store does not answer.
    """
    try:
        if is_remote(uri):
            store, key = _open(uri)
            meta = store.head(key)
            return _row(uri, clean_etag(meta["e_tag"]), meta["size"], meta["last_modified"])
        found = os.stat(uri)
        return _list_files([uri], [found]).to_pylist()[0] if stat.S_ISREG(found.st_mode) else None
    except (FileNotFoundError, NotADirectoryError, NotFoundError):
        return None
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("look up", uri, error) from error


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


def delta_options(uri: str) -> dict[str, str]:
    """Options with which delta-rs reaches the same store as this module does."""
    if scheme_of(uri) == "s3":
        return {"aws_conditional_put": "etag", **_allow_http("AWS_ENDPOINT_URL")}
    if scheme_of(uri) == "gs" and "STORAGE_EMULATOR_HOST" in os.environ:
        return {"google_service_account_key": _emulator_key(), "allow_http": "true"}
    return {}


def clean_etag(etag: str | None) -> str | None:
    """An etag without the quotes and the weak mark that some answers give and others leave out.

    >>> clean_etag('W/"abc"')
    'abc'
    """
    return None if etag is None else etag.removeprefix("W/").strip('"')


def forget_stores() -> None:
    """Drop the cached connections, for when the environment that made them has changed."""
    _store.cache_clear()


def _open(uri: str) -> tuple[Any, str]:
    scheme, bucket, key = _split(uri)
    if not bucket:
        raise ValueError("the address names no bucket")
    return _store(scheme, bucket), key


def _split(uri: str) -> tuple[str, str, str]:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return scheme, bucket, key


def _bucket(uri: str) -> tuple[str, str]:
    return _split(uri)[:2]


def _file_path(uri: str) -> str:
    host, _, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost"):
        raise UsageError(f"{uri!r} names the machine {host!r}; a local path is file:///PATH")
    return "/" + unquote(path)


def _read_file(path: str, most_bytes: int | None) -> bytes:
    """A file whole, in four system calls: a file object makes nine."""
    handle, size_bytes = _open_regular(path)
    try:
        _check_size(path, size_bytes, most_bytes)
        data = os.read(handle, size_bytes)
        while len(data) < size_bytes and (more := os.read(handle, size_bytes - len(data))):
            data += more
        return data
    finally:
        os.close(handle)


def _open_regular(path: str) -> tuple[int, int]:
    """Open a file, and tell its size; not a pipe or a device, which would keep the reader waiting
    for ever."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    return handle, found.st_size


@lru_cache(maxsize=64)
def _store(scheme: str, bucket: str) -> Any:
    if scheme == "s3":
        options: Any = _allow_http("AWS_ENDPOINT_URL")
        return obstore.store.S3Store(bucket, client_options=options, retry_config=_RETRIES)
    if "STORAGE_EMULATOR_HOST" in os.environ:
        return obstore.store.GCSStore(
            bucket,
            config={"service_account_key": _emulator_key()},
            client_options={"allow_http": True},
            retry_config=_RETRIES,
        )
    return obstore.store.GCSStore(bucket, retry_config=_RETRIES)


def _allow_http(variable: str) -> dict[str, str]:
    return {"allow_http": "true"} if os.environ.get(variable, "").startswith("http:") else {}


def _emulator_key() -> str:
    """A service account key that sends requests, unsigned, to STORAGE_EMULATOR_HOST."""
    host = os.environ["STORAGE_EMULATOR_HOST"]
    url = host if "://" in host else f"http://{host}"
    blank = {"client_email": "", "private_key": "", "private_key_id": ""}
    return json.dumps({"gcs_base_url": url, "disable_oauth": True, **blank})


def _exists(uri: str) -> bool:
    """Whether something lies under this very address, wildcard characters taken literally."""
    if not is_remote(uri):
        return os.path.exists(uri)
    return any(table.num_rows for table in _list_remote(uri))


def _list_below(uri: str, depth: float = math.inf) -> Iterator[pa.Table]:
    """List a folder and `depth` levels of folders in it (a remote listing goes through all)."""
    return _list_remote(uri) if is_remote(uri) else _list_local(uri, depth)


def _list_remote(uri: str) -> Iterator[pa.Table]:
    try:
        store, prefix = _open(uri)
        root = uri[: len(uri) - len(prefix)].rstrip("/") + "/"
        for chunk in obstore.list(store, prefix=prefix or None, chunk_size=_LIST_CHUNK):
            yield _listing(
                _row(root + m["path"], clean_etag(m["e_tag"]), m["size"], m["last_modified"])
                for m in chunk
            )
        meta = head_object(uri) if prefix else None
        yield _listing([meta] if meta else [])
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("list", uri, error) from error


def _list_local(path: str, depth: float) -> Iterator[pa.Table]:
    files = _walk(path, depth)
    try:
        while chunk := list(islice(files, _LIST_CHUNK)):
            paths, found = zip(*chunk, strict=True)
            yield _list_files(paths, found)
    except (OSError, ValueError) as error:
        where = getattr(error, "filename", None) or path
        raise _storage_error("list", where, error) from error
    yield LISTING.empty_table()


def _walk(path: str, depth: float) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a path; links to folders are not followed, since they may go round."""
    if not os.path.isdir(path):
        yield path, os.stat(path)
        return
    folders = [(path, depth)]
    while folders:
        folder, levels = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if levels:
                        folders.append((entry.path, levels - 1))
                elif found := _stat_file(entry):
                    yield entry.path, found


def _stat_file(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None for what is no file, or no longer there. A link that leads nowhere is listed: its
    chip is missing, and the reading says so."""
    try:
        found = entry.stat()
    except OSError as error:
        if entry.is_symlink():
            return entry.stat(follow_symlinks=False)
        if isinstance(error, FileNotFoundError):
            return None
        raise
    return found if stat.S_ISREG(found.st_mode) or entry.is_symlink() else None


def _list_files(paths: Sequence[str], found: Sequence[os.stat_result]) -> pa.Table:
    """Rows of `LISTING`, column by column: an archive has millions of files."""
    modified_ns = [file.st_mtime_ns for file in found]
    sizes = [file.st_size for file in found]
    modified_at = LISTING.field("modified_at").type
    columns = [
        pa.array(map(_as_text, paths), pa.string()),
        pa.array([f"{ns:x}-{size:x}" for ns, size in zip(modified_ns, sizes, strict=True)]),
        pa.array(sizes, pa.int64()),
        pa.array(modified_ns, pa.timestamp("ns", "UTC")).cast(modified_at, safe=False),
    ]
    return pa.table(columns, schema=LISTING)


def _as_text(path: str) -> str:
    """A file name that is not UTF-8 cannot stand in a table: its odd bytes are written out."""
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _row(uri: str, etag: str | None, size: int, modified_at: datetime) -> dict[str, Any]:
    return {"uri": uri, "etag": etag, "size_bytes": size, "modified_at": modified_at}


def _listing(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), LISTING)


def _fixed_part(pattern: str) -> str:
    """The folder above a glob's first wildcard; the address itself where it has none."""
    if not globs.WILDCARDS.search(pattern):
        return pattern
    if is_remote(pattern) and globs.WILDCARDS.search(_bucket(pattern)[1]):
        raise StorageError(f"cannot list {pattern!r}: a bucket's name holds no wildcards")
    return parent_uri(globs.WILDCARDS.split(pattern, maxsplit=1)[0])


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
        except (OSError, ValueError, ObstoreError) as error:
            raise _storage_error("read", self._uri, error) from error
        self._at += length
        return int(length)


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


_ERROR_CODE = re.compile(r"<Code>(\w+)</Code>")
_REQUEST_NOISE = re.compile(r" in [\d.]+[nµm]?s\b|: <\?xml .*", re.DOTALL)
_MAX_DETAIL = 300


def _storage_error(verb: str, uri: str, error: Exception) -> StorageError:
    """One line; obstore's own texts go on for many, with the request and its headers."""
    return StorageError(f"cannot {verb} {uri!r}: {_detail(error)}")


def _detail(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).partition("\n\nDebug source:")[0]
    code = _ERROR_CODE.search(text)
    if isinstance(error, FileNotFoundError | NotFoundError):
        return "no such bucket" if code and code[1] == "NoSuchBucket" else "no such object"
    text = _REQUEST_NOISE.sub("", text).strip() or type(error).__name__
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if isinstance(error, InvalidPathError):
        line += " (rename that object, or name the chips in a manifest)"
    return line[:_MAX_DETAIL] + (f" ({code[1]})" if code else "")
