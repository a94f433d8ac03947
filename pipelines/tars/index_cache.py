"""Indexes of tars, kept below OUTPUT from night to night: an unchanged tar is not read again.

A kept index saves time and says nothing new: one that is missing, damaged, of another format, of
another tar or of another version of it is not used, and the tar is read. Whoever reads the same
version keeps the same index, so that runs at the same time do no harm.
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
"""Days after which an index is deleted, whether its tar is still there or not: so the folder does
not grow without end, and nothing is believed for ever."""

_FORMAT = 1
"""To be raised when other members are found in the same tar, or they are stored otherwise."""

_FILE = "members"
_SCHEMA = pa.schema(
    [("name", pa.string()), ("offset_bytes", pa.int64()), ("size_bytes", pa.int64())]
)
_DIGEST_BYTES = hashlib.sha256().digest_size

_log = logging.getLogger(__name__)


class KeptIndexes:
    """The indexes below one OUTPUT; several threads may ask at once.

    Args:
        output: address of the tables.
        keep: whether to keep what is read; False writes nothing.
    """

    def __init__(self, output: str, keep: bool = True) -> None:
        self._output, self._keep, self._given_up = output, keep, False

    def members_of(self, shard: dict[str, Any]) -> Iterator[Member]:
        """The members of a shard, as `shards.members_of` gives them.

        Args:
            shard: its row of a listing, with the column chip_uri.

        Raises:
            DamagedTar: it cannot be read to its end.
            StorageError: it cannot be read at all.
        """
        if not shard["etag"]:
            yield from members_of(shard["chip_uri"])
        elif (kept := self._recall(shard)) is not None:
            yield from kept
        else:
            found = []
            for member in members_of(shard["chip_uri"]):
                found.append(member)
                yield member
            if self._keep and _is_as_listed(shard):
                self._put(shard, found)

    def _recall(self, shard: dict[str, Any]) -> Iterator[Member] | None:
        if self._given_up:
            return None
        uri = _uri_of(self._output, shard)
        try:
            return _unpack(store.read_bytes(uri), shard) if store.head_object(uri) else None
        except StorageError as error:
            self._give_up(error)
            return None

    def _put(self, shard: dict[str, Any], members: Sequence[Member]) -> None:
        if self._given_up:
            return
        try:
            store.write_bytes(_uri_of(self._output, shard), _pack(members, shard))
        except StorageError as error:
            self._give_up(error)

    def _give_up(self, error: StorageError) -> None:
        """Do without: a store that does not answer would be waited for once a shard."""
        if not self._given_up:
            _log.warning("tars are read without the indexes kept of them: %s", error)
        self._given_up = True


def drop_old(output: str, older_than: datetime, preview: bool) -> int:
    """Delete the indexes written before a time; gives their number.

    Raises:
        StorageError: they cannot be listed, or one not deleted.
    """
    root = store.join_uri(output, FOLDER)
    if not store.is_remote(root) and not Path(root).is_dir():
        return 0
    listed = pa.concat_tables(store.list_objects(root)).to_pylist()
    old = [row["uri"] for row in listed if row["modified_at"] < older_than]
    for uri in () if preview else old:
        store.delete_folder(store.parent_uri(uri))
    return len(old)


def _uri_of(output: str, shard: dict[str, Any]) -> str:
    """One for all versions of a shard: the next one's index takes the last one's place."""
    name = hashlib.sha256(shard["chip_uri"].encode()).hexdigest()
    return store.join_uri(output, FOLDER, name, _FILE)


def _is_as_listed(shard: dict[str, Any]) -> bool:
    """Whether what was read is the version that was listed: where content makes the etag, it may
    come back."""
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
    """What `_pack` made for this very version of the shard; None for all else."""
    digest, rows = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if digest != _digest(rows, shard):
        return None
    columns = pq.ParquetFile(io.BytesIO(rows)).read(use_threads=False).to_pydict()
    return map(Member, *(columns[name] for name in _SCHEMA.names))


def _digest(rows: bytes, shard: dict[str, Any]) -> bytes:
    """Covers the format and the version of the shard, too: one comparison tells all that an index
    can have wrong."""
    meant = repr((_FORMAT, shard["chip_uri"], shard["etag"], shard["size_bytes"])).encode()
    return hashlib.sha256(meant + rows).digest()
