"""A checksum of a whole Parquet file, within the file.

Parquet has checksums of its pages, which readers compare, and none of its footer: a changed bit
there may rename a column. So `[pages][footer][length]PAR1` is written as

    [pages] FCRC [crc32, 4 bytes, little-endian] [footer][length]PAR1

where the checksum is that of all other bytes. A footer has the positions of what it needs, so
readers do not see the eight bytes.
"""

import io
import zlib
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

_MARK = b"FCRC"
_WORD = 4


class ChecksumWriter(pq.ParquetWriter):
    """A writer of a Parquet file with a checksum of all its bytes; takes what `pq.ParquetWriter`
    takes."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, **options: object) -> None:
        self._target = _Target(file)
        super().__init__(self._target, schema, **options)

    def close(self) -> None:
        """Write the checksum and the footer."""
        if self.is_open:
            self._target.holds = True
            super().close()
            self._target.finish()


class _Target(io.RawIOBase):
    """Passes on what is written; what is written while it holds comes after the checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._held = file, bytearray()
        self._checksum, self._size = 0, 0
        self.holds = False

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        if self.holds:
            self._held += data
        else:
            self._file.write(data)
        return len(data)

    def finish(self) -> None:
        self._file.write(_MARK + self._checksum.to_bytes(_WORD, "little") + self._held)


def has_wrong_checksum(data: bytes) -> bool:
    """Whether the bytes of a Parquet file are not those that were written; False if they have no
    checksum, as files of earlier releases."""
    footer_bytes = int.from_bytes(data[-2 * _WORD : -_WORD], "little")
    at = len(data) - footer_bytes - 2 * _WORD - len(_MARK) - _WORD
    if at < 0 or data[at : at + len(_MARK)] != _MARK:
        return False
    start, end = memoryview(data)[:at], memoryview(data)[at + len(_MARK) + _WORD :]
    expected = int.from_bytes(data[at + len(_MARK) :][:_WORD], "little")
    return zlib.crc32(end, zlib.crc32(start)) != expected
