"""What a JPEG's header says of its coding, looked at before a decoder sees it.

libjpeg takes whatever is marked as a frame. Of a lossless one simplejpeg asks for a scaled picture,
which there is none of, and the whole process dies; so only the codings that cameras, archives and
browsers use are let through (ITU-T T.81, table B.1).
"""

from __future__ import annotations

MAGIC = b"\xff\xd8\xff"
END = b"\xff\xd9"
MOST_SCANS = 100
"""Scans that a JPEG may have; progressive ones have about ten. One of no data costs a dozen bytes,
and the decoder goes over the whole picture for it."""

_SCAN = b"\xff\xda"
_DECODED = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, with Huffman's codes
_OTHER_FRAMES = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless"),
    **dict.fromkeys((0xC9, 0xCA), "arithmetic"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical"),
}
_SCAN_OR_END = {0xDA, 0xD9}
_WITHOUT_LENGTH = {0x00, 0x01, 0xD8, *range(0xD0, 0xD8)}
_MOST_SEGMENTS = 4096  # a colour profile takes 255 at most; millions would fit into a chip's bytes


def find_fault(data: bytes) -> str:
    """What in the coding of a JPEG keeps it from a decoder; "" where nothing does.

    A file without a frame is left to the decoder, which says so.
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
            return _find_scans(data)
        at += 1 if marker in _WITHOUT_LENGTH else 1 + int.from_bytes(data[at + 1 : at + 3])
    return f"a JPEG of more than {_MOST_SEGMENTS:,} segments before its picture"


def _find_scans(data: bytes) -> str:
    return f"a JPEG of more than {MOST_SCANS} scans" if data.count(_SCAN) > MOST_SCANS else ""
