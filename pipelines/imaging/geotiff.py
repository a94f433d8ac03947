"""GeoTIFF chips: the header is checked, then pixels are read, by GDAL if they are packed."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ChipRejected
from pipelines.imaging.resize import (
    Pixels,
    Radiometry,
    area_average,
    check_sides,
    scale_bands,
    select_bands,
)
from pipelines.imaging.tiff_header import bare_copy, read_no_data
from pipelines.imaging.tiff_layout import COMPRESSIONS, TiffLayout, read_layout
from schemas.artifact import BANDS, Preprocessing
from schemas.tables import QuarantineReason as Reason

_LONGEST_TILE_PX = 1024  # tiles may be larger than a small picture; COGs often have 512
_BITS = range(9, 17)  # fewer than 16 bits are packed in the file, and decoded to 16
PLAIN_BANDS = (1, 2)  # grey or RGB, with further samples
PHOTOMETRICS = {
    0: "inverted grey",
    3: "a palette",
    4: "a mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELAB",
    9: "ICCLAB",
    10: "ITULAB",
    32803: "a colour filter array",
    32844: "LogL",
    32845: "LogLuv",
}
"""TIFF's numbers of what samples mean, of those that are not reflectances of a band each."""
_MEMORY_FOLDER = re.compile(r"/vsimem/[^/]+/")  # GDAL's name for the bytes: new each time


def decode(data: bytes, preprocessing: Preprocessing) -> tuple[Pixels, TiffLayout]:
    """A GeoTIFF chip as `decoding.decode_chip` returns it, and its layout.

    Raises:
        ChipRejected: as `read_bands`.
    """
    layout = read_layout(data)
    return scale_bands(read_bands(data, layout, preprocessing), preprocessing), layout


def read_bands(data: bytes, layout: TiffLayout, preprocessing: Preprocessing) -> Radiometry:
    """Radiometric values of a GeoTIFF chip, area-averaged, not yet scaled.

    Args:
        preprocessing: the size, the bands and the accepted sides; its scaling is not used.

    Returns:
        `float32 [image_size, image_size, bands]`, in the preprocessing's band order.

    Raises:
        ChipRejected: wrong_bands, wrong_size, too_large, truncated, no_data or decode_error.
    """
    _check_layout(layout, len(data), preprocessing)
    pixels = _read_pixels(data, layout)
    _check_content(pixels, data)
    return select_bands(area_average(pixels, preprocessing.image_size), preprocessing)


@contextmanager
def open_tif(data: bytes) -> Iterator[Any]:
    """Open a TIFF with GDAL, which gets only the tags that a picture needs
    (`tiff_header.bare_copy`).

    Raises:
        ChipRejected: decode_error.
    """
    with open_with_gdal(bare_copy(data), "chip.tif", "GTiff") as source:
        yield source


@contextmanager
def open_with_gdal(data: bytes, name: str, driver: str) -> Iterator[Any]:
    """Open bytes with one of GDAL's drivers and no other: a VRT with a tif's name could name any
    file or address. Rasterio is imported here, since it takes 0.2 s that few jpgs need.

    Raises:
        ChipRejected: decode_error.
    """
    from rasterio.io import MemoryFile

    _silence_gdal()
    with (
        translating_gdal_errors(),
        MemoryFile(data, filename=name) as memory,
        memory.open(driver=driver) as source,
    ):
        yield source


@contextmanager
def translating_gdal_errors() -> Iterator[None]:
    """Raise GDAL's errors as ChipRejected: it is passed nothing but the chip's own bytes."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, ValueError) as error:  # bad text is a ValueError
        detail = _MEMORY_FOLDER.sub("", str(error.__cause__ or error)).splitlines()[0]
        raise ChipRejected(Reason.DECODE_ERROR, detail) from error


def _check_layout(layout: TiffLayout, size_bytes: int, preprocessing: Preprocessing) -> None:
    """Compare a TIFF's header with the artifact and the file, before any pixel is read."""
    check_sides(layout.width_px, layout.height_px, preprocessing)
    bands = len(BANDS["tif"])
    if (layout.bands, layout.bits in _BITS, layout.unsigned) != (bands, True, True):
        raise ChipRejected(Reason.WRONG_BANDS, f"{layout.mode}, not {bands} x uint16")
    if layout.photometric not in PLAIN_BANDS:
        kind = PHOTOMETRICS.get(layout.photometric, f"photometric {layout.photometric}")
        raise ChipRejected(Reason.WRONG_BANDS, f"{layout.mode} of {kind}, not of plain bands")
    if layout.compression not in COMPRESSIONS:
        compression = f"TIFF compression {layout.compression} is not supported"
        raise ChipRejected(Reason.DECODE_ERROR, compression)
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


def _check_content(pixels: npt.NDArray[np.uint16], data: bytes) -> None:
    """Refuse a chip whose samples all are 0, or all are the value that the file calls no data."""
    first = pixels[0, 0, 0]
    same = first == pixels[-1, -1, -1] and (pixels == first).all()
    if same and first in (0, read_no_data(data)):
        raise ChipRejected(Reason.NO_DATA, f"every sample is {first}")


def _read_pixels(data: bytes, layout: TiffLayout) -> npt.NDArray[np.uint16]:
    """All bands, `uint16 [height, width, bands]`; without GDAL if the file holds plain pixels."""
    shape = (layout.height_px, layout.width_px, layout.bands)
    if layout.raw_start is not None:
        samples = np.dtype(">u2" if layout.big_endian else "<u2")
        return np.frombuffer(data, samples, math.prod(shape), layout.raw_start).reshape(shape)
    with open_tif(data) as source:
        if (source.height, source.width, source.dtypes) != (*shape[:2], ("uint16",) * shape[2]):
            raise ChipRejected(Reason.DECODE_ERROR, "the TIFF's header can be read in two ways")
        stack: npt.NDArray[np.uint16] = source.read()
    return np.moveaxis(stack, 0, -1)


@cache
def _silence_gdal() -> None:
    """Archived chips often have no CRS, and GDAL's errors are reasons of chips: a line for each
    would hide all other lines."""
    from rasterio.errors import NotGeoreferencedWarning

    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    logging.getLogger("rasterio._err").setLevel(logging.WARNING)
    logging.getLogger("rasterio._env").setLevel(logging.ERROR)
