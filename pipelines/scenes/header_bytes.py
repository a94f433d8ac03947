"""The bytes of a scene's header, read in few ranges; the scene itself may have terabytes."""

from __future__ import annotations

import struct

from pipelines.errors import ChipRejected
from pipelines.storage import store
from schemas.tables import QuarantineReason as Reason

_READ_AHEAD_BYTES = 32 << 10
"""The header of a Sentinel-2 COG of 10,980 pixels a side takes some 20 KB."""

_MOST_BYTES = 64 << 20  # the lists of two million blocks, and of their mask's
_PART = struct.Struct("<QQ")


class HeaderBytes:
    """A scene as `tiff_header.Data`; only what is asked for is read, and kept.

    Attributes:
        read_bytes: bytes that were fetched from the scene.
    """

    def __init__(
        self, uri: str, size_bytes: int, etag: str | None, parts: dict[int, bytes] | None = None
    ) -> None:
        """
        Args:
            parts: bytes that are known, by their start.
        """
        self._uri, self._size, self._etag = uri, size_bytes, etag
        self._parts = parts or {}
        self.read_bytes = 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, wanted: slice, /) -> bytes:
        """Bytes from a start to a stop.

        Raises:
            ChipRejected: decode_error if the header is too large to be one.
            StorageError: it cannot be read.
        """
        start, stop, _ = wanted.indices(self._size)
        for at, part in self._parts.items():
            if at <= start and stop <= at + len(part):
                return part[start - at : stop - at]
        return self._fetch(start, stop)[: stop - start] if start < stop else b""

    def pack(self) -> bytes:
        """All that was read; `unpack` is its inverse."""
        places = [_PART.pack(at, len(part)) for at, part in self._parts.items()]
        return b"".join([_PART.pack(self._size, len(places)), *places, *self._parts.values()])

    @classmethod
    def unpack(cls, uri: str, etag: str | None, data: bytes) -> HeaderBytes:
        """A scene whose header was read before."""
        size, count = _PART.unpack_from(data)
        parts, body = {}, _PART.size * (count + 1)
        for number in range(count):
            at, length = _PART.unpack_from(data, _PART.size * (number + 1))
            parts[at] = data[body : body + length]
            body += length
        return cls(uri, size, etag, parts)

    @staticmethod
    def size_of(data: bytes) -> int:
        """Size of the scene whose header `pack` packed; -1 if it did not."""
        return int(_PART.unpack_from(data)[0]) if len(data) >= _PART.size else -1

    def _fetch(self, start: int, stop: int) -> bytes:
        length = max(stop - start, min(_READ_AHEAD_BYTES, self._size - start))
        if sum(map(len, self._parts.values())) + length > _MOST_BYTES:
            raise ChipRejected(
                Reason.DECODE_ERROR, f"a TIFF header of more than {_MOST_BYTES:,} bytes"
            )
        part = store.read_range(self._uri, start, length, self._etag)
        self._parts[start] = part
        self.read_bytes += len(part)
        return part
