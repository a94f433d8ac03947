"""The members of a tar: names, offsets and sizes, read from its headers alone.

POSIX ustar and pax, and GNU's long names (POSIX.1-2017, pax, "ustar Interchange Format"). Unusual
headers are parsed by the standard library. The rest is done here: `tarfile` takes 2.5 times as much
CPU, and reads extended headers into memory whatever size they claim (docs/decisions/tar-shards.md).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from pipelines.errors import StorageError

BLOCK_BYTES = tarfile.BLOCKSIZE
MOST_HEADER_BYTES = 1 << 20
"""A pax header or a long name with more bytes than this counts as damaged."""

_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX, _GNU_NAME = tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME
_PASSED_OVER = (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE)  # they do not change the next name
_WITHOUT_DATA = (
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE),
    *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
)
_ZEROS = bytes(BLOCK_BYTES)
_ODD_FIELDS = ((100, 124), (136, 148), (329, 345))  # mode and owner, time, device numbers
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


class DamagedTar(StorageError):
    """Not a tar, or one that cannot be read to its end."""


class Member(NamedTuple):
    """A regular file in a tar: its name as stored, and the offset and number of its bytes."""

    name: str
    offset_bytes: int
    size_bytes: int


def read_members(file: BinaryIO) -> Iterator[Member]:
    """The regular files of a tar, in their order, without links, folders, devices and sparse files.

    Args:
        file: a seekable file; only headers are read.

    Raises:
        DamagedTar: not a tar, compressed, or cut off.
    """
    end = file.seek(0, os.SEEK_END)
    offset = 0
    named: dict[str, bytes] = {}
    while block := _read_block(file, offset):
        header = _read_plain(block) or _read_any(block, offset)
        offset += BLOCK_BYTES + _extension_bytes(file, block, offset + BLOCK_BYTES, header)
        size = _size(header, named, offset, end)
        if header.type in (_PAX, _GNU_NAME):
            named |= _read_names(file, offset, size, header.type)
        elif header.type not in _PASSED_OVER:
            if header.type in _REGULAR and not any(key.startswith("GNU.sparse") for key in named):
                yield Member(_text(named.get("path") or header.name), offset, size)
            named = {}
        offset += -(-size // BLOCK_BYTES) * BLOCK_BYTES


class _Header(NamedTuple):
    type: bytes
    name: bytes
    size: int


def _read_block(file: BinaryIO, offset: int) -> bytes:
    """A header's block; b"" for the block of zeros at the end, which every tar has: without it, a
    tar cut off between two members would look whole."""
    block = _read(file, offset, BLOCK_BYTES)
    if block == _ZEROS:
        return b""
    if len(block) < BLOCK_BYTES:
        what = "cut off" if offset else "not a tar"
        raise DamagedTar(f"{what}: {len(block)} bytes after byte {offset}, and no end mark")
    return block


def _read_plain(block: bytes) -> _Header | None:
    """The usual header of a regular file, parsed at a tenth of the cost of `tarfile`; else None."""
    magic = block[257:263]
    if block[156:157] != tarfile.REGTYPE or magic not in (b"ustar\0", b"ustar "):
        return None
    if magic == b"ustar\0" and block[345]:  # the name has a prefix
        return None
    try:
        size, checksum = int(block[124:135], 8), int(block[148:154], 8)
    except ValueError:
        return None
    if size < 0 or sum(block) - sum(block[148:156]) + 8 * ord(" ") != checksum:
        return None
    return _Header(tarfile.REGTYPE, block[:100].partition(b"\0")[0], size)


def _read_any(block: bytes, offset: int) -> _Header:
    try:
        header = tarfile.TarInfo.frombuf(_without_odd_fields(block), "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        compression = _compression(block) if not offset else None
        raise DamagedTar(compression or f"no tar header at byte {offset}: {error}") from error
    size = 0 if header.type in _WITHOUT_DATA else header.size
    return _Header(header.type, header.name.encode("utf-8", "surrogateescape"), size)


def _without_odd_fields(block: bytes) -> bytes:
    """The header without owner, mode and time, which may be anything, and with a right checksum."""
    if tarfile.nti(block[148:156]) not in tarfile.calc_chksums(block):  # type: ignore[attr-defined]
        return block  # `tarfile` says what is wrong
    plain = bytearray(block)
    for start, end in _ODD_FIELDS:
        plain[start:end] = bytes(end - start)
    plain[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(plain))[0]  # type: ignore[attr-defined]
    return bytes(plain)


def _compression(block: bytes) -> str | None:
    for magic, name in _MAGIC.items():
        if block.startswith(magic):
            return f"compressed with {name}: only uncompressed tars are read"
    return None


def _extension_bytes(file: BinaryIO, block: bytes, offset: int, header: _Header) -> int:
    """GNU's sparse files have more blocks of header."""
    found = 0
    if header.type == tarfile.GNUTYPE_SPARSE:
        more = block[482:483]
        while more not in (b"", b"\0"):
            more = _read(file, offset + found, BLOCK_BYTES)[504:505]
            found += BLOCK_BYTES
    return found


def _size(header: _Header, named: dict[str, bytes], offset: int, end: int) -> int:
    size, pax_size = header.size, named.get("size")
    if pax_size and header.type in _REGULAR:
        size = int(pax_size) if pax_size.isdigit() and len(pax_size) < 20 else -1
    if size < 0:
        raise DamagedTar(f"invalid member size before byte {offset}")
    if offset + size > end:
        left = max(0, end - offset)
        raise DamagedTar(f"cut off: {left} of {size} bytes after byte {offset} are there")
    return size


def _read_names(file: BinaryIO, offset: int, size: int, kind: bytes) -> dict[str, bytes]:
    """The fields that a pax header or a long name sets for the next member."""
    if size > MOST_HEADER_BYTES:
        raise DamagedTar(f"an extended header of {size} bytes at byte {offset}")
    data = _read(file, offset, size)
    return {"path": data.rstrip(b"\0")} if kind == _GNU_NAME else _parse_pax(data, offset)


def _parse_pax(data: bytes, offset: int) -> dict[str, bytes]:
    """Records `LENGTH KEY=VALUE\\n`; a value may hold anything."""
    records, at = {}, 0
    while at < len(data) and data[at]:
        length, space, _ = data[at : at + 20].partition(b" ")
        if not (space and length.isdigit() and len(length) + 3 <= int(length) <= len(data) - at):
            raise DamagedTar(f"invalid pax header at byte {offset}")
        record = data[at + len(length) + 1 : at + int(length) - 1]
        key, _, value = record.partition(b"=")
        records[key.decode("utf-8", "replace")] = value
        at += int(length)
    return records


def _text(name: bytes) -> str:
    """A name as text; bytes that are not UTF-8 are escaped."""
    return name.decode("utf-8", "backslashreplace")


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
