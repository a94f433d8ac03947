"""Decodes mutated chips in a process that may open nothing, and prints the outcomes as JSON.

    python -m tests.support.hostile_files COUNT SEED

Once the decoders are loaded, a seccomp filter of the kernel ends the process (SIGSYS) if it opens a
file or a socket. The filter applies to C libraries, too.
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
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image

from pipelines.errors import ChipRejected
from pipelines.imaging import decoding, footprint
from pipelines.imaging.acquisition import read_acquired_at
from pipelines.imaging.footprint import bounds_of
from pipelines.imaging.resize import Pixels
from schemas.artifact import Preprocessing
from tests.support.hostile_bombs import bombs
from tests.support.odd_jpegs import ARITHMETIC, after_start, icc
from tests.support.samples import MODELS
from tests.support.tiffs import (
    DOUBLE,
    GEO,
    GEO_KEYS,
    LAYOUTS,
    SHORT,
    TIEPOINT,
    draw_bands,
    encode_tif,
    with_arrays,
)
from train.sample.encoding import encode_markerless_jpg

MEMORY_BYTES = 512 << 20
SYSCALLS = {
    "x86_64": (0xC000003E, {"open": 2, "socket": 41, "connect": 42, "execve": 59, "openat": 257}),
    "aarch64": (0xC00000B7, {"openat": 56, "socket": 198, "connect": 203, "execve": 221}),
}
_WARM_UP = 200
_KINDS = ("jpg", "tif", "png", "floats")
Draw = random.Random


def chips() -> dict[str, list[bytes]]:
    """Valid chips of every kind that is decoded."""
    picture = np.stack(np.meshgrid(np.arange(100), np.arange(80)) * 2, -1).astype(np.uint8)
    jpgs = [encode_markerless_jpg(np.ascontiguousarray(picture[..., :3]))]
    for mode, options in (
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("CMYK", {}),
        ("CMYK", {"subsampling": "4:2:0"}),
        ("L", {}),
    ):
        buffer = io.BytesIO()
        image = Image.fromarray(np.ascontiguousarray(picture[..., :3])).convert(mode)
        image.save(buffer, "JPEG", **options)
        jpgs.append(buffer.getvalue())
    jpgs += [ARITHMETIC, after_start(jpgs[0], icc(0, 1)), jpgs[1] + jpgs[1]]
    packed = [{"compress": kind} for kind in ("deflate", "zstd", "packbits", "lzma", "lerc")]
    profiles = [*LAYOUTS.values(), *packed, {"compress": "deflate", **GEO}]
    tifs = [encode_tif(draw_bands(), **profile) for profile in profiles]
    half = draw_bands() * (np.arange(80) < 40)[:, None]
    tifs.append(encode_tif(half.astype(np.uint16), SPARSE_OK="TRUE", nodata=0, blockysize=8, **GEO))
    points = {TIEPOINT: (DOUBLE, (0, 0, 0, 5e5, 9e6, 0, 100, 80, 0, 500_300, 8_999_760, 0))}
    keys = {GEO_KEYS: (SHORT, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32_720))}
    tifs.append(with_arrays(tifs[0], points | keys))
    return {"jpg": jpgs, "tif": tifs, "png": _pngs(picture[..., :3]), "floats": _float_tifs()}


def _pngs(picture: Pixels) -> list[bytes]:
    pngs = []
    for mode, options in (
        ("RGB", {}),
        ("RGBA", {"compress_level": 1}),
        ("P", {"bits": 4}),
        ("P", {"transparency": 3}),
        ("L", {}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).convert(mode).save(buffer, "PNG", **options)
        pngs.append(buffer.getvalue())
    return pngs


def _float_tifs() -> list[bytes]:
    values = np.random.default_rng(0).normal(0.2, 0.1, (6, 80, 100)).astype(np.float32)
    gaps = np.where(values < 0.1, np.float32(np.nan), values)
    packed = [{"compress": "zstd", "predictor": 3}, {"compress": "lzw", "interleave": "band"}]
    profiles = [{}, *packed, {"tiled": True, "blockxsize": 16, "blockysize": 32}, GEO]
    return [encode_tif(each, **profile) for each in (values, gaps) for profile in profiles]


def mutate(data: bytes, other: bytes, draw: Draw) -> bytes:
    """One change of a kind that transfers, disks and people make."""
    return draw.choice(_CHANGES)(data, other, draw)


def _truncate(data: bytes, other: bytes, draw: Draw) -> bytes:
    return data[: draw.randrange(len(data))]


def _flip(data: bytes, other: bytes, draw: Draw) -> bytes:
    changed = bytearray(data)
    reach = draw.choice((32, 600, len(data)))  # most of what can go wrong is in the header
    for _ in range(draw.choice((1, 2, 8, 64))):
        changed[draw.randrange(min(reach, len(data)))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _flip_end(data: bytes, other: bytes, draw: Draw) -> bytes:
    """A TIFF's directory is often at its end."""
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


def _swap_marker(data: bytes, other: bytes, draw: Draw) -> bytes:
    """Another coding, table or scan where a JPEG has a marker."""
    places = [at for at in range(2, min(len(data) - 1, 700)) if data[at] == 0xFF]
    if not places:
        return _flip(data, other, draw)
    at = draw.choice(places) + 1
    return data[:at] + bytes([draw.randrange(0xC0, 0x100)]) + data[at + 1 :]


_CHANGES = (
    _swap_marker,
    _truncate,
    _flip,
    _flip,
    _flip_end,
    _splice,
    _overwrite,
    _repeat,
    _swap_words,
)


def hostile_files(count: int, seed: int) -> Iterator[tuple[bytes, Preprocessing]]:
    """Bombs, then mutated chips, sometimes under the name of the other kind. Everything is
    encoded before the first comes."""
    draw, sound = random.Random(seed), chips()
    known = [(data, preprocessing) for _, data, preprocessing in bombs()]
    yield from known
    for _ in range(count - len(known)):
        kind = draw.choice(_KINDS)
        data = draw.choice(sound[kind])
        other = draw.choice(sound[draw.choice(_KINDS)])
        for _ in range(draw.choice((1, 1, 2))):
            data = mutate(data, other, draw) or b"\0"
        asked = kind if draw.random() < 0.95 else draw.choice(_KINDS)
        yield data, MODELS[asked]


def outcome(data: bytes, preprocessing: Preprocessing) -> str:
    """`scored`, or the reason; an unexpected error is a decode_error in the scoring job, too."""
    try:
        pixels = decode(data, preprocessing)
    except ChipRejected as rejected:
        return rejected.reason.value
    except Exception as error:
        return f"decode_error: {type(error).__name__}"
    assert pixels.shape == preprocessing.input_shape
    return "scored"


def decode(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """A chip as the scoring job decodes it: pixels, and for a tif its bounding box."""
    pixels, place = decoding.decode_with_place(data, preprocessing)
    if preprocessing.media_type == "tif":
        read_acquired_at(data)
    bounds_of([place])
    return pixels


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


@dataclass
class Watched:
    """Outcomes of the files so far."""

    counts: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: int = -1

    def decode(self, number: int, data: bytes, preprocessing: Preprocessing) -> None:
        """Decode one more file, and time it in CPU time: other processes may slow this one down."""
        began = time.thread_time()
        self.counts[outcome(data, preprocessing)] += 1
        seconds = time.thread_time() - began
        if seconds > self.slowest_s:
            self.slowest_s, self.slowest = seconds, number


def main(count: int, seed: int) -> None:
    """Warm up, seal, decode."""
    warm_up(seed)
    read_systems_outside()
    files = hostile_files(count, seed)
    first = next(files)
    with Path("/proc/self/status").open() as status:
        ctypes.CDLL(None).malloc_trim(
            0
        )  # memory that the warm-up freed would hide what is allocated now
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = _memory_kib(status)
        address_bytes = before["VmSize"] * 1024 + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (address_bytes, resource.RLIM_INFINITY))
        seal()
        watched = Watched()
        for number, file in enumerate(chain([first], files)):
            watched.decode(number, *file)
        grown_kib = _memory_kib(status)["VmHWM"] - before["VmRSS"]
    print(json.dumps({"seed": seed, "grown_kib": grown_kib, **vars(watched)}))


def warm_up(seed: int) -> None:
    """Load and open what decoding needs, once per process."""
    for kind, sound in chips().items():
        for data in sound:
            outcome(data, MODELS[kind])
    for data, preprocessing in islice(hostile_files(10 * _WARM_UP, seed + 1), _WARM_UP):
        outcome(data, preprocessing)


def read_systems_outside() -> None:
    """Read coordinate systems in a thread that is not sealed: for some keys, PROJ searches its own
    database and grids once more."""
    outside = ThreadPoolExecutor(1)
    outside.submit(int).result()  # starts the thread
    read_crs = footprint._read_crs
    footprint._read_crs = lambda tags: outside.submit(read_crs, tags).result()  # type: ignore[assignment]


def _memory_kib(status: TextIO) -> dict[str, int]:
    status.seek(0)
    lines = (line.split() for line in status if line.startswith("Vm"))
    return {name.rstrip(":"): int(size) for name, size, _ in lines}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
