"""Decodes mutated chips in a process that may open nothing, and tells what became of them as JSON.

    python -m tests.hostile_files COUNT SEED

Any file that is opened and any socket that is made, once the decoders are loaded, ends the process
(SIGSYS), by a seccomp filter of the kernel: it holds for C libraries, too.
"""

from __future__ import annotations

import ctypes
import io
import json
import platform
import random
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines import imaging
from pipelines.errors import ChipRejected
from schemas.artifact import Preprocessing
from tests.support import JPG, TIF
from tests.tiffs import (
    GEO,
    HEIGHT,
    LAYOUTS,
    ROWS_PER_STRIP,
    STRIP_OFFSETS,
    WIDTH,
    draw_bands,
    encode_tif,
    with_tag,
)
from train.sample_encoding import encode_markerless_jpg

MEMORY_BYTES = 512 << 20
SYSCALLS = {
    "x86_64": (0xC000003E, {"open": 2, "socket": 41, "connect": 42, "execve": 59, "openat": 257}),
    "aarch64": (0xC00000B7, {"openat": 56, "socket": 198, "connect": 203, "execve": 221}),
}
_WARM_UP = 100
_SCANS = 2000
Draw = random.Random


def chips() -> dict[str, list[bytes]]:
    """Sound chips of every kind that is decoded."""
    picture = np.stack(np.meshgrid(np.arange(100), np.arange(80)) * 2, -1).astype(np.uint8)
    jpgs = [encode_markerless_jpg(np.ascontiguousarray(picture[..., :3]))]
    for mode, progressive in (("RGB", False), ("RGB", True), ("CMYK", False), ("L", False)):
        buffer = io.BytesIO()
        image = Image.fromarray(np.ascontiguousarray(picture[..., :3])).convert(mode)
        image.save(buffer, "JPEG", progressive=progressive)
        jpgs.append(buffer.getvalue())
    packed = [{"compress": kind} for kind in ("deflate", "zstd", "packbits", "lzma", "lerc")]
    profiles = [*LAYOUTS.values(), *packed, {"compress": "deflate", **GEO}]
    return {"jpg": jpgs, "tif": [encode_tif(draw_bands(), **profile) for profile in profiles]}


def mutate(data: bytes, other: bytes, draw: Draw) -> bytes:
    """One change of a kind that transfers, disks and people make."""
    return draw.choice(_CHANGES)(data, other, draw)


def _truncate(data: bytes, other: bytes, draw: Draw) -> bytes:
    return data[: draw.randrange(len(data))]


def _flip(data: bytes, other: bytes, draw: Draw) -> bytes:
    changed = bytearray(data)
    reach = draw.choice((32, 600, len(data)))  # most of what can go wrong stands in the header
    for _ in range(draw.choice((1, 2, 8, 64))):
        changed[draw.randrange(min(reach, len(data)))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _flip_end(data: bytes, other: bytes, draw: Draw) -> bytes:
    """A TIFF's directory often stands at its end."""
    return _flip(data[::-1], other, draw)[::-1]


def _splice(data: bytes, other: bytes, draw: Draw) -> bytes:
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]


def _overwrite(data: bytes, other: bytes, draw: Draw) -> bytes:
    at, length = draw.randrange(len(data)), draw.choice((1, 4, 100, 5000))
    filling = draw.choice((b"\0", b"\xff", draw.randbytes(1)))
    return data[:at] + filling * length + data[at + length :]


def _repeat(data: bytes, other: bytes, draw: Draw) -> bytes:
    start, end = sorted(draw.randrange(len(data)) for _ in range(2))
    return data[:end] + data[start:end] * draw.choice((1, 3)) + data[end:]


def _swap_words(data: bytes, other: bytes, draw: Draw) -> bytes:
    """Large and odd numbers where the header has sizes, counts and offsets."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 3))):
        at = draw.randrange(0, min(max(len(data) - 4, 1), 800), 2)
        number = draw.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, draw.getrandbits(32)))
        changed[at : at + 4] = struct.pack("<I", number)
    return bytes(changed)


_CHANGES = (_truncate, _flip, _flip, _flip_end, _splice, _overwrite, _repeat, _swap_words)


def bombs() -> Iterator[bytes]:
    """Small files that would be large, long or elsewhere if they were believed."""
    tif, jpg = encode_tif(draw_bands()), chips()["jpg"][1]
    frame = jpg.index(b"\xff\xc0")
    for side in (65_500, 30_000, 1025):
        yield jpg[: frame + 5] + struct.pack(">HH", side, side) + jpg[frame + 9 :]
        yield with_tag(with_tag(tif, WIDTH, side), HEIGHT, side)
    scan = jpg.index(b"\xff\xda")
    yield jpg[:scan] + jpg[scan : scan + 14] * _SCANS + jpg[scan:]
    yield with_tag(tif, STRIP_OFFSETS, count=0x7FFFFFFF)
    yield with_tag(tif, ROWS_PER_STRIP, 0x7FFFFFFF)
    packed = encode_tif(draw_bands(), compress="deflate", blockysize=80)
    yield packed + zlib.compress(bytes(64 << 20), 9)
    for place in ("/etc/hostname", "/vsicurl/http://127.0.0.1:9/a.tif", "http://127.0.0.1:9/a.tif"):
        yield _vrt(place)
        yield b"II*\0" + _vrt(place)
        yield tif + _vrt(place)


def _vrt(place: str) -> bytes:
    return (
        '<VRTDataset rasterXSize="80" rasterYSize="80"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{place}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    ).encode()


def hostile_files(count: int, seed: int) -> Iterator[tuple[bytes, Preprocessing]]:
    """Bombs, then mutated chips, now and then under the other kind's name."""
    draw, sound = random.Random(seed), chips()
    files = list(bombs())
    for data in files:
        yield data, JPG if data.startswith(b"\xff\xd8") else TIF
    for _ in range(count - len(files)):
        kind = draw.choice(("jpg", "tif"))
        data = draw.choice(sound[kind])
        other = draw.choice(sound[draw.choice(("jpg", "tif"))])
        for _ in range(draw.choice((1, 1, 2))):
            data = mutate(data, other, draw) or b"\0"
        asked = kind if draw.random() < 0.95 else draw.choice(("jpg", "tif"))
        yield data, JPG if asked == "jpg" else TIF


def outcome(data: bytes, preprocessing: Preprocessing) -> str:
    """`scored`, or the reason; a decoder's surprise is a decode_error to the scoring job, too."""
    try:
        pixels = imaging.decode_chip(data, preprocessing)
    except ChipRejected as rejected:
        return rejected.reason.value
    except Exception as error:
        return f"decode_error: {type(error).__name__}"
    assert pixels.shape == preprocessing.input_shape
    return "scored"


def seal() -> None:
    """Let the kernel end this process when it opens a file or a socket, or starts a program."""
    architecture, calls = SYSCALLS[platform.machine()]
    program = [_bpf(0x20, 4), _bpf(0x15, architecture, 1, 0), _bpf(0x06, 0x80000000), _bpf(0x20, 0)]
    for number in calls.values():
        program += [_bpf(0x15, number, 0, 1), _bpf(0x06, 0x80000000)]  # SECCOMP_RET_KILL_PROCESS
    code = b"".join([*program, _bpf(0x06, 0x7FFF0000)])  # SECCOMP_RET_ALLOW
    filters = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _bpf(operation: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", operation, if_true, if_false, operand)


def _watch(decode: Callable[[], str]) -> tuple[str, float]:
    began = time.thread_time()  # of the processor: another process may hold up this one
    return decode(), time.thread_time() - began


def main(count: int, seed: int) -> None:
    """Warm up, seal, decode."""
    files = hostile_files(count, seed)
    for data, preprocessing in hostile_files(_WARM_UP, seed + 1):
        outcome(data, preprocessing)
    encoded = list(files)  # encoding is no part of what is watched
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts: Counter[str] = Counter()
    slowest, slowest_at = 0.0, -1
    seal()
    for number, (data, preprocessing) in enumerate(encoded):
        found, seconds = _watch(lambda d=data, p=preprocessing: outcome(d, p))  # type: ignore[misc]
        counts[found] += 1
        if seconds > slowest:
            slowest, slowest_at = seconds, number
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    told = {"counts": counts, "slowest_s": slowest, "slowest": slowest_at, "grown_kib": grown}
    print(json.dumps({"seed": seed, **told}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
