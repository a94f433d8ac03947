"""What a store says about an object: its row in a listing, its etag, its size."""

from __future__ import annotations

import re
from typing import Any

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
"""Schema of the tables of a listing."""

LISTING_ROWS = 50_000
"""Maximum rows per table of a listing."""


ETAG = re.compile(r"[0-9a-f]{32}(?:-\d+)?|-?[\w+/]{10,}=+")
"""What an etag of an object is: the digest of its bytes or of its parts', or Google's generation.
What else a manifest gives as an etag is a version of its own, which no answer can be compared with.
"""


def clean_etag(etag: str | None) -> str | None:
    """An etag without the quotes and the weak mark that only some answers have.

    >>> clean_etag('W/"abc"')
    'abc'
    """
    return None if etag is None else etag.removeprefix("W/").strip('"')


def check_size(uri: str, size_bytes: int, most_bytes: int | None) -> None:
    """Refuse an object that is larger than its reader allows.

    Raises:
        ObjectTooLarge: it has more than `most_bytes`.
    """
    if most_bytes is not None and size_bytes > most_bytes:
        raise ObjectTooLarge(f"{uri!r} has {size_bytes:,} bytes, at most {most_bytes:,} are read")


def check_version(uri: str, found: str | None, expected: str | None) -> None:
    """Refuse an object that was replaced since its etag was read.

    Raises:
        StorageError: it has another etag; an expected etag of None fits any.
    """
    if expected is not None and found != expected:
        raise StorageError(f"{uri!r} was replaced since it was listed")


def row_of(uri: str, meta: Any) -> dict[str, Any]:
    """A row of `LISTING` from obstore's metadata of an object."""
    return {
        "uri": uri,
        "etag": clean_etag(meta["e_tag"]),
        "size_bytes": meta["size"],
        "modified_at": meta["last_modified"],
    }
