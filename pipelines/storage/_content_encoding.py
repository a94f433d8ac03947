"""Objects that are stored compressed, which their metadata say: `Content-Encoding: gzip`.

They are read as the bytes that they were before. Both kinds of stores deliver the compressed bytes,
Google Cloud Storage if asked to: else it decompresses, and its answer lacks what obstore needs.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

from pipelines.errors import ObjectDamaged, ObjectTooLarge

GZIP_MAGIC = b"\x1f\x8b"
AS_STORED = {"accept-encoding": "gzip"}
"""The header that asks Google Cloud Storage for the compressed bytes."""

MOST_BYTES = 4 << 30
"""Most bytes after decompression if the reader sets no limit."""

_GZIP = ("gzip", "x-gzip")
_MOST_PARTS = 100  # gzip files may be concatenated; each part costs a copy of the rest
_DECOMPRESSED_BY_STORE = re.compile(r"(?:Content-Length|ETag) Header missing from response")


def is_decompressed_by_store(error: Exception) -> bool:
    """Whether obstore failed because the store decompressed the object for it."""
    return _DECOMPRESSED_BY_STORE.search(str(error)) is not None


def decode_content(
    uri: str, data: bytes, attributes: Mapping[Any, Any], most_bytes: int | None
) -> bytes:
    """The bytes of an object before it was compressed.

    Args:
        data: its bytes as stored.
        attributes: its metadata as obstore returns them.
        most_bytes: the largest size that is decompressed; None for MOST_BYTES.

    Raises:
        ObjectTooLarge: it has more bytes.
        ObjectDamaged: it is cut off, or is not what the encoding says.
    """
    encodings = str(attributes.get("Content-Encoding", "")).lower().split(",")
    for encoding in reversed(encodings):  # the last one was applied last
        if encoding.strip() in _GZIP and data.startswith(GZIP_MAGIC):
            data = _decompress(uri, data, MOST_BYTES if most_bytes is None else most_bytes)
    return data


def _decompress(uri: str, data: bytes, most_bytes: int) -> bytes:
    found = b""
    for _ in range(_MOST_PARTS):
        part = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            found += part.decompress(data, most_bytes + 1 - len(found))
        except zlib.error as error:
            raise ObjectDamaged(f"{uri!r} has Content-Encoding gzip, and {error}") from error
        if len(found) > most_bytes:
            raise ObjectTooLarge(
                f"{uri!r} has more than {most_bytes:,} bytes after decompression, at most "
                f"{most_bytes:,} are read"
            )
        if not part.eof:
            raise ObjectDamaged(f"{uri!r} has Content-Encoding gzip, and is cut off")
        data = part.unused_data
        if not data.startswith(GZIP_MAGIC):  # what follows the last part has no meaning
            return found
    raise ObjectDamaged(f"{uri!r} has Content-Encoding gzip, and over {_MOST_PARTS} parts")
