"""The windows in the rows of a unit: its scenes are opened once, and share their blocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.errors import ChipRejected, StorageError, StoreDown
from pipelines.imaging.footprint import Place
from pipelines.imaging.resize import Pixels
from pipelines.imaging.tiff_bands import BandChoice
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.block_reader import Spent
from pipelines.scenes.header_cache import open_scene
from pipelines.scenes.lattice import Window
from pipelines.scenes.scene import choose_bands
from pipelines.scenes.window_pixels import SceneReader, check_window, make_pixels
from schemas.artifact import Preprocessing
from schemas.scene_columns import WINDOW_NAMES
from schemas.tables import QuarantineReason as Reason

_SCENE = ("scene_uri", "etag", "header_uri", "scene_bands")


class WindowPixels(NamedTuple):
    """A window as the model takes it.

    Attributes:
        pixels: `uint8 [image_size, image_size, bands]`.
        place: where it is on Earth.
        acquired_at: when the scene was taken, if its tags say so.
        no_data_share: part of its pixels that are no data.
    """

    pixels: Pixels
    place: Place | None
    acquired_at: datetime | None
    no_data_share: float


class UnitWindows:
    """The windows of a unit; several threads may ask at once, for each row once.

    Args:
        chips: rows in the CHIP_MANIFEST schema.
        preprocessing: of the model.
        max_no_data: windows with a larger share of no data are rejected; None: those without data.
    """

    def __init__(
        self, chips: pa.Table, preprocessing: Preprocessing, max_no_data: float | None = None
    ) -> None:
        self._preprocessing, self._max_no_data = preprocessing, max_no_data
        rows = chips.select([*_SCENE, *WINDOW_NAMES]).to_pylist()
        self._windows = [_window(row) for row in rows]
        self._keys = [tuple(row[name] for name in _SCENE) for row in rows]
        by_scene: dict[tuple[Any, ...], list[Window]] = {}
        for key, window in zip(self._keys, self._windows, strict=True):
            if key[0] is not None:
                of_scene = by_scene.setdefault(key, [])
                of_scene += [window] if window else []
        self._scenes = {
            key: _Scene(key, windows, preprocessing) for key, windows in by_scene.items()
        }

    @classmethod
    def of(
        cls, chips: pa.Table, preprocessing: Preprocessing, max_no_data: float | None = None
    ) -> UnitWindows | None:
        """The windows of a unit; None if it has none."""
        names = chips.column_names
        if "scene_uri" not in names or chips["scene_uri"].null_count == chips.num_rows:
            return None
        return cls(chips, preprocessing, max_no_data)

    def has(self, row: int) -> bool:
        """Whether a row is a window, or a scene that was rejected."""
        return self._keys[row][0] is not None

    def read(self, row: int) -> WindowPixels:
        """Read a row.

        Raises:
            ChipRejected: it cannot be scored, and why; no_data if too little of it is data.
            StoreDown: nothing can be read.
        """
        scene, window = self._scenes[self._keys[row]], self._windows[row]
        reader = scene.reader()
        if window is None:
            uri = self._keys[row][0]
            valid = f"{uri!r} can be read now: score its windows in a new run"
            raise ChipRejected(Reason.UNREADABLE, valid)
        try:
            check_window(window, self._preprocessing)
            found = reader.read(window)
            self._check_data(found.no_data_share)
            no_data = reader.scene.no_data
            pixels = make_pixels(found.values, no_data, self._preprocessing, scene.choice)
            return WindowPixels(pixels, found.place, found.acquired_at, found.no_data_share)
        finally:
            reader.release(window)

    def _check_data(self, no_data_share: float) -> None:
        most = 1 if self._max_no_data is None else self._max_no_data
        if no_data_share == 1 or no_data_share > most:
            share = f"{no_data_share:.4g} of its pixels are no data"
            raise ChipRejected(Reason.NO_DATA, share)

    def take_spent(self) -> Spent:
        """What fetching took since the last call, of all scenes."""
        parts = [spent for scene in self._scenes.values() for spent in scene.take_spent()]
        return sum(parts, Spent())


class _Scene:
    """A scene of a unit, opened when its first window is read."""

    def __init__(
        self, key: tuple[Any, ...], windows: list[Window], preprocessing: Preprocessing
    ) -> None:
        self.choice = BandChoice()
        self._key, self._windows, self._preprocessing = key, windows, preprocessing
        self._opened: SceneReader | ChipRejected | None = None
        self._lock = Lock()

    def reader(self) -> SceneReader:
        """The reader of the scene's windows.

        Raises:
            ChipRejected: the scene cannot be read or scored; for each window the same.
            StoreDown: nothing can be read.
        """
        with self._lock:
            if self._opened is None:
                try:
                    self._opened = self._open()
                except ChipRejected as rejected:
                    self._opened = rejected
        if isinstance(self._opened, ChipRejected):
            raise ChipRejected(self._opened.reason, self._opened.message)
        return self._opened

    def take_spent(self) -> list[Spent]:
        """What fetching took since the last call."""
        if not isinstance(self._opened, SceneReader):
            return []
        readers = (self._opened.pixels, self._opened.mask)
        return [reader.take_spent() for reader in readers if reader]

    def _open(self) -> SceneReader:
        uri, etag, header_uri, named = self._key
        bands = SceneBands.from_json(named) if named else None
        try:
            scene = open_scene(uri, etag, header_uri)
        except StoreDown:
            raise
        except StorageError as error:
            raise ChipRejected(Reason.UNREADABLE, str(error)) from error
        self.choice = choose_bands(scene, self._preprocessing, bands)
        scene = replace(scene, has_alpha=self.choice.has_alpha)
        return SceneReader(uri, etag, scene, self._windows)


def _window(row: dict[str, Any]) -> Window | None:
    """The window of a row; None if it is a scene that was rejected, or no chip of a scene."""
    values = [row[name] for name in WINDOW_NAMES]
    return None if None in values else Window(*values)
