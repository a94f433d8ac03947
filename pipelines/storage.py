"""Objects by address: local paths, `gs://` and `s3://`, read, listed and written the same way.

Local files go through the operating system (obstore's local store costs eight times as much a
file, and fails on names that are not UTF-8); remote ones through obstore, which reads an object
at a twentieth of the CPU time of google-cloud-storage (docs/decisions/obstore.md).
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import obstore
import obstore.store
import pyarrow as pa
from obstore.exceptions import BaseError as ObstoreError
from obstore.exceptions import NotFoundError

from pipelines.errors import StorageError, UsageError

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
_WILDCARDS = re.compile(r"[*?\[]")
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
    """
    if is_remote(uri):
        scheme, _, rest = uri.partition("://")
        return f"{scheme}://{rest.rstrip('/')}"
    if uri.startswith("file://"):
        return os.path.abspath(unquote(urlsplit(uri).path))
    if base and not os.path.isabs(uri):
        return f"{base}/{uri}" if is_remote(base) else os.path.abspath(os.path.join(base, uri))
    return os.path.abspath(uri)


def join_uri(uri: str, *parts: str) -> str:
    """An address below another."""
    return "/".join([uri.rstrip("/"), *parts])


def parent_uri(uri: str) -> str:
    """The folder that an object lies in."""
    return uri.rpartition("/")[0] or "/"


def file_stem(uri: str) -> str:
    """File name without folder and extension."""
    return PurePosixPath(uri).stem


def read_bytes(uri: str) -> bytes:
    """The whole object.

    Raises:
        StorageError: it is not there, may not be read, or its store does not answer.
    """
    try:
        if not is_remote(uri):
            with open(uri, "rb") as file:
                return file.read()
        store, key = _open(uri)
        return bytes(store.get(key).bytes())
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("read", uri, error) from error


def open_file(uri: str) -> BinaryIO:
    """The object as a file to read parts of, by range requests where it is remote.

    Raises:
        StorageError: it is not there or may not be read.
    """
    try:
        if not is_remote(uri):
            return open(uri, "rb")  # the caller closes it
        return cast(BinaryIO, io.BufferedReader(_RemoteFile(*_open(uri)), _READ_AHEAD_BYTES))
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
    """Copy an object within one store, over whatever was at the target.

    Raises:
        StorageError: the source is not there or the target cannot be written.
    """
    try:
        if is_remote(source):
            store, key = _open(source)
            store.copy(key, _open(target)[1], overwrite=True)
        else:
            _write_file(Path(target), Path(source).read_bytes())
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
    except (OSError, ObstoreError) as error:
        raise _storage_error("delete", uri, error) from error


def head_object(uri: str) -> dict[str, Any] | None:
    """A row of `LISTING` for one object, None where there is none.

    Raises:
        StorageError: the store does not answer.
    """
    try:
        if is_remote(uri):
            store, key = _open(uri)
            meta = store.head(key)
            return _row(uri, clean_etag(meta["e_tag"]), meta["size"], meta["last_modified"])
        return _local_row(uri, os.stat(uri))
    except (FileNotFoundError, NotFoundError):
        return None
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("look up", uri, error) from error


def list_objects(uri: str) -> Iterator[pa.Table]:
    """What lies below a folder or matches a glob, as tables of schema `LISTING`.

    In a glob `*` and `?` stay within a folder and `**` crosses folders. A folder whose name
    holds such a character is a folder. One object's own address lists that object.

    Raises:
        StorageError: there is no such folder, or it cannot be listed.
    """
    if not is_remote(uri) and os.path.exists(uri):
        yield from _list_local(uri)
    elif _WILDCARDS.search(uri):
        pattern = _glob_pattern(uri)
        for table in _list_below(_fixed_part(uri)):
            matches = [pattern.fullmatch(name) is not None for name in table["uri"].to_pylist()]
            yield table.filter(pa.array(matches, pa.bool_()))
    else:
        yield from _list_below(uri)


def fetch_folder(uri: str, folder: Path) -> None:
    """Copy the objects directly below a remote address into a local folder.

    Raises:
        StorageError: they cannot be listed or read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table in list_objects(uri):
        for found in table["uri"].to_pylist():
            if parent_uri(found) == uri:
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
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise ValueError("the address names no bucket")
    return _store(scheme, bucket), key


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


def _list_below(uri: str) -> Iterator[pa.Table]:
    return _list_remote(uri) if is_remote(uri) else _list_local(uri)


def _list_remote(uri: str) -> Iterator[pa.Table]:
    try:
        store, prefix = _open(uri)
        root = uri[: len(uri) - len(prefix)].rstrip("/") + "/"
        for chunk in obstore.list(store, prefix=prefix or None, chunk_size=_LIST_CHUNK):
            yield _listing(
                _row(root + m["path"], clean_etag(m["e_tag"]), m["size"], m["last_modified"])
                for m in chunk
            )
        if prefix and (meta := head_object(uri)):
            yield _listing([meta])
    except (OSError, ValueError, ObstoreError) as error:
        raise _storage_error("list", uri, error) from error


def _list_local(path: str) -> Iterator[pa.Table]:
    rows: list[dict[str, Any]] = []
    try:
        for entry_path, stat in _walk(path):
            rows.append(_local_row(entry_path, stat))
            if len(rows) == _LIST_CHUNK:
                yield _listing(rows)
                rows = []
    except OSError as error:
        raise _storage_error("list", path, error) from error
    yield _listing(rows)


def _walk(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a path; links to folders are not followed, since they may go round."""
    if not os.path.isdir(path):
        yield path, os.stat(path)
        return
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file() or entry.is_symlink():
                    yield entry.path, entry.stat(follow_symlinks=entry.is_file())


def _local_row(path: str, stat: os.stat_result) -> dict[str, Any]:
    etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
    modified_at = datetime.fromtimestamp(stat.st_mtime, UTC)
    return _row(_as_text(path), etag, stat.st_size, modified_at)


def _as_text(path: str) -> str:
    """A file name that is not UTF-8 cannot stand in a table: its odd bytes are written out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _row(uri: str, etag: str | None, size: int, modified_at: datetime) -> dict[str, Any]:
    return {"uri": uri, "etag": etag, "size_bytes": size, "modified_at": modified_at}


def _listing(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), LISTING)


def _fixed_part(pattern: str) -> str:
    """The folder above a glob's first wildcard."""
    found = _WILDCARDS.search(pattern)
    return pattern if found is None else parent_uri(pattern[: found.start()])


class _RemoteFile(io.RawIOBase):
    """An object as a seekable file: each read is one range request."""

    def __init__(self, store: Any, key: str) -> None:
        self._store, self._key, self._at = store, key, 0
        self._size = store.head(key)["size"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        part = self._store.get_range(self._key, start=self._at, length=length)
        buffer[:length] = bytes(part)
        self._at += length
        return int(length)


_GLOB_PARTS = re.compile(
    r"(?P<folders>\*\*/)|(?P<any>\*\*)|(?P<star>\*)|(?P<one>\?)|(?P<set>\[[^]/]+\])"
)
_GLOB_REGEX = {"folders": "(?:.*/)?", "any": ".*", "star": "[^/]*", "one": "[^/]"}


def _glob_pattern(uri: str) -> re.Pattern[str]:
    pattern, end = "", 0
    for part in _GLOB_PARTS.finditer(uri):
        letters = part.group().replace("[!", "[^", 1).replace("\\", r"\\")
        pattern += re.escape(uri[end : part.start()]) + _GLOB_REGEX.get(
            part.lastgroup or "", letters
        )
        end = part.end()
    return re.compile(pattern + re.escape(uri[end:]), re.DOTALL)


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _storage_error(verb: str, uri: str, error: Exception) -> StorageError:
    """One line; obstore's own texts go on for many, with the request and its headers."""
    detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first_line = detail.strip().splitlines()[0] if detail.strip() else type(error).__name__
    return StorageError(f"cannot {verb} {uri!r}: {first_line[:300]}")
