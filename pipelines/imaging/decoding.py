"""From a chip's bytes to the model's input: the one path, for training and for scoring.

The bytes decide what a chip is, never its name. TensorFlow's own decoder is not used: it turns
the archive's 4-component JPEGs without markers into black pictures, and says nothing
(docs/decisions/simplejpeg.md).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from pipelines.errors import ChipRejected
from pipelines.imaging import jpeg, tiff_layout
from schemas.artifact import BANDS, MediaType, Preprocessing
from schemas.tables import QuarantineReason as Reason

Pixels = npt.NDArray[np.uint8]
Radiometry = npt.NDArray[np.float32]

_JPEG_COMPONENTS = {"Gray": 1, "YCbCr": 3, "RGB": 3, "CMYK": 4, "YCCK": 4}

_OTHER_PICTURES = {
    "PNG": re.compile(rb"\x89PNG"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM.{4}\0{4}", re.DOTALL),
    "WebP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP|\xff\x4f\xff\x51"),
    "HEIF": re.compile(rb".{4}ftyp(?:heic|heix|mif1|avif)", re.DOTALL),
}
_LONGEST_TILE_PX = 1024  # tiles may be larger than a small picture; COGs often have 512
_MOST_SUMMED = 1 << 24  # up to here float32 holds every whole number
_MEMORY_FOLDER = re.compile(r"/vsimem/[^/]+/")  # GDAL's name for the bytes: new each time


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
    return decode_tif(data, preprocessing)[0]


def decode_tif(data: bytes, preprocessing: Preprocessing) -> tuple[Pixels, tiff_layout.TiffLayout]:
    """A GeoTIFF chip as `decode_chip` gives it, and what its header says.

    Raises:
        ChipRejected: the bytes are no such chip; with the reason.
    """
    check_media_type(data, preprocessing)
    layout = read_layout(data)
    return scale_bands(_read_bands(data, layout, preprocessing), preprocessing), layout


def media_type_of(data: bytes) -> MediaType:
    """What the first bytes say that an object is.

    Raises:
        ChipRejected: empty, not_an_image or unsupported_media_type.
    """
    if not data:
        raise ChipRejected(Reason.EMPTY, "the object has no bytes")
    if data.startswith(jpeg.MAGIC):
        return "jpg"
    if data.startswith(tiff_layout.MAGICS):
        return "tif"
    for name, magic in _OTHER_PICTURES.items():
        if magic.match(data):
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
        layout = read_layout(data)
        return layout.width_px, layout.height_px
    height, width, _ = _read_jpeg_header(data)
    return width, height


def mode_of(data: bytes) -> str:
    """How the header says that a chip's pixels are stored, for people.

    `4-component JPEG (CMYK)`, `4 x uint16` ...

    Raises:
        ChipRejected: truncated, decode_error, or what `media_type_of` raises.
    """
    if media_type_of(data) == "tif":
        return _sample_kind(read_layout(data))
    colour_space = _read_jpeg_header(data)[2]
    return f"{_JPEG_COMPONENTS[colour_space]}-component JPEG ({colour_space})"


def read_tif(data: bytes, preprocessing: Preprocessing) -> Radiometry:
    """Radiometric values of a GeoTIFF chip, area-averaged, not yet scaled.

    Args:
        preprocessing: gives the size, the bands and the accepted sides; its scaling is not used.

    Returns:
        `float32 [image_size, image_size, bands]`, in the preprocessing's band order.

    Raises:
        ChipRejected: wrong_bands, wrong_size, too_large, truncated or decode_error.
    """
    return _read_bands(data, read_layout(data), preprocessing)


def scale_bands(values: Radiometry, preprocessing: Preprocessing) -> Pixels:
    """Radiometric values `[..., bands]` as uint8, linear between each band's low and high."""
    if preprocessing.scaling is None:
        raise ValueError("radiometric values need a scaling")
    low, factor = _line(preprocessing.scaling)
    scaled = values - low
    scaled *= factor
    return _as_uint8(scaled)


@lru_cache(maxsize=16)
def _line(scaling: tuple[tuple[float, float], ...]) -> tuple[Radiometry, Radiometry]:
    """For each band, `float32`: what is taken off, and what the rest is multiplied by."""
    low, high = np.array(scaling).T
    return low.astype(np.float32), (255 / (high - low)).astype(np.float32)


def area_average(pixels: npt.NDArray[np.uint8 | np.uint16], size: int) -> Radiometry:
    """Resize `[H, W, C]` to `float32 [size, size, C]`, each pixel the mean of what it covers."""
    height, width, bands = pixels.shape
    down, across = height // size, width // size
    whole = height == down * size and width == across * size
    if whole and down * across * np.iinfo(pixels.dtype).max <= _MOST_SUMMED:
        rows = pixels.reshape(size, down, width * bands).astype(np.float32).sum(1)
        means: Radiometry = rows.reshape(size * size, across * bands) @ _ones(across, bands)
        means *= np.float32(1 / (down * across))
        return means.reshape(size, size, bands)
    thin = _area_weights(height, size) @ pixels.reshape(height, -1).astype(np.float32)
    resized: Radiometry = _area_weights(width, size) @ thin.reshape(size, width, bands)
    return resized


def _read_bands(
    data: bytes, layout: tiff_layout.TiffLayout, preprocessing: Preprocessing
) -> Radiometry:
    _check_layout(layout, len(data), preprocessing)
    means = area_average(_read_pixels(data, layout), preprocessing.image_size)
    if preprocessing.bands == BANDS["tif"]:
        return means
    return means[:, :, [BANDS["tif"].index(band) for band in preprocessing.bands]]


def _decode_jpg(data: bytes, preprocessing: Preprocessing) -> Pixels:
    size = preprocessing.image_size
    try:
        height, width, colour_space = _read_jpeg_header(data)
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


def _read_jpeg_header(data: bytes) -> tuple[int, int, str]:
    """Height, width and colour space."""
    if fault := jpeg.find_fault(data):
        raise ChipRejected(Reason.DECODE_ERROR, fault)
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise ChipRejected(_jpeg_reason(data, str(error)), str(error)) from error
    except KeyError as error:  # simplejpeg has no name for 4:4:1
        raise ChipRejected(Reason.DECODE_ERROR, "a JPEG of unknown subsampling") from error
    return height, width, colour_space


def _jpeg_reason(data: bytes, message: str) -> Reason:
    if "Premature end of JPEG file" in message or jpeg.END not in data[-64:]:
        return Reason.TRUNCATED
    return Reason.DECODE_ERROR


def _check_sides(width: int, height: int, preprocessing: Preprocessing) -> None:
    """Hold the header's size against the artifact's, before any pixel is made."""
    shortest, longest = preprocessing.accepted_sides_px
    if max(width, height) > longest:
        raise ChipRejected(Reason.TOO_LARGE, f"{width}x{height} px, at most {longest} a side")
    if min(width, height) < shortest:
        raise ChipRejected(Reason.WRONG_SIZE, f"{width}x{height} px, at least {shortest} a side")


def _check_layout(
    layout: tiff_layout.TiffLayout, size_bytes: int, preprocessing: Preprocessing
) -> None:
    """Hold a TIFF's header against the artifact and the file, before any pixel is made."""
    _check_sides(layout.width_px, layout.height_px, preprocessing)
    bands = len(BANDS["tif"])
    if (layout.bands, layout.bits, layout.unsigned) != (bands, 16, True):
        raise ChipRejected(Reason.WRONG_BANDS, f"{_sample_kind(layout)}, not {bands} x uint16")
    if layout.compression not in tiff_layout.COMPRESSIONS:
        packing = f"a TIFF of compression {layout.compression}, which is not read here"
        raise ChipRejected(Reason.DECODE_ERROR, packing)
    longest = max(preprocessing.accepted_sides_px[1], _LONGEST_TILE_PX)
    if layout.tile_px > longest:
        raise ChipRejected(Reason.TOO_LARGE, f"tiles of {layout.tile_px} px, at most {longest}")
    if layout.missing_blocks:
        missing = f"{layout.missing_blocks} of {layout.blocks} strips or tiles have no data"
        raise ChipRejected(Reason.TRUNCATED, missing)
    if layout.end > size_bytes:
        missing = f"{layout.end - size_bytes:,} bytes of pixel data are missing"
        raise ChipRejected(Reason.TRUNCATED, missing)
    if layout.data_bytes > size_bytes:
        raise ChipRejected(Reason.DECODE_ERROR, "strips or tiles that share their bytes")


def _sample_kind(layout: tiff_layout.TiffLayout) -> str:
    kind = f"uint{layout.bits}" if layout.unsigned else f"not unsigned {layout.bits} bit"
    return f"{layout.bands} x {kind}"


def read_layout(data: bytes) -> tiff_layout.TiffLayout:
    """What the header of a TIFF says.

    Raises:
        ChipRejected: truncated or decode_error.
    """
    try:
        return tiff_layout.read_layout(data)
    except tiff_layout.TiffError as error:
        reason = Reason.TRUNCATED if error.truncated else Reason.DECODE_ERROR
        raise ChipRejected(reason, str(error)) from error


def _read_pixels(data: bytes, layout: tiff_layout.TiffLayout) -> npt.NDArray[np.uint16]:
    """All bands, `uint16 [height, width, bands]`; without a decoder where the bytes are pixels."""
    shape = (layout.height_px, layout.width_px, layout.bands)
    if layout.raw_start is not None:
        samples = np.dtype(">u2" if layout.big_endian else "<u2")
        return np.frombuffer(data, samples, math.prod(shape), layout.raw_start).reshape(shape)
    with open_tif(data) as source:
        if (source.height, source.width, source.dtypes) != (*shape[:2], ("uint16",) * shape[2]):
            raise ChipRejected(Reason.DECODE_ERROR, "the TIFF's header can be read in two ways")
        stack: npt.NDArray[np.uint16] = source.read()
    return np.moveaxis(stack, 0, -1)


@contextmanager
def open_tif(data: bytes) -> Iterator[Any]:
    """Open bytes as GeoTIFF and as nothing else: GDAL, left to choose, opens a VRT in a tif's
    clothes, which may name any file or address. It sees the tags that a picture takes, and no other
    (`tiff.bare_copy`). What it cannot do with them is a decode_error.
    Rasterio is imported here and not above, since it takes 0.2 s that no jpg needs."""
    from rasterio.io import MemoryFile

    _accept_missing_crs()
    with (
        gdal_errors(),
        MemoryFile(tiff_layout.bare_copy(data), filename="chip.tif") as memory,
        memory.open(driver="GTiff") as source,
    ):
        yield source


@contextmanager
def gdal_errors() -> Iterator[None]:
    """Whatever GDAL complains of is the chip's fault: it is given nothing else."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, ValueError) as error:  # bad text is a ValueError
        detail = _MEMORY_FOLDER.sub("", str(error.__cause__ or error)).splitlines()[0]
        raise ChipRejected(Reason.DECODE_ERROR, detail) from error


@cache
def _accept_missing_crs() -> None:
    """Archived chips often have no CRS; one warning a chip would bury every other line."""
    from rasterio.errors import NotGeoreferencedWarning

    warnings.simplefilter("ignore", NotGeoreferencedWarning)


@cache
def _ones(across: int, bands: int) -> Radiometry:
    """`float32 [across * bands, bands]`: adds up pixels side by side, band by band."""
    return np.tile(np.eye(bands, dtype=np.float32), (across, 1))


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
    """Rounded and clipped; `values` is used up."""
    np.rint(values, out=values)
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)
