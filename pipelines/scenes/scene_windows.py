"""The windows of scenes as rows of a manifest, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ChipRejected, StorageError
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.header_cache import HeaderCache
from pipelines.scenes.lattice import Cut, Windows, cut_windows
from pipelines.scenes.scene import Blocks, Integers, Scene, choose_bands
from pipelines.storage import store
from schemas.artifact import Preprocessing
from schemas.render import file_schema
from schemas.scene_columns import SCENE_NAMES
from schemas.tables import CHIP_MANIFEST
from schemas.tables import QuarantineReason as Reason

BLOCK_ORDER = "block_order"
"""Position of a window in the order in which its scene is read best."""

_GIVEN = ("chip_uri", "chip_id", "scene_id", "observed_at", "etag", "size_bytes", "modified_at")
WINDOW_ROWS = pa.schema(
    [
        *(file_schema(CHIP_MANIFEST).field(name) for name in (*_GIVEN, *SCENE_NAMES)),
        pa.field(BLOCK_ORDER, pa.int64()),
    ]
)
"""Columns of `SceneWindows.rows`: those of a manifest, and `block_order`."""

_MOST_WINDOWS = 1 << 22
_STRIPE_BYTES = 96 << 20
"""Decoded bytes of a row of blocks that are kept until the windows below have used them."""
_MOST_ROW_BYTES = 1 << 30
"""Decoded bytes of the strips that a row of windows touches, each of which is as wide as its scene:
no order of windows makes that less."""
_THREADS = 16


@dataclass(frozen=True)
class SceneWindows:
    """A scene's windows.

    Attributes:
        rows: in the WINDOW_ROWS schema and in block order; `size_bytes` is each window's share of
            the blocks that are read. If the scene cannot be read or scored,
            one row without a window, which is quarantined with the reason when it is read.
        rejected: the reason, in that case.
        needed_bytes: sum of the sizes of the blocks that the windows touch, each counted once.
        listed: the scene's row in the listing.
        scene: the scene; None if it is rejected.
    """

    rows: pa.Table
    rejected: ChipRejected | None
    needed_bytes: int
    listed: dict[str, Any]
    scene: Scene | None = None


def list_windows(
    scenes: pa.Table, cut: Cut, cache: HeaderCache, preprocessing: Preprocessing | None = None
) -> Iterator[SceneWindows]:
    """The windows of some scenes, scene by scene; threads read the headers.

    Args:
        scenes: rows of a listing with the column chip_uri; scene_id, observed_at and scene_bands
            are used if they are there. A scene without a scene_id has the stem of its file name.
        cut: how to cut them.
        cache: reads the headers.
        preprocessing: the model's; scenes that it cannot take are rejected. None to list them, too.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(
            lambda row: _windows_of(row, cut, cache, preprocessing), scenes.to_pylist()
        )


def _windows_of(
    row: dict[str, Any], cut: Cut, cache: HeaderCache, preprocessing: Preprocessing | None
) -> SceneWindows:
    stem = store.file_stem(row["chip_uri"])
    given = {"scene_id": stem, **{name: row[name] for name in _GIVEN if row.get(name)}}
    given |= {"scene_uri": row["chip_uri"], "scene_bands": row.get("scene_bands")}
    try:
        scene, header_uri = cache.read(row)
        if preprocessing:
            text = row.get("scene_bands")
            choose_bands(scene, preprocessing, SceneBands.from_json(text) if text else None)
        _check_strips(scene.pixels, cut)
        grid = scene.grid(stem)
        cells = (grid.width_px // cut.step_px + 2) * (grid.height_px // cut.step_px + 2)
        if cells > _MOST_WINDOWS:
            raise ChipRejected(Reason.TOO_LARGE, f"some {cells:,} windows, over {_MOST_WINDOWS:,}")
        windows = cut_windows(grid, cut)
    except ChipRejected as rejected:
        return SceneWindows(_table(1, given | {"chip_id": stem}), rejected, 0, row)
    except StorageError as error:
        unreadable = ChipRejected(Reason.UNREADABLE, str(error))
        return SceneWindows(_table(1, given | {"chip_id": stem}), unreadable, 0, row)
    needed = needed_bytes(scene, windows)
    given |= {"header_uri": header_uri, "size_bytes": needed // max(1, len(windows.chip_ids))}
    return SceneWindows(_rows(windows, given, scene.pixels), None, needed, row, scene)


def _check_strips(blocks: Blocks, cut: Cut) -> None:
    rows = cut.cut_px + 2 * blocks.block_height_px
    row_bytes = blocks.block_width_px * blocks.bands * blocks.dtype.itemsize
    if blocks.across == 1 and rows * row_bytes > _MOST_ROW_BYTES:
        size = f"strips of {blocks.block_width_px:,} px, too wide to be kept for {rows:,} rows"
        raise ChipRejected(Reason.TOO_LARGE, f"{size}: write it as a COG")


def _rows(windows: Windows, given: dict[str, Any], blocks: Blocks) -> pa.Table:
    order = block_order(windows, blocks)
    x_px, y_px = (pa.array(values[order]) for values in (windows.x_px, windows.y_px))
    size = str(windows.size_px)
    texts = (x_px.cast(pa.string()), y_px.cast(pa.string()), size, size)
    places = pc.binary_join_element_wise(*texts, ",")
    columns = {
        "chip_uri": pc.binary_join_element_wise(given["scene_uri"], places, "#"),
        "chip_id": pa.array([windows.chip_ids[row] for row in order.tolist()], pa.string()),
        "x_px": x_px,
        "y_px": y_px,
        BLOCK_ORDER: pa.array(np.arange(len(order))),
    }
    sides = dict.fromkeys(("width_px", "height_px"), windows.size_px)
    return _table(len(order), given | sides | columns)


def _table(rows: int, columns: dict[str, Any]) -> pa.Table:
    """Columns, or values that all rows have, as a table of WINDOW_ROWS."""
    return pa.table(
        [_column(rows, field, columns.get(field.name)) for field in WINDOW_ROWS],
        schema=WINDOW_ROWS,
    )


def _column(rows: int, field: pa.Field, value: Any) -> pa.Array:
    return value if isinstance(value, pa.Array) else pa.repeat(pa.scalar(value, field.type), rows)


def block_order(windows: Windows, blocks: Blocks) -> Integers:
    """The windows in the order of the blocks in which they begin, as `int64 [n]` indexes.

    Rows of blocks are read one after the other. Of a very wide scene they are cut into stripes, one
    after the other, so that what must be kept for the windows below stays small:

        stripe 1     stripe 2
        1  2  3  4   9 10 11 12
        5  6  7  8  13 14 15 16
    """
    row = np.maximum(windows.y_px, 0) // blocks.block_height_px
    column = np.maximum(windows.x_px, 0) // blocks.block_width_px
    stripe = column // _stripe_blocks(blocks)
    return np.lexsort((windows.x_px, windows.y_px, column, row, stripe))


def _stripe_blocks(blocks: Blocks) -> int:
    samples = blocks.block_width_px * blocks.block_height_px * blocks.bands
    return max(_STRIPE_BYTES // max(samples * blocks.dtype.itemsize, 1), 1)


def needed_bytes(scene: Scene, windows: Windows) -> int:
    """Sum of the sizes of the blocks that windows touch, each counted once."""
    blocks = scene.pixels
    rows = _touched(windows.y_px, windows.size_px, blocks.block_height_px, blocks.down)
    columns = _touched(windows.x_px, windows.size_px, blocks.block_width_px, blocks.across)
    counts = blocks.counts[: blocks.planes * blocks.down * blocks.across]
    sizes = counts.reshape(blocks.planes, blocks.down, blocks.across)
    return int(sizes[:, rows][:, :, columns].sum())


def _touched(starts: Integers, size_px: int, block_px: int, blocks: int) -> Integers:
    """Numbers of the blocks along an axis that windows touch."""
    first = np.maximum(np.unique(starts), 0) // block_px
    last = (np.unique(starts) + size_px - 1) // block_px
    spans = [np.arange(a, min(b, blocks - 1) + 1) for a, b in zip(first, last, strict=True)]
    return np.unique(np.concatenate(spans)) if spans else np.zeros(0, np.int64)
