"""Small pictures of chips for people, read and decoded by the same code as for the model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np
import simplejpeg

from pipelines.errors import ChipRejected, StorageError
from pipelines.imaging import decoding, geotiff
from pipelines.imaging.resize import Pixels, Radiometry, scale_bands
from pipelines.imaging.tiff_layout import read_layout
from pipelines.reading.chip_bytes import read_named
from schemas.artifact import MediaType, Preprocessing

SIDE_PX = 128

_COLOURS = ("red", "green", "blue")
_ACCEPTED_SIDES_PX = (1, 4096)
_QUALITY = 85
_READ_THREADS = 8
_JPEG = b"\xff\xd8"
_DARKEST, _LIGHTEST = 2, 98  # percentiles of a chip's values that become black and white

_AS_SHOWN: dict[MediaType, Preprocessing] = {
    "jpg": Preprocessing("jpg", SIDE_PX, _COLOURS, None, _ACCEPTED_SIDES_PX),
    "tif": Preprocessing("tif", SIDE_PX, _COLOURS, ((0.0, 1.0),) * 3, _ACCEPTED_SIDES_PX),
}


@dataclass(frozen=True)
class Thumbnail:
    """A chip as a small picture.

    Attributes:
        jpeg: the picture, `SIDE_PX` a side; None if the chip cannot be read or decoded.
        missing: why there is no picture; "" if there is one.
    """

    jpeg: bytes | None
    missing: str = ""


_TOO_LATE = Thumbnail(None, "it could not be read in time")


def draw_thumbnails(
    chips: Sequence[tuple[str, MediaType | None]], patience_s: float = 60.0
) -> list[Thumbnail]:
    """Thumbnails of chips by address and media type; one that cannot be drawn has a reason.

    Args:
        patience_s: chips that are not drawn by then have no picture: a report must not
            wait for a store that is down.
    """
    pool = ThreadPoolExecutor(_READ_THREADS)
    drawing = [pool.submit(draw_thumbnail, *chip) for chip in chips]
    drawn = wait(drawing, patience_s).done
    pool.shutdown(wait=False, cancel_futures=True)
    return [each.result() if each in drawn else _TOO_LATE for each in drawing]


def draw_thumbnail(uri: str, media_type: MediaType | None) -> Thumbnail:
    """A chip's red, green and blue; a GeoTIFF's stretched from its own darkest to its lightest.

    Args:
        media_type: None: the first bytes decide.
    """
    try:
        data = read_named(uri, _AS_SHOWN[media_type or "tif"].max_bytes)
        is_jpg = data.startswith(_JPEG) if media_type is None else media_type == "jpg"
        shown = _AS_SHOWN["jpg" if is_jpg else "tif"]
        pixels = decoding.decode_chip(data, shown) if is_jpg else _stretch(data, shown)
        return Thumbnail(simplejpeg.encode_jpeg(pixels, _QUALITY, "RGB"))
    except (ChipRejected, StorageError, ValueError) as error:
        return Thumbnail(None, str(error))


def _stretch(data: bytes, shown: Preprocessing) -> Pixels:
    values: Radiometry = geotiff.read_bands(data, read_layout(data), shown)
    low, high = np.percentile(values, (_DARKEST, _LIGHTEST), axis=(0, 1))
    ends = tuple((float(a), float(max(b, a + 1))) for a, b in zip(low, high, strict=True))
    return np.ascontiguousarray(scale_bands(values, replace(shown, scaling=ends)))
