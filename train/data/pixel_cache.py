"""The cache of decoded chips: its folder, how a chip is identified, and how its size is limited.

The folder holds one array (`train.data.pixel_store`) for each archive and each way to make
pixels. A chip is identified by what it was decoded from: by the sha256 of its bytes, or, in an
object store, by address, etag and size, which change whenever the object does. The time and size
of a local file are not enough (`cp -p` and tar keep the time), so local files are read each time
(docs/decisions/pixel-cache.md).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pipelines import imaging
from pipelines.errors import UsageError
from schemas.artifact import Preprocessing
from train.addresses import local_path
from train.data.cache_folder import cache_folder

NO_CACHE = "none"
"""The value of `--pixel_cache` that keeps pixels in memory only."""

DEFAULT_CACHE_GB = 20.0

_OURS = "[jt][pi][gf]-*-" + "[0-9a-f]" * 16  # see `array_name`; other files are never removed
_ARRAYS = (f"{_OURS}.rows", f"{_OURS}/*.pixels", f"{_OURS}/*.npy")  # two of earlier versions
_DECODERS = ("numpy", "rasterio", "simplejpeg")


@dataclass(frozen=True)
class PixelCache:
    """Where decoded chips are stored.

    Attributes:
        folder: local folder; it may be deleted at any time.
        most_bytes: size limit; the arrays used longest ago are removed to make room.
    """

    folder: Path
    most_bytes: int

    @property
    def held_bytes(self) -> int:
        """Bytes that the arrays in the folder take."""
        return sum(size for _, size, _ in _arrays(self.folder))

    def make_room(self, wanted_bytes: int, keep: Path) -> bool:
        """Remove arrays, those used longest ago first, until `wanted_bytes` more fit.

        A run that has a removed array open can still read it.

        Args:
            keep: an array that is not removed.

        Returns:
            Whether they fit now.
        """
        arrays = _arrays(self.folder)
        held = sum(size for _, size, _ in arrays)
        for _, size, path in arrays:
            if held + wanted_bytes > self.most_bytes and path != keep:
                path.unlink(missing_ok=True)
                held -= size
        return held + wanted_bytes <= self.most_bytes


def choose_cache(asked: str | None, gigabytes: float = DEFAULT_CACHE_GB) -> PixelCache | None:
    """The cache that `--pixel_cache` names; None if pixels are to stay in memory.

    By default it is in the user's cache folder, if that is writable.

    Raises:
        UsageError: the named folder is not writable, or not local.
    """
    if asked == NO_CACHE:
        return None
    if asked is None:
        folder = cache_folder() / "pixels"
    else:
        folder = local_path("--pixel_cache", asked).resolve()
    reason = _why_not_writable(folder)
    if reason and asked is not None:
        raise UsageError(f"--pixel_cache {asked}: {reason}; give another folder, or {NO_CACHE}")
    return None if reason else PixelCache(folder, int(gigabytes * 1e9))


def content_key(data: bytes) -> bytes:
    """The key of a chip by its bytes; 32 bytes."""
    return hashlib.sha256(data).digest()


def version_key(uri: str, version: str) -> bytes:
    """The key of an object by its address and its version (etag and size); 32 bytes."""
    return hashlib.sha256(f"version\0{uri}\0{version}".encode()).digest()


def array_name(preprocessing: Preprocessing, uris: Collection[str]) -> str:
    """The file name of the array for some chips.

    It identifies the folder that holds them all, and everything but a chip's bytes that determines
    pixels: the preprocessing except the accepted sides, the code that decodes, and the versions of
    the libraries that it calls.
    """
    identity = {
        "preprocessing": preprocessing.to_dict() | {"accepted_sides_px": None},
        "decoder": decoder_digest(),
        "chips": os.path.commonprefix(list(uris)).rpartition("/")[0],  # noqa: RUF071 (local, gs://)
    }
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return f"{preprocessing.media_type}-{preprocessing.image_size}-{digest}.rows"


@cache
def decoder_digest() -> str:
    """Digest of all code in `pipelines.imaging`, and of the versions of what it calls.

    A version number to raise by hand at each change would be forgotten one day.
    """
    digest = hashlib.sha256()
    for file in sorted(Path(imaging.__path__[0]).glob("*.py")):
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    digest.update(",".join(map(version, _DECODERS)).encode())
    return digest.hexdigest()


def _why_not_writable(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK | os.X_OK) else "it is not writable"


def _arrays(folder: Path) -> list[tuple[float, int, Path]]:
    """Time of last use, bytes and path of each array, oldest first; other files are ignored."""
    found = []
    for path in (path for pattern in _ARRAYS for path in folder.glob(pattern)):
        with suppress(FileNotFoundError):  # removed by another run
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return sorted(found)
