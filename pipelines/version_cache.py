"""What was read from objects, stored below OUTPUT: an unchanged object is not read again.

What is stored only saves time. If it is missing, damaged, of another format, another object or
another version of the object, the object is read. Every run stores the same for the same version,
so runs at the same time do no harm.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.storage import store

KEPT_DAYS = 30
"""Days after which an entry is deleted, whether its object still exists or not, so that the folder
does not grow without end and no entry is used forever."""

DIGEST_BYTES = hashlib.sha256().digest_size
"""Length of what is stored before the bytes of an object."""

_log = logging.getLogger(__name__)


@dataclass
class VersionCache:
    """One folder below an OUTPUT; several threads may ask at once.

    An object is a row of a listing with the column chip_uri.

    Attributes:
        output: address of the tables.
        folder, file: in this folder each object has a folder of its own, with this file.
        format: to be increased when other bytes are stored for the same object.
        store_new: whether to store what was read; False writes nothing.
        without: what the log says, once, if the cache cannot be used.
    """

    output: str
    folder: str
    file: str
    format: int
    store_new: bool
    without: str
    _disabled: bool = field(default=False, init=False)

    def load(self, listed: dict[str, Any]) -> bytes | None:
        """The bytes that were stored for this version of an object; None if there are none."""
        if self._disabled or not listed["etag"]:
            return None
        uri = self.uri_of(listed)
        try:
            stored = store.read_bytes(uri) if store.head_object(uri) else b""
        except StorageError as error:
            self._disable(error)
            return None
        return unpack(stored, listed, self.format)

    def can_save(self, listed: dict[str, Any]) -> bool:
        """Whether to store bytes for an object: not for one that is not the listed version now."""
        return bool(
            self.store_new and not self._disabled and listed["etag"] and _is_as_listed(listed)
        )

    def save(self, listed: dict[str, Any], data: bytes) -> bool:
        """Store bytes for an object; whether they are stored."""
        try:
            store.write_bytes(self.uri_of(listed), _digest(data, listed, self.format) + data)
        except StorageError as error:
            self._disable(error)
            return False
        return True

    def uri_of(self, listed: dict[str, Any]) -> str:
        """One address for all versions of an object: a new version replaces the old one."""
        name = hashlib.sha256(listed["chip_uri"].encode()).hexdigest()
        return store.join_uri(self.output, self.folder, name, self.file)

    def _disable(self, error: StorageError) -> None:
        """Stop using the cache: each object would wait again for a store that does not answer."""
        if not self._disabled:
            _log.warning("%s: %s", self.without, error)
        self._disabled = True


def unpack(stored: bytes, listed: dict[str, Any], form: int) -> bytes | None:
    """The bytes that `VersionCache.save` stored, if for this version of the object; else None."""
    data = stored[DIGEST_BYTES:]
    return data if stored[:DIGEST_BYTES] == _digest(data, listed, form) else None


def drop_old(output: str, folder: str, older_than: datetime, preview: bool) -> int:
    """Delete what was stored in a folder before a time; returns the number of objects.

    Raises:
        StorageError: they cannot be listed or deleted.
    """
    root = store.join_uri(output, folder)
    if not store.is_remote(root) and not Path(root).is_dir():
        return 0
    listed = pa.concat_tables(store.list_objects(root)).to_pylist()
    old = [row["uri"] for row in listed if (row["modified_at"] or older_than) < older_than]
    for uri in () if preview else old:
        store.delete_folder(store.parent_uri(uri))
    return len(old)


def _is_as_listed(listed: dict[str, Any]) -> bool:
    """Whether the object still is the version that was listed."""
    try:
        found = store.head_object(listed["chip_uri"])
    except StorageError:
        return False
    return found is not None and found["etag"] == listed["etag"]


def _digest(data: bytes, listed: dict[str, Any], form: int) -> bytes:
    """Covers the format and the version of the object, too: one comparison checks everything."""
    version = (form, listed["chip_uri"], listed["etag"], listed["size_bytes"])
    return hashlib.sha256(repr(version).encode() + data).digest()
