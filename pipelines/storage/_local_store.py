"""Files on disk: read, listed and written through the operating system.

obstore's local store costs eight times as much per file, and its listing fails on names that are
not UTF-8 (docs/decisions/obstore.md).
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa

from pipelines.storage._objects import LISTING, LISTING_ROWS, check_size, check_version
from pipelines.storage.hidden_names import HIDDEN_IN_ADDRESS
from pipelines.storage.storage_errors import MISSING_ERRORS, storage_error

_LISTING_THREADS = 8
_FIRST_NS = -62_135_596_800 * 10**9  # the year 1
_LAST_NS = 253_402_300_800 * 10**9 - 1  # the end of 9999
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")
_ETAG = re.compile(r"-?[0-9a-f]+-[0-9a-f]+")
_OPEN = partial(os.open, flags=os.O_RDONLY | os.O_NONBLOCK)
_T = TypeVar("_T")
_Scanned = tuple[list[tuple[str, float]], list[pa.Table]]


class LocalStore:
    """The files of this machine."""

    def read(self, uri: str, most_bytes: int | None, etag: str | None = None) -> bytes:
        """The whole file, in five system calls: a file object makes nine."""
        handle, found = _open_regular(uri)
        try:
            _check_version(uri, found, etag)  # first: the size of another version is no reason
            size_bytes = found.st_size
            check_size(uri, size_bytes, most_bytes)
            data = os.read(handle, size_bytes)
            while len(data) < size_bytes and (more := os.read(handle, size_bytes - len(data))):
                data += more
            _check_unchanged(handle, found)
            return data
        finally:
            os.close(handle)

    def read_range(self, uri: str, start: int, length: int, etag: str | None) -> bytes:
        """Part of a file."""
        handle, found = _open_regular(uri)
        try:
            _check_version(uri, found, etag)
            data = os.pread(handle, length, start)
            _check_unchanged(handle, found)
            return data
        finally:
            os.close(handle)

    def open_file(self, uri: str, read_ahead_bytes: int) -> BinaryIO:
        """The file; the operating system reads ahead."""
        return os.fdopen(_open_regular(uri)[0], "rb")

    def write(self, uri: str, data: bytes) -> None:
        """Write the whole file."""
        with self.create_file(uri) as file:
            file.write(data)

    @contextmanager
    def create_file(self, uri: str) -> Iterator[BinaryIO]:
        """Write to another name, then rename: readers see the old file or the new one."""
        temporary = _temporary_name(uri)
        try:
            with temporary.open("wb") as file:
                yield file
            temporary.replace(uri)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def create(self, uri: str, data: bytes) -> bool:
        """Write to another name, then link: unlike a rename, that fails if the name is taken."""
        temporary = _temporary_name(uri)
        try:
            temporary.write_bytes(data)
            os.link(temporary, uri)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def delete_folder(self, uri: str) -> None:
        """Delete a folder with all its contents."""
        if os.path.isdir(uri):
            shutil.rmtree(uri)

    def head(self, uri: str) -> dict[str, Any] | None:
        """A row of `LISTING` for one file; None for a folder, too."""
        try:
            found = _at_path(uri, os.stat)
        except MISSING_ERRORS:
            return None
        return _as_listing([uri], [found]).to_pylist()[0] if stat.S_ISREG(found.st_mode) else None

    def exists(self, uri: str) -> bool:
        """Whether there is a file or a folder at this path."""
        return os.path.exists(uri)

    def list_below(self, uri: str, depth: float) -> Iterator[pa.Table]:
        """The file, or the files in a folder and in `depth` levels of folders below it."""
        if os.path.isdir(uri):
            yield from _gathered(_walk(uri, depth))
            yield LISTING.empty_table()
        else:
            yield _as_listing([uri], [os.stat(uri)])


def _open_regular(path: str) -> tuple[int, os.stat_result]:
    """A file descriptor, and what the system knows of the file. A pipe or a device is refused: it
    would block the reader forever."""
    handle = _at_path(path, _OPEN)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    return handle, found


def _check_version(path: str, found: os.stat_result, etag: str | None) -> None:
    if etag is not None and _ETAG.fullmatch(etag):
        check_version(path, _etag(found), etag)


def _check_unchanged(handle: int, before: os.stat_result) -> None:
    """Refuse what was read from a file that was written meanwhile."""
    after = os.fstat(handle)
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise OSError(errno.EBUSY, "it was written while it was read")


def _at_path(path: str, operation: Callable[[str | bytes], _T]) -> _T:
    """An operation on a file; if there is none, on the file whose listed name this is: `_as_text`
    escapes bytes that are not UTF-8."""
    try:
        return operation(path)
    except FileNotFoundError:
        raw = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(path))
        if raw == os.fsencode(path):
            raise
        return operation(raw)


def _temporary_name(path: str) -> Path:
    """A new name next to a path, whose folder is created."""
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".writing-{uuid.uuid4().hex}"


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small tables, such as those of many small folders, concatenated."""
    parts: list[pa.Table] = []
    rows = 0
    for table in tables:
        parts.append(table)
        rows += table.num_rows
        if rows >= LISTING_ROWS:
            yield pa.concat_tables(parts).combine_chunks()
            parts, rows = [], 0
    if parts:
        yield pa.concat_tables(parts).combine_chunks()


def _walk(path: str, depth: float) -> Iterator[pa.Table]:
    """Every file below a folder. Several folders are read at a time, because folders on a network
    disk answer slowly."""
    waiting, running = [(path, depth)], set[Future[_Scanned]]()
    with ThreadPoolExecutor(_LISTING_THREADS, "list") as pool:
        while waiting or running:
            while waiting and len(running) < _LISTING_THREADS:
                running.add(pool.submit(_scan, path, *waiting.pop()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for folder in done:
                folders, tables = folder.result()
                waiting += folders
                yield from tables


def _scan(root: str, folder: str, levels: float) -> _Scanned:
    """The folders and files in a folder. Links to folders are left out: they may form a circle."""
    folders: list[tuple[str, float]] = []
    unknown: list[str] = []

    def files() -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if levels:
                            folders.append((entry.path, levels - 1))
                    elif found := _stat_file(entry):
                        yield entry.path, found
                except OSError:  # the file's own fault, which its reader reports
                    unknown.append(entry.path)

    found, tables = files(), []
    try:
        while chunk := list(islice(found, LISTING_ROWS)):
            tables.append(_as_listing(*zip(*chunk, strict=True)))
    except OSError as error:
        if folder == root or not _can_be_left_out(folder[len(root) :], error):
            raise storage_error("list", folder, error) from error
    return folders, [*tables, _without_metadata(unknown)] if unknown else tables


def _can_be_left_out(folder: str, error: OSError) -> bool:
    """Whether a folder that cannot be read was deleted meanwhile, or has no user's files."""
    return isinstance(error, FileNotFoundError) or HIDDEN_IN_ADDRESS.search(folder) is not None


def _without_metadata(paths: Sequence[str]) -> pa.Table:
    """Files of which only the names are known, as a table of `LISTING`."""
    return pa.Table.from_pylist([{"uri": _as_text(path)} for path in paths], LISTING)


def _stat_file(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None if it is not a file, or was deleted. A broken link is listed: its chip is missing, which
    the reader reports."""
    try:
        found = entry.stat()
    except OSError as error:
        if entry.is_symlink():
            return entry.stat(follow_symlinks=False)
        if isinstance(error, FileNotFoundError):
            return None
        raise
    return found if stat.S_ISREG(found.st_mode) or entry.is_symlink() else None


def _as_listing(paths: Sequence[str], found: Sequence[os.stat_result]) -> pa.Table:
    """Files as a table of `LISTING`, column by column: an archive has millions of files."""
    modified_us = [_microseconds(file.st_mtime_ns) for file in found]
    sizes = [file.st_size for file in found]
    columns = [
        pa.array(map(_as_text, paths), pa.string()),
        pa.array(map(_etag, found), pa.string()),
        pa.array(sizes, pa.int64()),
        pa.array(modified_us, LISTING.field("modified_at").type),
    ]
    return pa.table(columns, schema=LISTING)


def _microseconds(time_ns: int) -> int | None:
    """A file's time since 1970; None outside the calendar, which a damaged disk may claim."""
    return time_ns // 1000 if _FIRST_NS <= time_ns <= _LAST_NS else None


def _etag(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def _as_text(path: str) -> str:
    """A file name as text; bytes that are not UTF-8, which a table cannot store, are escaped."""
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")
