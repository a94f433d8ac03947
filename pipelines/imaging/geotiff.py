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

from pipelines.errors import ChipRejected
from pipelines.imaging.no_data import Mask, Values, fill_gaps, find_gaps, find_missing
from pipelines.imaging.resize import (
    Pixels,
    Radiometry,
    area_average,
    as_uint8,
    check_sides,
    scale_bands,
)
from pipelines.imaging.tiff_bands import BandChoice, choose_samples
from pipelines.imaging.tiff_header import bare_copy, read_no_data
from pipelines.imaging.tiff_layout import COMPRESSIONS, TiffLayout, read_layout
from schemas.artifact import Preprocessing, SampleType
from schemas.networks.preprocessing import SAMPLE_BYTES
from schemas.tables import QuarantineReason as Reason

_LONGEST_TILE_PX = 1024  # tiles may be larger than a small picture; COGs often have 512
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
_STORED: dict[tuple[SampleType | None, bool], np.dtype[Any]] = {
    (samples, big_endian): np.dtype(samples).newbyteorder(">" if big_endian else "<")
    for samples in SAMPLE_BYTES
    for big_endian in (False, True)
}
"""Types of samples by the byte order in the file."""
_MEMORY_FOLDER = re.compile(r"/vsimem/[^/]+/")  # GDAL's name for the bytes: new each time


def decode(data: bytes, preprocessing: Preprocessing) -> tuple[Pixels, TiffLayout]:
    """A GeoTIFF chip as `decoding.decode_chip` returns it, and its layout.

    Raises:
        ChipRejected: as `read_bands`.
    """
    layout = read_layout(data)
    values = read_bands(data, layout, preprocessing)
    if preprocessing.scaling is None:
        return as_uint8(values), layout
    return scale_bands(values, preprocessing), layout


def read_bands(data: bytes, layout: TiffLayout, preprocessing: Preprocessing) -> Radiometry:
    """Radiometric values of a GeoTIFF chip, area-averaged, not yet scaled.

    Args:
        preprocessing: the size, the bands and the accepted sides; its scaling is not used.

    Returns:
        `float32 [image_size, image_size, bands]`, in the preprocessing's band order.

    Raises:
        ChipRejected: wrong_bands, wrong_size, too_large, truncated, no_data or decode_error.
    """
    pixels, choice = _read_checked(data, layout, preprocessing)
    return _averaged(pixels, data, choice, preprocessing)


def read_measured(data: bytes, layout: TiffLayout, preprocessing: Preprocessing) -> Radiometry:
    """Values as `read_bands` returns them, `float32 [n, bands]`: only those of whose pixels none is
    without data; of the usual four bands all, as ever.

    Raises:
        ChipRejected: as `read_bands`.
    """
    pixels, choice = _read_checked(data, layout, preprocessing)
    values = _averaged(pixels, data, choice, preprocessing).reshape(-1, len(preprocessing.bands))
    if not preprocessing.stored_bands:
        return values
    missing = _find_missing(pixels, data, choice)
    if isinstance(missing, bool) or not missing.any():
        return values
    shares = area_average(missing[..., None].astype(np.uint8), preprocessing.image_size)
    whole: Radiometry = values[shares.ravel() == 0]
    return whole


def _read_checked(
    data: bytes, layout: TiffLayout, preprocessing: Preprocessing
) -> tuple[Values, BandChoice]:
    """All samples of a chip that has data, and which of them the model takes."""
    choice = _check_layout(layout, data, preprocessing)
    pixels = _read_pixels(data, layout)
    if preprocessing.stored_bands:
        _check_data(pixels, data, choice)
    else:
        _check_content(pixels, data)
    return pixels, choice


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


def _check_layout(layout: TiffLayout, data: bytes, preprocessing: Preprocessing) -> BandChoice:
    """Compare a TIFF's header with the artifact and the file, before any pixel is read."""
    size_bytes = len(data)
    check_sides(layout.width_px, layout.height_px, preprocessing)
    choice = choose_samples(data, layout, preprocessing)
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
    return choice


def _check_content(pixels: Values, data: bytes) -> None:
    """Refuse a chip whose samples all are 0, or all are the value that the file calls no data."""
    first = pixels[0, 0, 0]
    same = first == pixels[-1, -1, -1] and (pixels == first).all()
    if same and first in (0, read_no_data(data)):
        raise ChipRejected(Reason.NO_DATA, f"every sample is {first}")


def _check_data(pixels: Values, data: bytes, choice: BandChoice) -> None:
    """Refuse a chip of which no pixel has data in all bands."""
    if np.all(_find_missing(pixels, data, choice)):
        raise ChipRejected(Reason.NO_DATA, "no pixel has data in all bands")


def _find_missing(pixels: Values, data: bytes, choice: BandChoice) -> Mask:
    """Where a chip has no data, or none in one of the bands that the model takes."""
    if choice.has_alpha:
        transparent: Mask = pixels[..., -1] == 0
        return transparent
    missing = find_missing(pixels, pixels.min(), read_no_data(data))
    taken = pixels if choice.positions is None else pixels[..., choice.positions]
    gaps = find_gaps(taken)
    return missing if gaps is False else np.logical_or(missing, gaps)


def _averaged(
    pixels: Values, data: bytes, choice: BandChoice, preprocessing: Preprocessing
) -> Radiometry:
    """The model's bands; 0 in gaps, and where the alpha channel is 0."""
    if choice.has_alpha and not pixels[..., -1].all():
        pixels = np.where(pixels[..., -1:] == 0, pixels.dtype.type(0), pixels)
    no_data = None if pixels.dtype.kind == "u" else read_no_data(data)
    means = area_average(fill_gaps(pixels, no_data), preprocessing.image_size)
    if choice.positions is not None:
        means = means[..., choice.positions]
    return choice.values_of(means)


def _read_pixels(data: bytes, layout: TiffLayout) -> Values:
    """All samples, `[height, width, samples]`; without GDAL if the file holds plain pixels."""
    shape = (layout.height_px, layout.width_px, layout.bands)
    if layout.raw_start is not None:
        samples = _STORED[layout.samples, layout.big_endian]
        return np.frombuffer(data, samples, math.prod(shape), layout.raw_start).reshape(shape)
    with open_tif(data) as source:
        if (source.height, source.width, source.dtypes) != (
            *shape[:2],
            (layout.samples,) * shape[2],
        ):
            raise ChipRejected(Reason.DECODE_ERROR, "the TIFF's header can be read in two ways")
        stack: Values = source.read()
    return np.moveaxis(stack, 0, -1)


@cache
def _silence_gdal() -> None:
    """Archived chips often have no CRS, and GDAL's errors are reasons of chips: a line for each
    would hide all other lines."""
    from rasterio.errors import NotGeoreferencedWarning

    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    logging.getLogger("rasterio._err").setLevel(logging.WARNING)
    logging.getLogger("rasterio._env").setLevel(logging.ERROR)
