"""From a chip's bytes to the model's input: the one path, for training and for scoring.

The bytes decide what a chip is, never its name. TensorFlow's own decoder is not used: it turns
the archive's 4-component JPEGs without markers into black pictures, and says nothing
(docs/decisions/simplejpeg.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from pipelines import tiff
from pipelines.errors import ChipRejected
from schemas.artifact import BANDS, MediaType, Preprocessing
from schemas.tables import QuarantineReason as Reason

Pixels = npt.NDArray[np.uint8]
Radiometry = npt.NDArray[np.float32]
Bounds = tuple[float, float, float, float]

_JPEG_MAGIC = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_OTHER_PICTURES = {
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
_WGS84 = "EPSG:4326"


def decode_chip(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """A chip as the model takes it: `uint8 [image_size, image_size, bands]`.

    A JPEG keeps its values (RGB, 0 to 255); each band of a GeoTIFF is scaled linearly so that
    the preprocessing's low becomes 0 and its high 255, clipped outside. Both are area-averaged
    to the size; a JPEG by its own DCT as far as powers of two go (same mean, a third of the time).

    Raises:
        ChipRejected: the bytes are no such chip; with the reason.
    """
    check_media_type(data, preprocessing)
    if preprocessing.media_type == "jpg":
        return _decode_jpg(data, preprocessing)
    return scale_bands(read_tif(data, preprocessing), preprocessing)


def media_type_of(data: bytes) -> MediaType:
    """What the first bytes say that an object is.

    Raises:
        ChipRejected: empty, not_an_image or unsupported_media_type.
    """
    if not data:
        raise ChipRejected(Reason.EMPTY, "the object has no bytes")
    if data.startswith(_JPEG_MAGIC):
        return "jpg"
    if data.startswith(tiff.MAGICS):
        return "tif"
    for magic, name in _OTHER_PICTURES.items():
        if data.startswith(magic):
            raise ChipRejected(Reason.UNSUPPORTED_MEDIA_TYPE, f"the bytes are a {name} picture")
    raise ChipRejected(Reason.NOT_AN_IMAGE, f"the bytes begin with {data[:4].hex(' ')}")


def check_media_type(data: bytes, preprocessing: Preprocessing) -> None:
    """Refuse a chip of the other media type than the model was trained on.

    Raises:
        ChipRejected: media_type, or what `media_type_of` raises.
    """
    found = media_type_of(data)
    if found != preprocessing.media_type:
        raise ChipRejected(
            Reason.MEDIA_TYPE, f"the bytes are {found}, the model takes {preprocessing.media_type}"
        )


def sides_px(data: bytes) -> tuple[int, int]:
    """Width and height of a chip as its header tells, before any pixel is made.

    Raises:
        ChipRejected: truncated, decode_error, or what `media_type_of` raises.
    """
    if media_type_of(data) == "tif":
        layout = _read_layout(data)
        return layout.width_px, layout.height_px
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise ChipRejected(_jpeg_reason(data, str(error)), str(error)) from error
    return width, height


def read_tif(data: bytes, preprocessing: Preprocessing) -> Radiometry:
    """Radiometric values of a GeoTIFF chip, area-averaged, not yet scaled.

    Args:
        preprocessing: gives the size, the bands and the accepted sides; its scaling is not used.

    Returns:
        `float32 [image_size, image_size, bands]`, in the preprocessing's band order.

    Raises:
        ChipRejected: wrong_bands, wrong_size, too_large, truncated or decode_error.
    """
    layout = _read_layout(data)
    _check_sides(layout.width_px, layout.height_px, preprocessing)
    stored = BANDS["tif"]
    if (layout.bands, layout.bits, layout.unsigned) != (len(stored), 16, True):
        kind = f"{layout.bands} x {'' if layout.unsigned else 'not unsigned '}{layout.bits} bit"
        raise ChipRejected(Reason.WRONG_BANDS, f"{kind}, not {len(stored)} x uint16")
    if layout.end > len(data):
        missing = layout.end - len(data)
        raise ChipRejected(Reason.TRUNCATED, f"{missing:,} bytes of pixel data are missing")
    bands = [stored.index(band) for band in preprocessing.bands]
    stack = _read_bands(data, [band + 1 for band in bands])
    return area_average(np.moveaxis(stack, 0, -1), preprocessing.image_size)


def scale_bands(values: Radiometry, preprocessing: Preprocessing) -> Pixels:
    """Radiometric values `[..., bands]` as uint8, linear between each band's low and high."""
    if preprocessing.scaling is None:
        raise ValueError("radiometric values need a scaling")
    low, high = np.array(preprocessing.scaling, np.float32).T
    return _as_uint8((values - low) * (255 / (high - low)))


def area_average(pixels: npt.NDArray[Any], size: int) -> Radiometry:
    """Resize `[H, W, C]` to `float32 [size, size, C]`, each pixel the mean of what it covers."""
    height, width, bands = pixels.shape
    if height % size == 0 and width % size == 0:
        blocks = pixels.reshape(size, height // size, size, width // size, bands)
        means: Radiometry = blocks.mean(axis=(1, 3), dtype=np.float32)
        return means
    rows = _area_weights(height, size) @ pixels.reshape(height, -1).astype(np.float32)
    resized: Radiometry = _area_weights(width, size) @ rows.reshape(size, width, bands)
    return resized


def tif_bounds(data: bytes) -> Bounds | None:
    """West, south, east, north of a GeoTIFF in WGS 84 degrees; None where it has no CRS."""
    try:
        if not tiff.read_layout(data).has_crs:
            return None
    except tiff.TiffError:
        return None
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    try:
        with _open_tif(data) as source:
            if source.crs is None:
                return None
            west, south, east, north = transform_bounds(source.crs, _WGS84, *source.bounds)
    except RasterioError:
        return None
    bounds = (west, south, east, north)
    return bounds if np.isfinite(bounds).all() else None


def _decode_jpg(data: bytes, preprocessing: Preprocessing) -> Pixels:
    size = preprocessing.image_size
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
        _check_sides(width, height, preprocessing)
        if colour_space == "Gray":
            raise ChipRejected(Reason.WRONG_BANDS, "a grey JPEG, 1 band, not 3 colours")
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=size, min_width=size)
    except ValueError as error:
        raise ChipRejected(_jpeg_reason(data, str(error)), str(error)) from error
    if pixels.shape[:2] != (size, size):
        pixels = _as_uint8(area_average(pixels, size))
    if preprocessing.bands == BANDS["jpg"]:
        return pixels
    return pixels[:, :, [BANDS["jpg"].index(band) for band in preprocessing.bands]]


def _jpeg_reason(data: bytes, message: str) -> Reason:
    if "Premature end of JPEG file" in message or _JPEG_END not in data[-64:]:
        return Reason.TRUNCATED
    return Reason.DECODE_ERROR


def _check_sides(width: int, height: int, preprocessing: Preprocessing) -> None:
    """Hold the header's size against the artifact's, before any pixel is made."""
    shortest, longest = preprocessing.accepted_sides_px
    if max(width, height) > longest:
        raise ChipRejected(Reason.TOO_LARGE, f"{width}x{height} px, at most {longest} a side")
    if min(width, height) < shortest:
        raise ChipRejected(Reason.WRONG_SIZE, f"{width}x{height} px, at least {shortest} a side")


def _read_layout(data: bytes) -> tiff.TiffLayout:
    try:
        return tiff.read_layout(data)
    except tiff.TiffError as error:
        reason = Reason.TRUNCATED if error.truncated else Reason.DECODE_ERROR
        raise ChipRejected(reason, str(error)) from error


def _read_bands(data: bytes, indexes: list[int]) -> npt.NDArray[np.uint16]:
    from rasterio.errors import RasterioError

    try:
        with _open_tif(data) as source:
            stack: npt.NDArray[np.uint16] = source.read(indexes)
    except RasterioError as error:
        detail = str(error.__cause__ or error).splitlines()[0]
        raise ChipRejected(Reason.DECODE_ERROR, detail) from error
    return stack


@contextmanager
def _open_tif(data: bytes) -> Iterator[Any]:
    """Open bytes as GeoTIFF and as nothing else: GDAL, left to choose, opens a VRT in a tif's
    clothes, which may name any file or address. Rasterio is imported here and not above, since
    it takes 0.2 s that no jpg needs."""
    from rasterio.io import MemoryFile

    _accept_missing_crs()
    with MemoryFile(data) as memory, memory.open(driver="GTiff") as source:
        yield source


@cache
def _accept_missing_crs() -> None:
    """Archived chips often have no CRS; one warning a chip would bury every other line."""
    from rasterio.errors import NotGeoreferencedWarning

    warnings.simplefilter("ignore", NotGeoreferencedWarning)


@lru_cache(maxsize=256)
def _area_weights(length: int, size: int) -> Radiometry:
    """`float32 [size, length]`: each output pixel's shares of the input pixels it covers."""
    edges = np.linspace(0, length, size + 1)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(length)
    covered = np.minimum(ends, pixels + 1) - np.maximum(starts, pixels)
    weights: Radiometry = (np.clip(covered, 0, None) / (ends - starts)).astype(np.float32)
    return weights


def _as_uint8(values: Radiometry) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
