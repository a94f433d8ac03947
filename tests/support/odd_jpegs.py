"""Whole JPEGs about which libjpeg warns, and codings that few encoders write.

Each is made from a given one, whose pixels it has.
"""

import base64
import struct
from collections.abc import Callable

_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_THUMBNAIL = b"Exif\0\0\xff\xd8\xff\xda\0\x08\1\1\0\0\x3f\0\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def after_start(jpg: bytes, more: bytes) -> bytes:
    """A JPEG with more bytes after its first marker."""
    return jpg[:2] + more + jpg[2:]


def before_tables(jpg: bytes, more: bytes, places: int = -1) -> bytes:
    """A JPEG with more bytes before some or all of its tables of codes; a progressive one has them
    between its scans, too."""
    return jpg.replace(b"\xff\xc4", more + b"\xff\xc4", places)


def icc(number: int, of: int) -> bytes:
    """A part of a colour profile."""
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, of]) + b"x" * 200)


ODD: dict[str, Callable[[bytes], bytes]] = {
    "profile part 0": lambda jpg: after_start(jpg, icc(0, 1)),
    "profile part missing": lambda jpg: after_start(jpg, icc(1, 3) + icc(3, 3)),
    "profile part twice": lambda jpg: after_start(jpg, icc(1, 2) * 2 + icc(2, 2)),
    "zeros between segments": lambda jpg: before_tables(jpg, bytes(5), 1),
    "text between segments": lambda jpg: before_tables(jpg, b"made with love", 1),
    "a stuffed 0xff between segments": lambda jpg: before_tables(jpg, b"\xff\0\xff", 1),
    "JFIF 2.5": lambda jpg: after_start(jpg, segment(0xE0, _JFIF.replace(b"\0\1\1", b"\0\2\5"))),
    "profile after JFIF": lambda jpg: after_start(jpg, segment(0xE0, _JFIF) + icc(2, 1)),
    "profile, then a thumbnail": lambda jpg: after_start(
        jpg, icc(0, 0) + segment(0xE1, _THUMBNAIL)
    ),
    "profile, then many thumbnails": lambda jpg: after_start(
        jpg, icc(0, 0) + segment(0xE1, _THUMBNAIL * 200)
    ),
    "zeros after the end": lambda jpg: jpg + bytes(4096),
    "another JPEG after the end": lambda jpg: jpg + jpg,
    "profile, and half a JPEG after the end": lambda jpg: (
        after_start(jpg, icc(0, 1)) + jpg[: len(jpg) // 2]
    ),
    "zeros before the end": lambda jpg: jpg[:-2] + bytes(3) + jpg[-2:],
    "profile, and zeros before the end": lambda jpg: (
        after_start(jpg[:-2], icc(0, 1)) + bytes(300) + jpg[-2:]
    ),
}
"""What to do to a JPEG, by name."""


def with_transform(jpg: bytes, transform: int) -> bytes:
    """A JPEG with Adobe's marker, which says how colours were transformed: 0 not at all, 1 to
    YCbCr, 2 to YCCK; libjpeg warns about others."""
    adobe = b"Adobe\0\x64\0\0\0\0"
    if adobe in jpg:
        at = jpg.index(adobe) + len(adobe)
        return jpg[:at] + bytes([transform]) + jpg[at + 1 :]
    return after_start(jpg, segment(0xEE, adobe + bytes([transform])))


ARITHMETIC = base64.b85decode(
    "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%"
    "5fc;@6%`B*7Z?^47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`"
    "6ciK`6ciK`6ciK`6cqo-01*fPKmb4k0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zfH0ZtnCyfc>be3><5"
    "5@RPY!z;^6m)@x*&TQ3LSrIV~qbt+`7{7&icXgA>JJbEC`?{j6G&yn@^?gH}-JR8tNd^4vvCh`3b?1%?$7#-$&WC8Y"
    "Dz6d3z$pFZEQ$0Xk9md%V@sKmxn+42fU+P^A4kW!nfRI-o=WEf3`nP={*_-wk%CyM7*ObYTXR58>D8|4T{`nSG@wPu"
    "7)qKU(3Htw-zA%U;KgZBM{4)hl$?EnddeRHkXjBNHYD6Yil+p?7=_^1?Fo@O)V#NUkh`P8lZQ)rD4=lXbv_9!*QHI5"
    "D8^MoQ8D0{2Z^)gmZ)_p--Dm<QH>MPPP;=2Ietj;kG!LpWUH^bWM{*Tbiykc^P+oX9J-kQ*#"
)
"""A drawn picture of 64 x 64 px with arithmetic coding."""
