"""The bytes of chips: single objects one by one, members of a tar in long ranges.

The chips of a shard are together in a unit, in the shard's order. So the rows of a reading task
are mostly one range of the shard, read in one request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa

from pipelines.errors import ChipRejected, StorageError, StoreDown
from pipelines.storage import store
from pipelines.storage.chips import read_chip
from pipelines.tars import tar_chips
from schemas.tables import QuarantineReason as Reason

MOST_GAP_BYTES = 64 << 10
"""Longest gap between two members that are read in one range: headers and small files fit in."""

MOST_RANGE_BYTES = 8 << 20
"""Most bytes that one request reads, unless a single member is larger."""

ReadRow = Callable[[int], bytes]


class _Member(NamedTuple):
    """The place of a chip in a shard; size -1 if the manifest has no valid place."""

    shard: str
    etag: str | None
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


class ChipBytes:
    """The bytes of a table's chips.

    Args:
        chips: rows in the CHIP_MANIFEST schema.
        most_bytes: larger chips are not read.
    """

    def __init__(self, chips: pa.Table, most_bytes: int) -> None:
        self.uris: list[str] = chips["chip_uri"].to_pylist()
        self.members = _members(chips)
        self.etags: list[str | None] = chips["etag"].to_pylist()
        self.most_bytes = most_bytes

    def of_rows(self, start: int, stop: int) -> ReadRow:
        """A function from a row to its bytes, for rows `start` to `stop - 1`, called in order by
        one thread. It raises ChipRejected, or StoreDown if no chip can be read."""
        return _ShardRows(self, stop).read if self.members else self.read_object

    def read_object(self, row: int) -> bytes:
        """The bytes of a row that is not in a shard; raises as `read_chip`."""
        return read_chip(self.uris[row], self.most_bytes, self.etags[row])


def read_named(uri: str, most_bytes: int) -> bytes:
    """The bytes of a chip by its address alone: a file, else a member of a tar.

    Raises:
        ChipRejected, StoreDown: as `read_chip`.
    """
    try:
        return read_chip(uri, most_bytes)
    except ChipRejected as rejected:
        found = tar_chips.find_chip(uri) if rejected.reason == Reason.UNREADABLE else None
        if found is None:
            raise
    chips = pa.Table.from_pylist([found], tar_chips.SHARD_CHIPS)
    return ChipBytes(chips, most_bytes).of_rows(0, 1)(0)


def _members(chips: pa.Table) -> list[_Member | None]:
    """The place of each row in its shard, None without a shard; empty if no row is in a shard.
    Only manifests have such columns."""
    if "shard_uri" not in chips.column_names or chips["shard_uri"].null_count == chips.num_rows:
        return []
    names = ("shard_uri", "etag", "offset_bytes", "size_bytes")
    rows = zip(*(chips[name].to_pylist() for name in names), strict=True)
    return [_member(*row) if row[0] is not None else None for row in rows]


def _member(shard: str, etag: str | None, start: int | None, size: int | None) -> _Member:
    valid = start is not None and size is not None and start >= 0 and size >= 0
    return _Member(shard, etag, start or 0, size or 0) if valid else _Member(shard, etag, 0, -1)


class _ShardRows:
    """Reads the rows of one task in long ranges of the shard."""

    def __init__(self, chips: ChipBytes, stop: int) -> None:
        self._chips, self._stop = chips, stop
        self._data, self._from, self._until = b"", 0, 0  # the latest range, and the row after it

    def read(self, row: int) -> bytes:
        member = self._chips.members[row]
        if member is None:
            return self._chips.read_object(row)
        self._check(row, member)
        if row >= self._until:
            self._read_range(row, member)
        chip = self._data[member.start - self._from : member.end - self._from]
        if len(chip) < member.size:
            raise ChipRejected(Reason.UNREADABLE, f"{member.shard!r} ends before byte {member.end}")
        return chip

    def _check(self, row: int, member: _Member) -> None:
        if member.size < 0:
            raise _why_bad(member.shard)
        most = self._chips.most_bytes
        if member.size > most:
            size = f"has {member.size:,} bytes, at most {most:,} are read"
            raise ChipRejected(Reason.TOO_LARGE, f"{self._chips.uris[row]!r} {size}")

    def _read_range(self, row: int, member: _Member) -> None:
        """Read this row together with the next rows that are close to it in the same shard."""
        end, until = member.end, row + 1
        for following in self._chips.members[until : self._stop]:
            if following is None or not self._is_close(following, member, end):
                break
            end, until = following.end, until + 1
        self._data, self._from, self._until = b"", member.start, row + 1
        etag = tar_chips.shard_etag(member.etag)
        try:
            self._data = store.read_range(member.shard, member.start, end - member.start, etag)
        except StoreDown:
            raise
        except StorageError as error:
            raise ChipRejected(Reason.UNREADABLE, str(error)) from error
        self._until = until

    def _is_close(self, following: _Member, first: _Member, end: int) -> bool:
        return (
            following.shard == first.shard
            and 0 <= following.size <= self._chips.most_bytes
            and end <= following.start <= end + MOST_GAP_BYTES
            and following.end - first.start <= MOST_RANGE_BYTES
        )


def _why_bad(shard: str) -> ChipRejected:
    """Why a shard cannot be used: it is read again, to write down the reason."""
    try:
        for _ in tar_chips.members_of(shard):
            pass
    except tar_chips.DamagedTar as error:
        return ChipRejected(Reason.BAD_SHARD, f"{shard!r}: {error}")
    except StorageError as error:
        return ChipRejected(Reason.UNREADABLE, str(error))
    return ChipRejected(
        Reason.UNREADABLE, f"{shard!r} is a valid tar now: score its chips in a new run"
    )
