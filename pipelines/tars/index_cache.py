"""Indexes of tars, stored below OUTPUT: an unchanged tar is not read again on the next night."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.tars.tar_chips import members_of
from pipelines.tars.tar_index import Member
from pipelines.version_cache import VersionCache

FOLDER = "_tar_index"

_FORMAT = 1
"""Increase it when the same tar yields other members, or when they are stored differently."""

_SCHEMA = pa.schema(
    [("name", pa.string()), ("offset_bytes", pa.int64()), ("size_bytes", pa.int64())]
)


class IndexCache:
    """The indexes below one OUTPUT; several threads may ask at once.

    Args:
        output: address of the tables.
        store_new: whether to store the indexes of tars that were read; False writes nothing.
    """

    def __init__(self, output: str, store_new: bool = True) -> None:
        without = "tars are read without their stored indexes"
        self._stored = VersionCache(output, FOLDER, "members", _FORMAT, store_new, without)

    def members_of(self, shard: dict[str, Any]) -> Iterator[Member]:
        """The members of a shard, as `tar_chips.members_of` returns them.

        Args:
            shard: its row of a listing, with the column chip_uri.

        Raises:
            DamagedTar: it cannot be read to its end.
            StorageError: it cannot be read at all.
        """
        if (stored := self._stored.load(shard)) is not None:
            yield from _unpack(stored)
            return
        found = []
        for member in members_of(shard["chip_uri"]):
            found.append(member)
            yield member
        if self._stored.can_save(shard):
            self._stored.save(shard, _pack(found))


def _pack(members: Sequence[Member]) -> bytes:
    """The members as a Parquet file."""
    names, offsets, sizes = zip(*members, strict=True) if members else ((), (), ())
    buffer = io.BytesIO()
    pq.write_table(pa.table([names, offsets, sizes], schema=_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def _unpack(data: bytes) -> Iterator[Member]:
    """The members that `_pack` stored."""
    columns = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False).to_pydict()
    return map(Member, *(columns[name] for name in _SCHEMA.names))
