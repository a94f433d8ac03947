"""Small pictures of chips for people, read and decoded by the same code as for the model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import simplejpeg

from pipelines.errors import ChipRejected, StorageError
from pipelines.imaging import decoding, geotiff
from pipelines.imaging.band_names import COLOURS, shown_colours
from pipelines.imaging.no_data import fill_gaps
from pipelines.imaging.resize import Pixels, Radiometry, area_average, as_uint8, check_sides
from pipelines.imaging.tiff_bands import default_names, read_kind
from pipelines.imaging.tiff_layout import read_layout
from pipelines.reading.chip_bytes import read_named
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.header_cache import open_scene
from pipelines.scenes.lattice import Window, parse_window
from pipelines.scenes.window_pixels import SceneReader
from pipelines.storage import store
from schemas.artifact import MEDIA_TYPES, MediaType, Preprocessing

SIDE_PX = 128

_ACCEPTED_SIDES_PX = (1, 4096)
_QUALITY = 85
_READ_THREADS = 8
_MOST_BYTES = 128 << 20
_DARKEST, _LIGHTEST = 2, 98  # percentiles of a chip's values that become black and white

_COLOUR_PICTURES: dict[MediaType, Preprocessing] = {
    kind: Preprocessing(kind, SIDE_PX, COLOURS, None, _ACCEPTED_SIDES_PX)
    for kind in MEDIA_TYPES
    if kind != "tif"
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
        data = read_named(uri, _MOST_BYTES)
        shown = _COLOUR_PICTURES.get(media_type or decoding.media_type_of(data))
        pixels = decoding.decode_chip(data, shown) if shown else _draw_tif(data)
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
    check_sides(window.width_px, window.height_px, _COLOUR_PICTURES["jpg"])
    head = store.head_object(uri)
    etag = head["etag"] if head else None
    scene = open_scene(uri, etag, None)
    values = SceneReader(uri, etag, scene, [window]).read(window).values
    colours = _colours_of(values.shape[2], scene_bands, scene.tags.names)
    means = area_average(fill_gaps(values[..., colours]), SIDE_PX)
    return as_uint8(means) if values.dtype == np.uint8 else _stretched(means)


def _colours_of(bands: int, scene_bands: str | None, names: Sequence[str]) -> list[int]:
    """The positions of what is shown as red, green and blue in a scene.

    Args:
        names: of its bands, if the file has them.
    """
    if scene_bands is None:
        return list(shown_colours(names or default_names(bands)))
    chosen = SceneBands.from_json(scene_bands)
    known = chosen.names or default_names(len(chosen.indexes))
    return [chosen.indexes[at] for at in shown_colours(known)]


def _draw_tif(data: bytes) -> Pixels:
    """A GeoTIFF chip."""
    layout = read_layout(data)
    kind = read_kind(data, layout)
    colours = shown_colours(kind.bands)
    bands = tuple(dict.fromkeys(kind.bands[at] for at in colours))
    scaling = ((0.0, 1.0),) * len(bands)
    shown = Preprocessing(
        "tif", SIDE_PX, bands, scaling, _ACCEPTED_SIDES_PX, kind.bands, kind.samples
    )
    values = geotiff.read_bands(data, layout, shown)
    values = values[..., [bands.index(kind.bands[at]) for at in colours]]
    return as_uint8(values) if kind.samples == "uint8" else _stretched(values)


def _stretched(values: Radiometry) -> Pixels:
    """From its own darkest to its lightest; a band that is the same everywhere is black."""
    low, high = np.percentile(values, (_DARKEST, _LIGHTEST), axis=(0, 1))
    high = np.where(high > low, high, low + 1)
    return as_uint8(((values - low) * (255 / (high - low))).astype(np.float32))
