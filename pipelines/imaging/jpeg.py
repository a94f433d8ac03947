"""JPEG chips: the header is checked, then libjpeg-turbo decodes and scales.

TensorFlow's decoder is not used: it decodes the archive's 4-component JPEGs without markers to
black pictures, without an error (docs/decisions/simplejpeg.md).
"""

from __future__ import annotations

from typing import NamedTuple

import simplejpeg

from pipelines.errors import ChipRejected
from pipelines.imaging.resize import Pixels, area_average, as_uint8, check_sides, select_bands
from schemas.artifact import Preprocessing
from schemas.tables import QuarantineReason as Reason

MAGIC = b"\xff\xd8\xff"
MOST_SCANS = 100
"""Scans that a JPEG may have; progressive ones have about ten. A scan without data takes a dozen
bytes, and makes the decoder go over the whole picture."""

DARKEST = 2
"""A chip without a pixel above this level, of 255, has no data. A picture of zeros decodes to this
at most (at quality 23 or better): zero is rounded, and four components are converted to three."""

_END = b"\xff\xd9"
_SCAN = b"\xff\xda"
_COMPONENTS = {"Gray": 1, "YCbCr": 3, "RGB": 3, "CMYK": 4, "YCCK": 4}
_DECODED = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, with Huffman coding
_OTHER_FRAMES = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless"),
    **dict.fromkeys((0xC9, 0xCA), "arithmetic"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical"),
}
_SCAN_OR_END = {_SCAN[1], _END[1]}
_WITHOUT_LENGTH = {0x00, 0x01, 0xD8, *range(0xD0, 0xD8)}
_MOST_SEGMENTS = 4096  # a colour profile takes 255 at most; a chip's bytes could hold millions


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
    header = read_header(data)
    check_sides(header.width_px, header.height_px, preprocessing)
    if header.colour_space == "Gray":
        raise ChipRejected(Reason.WRONG_BANDS, "a grey JPEG, 1 band, not 3 colours")
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=size, min_width=size)
    except ValueError as error:
        raise _rejected(data, error) from error
    # One row first: it has the answer for almost all chips, in a fifth of the time.
    if pixels[len(pixels) // 2].max() <= DARKEST and pixels.max() <= DARKEST:
        raise ChipRejected(Reason.NO_DATA, "every pixel is black")
    if pixels.shape[:2] != (size, size):
        pixels = as_uint8(area_average(pixels, size))
    return select_bands(pixels, preprocessing)


def read_header(data: bytes) -> JpegHeader:
    """The header of a JPEG that may be passed to a decoder.

    Raises:
        ChipRejected: truncated or decode_error.
    """
    if fault := find_fault(data):
        raise ChipRejected(Reason.DECODE_ERROR, fault)
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise _rejected(data, error) from error
    except KeyError as error:  # simplejpeg has no name for 4:4:1
        raise ChipRejected(Reason.DECODE_ERROR, "a JPEG of unknown subsampling") from error
    return JpegHeader(width, height, colour_space)


def find_fault(data: bytes) -> str:
    """Why a JPEG's coding must not reach a decoder; "" if it may.

    libjpeg accepts everything that is marked as a frame. For a lossless JPEG, simplejpeg asks it
    for a scaled picture, which it cannot make, and the whole process dies. So only the codings that
    cameras, archives and browsers use are accepted (ITU-T T.81, table B.1). A file without a
    frame is left to the decoder, which reports it.
    """
    at = 2
    for _ in range(_MOST_SEGMENTS):
        at = data.find(b"\xff", at)
        while data[at : at + 1] == b"\xff":
            at += 1
        if at < 1 or at >= len(data) or data[at] in _SCAN_OR_END:
            return ""
        marker = data[at]
        if marker in _OTHER_FRAMES:
            return f"a JPEG of {_OTHER_FRAMES[marker]} coding"
        if marker in _DECODED:
            many = data.count(_SCAN) > MOST_SCANS
            return f"a JPEG of more than {MOST_SCANS} scans" if many else ""
        at += 1 if marker in _WITHOUT_LENGTH else 1 + int.from_bytes(data[at + 1 : at + 3])
    return f"a JPEG of more than {_MOST_SEGMENTS:,} segments before its picture"


def _rejected(data: bytes, error: ValueError) -> ChipRejected:
    truncated = "Premature end of JPEG file" in str(error) or _END not in data[-64:]
    return ChipRejected(Reason.TRUNCATED if truncated else Reason.DECODE_ERROR, str(error))
