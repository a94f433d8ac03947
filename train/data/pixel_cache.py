"""The cache of decoded chips: where it is, what a chip is found by, and how it is kept small.

Below the cache's folder stands a folder for each way to make pixels, and in it shards
(`train.data.pixel_shards`). A chip is found by what it was decoded from, not by its name: by the
sha256 of its bytes, or, in an object store, by address, etag and size, which change whenever the
object does. A local file's time and size do not say as much (`cp -p` and tar keep the time), so
local files are read each time (docs/decisions/pixel-cache.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pipelines.errors import UsageError
from pipelines.imaging import decoding
from pipelines.storage.store import is_remote
from schemas.artifact import Preprocessing
from train.data.cache_folder import cache_folder
from train.data.pixel_shards import PIXELS_SUFFIX, RECORDS_SUFFIX, WRITING_PREFIX, remove_shard

NO_CACHE = "none"
"""What `--pixel_cache` is given to keep pixels in memory alone."""

DEFAULT_CACHE_GB = 20.0

_DECODERS = ("numpy", "rasterio", "simplejpeg")
_GIVEN_UP_SECONDS = 24 * 3600  # nobody writes a shard for so long: its writer was killed


@dataclass(frozen=True)
class PixelCache:
    """Where decoded chips are kept.

    Attributes:
        folder: local folder; it may be deleted at any time.
        most_bytes: what it may hold; what was used longest ago makes room for what is new.
    """

    folder: Path
    most_bytes: int

    @property
    def held_bytes(self) -> int:
        """What it holds."""
        return sum(size for _, size, _ in _files(self.folder))


def choose_cache(asked: str | None, gigabytes: float = DEFAULT_CACHE_GB) -> PixelCache | None:
    """The cache that `--pixel_cache` names; None where pixels are to stay in memory.

    By default it is the user's cache folder, where that can be written.

    Raises:
        UsageError: the folder that was named cannot be written, or is not local.
    """
    if asked == NO_CACHE:
        return None
    if asked is not None and is_remote(asked):
        raise UsageError(f"--pixel_cache {asked}: give a local folder, or {NO_CACHE}")
    folder = default_folder() if asked is None else Path(asked).resolve()
    reason = _why_not_writable(folder)
    if reason and asked is not None:
        raise UsageError(f"--pixel_cache {asked}: {reason}; give another folder, or {NO_CACHE}")
    return None if reason else PixelCache(folder, int(gigabytes * 1e9))


def default_folder() -> Path:
    """`pixels` in the user's cache folder."""
    return cache_folder() / "pixels"


def content_key(data: bytes) -> bytes:
    """The key of a chip whose bytes are at hand."""
    return hashlib.sha256(data).digest()


def version_key(uri: str, version: str) -> bytes:
    """The key of an object whose store vouches for its content by a version (etag and size)."""
    return hashlib.sha256(f"version\0{uri}\0{version}".encode()).digest()


def folder_name(preprocessing: Preprocessing) -> str:
    """Stands for all that decides pixels beside a chip's bytes: the preprocessing but for the
    sides that it accepts, the code that decodes, and the versions of what that calls."""
    decides = {
        "bands": preprocessing.bands,
        "scaling": preprocessing.scaling,
        "decoder": _decoder_digest(),
    }
    digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]
    return f"{preprocessing.media_type}-{preprocessing.image_size}-{digest}"


def make_room(cache: PixelCache, wanted_bytes: int, used: Collection[Path]) -> None:
    """Remove shards, those used longest ago first, until so many bytes more may be written.

    Also what killed runs have left half-written.

    Args:
        used: files of records whose shards this run has used; they stay.
    """
    files = _files(cache.folder)
    held = sum(size for _, size, _ in files)
    for path, size, modified_at in sorted(files, key=lambda file: file[2]):
        if _is_left_over(path) and modified_at < time.time() - _GIVEN_UP_SECONDS:
            path.unlink(missing_ok=True)
        elif path.suffix != RECORDS_SUFFIX or path.name.startswith(WRITING_PREFIX):
            continue
        elif held + wanted_bytes > cache.most_bytes and path not in used:
            held -= size + _size(path.with_suffix(PIXELS_SUFFIX))
            remove_shard(path)


@cache
def _decoder_digest() -> str:
    """Of the code itself: a number to be raised at each change would be forgotten one day."""
    files = (Path(decoding.__file__), Path(decoding.__file__).with_name("tiff_layout.py"))
    code = b"".join(file.read_bytes() for file in files)
    versions = ",".join(version(package) for package in _DECODERS)
    return hashlib.sha256(code + versions.encode()).hexdigest()


def _why_not_writable(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written"


def _is_left_over(path: Path) -> bool:
    if path.name.startswith(WRITING_PREFIX):
        return True
    return path.suffix == PIXELS_SUFFIX and not path.with_suffix(RECORDS_SUFFIX).exists()


def _files(folder: Path) -> list[tuple[Path, int, float]]:
    """Path, size and time of each of a cache's files; others in the folder are left alone."""
    found = []
    for path in folder.glob("*/*"):
        if path.suffix in (RECORDS_SUFFIX, PIXELS_SUFFIX):
            with suppress(OSError):
                status = path.stat()
                found.append((path, status.st_size, status.st_mtime))
    return found


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
