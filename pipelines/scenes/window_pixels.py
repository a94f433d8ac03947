"""A window's pixels, put together from blocks, and made into the model's input as a chip's are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.imaging.footprint import Place
from pipelines.imaging.jpeg import DARKEST
from pipelines.imaging.no_data import Mask, Values, fill_gaps, find_missing
from pipelines.imaging.resize import Pixels, area_average, as_uint8, check_sides, scale_bands
from pipelines.imaging.tiff_bands import BandChoice
from pipelines.scenes._block_layout import JPEG
from pipelines.scenes.block_reader import BlockReader
from pipelines.scenes.lattice import Window
from pipelines.scenes.scene import Blocks, Scene
from schemas.artifact import Preprocessing


@dataclass(frozen=True)
class WindowValues:
    """A window as it is in the scene.

    Attributes:
        values: all bands, without an alpha channel; 0 where that is 0. Pixels outside the scene and
            in blocks that the file does not have are no data.
        no_data_share: part of the pixels that are no data, 0 to 1.
        place: where it is on Earth.
        acquired_at: when the scene was taken, if its tags say so.
    """

    values: Values
    no_data_share: float
    place: Place | None
    acquired_at: datetime | None


class SceneReader:
    """Reads windows of a scene; several threads may ask at once.

    Args:
        uri, etag: the scene, and the version of it that was listed (None: any).
        windows: all windows that will be read, each of them once.
    """

    def __init__(self, uri: str, etag: str | None, scene: Scene, windows: list[Window]) -> None:
        self.scene = scene
        self.pixels = BlockReader(uri, etag, scene.pixels, windows)
        self.mask = BlockReader(uri, etag, scene.mask, windows) if scene.mask else None
        self._fill = _fill_value(scene)
        self._memory = local()

    def read(self, window: Window) -> WindowValues:
        """Read a window. Its values may be used until the same thread reads the next one, or the
        window is released.

        Raises:
            ChipRejected: one of its blocks cannot be read.
            StoreDown: nothing can be read.
        """
        values, lowest = self._assemble(self.pixels, window, self._fill)
        missing = _missing(values, lowest, self.scene)
        bands = _without_alpha(values) if self.scene.has_alpha else values
        if self.mask:
            mask, _ = self._assemble(self.mask, window, 0)
            missing = np.logical_or(missing, mask[..., 0] == 0)
        share = float(np.count_nonzero(missing)) / (window.width_px * window.height_px)
        return WindowValues(bands, share, self.scene.place_of(window), self.scene.acquired_at)

    def release(self, window: Window) -> None:
        """A window was read and used, or is not going to be: forget what only it needs."""
        for reader in (self.pixels, self.mask):
            if reader:
                reader.release(window)

    def _assemble(self, reader: BlockReader, window: Window, fill: Any) -> tuple[Values, Any]:
        """A window's samples, and a number that none of them is smaller than: a view of a block if
        the window is in one, else this thread's memory."""
        blocks, span = reader.blocks, reader.span_of(window)
        x, y, width, height = window
        inside = (
            x >= 0 and y >= 0 and x + width <= blocks.width_px and y + height <= blocks.height_px
        )
        is_one = (span.bottom - span.top, span.right - span.left, blocks.planes) == (1, 1, 1)
        if is_one and inside and (block := reader.block(span.top, span.left, 0)):
            top = y - span.top * blocks.block_height_px
            left = x - span.left * blocks.block_width_px
            return block.pixels[top : top + height, left : left + width], block.lowest
        values = self._memory_of(reader, (height, width, blocks.bands))
        lowest = []
        if not inside or not reader.is_whole:
            values[:] = fill
            lowest.append(values.dtype.type(fill))
        for row in range(span.top, span.bottom):
            for column in range(span.left, span.right):
                for plane in range(blocks.planes):
                    if block := reader.block(row, column, plane):
                        target = values if blocks.planes == 1 else values[..., plane : plane + 1]
                        _paste(target, block.pixels, window, blocks, row, column)
                        lowest.append(block.lowest)
        return values, np.min(lowest)

    def _memory_of(self, reader: BlockReader, shape: tuple[int, int, int]) -> Values:
        """Memory of this thread: new memory for each window would take as long as to fill it."""
        name = "pixels" if reader is self.pixels else "mask"
        found: Values | None = getattr(self._memory, name, None)
        if found is None or found.shape != shape:
            found = np.empty(shape, reader.blocks.dtype.newbyteorder("="))
            setattr(self._memory, name, found)
        return found


def check_window(window: Window, preprocessing: Preprocessing) -> None:
    """Refuse a window of a size that the model does not take.

    Raises:
        ChipRejected: too_large or wrong_size.
    """
    check_sides(window.width_px, window.height_px, preprocessing)


def make_pixels(
    values: Values, no_data: float | None, preprocessing: Preprocessing, choice: BandChoice
) -> Pixels:
    """A window's values as `decoding.decode_chip` returns those of a chip.

    Args:
        values: as in `WindowValues`.
        no_data: the scene's no-data value.
        choice: which bands of the scene the model takes, from `scene.choose_bands`.
    """
    if choice.positions is not None:
        values = values[..., choice.positions]
    means = area_average(fill_gaps(values, no_data), preprocessing.image_size)
    means = choice.values_of(means)
    return as_uint8(means) if preprocessing.scaling is None else scale_bands(means, preprocessing)


def _paste(
    target: Values, block: Values, window: Window, blocks: Blocks, row: int, column: int
) -> None:
    """Copy what a window shows of a block, without what a tile has beyond the picture."""
    top, left = row * blocks.block_height_px, column * blocks.block_width_px
    first_y, first_x = max(top, window.y_px), max(left, window.x_px)
    end_y = min(top + block.shape[0], window.y_px + window.height_px, blocks.height_px)
    end_x = min(left + block.shape[1], window.x_px + window.width_px, blocks.width_px)
    target[
        first_y - window.y_px : end_y - window.y_px, first_x - window.x_px : end_x - window.x_px
    ] = block[first_y - top : end_y - top, first_x - left : end_x - left]


def _fill_value(scene: Scene) -> Any:
    """The number of pixels that are not in the file."""
    dtype, no_data = scene.pixels.dtype.newbyteorder("="), scene.no_data
    if no_data is None or scene.has_alpha:
        return 0
    if dtype.kind == "f":
        return dtype.type(no_data)
    limits = np.iinfo(dtype)
    return int(no_data) if limits.min <= no_data <= limits.max else 0


def _without_alpha(values: Values) -> Values:
    """The bands before the alpha channel, 0 where it is 0, as in chips."""
    bands, alpha = values[..., :-1], values[..., -1:]
    return bands if alpha.all() else np.where(alpha, bands, values.dtype.type(0))


def _missing(values: Values, lowest: Any, scene: Scene) -> Mask:
    """Where a window has no data: by the alpha channel, else by `find_missing`."""
    if scene.has_alpha:
        found: npt.NDArray[np.bool_] = values[..., -1] == 0
        return found
    darkest = DARKEST if scene.pixels.compression == JPEG else 0
    return find_missing(values, lowest, scene.no_data, darkest)
