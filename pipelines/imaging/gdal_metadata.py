"""What GDAL writes about bands into a TIFF: an XML text in a tag of its own (42112)."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.imaging.tiff_header import Data, read_raw
from schemas.networks.preprocessing import is_band_name

GDAL_METADATA = 42112
_MOST_BYTES = 1 << 16
_LARGEST = 1e30  # products with samples are finite in float32
_ITEM = re.compile(rb"<Item\s([^<>]*)>([^<]*)</Item>")
_ATTRIBUTE = re.compile(rb'\b(\w{1,32})\s*=\s*["\']([^"\']*)["\']')
_ROLES = (b"description", b"scale", b"offset")

Attributes = dict[bytes, bytes]


@dataclass(frozen=True)
class BandTags:
    """What a TIFF says about its bands.

    Attributes:
        names: of all bands; () unless each has one of its own.
        scales, offsets: a number in the file means the value number * scale + offset; () if the
            file has no scale for each band.
    """

    names: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()


def items_of(xml: bytes) -> Iterator[tuple[Attributes, bytes]]:
    """The items of the text: their attributes, and what is in them."""
    for attributes, text in _ITEM.findall(xml[:_MOST_BYTES]):
        yield dict(_ATTRIBUTE.findall(attributes)), text


def read_band_tags(data: Data, bands: int) -> BandTags:
    """The names, scales and offsets of the bands of a TIFF's first picture.

    Args:
        bands: number of bands to name; more may be in the file.

    Raises:
        ChipRejected: truncated, or decode_error for a directory that makes no sense.
    """
    xml = read_raw(data, (GDAL_METADATA,)).get(GDAL_METADATA, b"")
    found: dict[tuple[bytes, int], str] = {}
    for item, text in items_of(xml):
        role, band = item.get(b"role", b""), _band_number(item.get(b"sample", b""))
        if role in _ROLES and band is not None:
            found[role, band] = html.unescape(text.decode("utf-8", "replace")).strip()
    names = tuple(found.get((b"description", band), "") for band in range(bands))
    alike = {name.casefold() for name in names}
    whole = len(alike) == bands and all(map(is_band_name, names))
    scales = _numbers(found, b"scale", bands, None)
    offsets = _numbers(found, b"offset", bands, 0.0)
    if 0.0 in scales or not (scales and offsets):
        scales, offsets = (), ()
    return BandTags(names if whole else (), scales, offsets)


def _band_number(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) <= 5 else None


def _numbers(
    found: dict[tuple[bytes, int], str], role: bytes, bands: int, default: float | None
) -> tuple[float, ...]:
    """A number for each band, which float32 holds; () if a band has none and no default."""
    numbers = []
    for band in range(bands):
        try:
            number = float(found[role, band]) if (role, band) in found else default
        except ValueError:
            return ()
        if number is None or not abs(number) < _LARGEST:
            return ()
        numbers.append(number)
    return tuple(numbers)
