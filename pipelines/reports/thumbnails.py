"""Small pictures of chips for people, read and decoded by the same code as for the model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import simplejpeg

from pipelines.errors import ChipRejected, StorageError
from pipelines.imaging import decoding, geotiff
from pipelines.imaging.resize import Pixels, Radiometry, area_average, as_uint8, scale_bands
from pipelines.imaging.tiff_layout import read_layout
from pipelines.reading.chip_bytes import read_named
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.header_cache import open_scene
from pipelines.scenes.lattice import Window, parse_window
from pipelines.scenes.window_pixels import SceneReader, check_window
from pipelines.storage import store
from schemas.artifact import BANDS, MediaType, Preprocessing
from schemas.tables import QuarantineReason as Reason

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


class Wanted(NamedTuple):
    """A chip to draw.

    Attributes:
        uri: its address.
        media_type: None: the first bytes decide.
        scene_bands: of a window, which bands of its scene are which; None: as in a chip.
    """

    uri: str
    media_type: MediaType | None = None
    scene_bands: str | None = None


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


def draw_thumbnails(chips: Sequence[Wanted], patience_s: float = 60.0) -> list[Thumbnail]:
    """Thumbnails of chips; one that cannot be drawn has a reason.

    Args:
        patience_s: chips that are not drawn by then have no picture: a report must not
            wait for a store that is down.
    """
    pool = ThreadPoolExecutor(_READ_THREADS)
    drawing = [pool.submit(draw_thumbnail, *chip) for chip in chips]
    drawn = wait(drawing, patience_s).done
    pool.shutdown(wait=False, cancel_futures=True)
    return [each.result() if each in drawn else _TOO_LATE for each in drawing]


def draw_thumbnail(
    uri: str, media_type: MediaType | None, scene_bands: str | None = None
) -> Thumbnail:
    """A chip's red, green and blue; a GeoTIFF's stretched from its own darkest to its lightest, and
    so is a window of a scene. The arguments are those of `Wanted`."""
    try:
        if window := parse_window(uri):
            return Thumbnail(_encoded(_draw_window(*window, scene_bands)))
        data = read_named(uri, _AS_SHOWN[media_type or "tif"].max_bytes)
        is_jpg = data.startswith(_JPEG) if media_type is None else media_type == "jpg"
        shown = _AS_SHOWN["jpg" if is_jpg else "tif"]
        pixels = decoding.decode_chip(data, shown) if is_jpg else _stretch(data, shown)
        return Thumbnail(_encoded(pixels))
    except (ChipRejected, StorageError, ValueError) as error:
        return Thumbnail(None, str(error))


def _encoded(pixels: Pixels) -> bytes:
    jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), _QUALITY, "RGB")
    return jpeg


def _draw_window(uri: str, window: Window, scene_bands: str | None) -> Pixels:
    """A window, cut from the scene as it is now.

    Raises:
        ChipRejected, StoreDown: it cannot be read.
    """
    check_window(window, _AS_SHOWN["tif"])
    head = store.head_object(uri)
    etag = head["etag"] if head else None
    values = SceneReader(uri, etag, open_scene(uri, etag, None), [window]).read(window).values
    means = area_average(values[..., _colours_of(values.shape[2], scene_bands)], SIDE_PX)
    return as_uint8(means) if values.dtype == np.uint8 else _stretched(means, _AS_SHOWN["tif"])


def _colours_of(bands: int, scene_bands: str | None) -> list[int]:
    """The positions of red, green and blue in a scene."""
    chosen = SceneBands.from_json(scene_bands).indexes if scene_bands else tuple(range(bands))
    for names in BANDS.values():
        if len(names) == len(chosen):
            return [chosen[names.index(colour)] for colour in _COLOURS]
    raise ChipRejected(Reason.WRONG_BANDS, f"{bands} bands: which are red, green and blue?")


def _stretch(data: bytes, shown: Preprocessing) -> Pixels:
    return _stretched(geotiff.read_bands(data, read_layout(data), shown), shown)


def _stretched(values: Radiometry, shown: Preprocessing) -> Pixels:
    low, high = np.percentile(values, (_DARKEST, _LIGHTEST), axis=(0, 1))
    ends = tuple((float(a), float(max(b, a + 1))) for a, b in zip(low, high, strict=True))
    return np.ascontiguousarray(scale_bands(values, replace(shown, scaling=ends)))
