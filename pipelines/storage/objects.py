"""What storage tells of an object: a listing's row, its etag, whether it is too large to read."""

from __future__ import annotations

import pyarrow as pa

from pipelines.errors import ObjectTooLarge, StorageError

LISTING = pa.schema(
    [
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Schema of a listing's tables."""

LISTING_ROWS = 50_000
"""Rows that a listing's tables have at most."""


def clean_etag(etag: str | None) -> str | None:
    """An etag without the quotes and the weak mark that some answers give and others leave out.

    >>> clean_etag('W/"abc"')
    'abc'
    """
    return None if etag is None else etag.removeprefix("W/").strip('"')


def check_size(uri: str, size_bytes: int, most_bytes: int | None) -> None:
    """Refuse an object of more bytes than its reader allows.

    Raises:
        ObjectTooLarge: it has more than `most_bytes`.
    """
    if most_bytes is not None and size_bytes > most_bytes:
        raise ObjectTooLarge(f"{uri!r} has {size_bytes:,} bytes, at most {most_bytes:,} are read")


def check_version(uri: str, found: str | None, meant: str | None) -> None:
    """Refuse an object that was replaced, where parts of the old one are asked for.

    Raises:
        StorageError: it has another etag; None is any.
    """
    if meant is not None and found != meant:
        raise StorageError(f"{uri!r} was replaced since it was listed")
