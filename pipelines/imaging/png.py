"""PNG chips: the header and the chunks are checked, then Pillow decodes a copy of the picture.

GDAL and imagecodecs are faster (0.8 and 1.0 ms instead of 1.5 for 256 x 256 px). But GDAL takes
what is in its memory for rows that a file lacks, and imagecodecs is not installed everywhere.

(Portable Network Graphics, third edition, W3C 2025.)
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipelines.errors import ChipRejected
from pipelines.imaging.resize import (
    Pixels,
    Radiometry,
    area_average,
    as_uint8,
    check_sides,
    select_bands,
)
from schemas.artifact import Preprocessing
from schemas.tables import QuarantineReason as Reason

MAGIC = b"\x89PNG\r\n\x1a\n"

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_COLOURS = {
    _GREY: "grey",
    _RGB: "RGB",
    _PALETTE: "palette",
    _GREY_ALPHA: "grey and alpha",
    _RGBA: "RGBA",
}
_BITS = {_RGB: (8,), _RGBA: (8,), _PALETTE: (1, 2, 4, 8)}
"""Colour types that are read, and their bits."""
_CHANNELS = {_RGB: 3, _RGBA: 4, _PALETTE: 1}
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""First column and row of each pass of an interlaced picture, and the steps (Adam7)."""
_TABLES = (b"PLTE", b"tRNS")
_MOST_CHUNKS = 1 << 16
"""Encoders write chunks of 8 KB and more; a chip's bytes could hold a million empty ones."""

_MOST_SWELLING, _MOST_OVERHEAD_BYTES = 1.25, 1 << 12
"""Packed rows may take a little more than rows. Blocks without data would take time without end."""


class PngHeader(NamedTuple):
    """Size, bits of a sample, the number of the colour type, and whether a PNG is interlaced."""

    width_px: int
    height_px: int
    bits: int
    colour_type: int
    interlaced: bool

    @property
    def mode(self) -> str:
        """How the pixels are stored, such as `8 bit RGB PNG`."""
        return f"{self.bits} bit {_COLOURS.get(self.colour_type, self.colour_type)} PNG"

    @property
    def body(self) -> bytes:
        """The content of the chunk IHDR."""
        return struct.pack(">IIBBBBB", *self[:4], 0, 0, self.interlaced)


class _Picture(NamedTuple):
    """The chunks of a picture: PLTE, tRNS, and the compressed rows."""

    palette: bytes
    transparent: bytes
    rows: bytes


def decode(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """A PNG as `decoding.decode_chip` returns it; pixels with an alpha of 0 are black.

    Raises:
        ChipRejected: wrong_bands, wrong_size, too_large, truncated, no_data or decode_error.
    """
    header = read_header(data)
    check_sides(header.width_px, header.height_px, preprocessing)
    if header.bits not in _BITS.get(header.colour_type, ()):
        raise ChipRejected(Reason.WRONG_BANDS, f"{header.mode}, not 8 bit colour")
    picture = _read_picture(data)
    most = header.height_px * (4 * header.width_px + 1) * _MOST_SWELLING + _MOST_OVERHEAD_BYTES
    if len(picture.rows) > most:
        raise ChipRejected(Reason.DECODE_ERROR, "the PNG takes more bytes than its pixels do")
    pixels = _decode(header, picture)
    if not pixels.any():
        raise ChipRejected(Reason.NO_DATA, "every pixel is black or transparent")
    size = preprocessing.image_size
    if pixels.shape[:2] != (size, size):
        means: Radiometry = area_average(pixels, size)
        pixels = as_uint8(means)
    return select_bands(pixels, preprocessing)


def read_header(data: bytes) -> PngHeader:
    """The header of a PNG; no pixel is decoded.

    Raises:
        ChipRejected: truncated or decode_error.
    """
    body = data[16:29]
    if len(body) < 13:
        raise ChipRejected(Reason.TRUNCATED, "the file ends before its PNG header does")
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise ChipRejected(Reason.DECODE_ERROR, "the PNG does not begin with its header")
    width, height, bits, colour_type, *methods = struct.unpack(">IIBBBBB", body)
    if not (width and height):
        raise ChipRejected(Reason.DECODE_ERROR, "the PNG claims a picture of no size")
    if methods not in ([0, 0, 0], [0, 0, 1]):
        raise ChipRejected(Reason.DECODE_ERROR, f"PNG methods {methods} are not defined")
    return PngHeader(width, height, bits, colour_type, bool(methods[2]))


def _read_picture(data: bytes) -> _Picture:
    """The chunks that a picture needs, all of them whole; no other reaches the decoder, so that no
    profile or text is unpacked.

    Raises:
        ChipRejected: truncated or decode_error.
    """
    found: dict[bytes, list[bytes]] = {name: [] for name in (*_TABLES, b"IDAT")}
    for name, body in _chunks(data):
        if name in found:
            found[name].append(body)
    for name in _TABLES:
        if len(found[name]) > 1:
            raise ChipRejected(Reason.DECODE_ERROR, f"the PNG has two chunks {name.decode()}")
    return _Picture(*(b"".join(bodies) for bodies in found.values()))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and bodies of chunks, up to the one that ends the picture.

    Raises:
        ChipRejected: truncated or decode_error.
    """
    at = len(MAGIC)
    for _ in range(_MOST_CHUNKS):
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 8 + size
        if len(data) < end + 4:
            raise ChipRejected(Reason.TRUNCATED, "the file ends before its last PNG chunk does")
        body = data[at + 8 : end]
        if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(data[end : end + 4]):
            raise ChipRejected(Reason.DECODE_ERROR, "the checksum of a PNG chunk is wrong")
        if name == b"IEND":
            return
        yield name, body
        at = end + 4
    raise ChipRejected(Reason.DECODE_ERROR, f"more than {_MOST_CHUNKS:,} PNG chunks")


def _decode(header: PngHeader, picture: _Picture) -> Pixels:
    """`uint8 [height, width, 3]`."""
    from PIL import Image, UnidentifiedImageError

    if header.colour_type == _PALETTE and not picture.palette:
        raise ChipRejected(Reason.DECODE_ERROR, "the PNG has no palette")
    chunks = (
        (b"IHDR", header.body),
        *((name, body) for name, body in zip(_TABLES, picture, strict=False) if body),
        (b"IDAT", picture.rows),
        (b"IEND", b""),
    )
    bare = MAGIC + b"".join(_chunk(name, body) for name, body in chunks)
    try:
        with Image.open(io.BytesIO(bare), formats=("PNG",)) as image:
            stored = np.asarray(image)
            if header.interlaced or not stored[-1].any():
                _check_rows(header, picture.rows)
            if image.mode == "RGB" and "transparency" not in image.info:
                return stored
            samples = np.asarray(image.convert("RGBA"))
    except UnidentifiedImageError as error:  # its text has an address in memory
        raise ChipRejected(Reason.DECODE_ERROR, "a PNG chunk has a wrong size") from error
    except (OSError, ValueError, SyntaxError) as error:
        reason = Reason.TRUNCATED if "truncated" in str(error) else Reason.DECODE_ERROR
        raise ChipRejected(reason, str(error)) from error
    alpha = samples[..., 3:]
    return samples[..., :3] if alpha.all() else np.where(alpha, samples[..., :3], np.uint8(0))


def _check_rows(header: PngHeader, packed: bytes) -> None:
    """Refuse rows that end early: if they end between two rows, Pillow leaves the others at 0.

    Raises:
        ChipRejected: truncated.
    """
    bits = header.bits * _CHANNELS[header.colour_type]
    size = 0
    for left, top, across, down in _PASSES if header.interlaced else ((0, 0, 1, 1),):
        width = len(range(left, header.width_px, across))
        rows = len(range(top, header.height_px, down)) if width else 0
        size += rows * (1 + (width * bits + 7) // 8)
    if len(zlib.decompressobj().decompress(packed, size)) < size:
        raise ChipRejected(Reason.TRUNCATED, "the PNG has fewer rows than its header says")


def _chunk(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(name))
    return b"".join([len(body).to_bytes(4), name, body, checksum.to_bytes(4)])
