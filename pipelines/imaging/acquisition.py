"""When a GeoTIFF was taken, by its tags; never by its file date (DateTime, 306)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pipelines.errors import ChipRejected
from pipelines.imaging.gdal_metadata import GDAL_METADATA, items_of
from pipelines.imaging.tiff_header import Data, read_raw

_EXIF_DIRECTORY = 34665
_TAKEN, _TAKEN_OFFSET = 36867, 36881  # DateTimeOriginal, OffsetTimeOriginal

_TAGS = (GDAL_METADATA, _EXIF_DIRECTORY, _TAKEN, _TAKEN_OFFSET)

_DOMAINS = (b"IMAGERY", b"", b"EXIF")
_ITEMS = (b"acquisitiondatetime", b"acquisitiondate", b"dateacquired", b"exifdatetimeoriginal")
"""Names of GDAL's items, in small letters without underscores, in the order of preference."""

_TIME = re.compile(
    r"(\d{4})[-:/](\d\d)[-:/](\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,12}))?)?"
    r"\s*(?:UTC|GMT|Z|([+-]\d\d):?(\d\d))?",
    re.ASCII | re.IGNORECASE,
)
_FIRST_YEAR = 1900
_CLOCKS_DIFFER = timedelta(days=1)


def read_acquired_at(data: Data) -> datetime | None:
    """When a TIFF was taken, in UTC: by the item ACQUISITIONDATETIME (or ACQUISITION_DATE,
    DATE_ACQUIRED) of GDAL's metadata, else by EXIF's DateTimeOriginal. A time without an offset is
    UTC, a date alone is midnight. None without such a tag, or if its value is no time between 1900
    and now.
    """
    try:
        tags = read_raw(data, _TAGS)
    except ChipRejected:
        return None
    if not tags:
        return None
    texts = (
        *_gdal_times(tags.get(GDAL_METADATA, b"")),
        *_exif_times(_exif_directory(data, tags.get(_EXIF_DIRECTORY))),
        *_exif_times(tags),  # TIFF/EP has EXIF's tags in the first directory
    )
    return next((time for text in texts if (time := parse_time(text))), None)


def parse_time(text: str) -> datetime | None:
    """The time that a tag's text means, in UTC; None if it means none, or not one between 1900 and
    now.

    >>> parse_time("2020:05:01 12:30:00+02:00").isoformat()
    '2020-05-01T10:30:00+00:00'
    """
    found = _TIME.fullmatch(text.strip(" \t\r\n\0"))
    if not found:
        return None
    year, month, day, clock, fraction, hours, minutes = found.groups()
    iso = f"{year}-{month}-{day}T{clock or '00:00'}{_seconds(clock, fraction)}"
    try:
        time = datetime.fromisoformat(f"{iso}{hours or '+00'}:{minutes or '00'}")
    except ValueError:
        return None
    if time.year < _FIRST_YEAR or time > datetime.now(UTC) + _CLOCKS_DIFFER:
        return None
    return time.astimezone(UTC)


def _seconds(clock: str | None, fraction: str | None) -> str:
    """What a time lacks to have microseconds."""
    return f"{':00' if len(clock or '') < 8 else ''}.{(fraction or '')[:6]:0<6}"


def _gdal_times(xml: bytes) -> Iterator[str]:
    """The texts of the items that name a time, best first; of all bands, never of one."""
    found: dict[tuple[int, int], bytes] = {}
    for item, text in items_of(xml):
        name = item.get(b"name", b"").lower().replace(b"_", b"")
        domain = item.get(b"domain", b"")
        if name in _ITEMS and domain in _DOMAINS and b"sample" not in item:
            found[_ITEMS.index(name), _DOMAINS.index(domain)] = text
    return (found[rank].decode("latin-1") for rank in sorted(found))


def _exif_directory(data: Data, pointer: bytes | None) -> dict[int, bytes]:
    start = int.from_bytes(pointer or b"", "little" if data[0:2] == b"II" else "big")
    try:
        return read_raw(data, (_TAKEN, _TAKEN_OFFSET), start) if pointer else {}
    except ChipRejected:
        return {}


def _exif_times(tags: dict[int, bytes]) -> Iterator[str]:
    """The time with its offset, and without, if the offset is not one."""
    if taken := tags.get(_TAKEN):
        offset = tags.get(_TAKEN_OFFSET, b"").strip(b"\0 ")
        yield (taken.rstrip(b"\0 ") + offset).decode("latin-1")
        yield taken.decode("latin-1")
