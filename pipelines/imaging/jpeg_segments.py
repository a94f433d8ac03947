"""The segments of a JPEG: whether its coding may reach a decoder, and a copy without metadata.

(ITU-T T.81, annex B; JFIF 1.02; the marker that Adobe writes is in its Technical Note 5116.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MOST_SCANS = 100
"""Scans that a JPEG may have; progressive ones have about ten. A scan without data takes a dozen
bytes, and makes the decoder go over the whole picture."""

MOST_ARITHMETIC_SCANS = 10
"""Scans that a JPEG of arithmetic coding may have: it takes ten times as long to decode."""

_START, _END, _SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_END_CODE, _SCAN_CODE = _END[1], _SCAN[1]
_HUFFMAN = {0xC0, 0xC1}  # baseline and extended
_ARITHMETIC = {0xC9, 0xCA}  # extended and progressive
_SEQUENTIAL = {*_HUFFMAN, 0xC9}
_DECODED = {*_HUFFMAN, 0xC2, *_ARITHMETIC}
_OTHER_FRAMES = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical"),
}
_SKIPPED = {0x00, 0x01, *range(0xD0, 0xD8)}
_WITHOUT_LENGTH = {*_SKIPPED, _START[1]}
_MOST_SEGMENTS = 4096  # a colour profile takes 255 at most; a chip's bytes could hold millions
_MOST_PARTS = 2 * _MOST_SEGMENTS
_CODE = re.compile(rb"[^\xff]")  # a marker may begin with any number of 0xff
_AFTER_SCAN = re.compile(rb"\xff[^\0\xff\xd0-\xd7]")

_METADATA = {0xFE, *range(0xE0, 0xF0)}
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
_ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"  # and the transform


class BareJpeg(NamedTuple):
    """A JPEG without its metadata.

    Attributes:
        data: the tables, frame and scans of its picture.
        head: a file with the picture's size and colour space, but no subsampling: simplejpeg
            refuses headers with one that it has no name for.
        ended: whether the end of the picture was found.
    """

    data: bytes
    head: bytes
    ended: bool


def find_fault(data: bytes) -> str:
    """Why a JPEG's coding must not reach a decoder; "" if it may.

    libjpeg accepts everything that is marked as a frame. For a lossless JPEG, simplejpeg asks it
    for a scaled picture, which it cannot make, and the whole process dies. So only the codings that
    cameras, archives and browsers use are accepted (T.81, table B.1), and arithmetic coding. A file
    without a frame is left to the decoder, which reports it.
    """
    at, frame, components = 2, 0, b""
    for _ in range(_MOST_SEGMENTS):
        at = _find_code(data, at)
        code = data[at] if at else _END_CODE
        if code in _DECODED:
            frame, components = code, data[at + 8 : at + 9]
        elif code in _OTHER_FRAMES:
            return f"a JPEG of {_OTHER_FRAMES[code]} coding"
        elif code == _SCAN_CODE:
            if frame in _SEQUENTIAL and data[at + 3 : at + 4] == components:
                return ""  # libjpeg reads no scan after one of all components: nothing to count
            most = MOST_ARITHMETIC_SCANS if frame in _ARITHMETIC else MOST_SCANS
            return f"a JPEG of more than {most} scans" if _has_more_scans(data, most) else ""
        elif code == _END_CODE:
            return ""
        at += 1 if code in _WITHOUT_LENGTH else 1 + int.from_bytes(data[at + 1 : at + 3])
    return f"a JPEG of more than {_MOST_SEGMENTS:,} segments before its picture"


def _has_more_scans(data: bytes, most: int) -> bool:
    if data.count(_SCAN) <= most:
        return False
    codes = [code for code, _, _ in _segments(data)]  # metadata may look like scans
    return codes.count(_SCAN_CODE) > most or len(codes) == _MOST_PARTS


def bare_copy(data: bytes) -> BareJpeg:
    """The picture in a JPEG whose coding was checked, without what does not belong to it.

    libjpeg warns about odd metadata, and about stray bytes between segments, as it does about
    broken data. So those before the first scan are left out, and so is what follows the end; of the
    metadata, what decides the colours is kept, in the form that libjpeg takes it for. From the
    first scan to the end nothing is left out: it may be what a broken scan left.
    """
    frame, jfif, transform = bytes(12), b"", -1
    tables, scan, ended, last = list[bytes](), b"", False, len(data)
    for code, start, end in _segments(data):
        segment = data[start:end]
        if code == _END_CODE:
            ended, last = True, end
        elif scan or code in _SKIPPED:
            continue
        elif code == _SCAN_CODE:
            scan, first = segment, start
        elif _has_tag(segment, b"\xe0", b"JFIF\0", 14):
            jfif = _JFIF
        elif _has_tag(segment, b"\xee", b"Adobe", 12):
            transform = segment[15]
        elif code not in _METADATA:
            frame = segment if code in _DECODED else frame
            tables.append(segment)
    scans = data[first:last] if scan else b""
    if not ended and frame[1] in _HUFFMAN and scan[4:5] == frame[9:10]:
        scans += _END  # only the end is missing, or the decoder finds what is missing, too
    colours = jfif + (_adobe(transform, frame[9:10]) if transform >= 0 else b"")
    plain = bytearray(frame)
    plain[11::3] = b"\x11" * len(plain[11::3])
    head = b"".join([_START, colours, plain, scan])
    return BareJpeg(b"".join([_START, colours, *tables, scans]), head, ended)


def without_padding(data: bytes) -> bytes:
    """A bare copy without zeros before its end: some programs fill up files there. If the last scan
    is broken and its decoder went on into the zeros, it finds that they are missing."""
    scans = data.removesuffix(_END)
    if scans.endswith(b"\0\0"):
        scans = scans.rstrip(b"\0")
        scans += b"\0" if scans.endswith(b"\xff") else b""  # a scan's 0xff is followed by a zero
    return scans + _END


def without_last_bytes(data: bytes) -> bytes:
    """A bare copy whose last scan lacks two bytes, which a decoder misses unless it was done before
    them."""
    return data.removesuffix(_END)[:-2] + _END


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Code, start and end of each segment up to the end of the picture, scans with their data."""
    at = 2
    for _ in range(_MOST_PARTS):
        at = _find_code(data, at)
        if not at:
            return
        code, start, at = data[at], at - 1, at + 1
        if code == _SCAN_CODE:
            found = _AFTER_SCAN.search(data, at)
            at = found.start() if found else len(data)
        elif code != _END_CODE and code not in _WITHOUT_LENGTH:
            at += int.from_bytes(data[at : at + 2])
        yield code, start, at
        if code == _END_CODE:
            return


def _find_code(data: bytes, at: int) -> int:
    """Where the code of the next marker is; 0 if there is no more marker."""
    at = data.find(b"\xff", at)
    found = _CODE.search(data, at) if at > 0 else None
    return found.start() if found else 0


def _has_tag(segment: bytes, code: bytes, tag: bytes, least_bytes: int) -> bool:
    """Whether libjpeg takes a segment for the metadata with a tag."""
    return segment[1:2] == code and segment.startswith(tag, 4) and len(segment) >= 4 + least_bytes


def _adobe(transform: int, components: bytes) -> bytes:
    """Adobe's marker with the transform that libjpeg uses: if it is neither none (0) nor known, the
    usual one for the number of components, YCbCr or YCCK."""
    used = 0 if transform == 0 else 2 if components == b"\4" else 1
    return _ADOBE + bytes([used])
