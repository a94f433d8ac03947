"""Encodes a drawn scene like the real Planet chips: as jpg to look at, as tif to measure.

The real jpg chips have four components and neither a JFIF nor an Adobe marker, which not all
decoders read correctly. Sample chips have that form or the ordinary one.
The tif chips are four bands of uint16 in raw strips of four rows.
"""

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from train.sample._colours import WHITE_REFLECTANCE

PIXEL_M = 3.0
# Sensor counts for a reflectance r are offset + gain * r: red, green, blue, near infrared. Blue has
# the largest offset, because the air is blue.
_COUNTS_OFFSET = np.array([1300, 1800, 2300, 1200], np.float32)
_COUNTS_GAIN = np.array([11000, 13000, 19500, 16500], np.float32)
_BLUE_GREEN_RED_INFRARED = (2, 1, 0, 3)

# Kinds of JPEG segments.
_APPLICATION = range(0xE0, 0xF0)
_FRAME = 0xC0
_SCAN = 0xDA


def to_rgb(reflectance: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The visible bands: reflectance `[256, 256, 4]` as `uint8 [256, 256, 3]` red, green, blue."""
    shown = reflectance[..., :3] * np.float32(255 / WHITE_REFLECTANCE)
    rgb: npt.NDArray[np.uint8] = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return rgb


def to_counts(reflectance: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Sensor counts: `uint16 [256, 256, 4]` blue, green, red, near infrared.

    Forest is about 4,000, 3,200, 2,300 and 6,000; the brightest clouds 12,000.
    """
    counts = np.rint(_COUNTS_OFFSET + _COUNTS_GAIN * reflectance)
    return counts[..., _BLUE_GREEN_RED_INFRARED].astype(np.uint16)


def encode_jpg(rgb: npt.NDArray[np.uint8], quality: int = 85) -> bytes:
    """`uint8 [h, w, 3]` red, green, blue as an ordinary JPEG file: three components, JFIF."""
    return _save_jpg(Image.fromarray(rgb), quality)


def encode_markerless_jpg(rgb: npt.NDArray[np.uint8], quality: int = 75) -> bytes:
    """`uint8 [h, w, 3]` red, green, blue like the real chips: four components, no marker.

    They store red, green, blue and a fourth component that is 255 everywhere. Decoders read that as
    cyan, magenta, yellow and black in Adobe's convention, where 255 is no ink, and get the right
    colours. Pillow writes that convention too: it stores 255 minus the ink, with a marker, which is
    then removed.
    """
    no_black = np.zeros((*rgb.shape[:2], 1), np.uint8)
    inks = np.concatenate([255 - rgb, no_black], axis=2)
    image = Image.frombytes("CMYK", (rgb.shape[1], rgb.shape[0]), inks.tobytes())
    return _without_markers(_save_jpg(image, quality))


def _save_jpg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def _without_markers(jpg: bytes) -> bytes:
    """The file without its application segments (such as JFIF, Adobe), with components 0 to 3."""
    kept = [jpg[:2]]
    for kind, segment in _segments(jpg):
        if kind not in _APPLICATION:
            kept.append(_numbered(kind, segment))
    return b"".join(kept)


def _numbered(kind: int, segment: bytes) -> bytes:
    """The segment with its four components named 0, 1, 2, 3 instead of C, M, Y, K."""
    places = {_FRAME: range(10, 22, 3), _SCAN: range(5, 13, 2)}.get(kind, range(0))
    numbered = bytearray(segment)
    for number, place in enumerate(places):
        numbered[place] = number
    return bytes(numbered)


def _segments(jpg: bytes) -> Iterator[tuple[int, bytes]]:
    """The kind and the bytes of each segment after the first marker, the scan with all its data."""
    start = 2
    while start < len(jpg):
        kind = jpg[start + 1]
        length = 2 + int.from_bytes(jpg[start + 2 : start + 4], "big")
        end = len(jpg) if kind == _SCAN else start + length
        yield kind, jpg[start:end]
        start = end


def encode_geotiff(
    counts: npt.NDArray[np.uint16], west_m: float, north_m: float, epsg: int
) -> bytes:
    """`uint16 [h, w, bands]` as an uncompressed GeoTIFF, in strips of four rows.

    Its upper left corner is at (`west_m`, `north_m`) of that projection; pixels are 3 m.
    """
    # Only tif needs the geographic library, and loading it takes longer than drawing ten chips.
    from rasterio import Affine
    from rasterio.crs import CRS
    from rasterio.io import MemoryFile

    height, width, bands = counts.shape
    with MemoryFile() as file:
        with file.open(
            driver="GTiff",
            height=height,
            width=width,
            count=bands,
            dtype="uint16",
            crs=CRS.from_epsg(epsg),
            transform=Affine(PIXEL_M, 0, west_m, 0, -PIXEL_M, north_m),
            interleave="pixel",
            blockysize=4,
            photometric="MINISBLACK",
        ) as dataset:
            dataset.write(np.moveaxis(counts, 2, 0))
        return bytes(file.read())
