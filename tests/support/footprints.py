"""Rows with positions, and what readers of GeoParquet say about the files of a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geoparquet_validator
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.tables import delta_tables
from pipelines.tables.live_files import data_files
from schemas.chip_columns import BOUNDS

STEP = 0.01
"""Degrees that a chip of `box` is wide."""


def box(n: int, across: int, west: float = -60, south: float = -10) -> dict[str, float]:
    """The bounding box of chip n of a grid with so many chips in a row."""
    x, y = west + n % across * STEP, south + n // across * STEP
    return dict(zip(BOUNDS, (x, y, x + STEP, y + STEP), strict=True))


def live_files(output: str, name: str = "chip_scores") -> list[Path]:
    """The local files of a table's newest snapshot that have rows."""
    table = delta_tables.open_table(output, name)
    found = data_files(table) if table else []
    return [Path(output, name, file.path) for file in found if file.rows]


def check_geoparquet(output: str, *names: str) -> int:
    """Check each live file by the validator; returns their number.

    A file without a single position is checked by the classes core and covering alone.
    """
    paths = [path for name in names for path in live_files(output, name)]
    for path in paths:
        report = geoparquet_validator.check(str(path))
        placed = pq.read_table(path, columns=["geometry"])["geometry"]
        has_positions = placed.null_count < len(placed)
        for each in ("core", "covering", *(("distribution",) if has_positions else ())):
            assert geoparquet_validator.failed(report, each) == [], (path, report)
        assert geoparquet_validator.conformant(report, "covering")
        assert "crs" not in report_columns(path)
    return len(paths)


def report_columns(path: Path) -> dict[str, Any]:
    """What the footer says about the geometry column."""
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    described: dict[str, Any] = geo["columns"]["geometry"]
    return described


def group_bounds(paths: list[Path]) -> list[tuple[float, ...]]:
    """West, south, east, north of each row group of some files, by its statistics."""
    bounds = []
    for path in paths:
        footer = pq.read_metadata(path)
        column = {footer.schema.column(i).path: i for i in range(footer.num_columns)}
        for group in map(footer.row_group, range(footer.num_row_groups)):
            low = [group.column(column[f"bbox.{e}"]).statistics.min for e in ("xmin", "ymin")]
            high = [group.column(column[f"bbox.{e}"]).statistics.max for e in ("xmax", "ymax")]
            bounds.append((*low, *high))
    return bounds


def touched(bounds: list[tuple[float, ...]], area: tuple[float, ...]) -> float:
    """The share of row groups that an area west, south, east, north touches."""
    west, south, east, north = area
    hit = [b[0] <= east and b[2] >= west and b[1] <= north and b[3] >= south for b in bounds]
    return sum(hit) / len(hit)


def as_of_an_earlier_release(path: Path) -> None:
    """Write a file again without its footprints."""
    rows: pa.Table = pq.read_table(path, partitioning=None)
    pq.write_table(rows.drop_columns(["geometry", "bbox"]).replace_schema_metadata(None), path)
