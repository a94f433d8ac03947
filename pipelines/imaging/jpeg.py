"""JPEG chips: the header is checked, then libjpeg-turbo decodes and scales.

TensorFlow's decoder is not used: it decodes the archive's 4-component JPEGs without markers to
black pictures, without an error (docs/decisions/simplejpeg.md).
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import simplejpeg

from pipelines.errors import ChipRejected
from pipelines.imaging.geotiff import open_with_gdal
from pipelines.imaging.jpeg_segments import (
    BareJpeg,
    bare_copy,
    find_fault,
    without_last_bytes,
    without_padding,
)
from pipelines.imaging.resize import Pixels, area_average, as_uint8, check_sides, select_bands
from schemas.artifact import Preprocessing
from schemas.tables import QuarantineReason as Reason

MAGIC = b"\xff\xd8\xff"
DARKEST = 2
"""A chip without a pixel above this level, of 255, has no data. A picture of zeros decodes to this
at most (at quality 23 or better): zero is rounded, and four components are converted to three."""

_COMPONENTS = {"Gray": 1, "YCbCr": 3, "RGB": 3, "CMYK": 4, "YCCK": 4}
_COMPLAINTS = (ValueError, KeyError)  # a KeyError: simplejpeg has no name for 4:4:1


class JpegHeader(NamedTuple):
    """Size and colour space (`Gray`, `YCbCr`, `RGB`, `CMYK` or `YCCK`) of a JPEG."""

    width_px: int
    height_px: int
    colour_space: str

    @property
    def mode(self) -> str:
        """How the pixels are stored, such as `4-component JPEG (CMYK)`."""
        return f"{_COMPONENTS[self.colour_space]}-component JPEG ({self.colour_space})"


def decode(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """A JPEG as `decoding.decode_chip` returns it.

    Raises:
        ChipRejected: wrong_bands, wrong_size, too_large, truncated, no_data or decode_error.
    """
    size = preprocessing.image_size
    _refuse_coding(data)
    try:
        _check(_header(data), preprocessing)
        pixels = _decode(data, size)
    except _COMPLAINTS:  # maybe only of metadata: look closer
        bare = bare_copy(data)
        _check(_header_of(bare), preprocessing)
        pixels = _decode_bare(bare, size)
    # One value first: it has the answer for almost all chips, and a maximum takes 7 microseconds.
    if pixels.item(pixels.size // 2) <= DARKEST and pixels.max() <= DARKEST:
        raise ChipRejected(Reason.NO_DATA, "every pixel is black")
    if pixels.shape[:2] != (size, size):
        pixels = as_uint8(area_average(pixels, size))
    return select_bands(pixels, preprocessing)


def read_header(data: bytes) -> JpegHeader:
    """The header of a JPEG that may be passed to a decoder.

    Raises:
        ChipRejected: truncated or decode_error.
    """
    _refuse_coding(data)
    try:
        return _header(data)
    except _COMPLAINTS:
        return _header_of(bare_copy(data))


def _refuse_coding(data: bytes) -> None:
    if fault := find_fault(data):
        raise ChipRejected(Reason.DECODE_ERROR, fault)


def _header(data: bytes) -> JpegHeader:
    height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
    return JpegHeader(width, height, colour_space)


def _header_of(bare: BareJpeg) -> JpegHeader:
    try:
        return _header(bare.head)
    except _COMPLAINTS as error:
        raise _rejected(bare, error) from error


def _check(header: JpegHeader, preprocessing: Preprocessing) -> None:
    check_sides(header.width_px, header.height_px, preprocessing)
    if header.colour_space == "Gray":
        raise ChipRejected(Reason.WRONG_BANDS, "a grey JPEG, 1 band, not 3 colours")


def _decode(data: bytes, size: int) -> Pixels:
    """`uint8 [height, width, 3]`, scaled as far as both sides stay at least `size`."""
    pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=size, min_width=size)
    return pixels


def _decode_bare(bare: BareJpeg, size: int) -> Pixels:
    try:
        return _decode(bare.data, size)
    except ValueError as error:
        if "subsampling" in str(error):
            return _decode_unnamed_subsampling(bare)
        if "extraneous bytes before marker 0xd9" not in str(error):
            raise _rejected(bare, error) from error
    try:
        return _decode(without_padding(bare.data), size)
    except ValueError as error:
        raise _rejected(bare, error) from error


def _decode_unnamed_subsampling(bare: BareJpeg) -> Pixels:
    """A JPEG whose subsampling simplejpeg has no name for, in full size.

    Pillow's pixels are those of simplejpeg, but it accepts broken data. GDAL finds these, but its
    own libjpeg makes other colours at edges, and it stops reading at the last pixel. So a picture
    is whole if GDAL accepts it, and misses its last bytes.
    """
    from PIL import Image

    data = without_padding(bare.data)
    try:
        _check_with_gdal(data)
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (ChipRejected, OSError) as error:
        raise _rejected(bare, error) from error
    try:
        _check_with_gdal(without_last_bytes(data))
    except ChipRejected:
        return pixels
    raise ChipRejected(Reason.DECODE_ERROR, "bytes are left over after the last pixel")


def _check_with_gdal(data: bytes) -> None:
    """Raise ChipRejected if the picture's data are not whole."""
    from rasterio import Env

    with (
        Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True),
        open_with_gdal(data, "chip.jpg", "JPEG") as source,
    ):
        source.read()


def _rejected(bare: BareJpeg, error: Exception) -> ChipRejected:
    return ChipRejected(Reason.DECODE_ERROR if bare.ended else Reason.TRUNCATED, str(error))
