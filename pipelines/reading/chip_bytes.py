"""The bytes of chips: single objects one by one, members of a tar in long ranges.

The chips of a shard are together in a unit, in the shard's order. So the rows of a reading task
are mostly one range of the shard, read in one request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from pipelines.errors import ChipRejected, ObjectTooLarge, StorageError, StoreDown
from pipelines.storage import store
from pipelines.tars import tar_chips
from schemas.tables import QuarantineReason as Reason

MOST_GAP_BYTES = 64 << 10
"""Longest gap between two members that are read in one range: headers and small files fit in."""

MOST_RANGE_BYTES = 8 << 20
"""Most bytes that one request reads, unless a single member is larger."""

ReadRow = Callable[[int], bytes]


class ChipBytes:
    """The bytes of a table's chips.

    Args:
        chips: rows in the CHIP_MANIFEST schema.
        most_bytes: larger chips are not read.
    """

    def __init__(self, chips: pa.Table, most_bytes: int) -> None:
        self._uris = chips["chip_uri"].to_pylist()
        self._most_bytes = most_bytes
        self._shards = _Spans.of(chips) if _has_shards(chips) else None

    def of_rows(self, start: int, stop: int) -> ReadRow:
        """A function from a row to its bytes, for rows `start` to `stop - 1`, called in order by
        one thread. It raises ChipRejected, or StoreDown if no chip can be read."""
        if self._shards is None:
            return self._read_loose
        return _ShardRows(self._shards, self._uris, self._most_bytes, start, stop).read

    def _read_loose(self, row: int) -> bytes:
        return read_chip(self._uris[row], self._most_bytes)


def read_chip(uri: str, most_bytes: int) -> bytes:
    """The bytes of a chip.

    Raises:
        ChipRejected: unreadable or too_large.
        StoreDown: no chip can be read, which ends the run.
    """
    try:
        return store.read_bytes(uri, most_bytes)
    except ObjectTooLarge as error:
        raise ChipRejected(Reason.TOO_LARGE, str(error)) from error
    except StoreDown:
        raise
    except StorageError as error:
        raise ChipRejected(Reason.UNREADABLE, str(error)) from error


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


def _has_shards(chips: pa.Table) -> bool:
    """Whether any row is a member of a shard; only manifests have that column."""
    return "shard_uri" in chips.column_names and chips["shard_uri"].null_count < chips.num_rows


@dataclass(frozen=True)
class _Spans:
    """The shard, offset, size and etag of each row; None for rows that are not in a shard."""

    shards: list[str | None]
    offsets: list[int | None]
    sizes: list[int | None]
    etags: list[str | None]

    @classmethod
    def of(cls, chips: pa.Table) -> _Spans:
        names = ("shard_uri", "offset_bytes", "size_bytes", "etag")
        return cls(*(chips[name].to_pylist() for name in names))

    def span(self, row: int) -> tuple[int, int] | None:
        """Start and end of a member in its shard; None if the manifest has no valid ones."""
        start, size = self.offsets[row], self.sizes[row]
        if start is None or size is None or start < 0 or size < 0:
            return None
        return start, start + size


class _ShardRows:
    """Reads the rows of one task in long ranges of the shard."""

    def __init__(
        self, spans: _Spans, uris: list[str], most_bytes: int, start: int, stop: int
    ) -> None:
        self._spans, self._uris = spans, uris
        self._most_bytes = most_bytes
        self._stop = stop
        self._data, self._from, self._until = b"", 0, start  # the latest range

    def read(self, row: int) -> bytes:
        shard = self._spans.shards[row]
        if shard is None:
            return read_chip(self._uris[row], self._most_bytes)
        span = self._span(row, shard)
        if row >= self._until:
            self._read_range(row, shard, span)
        chip = self._data[span[0] - self._from : span[1] - self._from]
        if len(chip) < span[1] - span[0]:
            raise ChipRejected(Reason.UNREADABLE, f"{shard!r} ends before byte {span[1]}")
        return chip

    def _span(self, row: int, shard: str) -> tuple[int, int]:
        span = self._spans.span(row)
        if span is None:
            raise _why_bad(shard)
        if span[1] - span[0] > self._most_bytes:
            size = f"has {span[1] - span[0]:,} bytes, at most {self._most_bytes:,} are read"
            raise ChipRejected(Reason.TOO_LARGE, f"{self._uris[row]!r} {size}")
        return span

    def _read_range(self, row: int, shard: str, span: tuple[int, int]) -> None:
        """Read this row together with the next rows that are close to it in the same shard."""
        end, until = span[1], row + 1
        while until < self._stop and self._spans.shards[until] == shard:
            following = self._spans.span(until)
            if following is None or not end <= following[0] <= end + MOST_GAP_BYTES:
                break
            if following[1] - span[0] > MOST_RANGE_BYTES:
                break
            if following[1] - following[0] > self._most_bytes:
                break
            end, until = following[1], until + 1
        etag = tar_chips.shard_etag(self._spans.etags[row])
        self._data, self._from, self._until = b"", span[0], row + 1
        try:
            self._data = store.read_range(shard, span[0], end - span[0], etag)
        except StoreDown:
            raise
        except StorageError as error:
            raise ChipRejected(Reason.UNREADABLE, str(error)) from error
        self._until = until


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
