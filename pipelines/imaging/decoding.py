"""From a chip's bytes to the model's input: the one path, for training and for scoring.

The bytes decide what a chip is, never its name. JPEGs are decoded in `jpeg`, GeoTIFFs in `geotiff`,
PNGs in `png`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipelines.errors import ChipRejected
from pipelines.imaging import geotiff, jpeg, png, tiff_header
from pipelines.imaging.footprint import Place, read_place
from pipelines.imaging.resize import Pixels
from pipelines.imaging.tiff_layout import TiffLayout, read_layout
from schemas.artifact import MediaType, Preprocessing
from schemas.tables import QuarantineReason as Reason

READING_NAME, READING_VERSION = "forest-chips-reading", 2
"""What a run's record says about which files it could read. A release that reads files which the
one before rejected for a permanent reason increases the version."""

READS_MORE = (
    Reason.DECODE_ERROR,
    Reason.TRUNCATED,
    Reason.NOT_AN_IMAGE,
    Reason.WRONG_BANDS,
)
"""The reasons for which earlier versions rejected files that this one reads."""

_OTHER_PICTURES = {
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM.{4}\0{4}", re.DOTALL),
    "WebP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP|\xff\x4f\xff\x51"),
    "HEIF": re.compile(rb".{4}ftyp(?:heic|heix|mif1|avif)", re.DOTALL),
}


def decode_chip(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """A chip as the model takes it: `uint8 [image_size, image_size, bands]`.

    JPEGs and PNGs keep their values (RGB, 0 to 255); each band of a GeoTIFF is scaled linearly so
    that the preprocessing's low becomes 0 and its high 255, clipped outside. All are area-averaged
    to the size; a JPEG by its own DCT as far as powers of two go (same mean, a third of the time).

    Raises:
        ChipRejected: the bytes are not such a chip; with the reason.
    """
    check_media_type(data, preprocessing)
    if preprocessing.media_type == "jpg":
        return jpeg.decode(data, preprocessing)
    if preprocessing.media_type == "png":
        return png.decode(data, preprocessing)
    return geotiff.decode(data, preprocessing)[0]


def decode_with_place(data: bytes, preprocessing: Preprocessing) -> tuple[Pixels, Place | None]:
    """A chip as `decode_chip` returns it, and its place; None if it has none that can be read.

    Raises:
        ChipRejected: as `decode_chip`.
    """
    if preprocessing.media_type != "tif":
        return decode_chip(data, preprocessing), None
    check_media_type(data, preprocessing)
    pixels, layout = geotiff.decode(data, preprocessing)
    return pixels, read_place(layout)


def media_type_of(data: bytes) -> MediaType:
    """The media type of an object, by its first bytes.

    Raises:
        ChipRejected: empty, not_an_image or unsupported_media_type.
    """
    if not data:
        raise ChipRejected(Reason.EMPTY, "the object has no bytes")
    if data.startswith(jpeg.MAGIC):
        return "jpg"
    if data.startswith(tiff_header.MAGICS):
        return "tif"
    if data.startswith(png.MAGIC):
        return "png"
    for name, magic in _OTHER_PICTURES.items():
        if magic.match(data):
            raise ChipRejected(Reason.UNSUPPORTED_MEDIA_TYPE, f"the bytes are a {name} picture")
    raise ChipRejected(Reason.NOT_AN_IMAGE, f"{len(data):,} bytes that are no picture")


def check_media_type(data: bytes, preprocessing: Preprocessing) -> None:
    """Refuse a chip of another media type than the model was trained on.

    Raises:
        ChipRejected: media_type, or what `media_type_of` raises.
    """
    found = media_type_of(data)
    if found != preprocessing.media_type:
        raise ChipRejected(
            Reason.MEDIA_TYPE, f"the bytes are {found}, the model takes {preprocessing.media_type}"
        )


def read_header(data: bytes) -> jpeg.JpegHeader | png.PngHeader | TiffLayout:
    """A chip's size, and how its pixels are stored, by its header; no pixel is decoded.

    Raises:
        ChipRejected: truncated, decode_error, or what `media_type_of` raises.
    """
    readers: dict[MediaType, Callable[[bytes], jpeg.JpegHeader | png.PngHeader | TiffLayout]]
    readers = {"jpg": jpeg.read_header, "png": png.read_header, "tif": read_layout}
    return readers[media_type_of(data)](data)
