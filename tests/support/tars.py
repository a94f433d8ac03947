"""Valid and hostile tar files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

Files = Iterable[tuple[str, bytes]]


def tar_bytes(files: Files, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def header(name: str, kind: bytes = b"0", size: int = 0, size_field: bytes | None = None) -> bytes:
    """One header block; its claims may be false."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size_field or b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    """Data as they are stored in a tar: padded to whole blocks."""
    return data + bytes(-len(data) % 512)


def pax(**records: str) -> bytes:
    """A pax header with these records."""
    data = b""
    for key, value in records.items():
        line = f" {key}={value}\n".encode()
        length = len(line)
        while length != len(line) + len(str(length)):
            length = len(line) + len(str(length))
        data += str(length).encode() + line
    return header("pax", b"x", len(data)) + padded(data)


END = bytes(1024)
