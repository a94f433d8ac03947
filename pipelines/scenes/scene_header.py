"""A scene by its header: what it is, and what about it cannot be read.

Scenes come from anywhere, and their windows are decoded without GDAL. So everything that a block
costs is bounded here, before a byte of it is read (docs/decisions/hostile-input.md).
"""

from __future__ import annotations

from pipelines.errors import ChipRejected
from pipelines.imaging import tiff_header as tiff
from pipelines.imaging.acquisition import read_acquired_at
from pipelines.imaging.gdal_metadata import read_band_tags
from pipelines.imaging.geotiff import PHOTOMETRICS, PLAIN_BANDS
from pipelines.imaging.tiff_position import read_position
from pipelines.scenes._block_layout import MASK, YCBCR, first, read_blocks
from pipelines.scenes.header_bytes import HeaderBytes
from pipelines.scenes.scene import Blocks, Scene
from schemas.tables import QuarantineReason as Reason

_MOST_DIRECTORIES = 64
_REDUCED, _IS_MASK = 1, 4  # bits of NewSubfileType
_ALPHAS = (1, 2)  # values of ExtraSamples
_MOST_SIDE_PX = 1 << 20
_JPEG = 7


def read_scene(uri: str, size_bytes: int, etag: str | None = None) -> Scene:
    """A scene by its address.

    Args:
        etag: the version that was listed; None for any.

    Raises:
        ChipRejected: it cannot be read as a scene, and why.
        StorageError: its header cannot be fetched.
    """
    return parse_scene(HeaderBytes(uri, size_bytes, etag))


def parse_scene(data: HeaderBytes) -> Scene:
    """A scene by the bytes of its header.

    Raises:
        ChipRejected, StorageError: as `read_scene`.
    """
    if not len(data):
        raise ChipRejected(Reason.EMPTY, "the object has no bytes")
    if data[0:4] not in tiff.MAGICS:
        raise ChipRejected(Reason.NOT_AN_IMAGE, "not a TIFF")
    tags = tiff.read_tags(data, None, _TAGS, _MOST_BLOCKS)
    pixels = read_blocks(data, tags, None)
    _check_picture(pixels)
    named = read_band_tags(data, pixels.bands)
    alpha = not named.names and _has_alpha(tags, pixels)
    return Scene(
        pixels=pixels,
        mask=_find_mask(data, pixels),
        no_data=tiff.read_no_data(data),
        has_alpha=alpha,
        tags=read_band_tags(data, pixels.bands - 1) if alpha else named,
        position=read_position(tags),
        acquired_at=read_acquired_at(data),
    )


_TAGS = frozenset({*tiff.WANTED, tiff.PREDICTOR, tiff.EXTRA_SAMPLES})
_MOST_BLOCKS = 1 << 21


def _check_picture(pixels: Blocks) -> None:
    if max(pixels.width_px, pixels.height_px) > _MOST_SIDE_PX:
        size = f"{pixels.width_px}x{pixels.height_px} px, at most {_MOST_SIDE_PX:,} a side"
        raise ChipRejected(Reason.TOO_LARGE, size)
    plain = (*PLAIN_BANDS, YCBCR) if pixels.compression == _JPEG else PLAIN_BANDS
    if pixels.photometric not in plain:
        kind = PHOTOMETRICS.get(pixels.photometric, f"photometric {pixels.photometric}")
        raise ChipRejected(Reason.WRONG_BANDS, f"pixels of {kind}, not of plain bands")


def _has_alpha(tags: tiff.Tags, pixels: Blocks) -> bool:
    """Whether the last band is an alpha channel: in pictures of bytes only. In others this tag is
    on the near infrared, too, since writers call every fourth band so."""
    extra = tags.get(tiff.EXTRA_SAMPLES, ())
    return pixels.bits == 8 and pixels.bands in (2, 4) and len(extra) == 1 and extra[0] in _ALPHAS


def _find_mask(data: HeaderBytes, pixels: Blocks) -> Blocks | None:
    """The mask of the picture in full size, which is in a directory after that of the picture."""
    start, seen = tiff.next_directory(data), set[int]()
    while start and start not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(start)
        kind = tiff.read_tags(data, start, (tiff.SUBFILE, tiff.WIDTH, tiff.HEIGHT))
        is_mask = first(kind, tiff.SUBFILE, 0) & (_IS_MASK | _REDUCED) == _IS_MASK
        size = first(kind, tiff.WIDTH), first(kind, tiff.HEIGHT)
        if is_mask and size == (pixels.width_px, pixels.height_px):
            tags = tiff.read_tags(data, start, _TAGS, _MOST_BLOCKS)
            mask = read_blocks(data, tags, start)
            if mask.bands != 1 or mask.photometric != MASK:
                raise ChipRejected(Reason.DECODE_ERROR, "a mask that is not one band of bits")
            return mask
        start = tiff.next_directory(data, start)
    return None
