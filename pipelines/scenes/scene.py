"""What a scene is: its pixels, where they are on Earth, and where their blocks are in the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ChipRejected
from pipelines.imaging.footprint import Place, place_of
from pipelines.imaging.gdal_metadata import BandTags
from pipelines.imaging.tiff_bands import BandChoice, TifKind, default_names, fit_kind, in_order
from pipelines.imaging.tiff_position import CrsTags, Position, Transform
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.lattice import Grid, Window, crs_origin
from schemas.artifact import Preprocessing, SampleType
from schemas.tables import QuarantineReason as Reason

Integers = npt.NDArray[np.int64]

_PIXELS: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_CODE_KEYS = (3072, 2048)  # ProjectedCRSGeoKey, GeodeticCRSGeoKey
_CODES = range(1024, 32767)  # of EPSG: GeoTIFF 1.1, section 7.3
_MOST_PX_FROM_ORIGIN = 1 << 40


@dataclass(frozen=True, eq=False)
class Blocks:
    """The strips or tiles of a picture.

    Attributes:
        width_px, height_px: size of the picture.
        bands: samples of a pixel.
        block_width_px, block_height_px: size of a block; tiles may reach over the picture.
        tiled: whether blocks are tiles, which all have the same size.
        planes: 1 if a block has all bands of its pixels; else the number of bands, each of which
            has blocks of its own.
        dtype: of samples as they are stored; `uint8` for the mask's single bits.
        bits: of a sample.
        compression, predictor, photometric: TIFF's numbers.
        tables: what JPEG blocks share.
        offsets, counts: `int64 [planes * down * across]`, where each block is in the file, row by
            row; count 0: it has no data, and is not stored.
    """

    width_px: int
    height_px: int
    bands: int
    block_width_px: int
    block_height_px: int
    tiled: bool
    planes: int
    dtype: np.dtype[Any]
    bits: int
    compression: int
    predictor: int
    photometric: int
    tables: bytes
    offsets: Integers
    counts: Integers

    @cached_property
    def across(self) -> int:
        """Blocks from left to right."""
        return -(-self.width_px // self.block_width_px)

    @cached_property
    def down(self) -> int:
        """Blocks from top to bottom."""
        return -(-self.height_px // self.block_height_px)

    def shape_of(self, index: int) -> tuple[int, int, int]:
        """Rows, columns and bands that a block stores; the last strip may have fewer rows."""
        rows = self.block_height_px
        if not self.tiled:
            row = index // self.across % self.down
            rows = min(rows, self.height_px - row * rows)
        return rows, self.block_width_px, self.bands if self.planes == 1 else 1


@dataclass(frozen=True, eq=False)
class Scene:
    """The first picture of a GeoTIFF, read from its header. Overviews are ignored.

    Attributes:
        pixels: its blocks.
        mask: blocks of its mask, one band; 0 means no data. None without a mask.
        no_data: the number that means no data; NaN is possible; None if the file names none.
        has_alpha: whether the last band is not a band but says where there are data: 0 means none.
        tags: names and scales of the bands, if the file has them.
        position: where it is on Earth; None if it does not say.
        acquired_at: when it was taken (UTC), if its tags say so.
    """

    pixels: Blocks
    mask: Blocks | None
    no_data: float | None
    has_alpha: bool
    position: Position | None
    acquired_at: datetime | None
    tags: BandTags

    @property
    def mode(self) -> str:
        """How the pixels are stored, such as `4 x uint16`."""
        return f"{self.pixels.bands} x {self.pixels.dtype.name}"

    @cached_property
    def place(self) -> Place | None:
        """The place of the whole grid of pixels; None if it has none that can be read."""
        return place_of(self.position, self.pixels.width_px, self.pixels.height_px)

    def place_of(self, window: Window) -> Place | None:
        """The place of a window."""
        if self.place is None:
            return None
        a, b, c, d, e, f = self.place.transform
        x, y = window.x_px, window.y_px
        moved = (a, b, c + a * x + b * y, d, e, f + d * x + e * y)
        return Place(self.place.crs, moved, window.width_px, window.height_px)

    def grid(self, stem: str) -> Grid:
        """The pixel grid. Without a place on Earth it begins at the scene's first pixel.

        Args:
            stem: the scene's name, which such a grid has.
        """
        size = self.pixels.width_px, self.pixels.height_px
        if self.place and self.position and _has_origin(self.place.transform):
            name = _crs_name(self.position.crs_tags, self.place.crs)
            return Grid(*size, self.place.transform, name)
        return Grid(*size, _PIXELS, stem)


def choose_bands(
    scene: Scene, preprocessing: Preprocessing, bands: SceneBands | None
) -> BandChoice:
    """The bands of a scene that a model takes.

    Without a choice of bands, a model of GeoTIFFs takes those of a chip, and a model of JPEGs or
    PNGs takes bytes of red, green and blue.

    Raises:
        ChipRejected: wrong_bands: the scene does not have them.
    """
    wanted, count = len(preprocessing.stored), scene.pixels.bands
    picture = scene.pixels.dtype == np.uint8
    if preprocessing.media_type != "tif" and not picture:
        raise ChipRejected(Reason.WRONG_BANDS, f"{scene.mode}, not {wanted} x uint8")
    if bands is not None:
        return _named(scene, preprocessing, bands)
    if preprocessing.stored_bands:
        return fit_kind(_kind(scene), scene.tags, preprocessing)
    if count - scene.has_alpha != wanted:
        alpha = " with alpha" if scene.has_alpha else ""
        raise ChipRejected(Reason.WRONG_BANDS, f"{scene.mode}{alpha}, not {wanted} bands")
    positions = tuple(map(preprocessing.stored.index, preprocessing.bands))
    return BandChoice(in_order(positions, wanted), scene.has_alpha)


def _named(scene: Scene, preprocessing: Preprocessing, bands: SceneBands) -> BandChoice:
    """The bands that a STAC item names."""
    if max(bands.indexes) >= scene.pixels.bands:
        named = f"{scene.mode}, but band {max(bands.indexes) + 1} is named"
        raise ChipRejected(Reason.WRONG_BANDS, named)
    samples = scene.pixels.dtype.name
    if preprocessing.stored_bands and bands.are_plain and samples != preprocessing.samples:
        found = f"{scene.mode} without a scale, and the model takes {preprocessing.kind}"
        raise ChipRejected(Reason.WRONG_BANDS, found)
    at = [preprocessing.of_scenes.index(band) for band in preprocessing.bands]
    alpha = scene.has_alpha and max(bands.indexes) < scene.pixels.bands - 1
    positions = in_order(tuple(bands.indexes[i] for i in at), scene.pixels.bands - alpha)
    if bands.are_plain:
        return BandChoice(positions, alpha)
    scales, offsets = (tuple(each[i] for i in at) for each in (bands.scales, bands.offsets))
    return BandChoice(positions, alpha, scales, offsets)


def _kind(scene: Scene) -> TifKind:
    count = scene.pixels.bands - scene.has_alpha
    names = scene.tags.names
    samples: SampleType = scene.pixels.dtype.newbyteorder("=").name  # type: ignore[assignment]
    return TifKind(names or default_names(count), samples, bool(names), scene.has_alpha)


def _has_origin(transform: Transform) -> bool:
    try:
        return max(map(abs, crs_origin(transform))) < _MOST_PX_FROM_ORIGIN
    except (ValueError, OverflowError, ZeroDivisionError):
        return False


def _crs_name(crs_tags: CrsTags, crs: Any) -> str:
    """A name that scenes with the same coordinate system share."""
    keys = crs_tags[0]
    codes = {
        int(keys[at]): int(keys[at + 3])
        for at in range(4, len(keys) - 3, 4)
        if keys[at + 1] == 0 and keys[at] in _CODE_KEYS
    }
    for key in _CODE_KEYS:
        if key in codes:
            if codes[key] in _CODES:
                return f"EPSG{codes[key]}"
            break
    return f"CRS{hashlib.sha256(crs.to_wkt().encode()).hexdigest()[:8]}"
