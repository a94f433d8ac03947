"""Indexes of tars, stored below OUTPUT: an unchanged tar is not read again on the next night.

A stored index only saves time. If it is missing, damaged, of another format, another tar or another
version of the tar, the tar is read. Every run stores the same index for the same version, so runs
at the same time do no harm.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import StorageError
from pipelines.storage import store
from pipelines.tars.tar_chips import members_of
from pipelines.tars.tar_index import Member

FOLDER = "_tar_index"
KEPT_DAYS = 30
"""Days after which an index is deleted, whether its tar still exists or not, so that the folder
does not grow without end and no index is used forever."""

_FORMAT = 1
"""Increase it when the same tar yields other members, or when they are stored differently."""

_FILE = "members"
_SCHEMA = pa.schema(
    [("name", pa.string()), ("offset_bytes", pa.int64()), ("size_bytes", pa.int64())]
)
_DIGEST_BYTES = hashlib.sha256().digest_size

_log = logging.getLogger(__name__)


class IndexCache:
    """The indexes below one OUTPUT; several threads may ask at once.

    Args:
        output: address of the tables.
        store_new: whether to store the indexes of tars that were read; False writes nothing.
    """

    def __init__(self, output: str, store_new: bool = True) -> None:
        self._output, self._store_new, self._disabled = output, store_new, False

    def members_of(self, shard: dict[str, Any]) -> Iterator[Member]:
        """The members of a shard, as `tar_chips.members_of` returns them.

        Args:
            shard: its row of a listing, with the column chip_uri.

        Raises:
            DamagedTar: it cannot be read to its end.
            StorageError: it cannot be read at all.
        """
        if not shard["etag"]:
            yield from members_of(shard["chip_uri"])
        elif (stored := self._load(shard)) is not None:
            yield from stored
        else:
            found = []
            for member in members_of(shard["chip_uri"]):
                found.append(member)
                yield member
            if self._store_new and _is_as_listed(shard):
                self._store(shard, found)

    def _load(self, shard: dict[str, Any]) -> Iterator[Member] | None:
        if self._disabled:
            return None
        uri = _uri_of(self._output, shard)
        try:
            return _unpack(store.read_bytes(uri), shard) if store.head_object(uri) else None
        except StorageError as error:
            self._disable(error)
            return None

    def _store(self, shard: dict[str, Any], members: Sequence[Member]) -> None:
        if self._disabled:
            return
        try:
            store.write_bytes(_uri_of(self._output, shard), _pack(members, shard))
        except StorageError as error:
            self._disable(error)

    def _disable(self, error: StorageError) -> None:
        """Stop using the cache: each shard would wait again for a store that does not answer."""
        if not self._disabled:
            _log.warning("tars are read without their stored indexes: %s", error)
        self._disabled = True


def drop_old(output: str, older_than: datetime, preview: bool) -> int:
    """Delete the indexes written before a time; returns their number.

    Raises:
        StorageError: they cannot be listed or deleted.
    """
    root = store.join_uri(output, FOLDER)
    if not store.is_remote(root) and not Path(root).is_dir():
        return 0
    listed = pa.concat_tables(store.list_objects(root)).to_pylist()
    old = [row["uri"] for row in listed if (row["modified_at"] or older_than) < older_than]
    for uri in () if preview else old:
        store.delete_folder(store.parent_uri(uri))
    return len(old)


def _uri_of(output: str, shard: dict[str, Any]) -> str:
    """One address for all versions of a shard: a new version's index replaces the old one."""
    name = hashlib.sha256(shard["chip_uri"].encode()).hexdigest()
    return store.join_uri(output, FOLDER, name, _FILE)


def _is_as_listed(shard: dict[str, Any]) -> bool:
    """Whether the shard still is the version that was listed."""
    try:
        found = store.head_object(shard["chip_uri"])
    except StorageError:
        return False
    return found is not None and found["etag"] == shard["etag"]


def _pack(members: Sequence[Member], shard: dict[str, Any]) -> bytes:
    """A digest, then the members as a Parquet file."""
    names, offsets, sizes = zip(*members, strict=True) if members else ((), (), ())
    buffer = io.BytesIO()
    pq.write_table(pa.table([names, offsets, sizes], schema=_SCHEMA), buffer, compression="zstd")
    return _digest(buffer.getvalue(), shard) + buffer.getvalue()


def _unpack(data: bytes, shard: dict[str, Any]) -> Iterator[Member] | None:
    """The members, if `_pack` wrote them for this version of the shard; else None."""
    digest, rows = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if digest != _digest(rows, shard):
        return None
    columns = pq.ParquetFile(io.BytesIO(rows)).read(use_threads=False).to_pydict()
    return map(Member, *(columns[name] for name in _SCHEMA.names))


def _digest(rows: bytes, shard: dict[str, Any]) -> bytes:
    """Covers the format and the version of the shard, too: one comparison checks everything."""
    version = repr((_FORMAT, shard["chip_uri"], shard["etag"], shard["size_bytes"])).encode()
    return hashlib.sha256(version + rows).digest()
