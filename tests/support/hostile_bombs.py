"""Small files whose headers claim what would take too much memory, too much time, or other files.

Each has once stopped a process that decoded it, or filled its memory, or is similar to such a file:
docs/decisions/hostile-input.md says which, and how long they took.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from schemas.artifact import Preprocessing
from tests.support.samples import FLOATS, JPG, PNG, TIF, jpg_bytes
from tests.support.tiffs import (
    HEIGHT,
    NODATA,
    ROWS_PER_STRIP,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    WIDTH,
    draw_bands,
    encode_tif,
    with_arrays,
    with_list,
    with_more_tags,
    with_tag,
)
from train.sample.encoding import encode_markerless_jpg

_METADATA = 42112
_SIDE = JPG.accepted_sides_px[1]
_ROOM = TIF.max_bytes - (64 << 10)  # the largest chip that is accepted, without its header


def bombs() -> Iterator[tuple[str, bytes, Preprocessing]]:
    """Name, bytes, and the model that is asked for."""
    for name, data in _jpgs():
        yield name, data, JPG
    for name, data in _tifs():
        yield name, data, TIF
    for name, data in _pngs():
        yield name, data, PNG
    for name, data in _float_tifs():
        yield name, data, FLOATS


def _jpgs() -> Iterator[tuple[str, bytes]]:
    jpg = jpg_bytes(side=100)
    frame, scan = jpg.index(b"\xff\xc0"), jpg.index(b"\xff\xda")
    for side in (65_500, 30_000, _SIDE + 1):
        sides = struct.pack(">HH", side, side)
        yield f"a jpg of {side} px", jpg[: frame + 5] + sides + jpg[frame + 9 :]
    yield "a jpg of 2,000 scans", jpg[:scan] + jpg[scan : scan + 14] * 2000 + jpg[scan:]
    plain = encode_markerless_jpg(np.zeros((100, 100, 3), np.uint8))
    for marker in range(0xC3, 0xD0):
        yield f"a jpg marked {marker:#x}", plain.replace(b"\xff\xc0", bytes([0xFF, marker]), 1)
    yield "a jpg of comments", jpg[:2] + b"\xff\xfe\0\x02" * (_ROOM // 4) + jpg[2:]
    yield "a jpg, dense in every scan", dense_jpg(_SIDE)
    yield "a jpg of arithmetic coding, dense in every scan", arithmetic_jpg(_SIDE)
    yield "a jpg of 0xff", jpg[:2] + b"\xff" * _ROOM + jpg[2:]
    yield "a jpg of stray bytes", jpg[:20] + bytes(_ROOM) + jpg[20:]
    yield "a jpg of comments in its scan", jpg[:-2] + b"\xff\xfe\0\x02" * (_ROOM // 4)


def _tifs() -> Iterator[tuple[str, bytes]]:
    tif = encode_tif(draw_bands())
    for side in (65_500, 30_000, _SIDE + 1):
        yield f"a tif of {side} px", with_tag(with_tag(tif, WIDTH, side), HEIGHT, side)
    yield "a tif of 2^31 strips", with_tag(tif, STRIP_OFFSETS, count=0x7FFFFFFF)
    yield "a tif of high strips", with_tag(tif, ROWS_PER_STRIP, 0x7FFFFFFF)
    packed = encode_tif(draw_bands(), compress="deflate", blockysize=80)
    yield "a tif before much", packed + zlib.compress(bytes(64 << 20), 9)
    yield "a tif of metadata", tif_of_metadata(220_000)
    yield "a tif of unknown tags", tif_of_unknown_tags(1000)
    yield "a tif of shared strips", tif_of_shared_strips()
    yield "a tif of empty blocks", tif_of_empty_blocks()
    yield "a tif that leaves out 16,384 tiles", tif_of_left_out_tiles()
    for place in ("/etc/hostname", "/vsicurl/http://127.0.0.1:9/a.tif", "http://127.0.0.1:9/a.tif"):
        yield f"a VRT of {place}", _vrt(place)
        yield f"a VRT of {place} in a tif's clothes", b"II*\0" + _vrt(place)
        yield f"a tif, then a VRT of {place}", tif + _vrt(place)


def _pngs() -> Iterator[tuple[str, bytes]]:
    rows = bytes((1 + 3 * _SIDE) * _SIDE)
    for side in (1 << 31, 30_000, _SIDE + 1):
        yield f"a png of {side} px", png(b"", side)
    for zeros in (1 << 28, 1 << 30):
        yield f"a png of {zeros} zeros", png(zlib.compress(rows + b"\1" + bytes(zeros), 9), _SIDE)
    for name in (b"zTXt", b"iCCP", b"iTXt"):
        text = png_chunk(name, b"x\0\1\0\0\0" + zlib.compress(bytes(1 << 24), 9))
        yield f"a png of {name!r}", png(zlib.compress(rows), _SIDE, text * 100)
    yield "a png of empty chunks", png(b"", _SIDE, png_chunk(b"IDAT", b"") * (_ROOM // 12))
    noise = np.random.default_rng(0).integers(0, 256, (_SIDE, 1 + 3 * _SIDE), np.uint8)
    for kind in range(5):  # the filters of rows
        noise[:, 0] = kind
        yield f"a png of noise, filter {kind}", png(zlib.compress(noise.tobytes(), 1), _SIDE)
    yield "a png of empty blocks", png(_idle(rows), _SIDE)


def _float_tifs() -> Iterator[tuple[str, bytes]]:
    side = FLOATS.accepted_sides_px[1]
    noise = np.random.default_rng(0).normal(size=(6, side, side)).astype(np.float32)
    for packed in ({}, {"compress": "zstd", "predictor": 3}, {"compress": "lzw", "predictor": 2}):
        yield f"a tif of noise, {packed}", encode_tif(noise, **packed)
        yield f"bands of noise, {packed}", encode_tif(noise, interleave="band", **packed)
    yield "a tif of nothing but NaN", encode_tif(np.full_like(noise, np.nan))
    tif = encode_tif(noise[:, :80, :80])
    for name in (b"<Item " + b"a" * 65_000, b"<Item a" + b" " * 65_000, b"<Item a='" * 7000):
        xml = name + b">x</Item>\0"
        at = (_METADATA, 2, len(xml), len(tif))
        yield "a tif of one odd item of metadata", with_more_tags(tif + xml, [at])


def png(rows: bytes, side: int, more: bytes = b"") -> bytes:
    """A PNG of packed rows of 8 bit RGB, with more chunks before them."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    end = png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + more + end


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + checksum


def _idle(body: bytes) -> bytes:
    """A stream that has blocks without data before those of `body`."""
    packed = zlib.compress(body, 9)
    return packed[:2] + _empty_blocks(_ROOM - len(packed)) + packed[2:]


def dense_jpg(side: int) -> bytes:
    """As many scans as the bytes of a chip allow, each with a value for every coefficient."""
    blocks, components = (side // 8) ** 2, (1, 2, 3, 4)
    tables = _huffman(0x00, 0) + _huffman(0x10, 1)  # one code each, of one bit: 0
    scans = [_scan(components, 0, 0) + bytes(blocks * 4 // 8)]
    band = bytes(126 * blocks // 8)  # of 63 coefficients, each a code and a sign
    for number in range(min(99, (_ROOM - len(scans[0])) // (len(band) + 12))):
        scans.append(_scan(components[number % 4 :][:1], 1, 63) + band)
    frame = struct.pack(">BHHB", 8, side, side, 4) + b"".join(bytes([c, 17, 0]) for c in components)
    quantisation = _segment(0xDB, b"\0" + b"\1" * 64)
    head = b"\xff\xd8" + quantisation + _segment(0xC2, frame) + tables
    return head + b"".join(scans) + b"\xff\xd9"


def arithmetic_jpg(side: int) -> bytes:
    """As many scans as are accepted, each of random bytes, which take the longest to decode."""
    components = (1, 2, 3, 4)
    filling = np.random.default_rng(0).integers(0, 255, _ROOM // 10, np.uint8).tobytes()
    scans = [_scan(components, 0, 0) + filling]
    scans += [_scan(components[number % 4 :][:1], 1, 63) + filling for number in range(9)]
    frame = struct.pack(">BHHB", 8, side, side, 4) + b"".join(bytes([c, 17, 0]) for c in components)
    quantisation = _segment(0xDB, b"\0" + b"\1" * 64)
    return b"\xff\xd8" + quantisation + _segment(0xCA, frame) + b"".join(scans) + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _huffman(table: int, symbol: int) -> bytes:
    return _segment(0xC4, bytes([table, 1, *[0] * 15, symbol]))


def _scan(components: tuple[int, ...], first: int, last: int) -> bytes:
    named = b"".join(bytes([component, 0]) for component in components)
    return _segment(0xDA, bytes([len(components)]) + named + bytes([first, last, 0]))


def tif_of_metadata(items: int) -> bytes:
    """GDAL looks for each item among all those before it."""
    xml = b"".join(b'<Item name="%d">x</Item>' % number for number in range(items))
    tif = encode_tif(draw_bands(), compress="deflate")
    xml = b"<GDALMetadata>" + xml + b"</GDALMetadata>\0"
    return with_more_tags(tif + xml, [(_METADATA, 2, len(xml), len(tif))])


def tif_of_unknown_tags(tags: int) -> bytes:
    """libtiff loads the values of each: the same bytes again and again."""
    tif = encode_tif(draw_bands(), compress="deflate")
    named = [(50_800 + number, 1, _ROOM - len(tif), 8) for number in range(tags)]
    return with_more_tags(tif.ljust(_ROOM, b"\0"), named)


def tif_of_shared_strips() -> bytes:
    """Strips of one row and band, all of which are the same megabyte of empty deflate blocks."""
    row = zlib.compress(bytes(2 * _SIDE), 0)
    idle = row[:2] + b"\0\0\0\xff\xff" * 200_000 + row[2:]
    tif = encode_tif(
        np.zeros((4, _SIDE, _SIDE), np.uint16), compress="deflate", blockysize=1, interleave="band"
    )
    shared = with_list(tif + idle, STRIP_OFFSETS, [len(tif)] * 4 * _SIDE)
    return with_list(shared, STRIP_COUNTS, [len(idle)] * 4 * _SIDE)


def tif_of_left_out_tiles() -> bytes:
    """The largest picture, of the smallest tiles, none of which is in the file; and a long text for
    the value that they have."""
    black = np.zeros((4, _SIDE, _SIDE), np.uint16)
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "band"}
    tif = encode_tif(black, SPARSE_OK="TRUE", **tiles)
    return with_arrays(tif, {NODATA: (2, b"1" * 130_000)})


def tif_of_empty_blocks() -> bytes:
    """One strip of deflate's dynamic blocks, each of which has its own codes and no data."""
    body = zlib.compress(bytes(8 * _SIDE * _SIDE), 9)
    idle = body[:2] + _empty_blocks(_ROOM - len(body)) + body[2:]
    tif = encode_tif(np.zeros((4, _SIDE, _SIDE), np.uint16), compress="deflate", blockysize=_SIDE)
    placed = with_tag(tif + idle, STRIP_OFFSETS, len(tif))
    return with_tag(placed, STRIP_COUNTS, len(idle))


def _empty_blocks(size_bytes: int) -> bytes:
    """Blocks of 92 bits (RFC 1951, 3.2.7): codes for 18 (0), 0 (10) and 1 (11); 256 times no code,
    a code for the end, none for distances; the end."""
    lengths = {18: 1, 0: 2, 1: 2}
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
    header = [*_bits(0, 1), *_bits(2, 2), *_bits(0, 5), *_bits(0, 5), *_bits(14, 4)]
    codes = [bit for symbol in order for bit in _bits(lengths.get(symbol, 0), 3)]
    zeros = [0, *_bits(138 - 11, 7), 0, *_bits(118 - 11, 7)]
    block = [*header, *codes, *zeros, 1, 1, 1, 0, 0]
    pair = np.packbits(np.array(2 * block, np.uint8), bitorder="little").tobytes()
    return pair * (size_bytes // len(pair))


def _bits(value: int, count: int) -> list[int]:
    return [value >> place & 1 for place in range(count)]


def _vrt(place: str) -> bytes:
    return (
        '<VRTDataset rasterXSize="80" rasterYSize="80"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{place}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    ).encode()
