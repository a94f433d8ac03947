"""Files on disk: read, listed and written through the operating system.

obstore's local store costs eight times as much a file, and its listing fails on names that are not
UTF-8 (docs/decisions/obstore.md). What goes wrong with one file is an `OSError` or a `ValueError`
here; `storage` makes one line of it.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from pipelines.storage.objects import LISTING, LISTING_ROWS, check_size, check_version
from pipelines.storage.storage_errors import ACCESS_ERRORS, MISSING_ERRORS, storage_error

_LISTING_THREADS = 8
_Scanned = tuple[list[tuple[str, float]], list[pa.Table]]


def read(path: str, most_bytes: int | None) -> bytes:
    """A file whole, in four system calls: a file object makes nine."""
    handle, size_bytes = _open_regular(path)
    try:
        check_size(path, size_bytes, most_bytes)
        data = os.read(handle, size_bytes)
        while len(data) < size_bytes and (more := os.read(handle, size_bytes - len(data))):
            data += more
        return data
    finally:
        os.close(handle)


def read_range(path: str, start: int, length: int, etag: str | None) -> bytes:
    """Part of a file, if it is the version that is meant."""
    handle, _ = _open_regular(path)
    try:
        check_version(path, _etag(os.fstat(handle)), etag)
        return os.pread(handle, length, start)
    finally:
        os.close(handle)


def open_file(path: str) -> BinaryIO:
    """A file to read parts of."""
    return os.fdopen(_open_regular(path)[0], "rb")


def look_up(path: str) -> dict[str, Any] | None:
    """A row of `LISTING` for one file; None where there is none, or a folder."""
    try:
        found = os.stat(path)
    except MISSING_ERRORS:
        return None
    return _as_listing([path], [found]).to_pylist()[0] if stat.S_ISREG(found.st_mode) else None


def delete_folder(path: str) -> None:
    """Delete a folder with all that it holds; one that is not there is no error."""
    if os.path.isdir(path):
        shutil.rmtree(path)


def _open_regular(path: str) -> tuple[int, int]:
    """Open a file, and tell its size; not a pipe or a device, which would keep the reader waiting
    for ever."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    return handle, found.st_size


def write(path: Path, data: bytes) -> None:
    """A file whole."""
    with write_file(str(path)) as file:
        file.write(data)


@contextmanager
def write_file(path: str) -> Iterator[BinaryIO]:
    """Write under another name, then rename: readers see the old file or the new one."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def create(path: Path, data: bytes) -> None:
    """Write under another name, then link: unlike a rename, that refuses a name that is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def list_files(path: str, depth: float) -> Iterator[pa.Table]:
    """A path's files, or those of a folder and `depth` levels of folders in it.

    Raises:
        StorageError: there is no such path, or a folder cannot be listed.
    """
    try:
        if not os.path.isdir(path):
            yield _as_listing([path], [os.stat(path)])
            return
        yield from _gathered(_walk(path, depth))
    except ACCESS_ERRORS as error:
        where = getattr(error, "filename", None) or path
        raise storage_error("list", where, error) from error
    yield LISTING.empty_table()


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small tables, as of many small folders, put together."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= LISTING_ROWS:
            yield pa.concat_tables(held).combine_chunks()
            held, rows = [], 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _walk(path: str, depth: float) -> Iterator[pa.Table]:
    """Every file below a folder, folder after folder, several at a time: one on a network keeps
    its reader waiting."""
    waiting, running = [(path, depth)], set[Future[_Scanned]]()
    with ThreadPoolExecutor(_LISTING_THREADS, "list") as pool:
        while waiting or running:
            while waiting and len(running) < _LISTING_THREADS:
                running.add(pool.submit(_scan, *waiting.pop()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for folder in done:
                folders, tables = folder.result()
                waiting += folders
                yield from tables


def _scan(folder: str, levels: float) -> _Scanned:
    """A folder's folders, of which links are none since they may go round, and its files."""
    folders: list[tuple[str, float]] = []

    def files() -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if levels:
                        folders.append((entry.path, levels - 1))
                elif found := _stat_file(entry):
                    yield entry.path, found

    found, tables = files(), []
    while chunk := list(islice(found, LISTING_ROWS)):
        tables.append(_as_listing(*zip(*chunk, strict=True)))
    return folders, tables


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


def _as_listing(paths: Sequence[str], found: Sequence[os.stat_result]) -> pa.Table:
    """Files as a table of `LISTING`, column by column: an archive has millions of files."""
    modified_ns = [file.st_mtime_ns for file in found]
    sizes = [file.st_size for file in found]
    modified_at = LISTING.field("modified_at").type
    columns = [
        pa.array(map(_as_text, paths), pa.string()),
        pa.array(map(_etag, found), pa.string()),
        pa.array(sizes, pa.int64()),
        pa.array(modified_ns, pa.timestamp("ns", "UTC")).cast(modified_at, safe=False),
    ]
    return pa.table(columns, schema=LISTING)


def _etag(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def _as_text(path: str) -> str:
    """A file name that is not UTF-8 cannot stand in a table: its odd bytes are written out."""
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")
