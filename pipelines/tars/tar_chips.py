"""Tars of chips: each picture in them is a chip, named `SHARD#MEMBER`.

A tar is indexed by its headers when a run is planned. A chip's etag consists of the tar's etag, the
chip's offset and its size, so the chips of a replaced tar are new. The columns `shard_uri` and
`offset_bytes` say whether a row is a member, never its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import StorageError
from pipelines.storage import store
from pipelines.storage.hidden_names import HIDDEN_IN_ADDRESS
from pipelines.tars.tar_index import DamagedTar as DamagedTar
from pipelines.tars.tar_index import Member, read_members
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST

SHARD_ENDINGS = (".tar", ".tar.gz", ".tgz")
"""File name endings of tars; compressed ones are listed too, to be quarantined with a reason."""

_IN_SHARD = re.compile(rf"(?:{'|'.join(map(re.escape, SHARD_ENDINGS))})#", re.IGNORECASE)

COLUMNS = ("chip_uri", "etag", "size_bytes", "modified_at", "shard_uri", "offset_bytes")
SHARD_CHIPS = pa.schema([file_schema(CHIP_MANIFEST).field(name) for name in COLUMNS])
"""Schema of the chips of shards."""

ReadMembers = Callable[[dict[str, Any]], Iterator[Member]]
"""Reads the members of a shard, given its row of a listing with the column chip_uri."""

_READ_AHEAD_BYTES = 8 << 20
"""A range request takes as long as the transfer of some megabytes, so the headers of small members
cost least if the bytes between them are read, too."""

_THREADS = 8


def list_members(
    shards: pa.Table, endings: tuple[str, ...], read: ReadMembers
) -> Iterator[tuple[pa.Table, int]]:
    """The chips of some shards, one table per shard, and how many of its members have hidden names.

    Args:
        shards: rows of a listing, with the column chip_uri.
        endings: file name endings of the members that are chips.
        read: reads the members of a shard.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(lambda row: _chips_of(row, endings, read), shards.to_pylist())


def read_shard(shard: dict[str, Any]) -> Iterator[Member]:
    """The members of a shard, read from the shard itself; raises as `members_of`."""
    return members_of(shard["chip_uri"])


def members_of(uri: str) -> Iterator[Member]:
    """The members of a shard.

    Raises:
        DamagedTar: it cannot be read to its end.
        StorageError: it cannot be read at all.
    """
    with store.open_file(uri, _READ_AHEAD_BYTES) as file:
        yield from read_members(file)


def find_chip(uri: str) -> dict[str, Any] | None:
    """A row of SHARD_CHIPS for an address `SHARD#MEMBER`; None if there is no such member.

    Raises:
        StorageError: a store does not answer.
    """
    for end in _IN_SHARD.finditer(uri):
        shard, name = uri[: end.end() - 1], uri[end.end() :]
        if head := store.head_object(shard):
            member = _members_by_name(shard, head["etag"]).get(name)
            if member:
                found: dict[str, Any]
                (found,) = _as_chips({**head, "chip_uri": shard}, [member]).to_pylist()
                return found
    return None


@lru_cache(maxsize=16)
def _members_by_name(shard: str, etag: str | None) -> dict[str, Member]:
    """The members of one version of a shard; of a damaged shard, those before the damage."""
    found = {}
    with suppress(DamagedTar):
        for member in members_of(shard):
            found[member.name] = member
    return found


def shard_etag(etag: str | None) -> str | None:
    """The etag of the shard whose member has this one."""
    return etag.rpartition("@")[0] or None if etag else None


def _chips_of(
    shard: dict[str, Any], endings: tuple[str, ...], read: ReadMembers
) -> tuple[pa.Table, int]:
    """A shard's chips, and the number of hidden members. If a name occurs twice, the last one
    counts, as when a tar is unpacked. A shard that cannot be read to its end has a row of its own,
    which is quarantined when read."""
    by_name: dict[str, Member] = {}
    whole, hidden = True, 0
    try:
        for member in read(shard):
            if HIDDEN_IN_ADDRESS.search(member.name):
                hidden += 1
            elif member.name.lower().endswith(endings):
                by_name[member.name] = member
    except StorageError:
        whole = False
    chips = _as_chips(shard, by_name.values())
    return (chips if whole else pa.concat_tables([chips, _as_bad(shard)])), hidden


def _as_chips(shard: dict[str, Any], members: Collection[Member]) -> pa.Table:
    names, offsets, sizes = zip(*members, strict=True) if members else ((), (), ())
    uri, etag = shard["chip_uri"], shard["etag"]
    modified_at = pa.scalar(shard["modified_at"], SHARD_CHIPS.field("modified_at").type)
    places = zip(offsets, sizes, strict=True)
    etags = [f"{etag}@{offset}+{size}" for offset, size in places] if etag else [None] * len(names)
    columns = {
        "chip_uri": pc.binary_join_element_wise(uri, pa.array(names, pa.string()), "#"),
        "etag": pa.array(etags, pa.string()),
        "size_bytes": pa.array(sizes, pa.int64()),
        "modified_at": pa.repeat(modified_at, len(names)),
        "shard_uri": pa.repeat(uri, len(names)),
        "offset_bytes": pa.array(offsets, pa.int64()),
    }
    return pa.table(columns, schema=SHARD_CHIPS)


def _as_bad(shard: dict[str, Any]) -> pa.Table:
    row = {name: shard.get(name) for name in COLUMNS} | {"shard_uri": shard["chip_uri"]}
    return pa.Table.from_pylist([row], SHARD_CHIPS)
