"""Files of a local table are written to the disk before a commit names them, and the log after it.

Without this, a power cut can leave a commit whose files are empty, although the command has said
that its run is published and has deleted what it had staged. Object stores answer only when an
object is durable.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deltalake import DeltaTable

from pipelines.storage.storage_errors import translate_errors
from pipelines.storage.store import absolute_uri, is_remote

_THREADS = 16
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
"""What file systems answer that do not sync folders."""


def sync_files(table: DeltaTable, paths: Iterable[str]) -> None:
    """Wait until files of a table are on the disk, with the folders that name them.

    Args:
        paths: relative to the table's root.

    Raises:
        StorageError: the disk reports an error.
    """
    if is_remote(table.table_uri):
        return
    root = Path(absolute_uri(table.table_uri))
    files = [root / path for path in paths]
    folders = {folder for file in files for folder in _up_to(root, file)}
    _sync([*files, *sorted(folders)] if files else [])


def sync_written(uris: Iterable[str]) -> None:
    """Wait until some files are on the disk, with the folders that name them.

    Raises:
        StorageError: the disk reports an error.
    """
    files = [Path(uri) for uri in uris if not is_remote(uri)]
    _sync([*files, *sorted({file.parent for file in files})] if files else [])


def sync_log(table: DeltaTable) -> None:
    """Wait until the log of a table is on the disk.

    Raises:
        StorageError: the disk reports an error.
    """
    if is_remote(table.table_uri):
        return
    root = Path(absolute_uri(table.table_uri))
    log = root / "_delta_log"
    with translate_errors("list", str(log)):
        entries = [path for path in log.iterdir() if path.is_file()]
    _sync([*entries, log, root, root.parent])


def _up_to(root: Path, file: Path) -> list[Path]:
    """The folders of a file, from the root of the table."""
    return [folder for folder in file.parents if folder == root or root in folder.parents]


def _sync(paths: list[Path]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(_sync_one, paths))


def _sync_one(path: Path) -> None:
    with translate_errors("sync", str(path)):
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # a file of the log that is renamed or cleaned up
            if path.parent.name == "_delta_log":
                return
            raise
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in _NO_SYNC or not path.is_dir():
                raise
        finally:
            os.close(handle)
