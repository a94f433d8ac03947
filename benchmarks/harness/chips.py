"""The chips that everything is measured on: few pictures under many names."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from schemas.artifact import MediaType
from train.sample.archive import write_sample_archive

_SAMPLE_CHIPS: dict[MediaType, int] = {"jpg": 1000, "tif": 200}
_SUFFIXES = {"jpg": (".jpg", ".jpeg"), "tif": (".tif", ".tiff")}


class ChipPool:
    """Chips of one media type, as folders of any size.

    Args:
        media_type: jpg or tif.
        source: folder with chips; None for the sample archive.
        work: folder for what is made.

    Attributes:
        media_type: as given.
        originals: the different pictures.

    Raises:
        ValueError: the folder holds no chips of the media type.
    """

    def __init__(self, media_type: MediaType, source: Path | None, work: Path) -> None:
        self.media_type = media_type
        folder = source or _sample_archive(media_type, work)
        self.originals = _chips_in(folder, media_type)
        if not self.originals:
            raise ValueError(f"{folder} holds no {media_type} chips")
        self._links = work / "chips" / f"{media_type}_{_fingerprint(self.originals)}"

    def folder(self, count: int) -> Path:
        """A folder of `count` chips: the originals again and again, as hard links."""
        folder = self._links / str(count)
        if not folder.exists():
            partial = folder.with_name(f"{count}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for number in range(count):
                original = self._nearby(self.originals[number % len(self.originals)])
                _link(original, partial / f"chip_{number:07d}.{self.media_type}")
            partial.rename(folder)
        return folder

    def _nearby(self, original: Path) -> Path:
        """The original, or a copy if the original is on another file system."""
        copy = self._links / "originals" / original.name
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            _link(original, copy)
        return copy


def media_types_in(source: Path | None) -> list[MediaType]:
    """The media types in a folder; the sample archive has both."""
    kinds: tuple[MediaType, ...] = ("jpg", "tif")
    return [kind for kind in kinds if source is None or _chips_in(source, kind)]


def _chips_in(folder: Path, media_type: MediaType) -> list[Path]:
    suffixes = _SUFFIXES[media_type]
    return sorted(path.resolve() for path in folder.iterdir() if path.suffix.lower() in suffixes)


def _sample_archive(media_type: MediaType, work: Path) -> Path:
    """The sample archive, drawn once; all its jpgs are like the real ones: four components and no
    marker."""
    count = _SAMPLE_CHIPS[media_type]
    folder = work / "sample" / f"{media_type}_{count}"
    if not folder.exists():
        print(f"drawing {count} {media_type} chips (once)", file=sys.stderr)
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        write_sample_archive(partial, count, media_type=media_type, markerless_share=1.0)
        partial.rename(folder)
    return folder / "chips"


def _fingerprint(paths: list[Path]) -> str:
    """A digest that changes with any of the files, so that links to older pictures are not used."""
    known = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:12]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or more links than a file may have
        shutil.copyfile(source, target)
