"""The files of the tables are GeoParquet, whatever was done to them, and every reader agrees."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import geopandas
import numpy as np
import pandas
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
import shapely
from deltalake import DeltaTable

from beam_jobs import maintain, relabel_chips, replay_quarantine, score_chips, withdraw
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.runs import run_plan
from schemas.artifact import ModelArtifact
from schemas.chip_columns import BOUNDS
from tests.support.footprints import (
    STEP,
    box,
    check_geoparquet,
    group_bounds,
    live_files,
    touched,
)
from tests.support.quick_scoring import QuickClassifier, scoring_here
from tests.support.samples import jpg_bytes, make_artifact

ACROSS, CHIPS, WITHOUT_PLACE = 70, 4200, 60
AREA = (-59.85, -9.9, -59.7, -9.75)
"""West, south, east, north; between the edges of chips."""
TABLES = ("chip_scores", "quarantine")


class Nights:
    """An archive with a sidecar, an artifact and an OUTPUT."""

    def __init__(self, folder: Path) -> None:
        self.chips, self.output = folder / "chips", str(folder / "out")
        self.artifact, self.sidecar = folder / "artifact", folder / "sidecar.csv"
        make_artifact(self.artifact)
        self.chips.mkdir()
        names = np.random.default_rng(0).permutation(CHIPS)
        self.paths = [self.chips / f"{name:05}.jpg" for name in names]
        lines = ["chip_id,lon_min,lat_min,lon_max,lat_max,footprint_wkt"]
        for n, path in enumerate(self.paths):
            path.write_bytes(b"" if n % 700 == 5 else jpg_bytes((n % 250, 90, 30), 64))
            lines.append(f"{path.stem},{place(n)}")
        self.sidecar.write_text("\n".join(lines[:-WITHOUT_PLACE]))

    def score(self, run_id: str, night: str, *more: str, chips: Path | None = None) -> None:
        given = {"--chips": chips or self.chips, "--artifact": self.artifact}
        given |= {"--sidecar": self.sidecar, "--run_id": run_id, "--run_date": night}
        flags = [str(part) for flag in given.items() for part in flag]
        self.run(score_chips.main, *flags, "--max_quarantine_ratio", "1", *more)

    def run(self, command: Callable[..., int], *flags: str) -> None:
        assert exit_code(command, ["--output", self.output, *flags]) == 0

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row.values()) for row in ask(self.output, sql).to_pylist()]


def place(n: int) -> str:
    """The columns of the sidecar's row n: a box, a diamond, or a box across 180 degrees."""
    west, south, east, north = (box(n, ACROSS)[name] for name in BOUNDS)
    if n % 100 == 7:
        return "179.995,-17,-179.995,-16.99,"
    if n % 3 == 0:
        x, y = (west + east) / 2, (south + north) / 2
        corners = f"{west} {y}, {x} {south}, {east} {y}, {x} {north}, {west} {y}"
        return f',,,,"POLYGON (({corners}))"'
    return f"{west},{south},{east},{north},"


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """Two nights, a replay, a rescore, a replacement, a relabelling and a withdrawal; the files are
    checked after each."""
    with scoring_here(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_plan, "UNIT_CHIPS", 4096)
        patch.setattr(QuickClassifier, "batch_size", 256)
        made = Nights(tmp_path_factory.mktemp("nights"))
        made.score("one", "2026-07-01")
        assert check_geoparquet(made.output, *TABLES) == 3
        for path in made.paths[:300:3]:
            path.write_bytes(jpg_bytes((200, 0, 0), 64))
        made.score("two", "2026-07-02")
        assert check_geoparquet(made.output, *TABLES) == 4
        for path in made.paths:
            if not path.stat().st_size:
                path.write_bytes(jpg_bytes((0, 0, 200), 64))
        made.run(replay_quarantine.main, "--artifact", str(made.artifact), "--run_id", "one")
        assert check_geoparquet(made.output, *TABLES) == 5
        few = made.chips.parent / "few.csv"
        few.write_text("\n".join(["chip_uri", *map(str, made.paths[:50])]))
        for _ in range(2):  # the second replaces the first
            made.score("three", "2026-07-03", "--rescore", chips=few)
            assert check_geoparquet(made.output, *TABLES) == 6
        artifact = ModelArtifact.from_dict(
            json.loads((made.artifact / "artifact.json").read_text())
        )
        file = made.chips.parent / "thresholds.json"
        file.write_text(json.dumps(dict.fromkeys(artifact.label_set.names, 0.0)))
        made.run(relabel_chips.main, "--thresholds", str(file), "--run_id", "relabelled")
        assert check_geoparquet(made.output, *TABLES) > 6
        made.run(withdraw.main, "--run_id", "relabelled")
        assert check_geoparquet(made.output, *TABLES) == 6
        yield made


@pytest.fixture(scope="module")
def maintained(nights: Nights) -> Nights:
    """The same tables after `maintain`, and their rows as before."""
    sql = "SELECT chip_uri, run_id, geometry, bbox FROM chip_scores ORDER BY 1, 2"
    before = nights.rows(sql)
    nights.run(maintain.main, "--vacuum_hours", "0")
    assert nights.rows(sql) == before
    assert check_geoparquet(nights.output, *TABLES) > 0
    return nights


def test_every_chip_has_the_footprint_that_is_known_of_it(nights: Nights) -> None:
    sql = "SELECT chip_id, geometry, bbox FROM chip_scores WHERE run_id = 'one' ORDER BY chip_id"
    found = {chip: (wkb and shapely.from_wkb(wkb), bbox) for chip, wkb, bbox in nights.rows(sql)}
    assert len(found) == CHIPS - 6
    kinds = dict.fromkeys(("Polygon", "MultiPolygon", "none"), 0)
    for n, path in enumerate(nights.paths):
        shape, bbox = found.get(path.stem, (None, None))
        if path.stem not in found:
            continue
        kinds[shape.geom_type if shape else "none"] += 1
        if n >= CHIPS - WITHOUT_PLACE:
            assert shape is bbox is None
        elif n % 100 == 7:
            assert shape.bounds == (-180, -17, 180, -16.99)
            assert bbox["xmin"] > bbox["xmax"]
        else:
            assert shape.bounds == tuple(bbox.values())
            whole = shapely.box(*box(n, ACROSS).values())
            assert shape.area == pytest.approx(whole.area / (1 if n % 3 else 2))
    assert kinds == {"Polygon": 4092, "MultiPolygon": 42, "none": 60}


def test_an_area_of_one_percent_touches_a_tenth_of_the_row_groups_at_most(
    maintained: Nights,
) -> None:
    (path,) = (p for p in live_files(maintained.output) if "run_id=one" in str(p))
    groups = group_bounds([path])
    across, up = ACROSS * STEP / 10, CHIPS / ACROSS * STEP / 10
    corners = np.random.default_rng(0).uniform([-60, -10], [-59.37, -9.46], (200, 2))
    shares = [touched(groups, (x, y, x + across, y + up)) for x, y in corners]
    assert max(shares) <= 0.1


def test_readers_count_the_same_chips_in_an_area(maintained: Nights) -> None:
    west, south, east, north = AREA
    boxes = [box(n, ACROSS) for n in range(CHIPS - WITHOUT_PLACE)]
    expected = sum(
        b["lon_min"] <= east and b["lon_max"] >= west and b["lat_min"] <= north
        and b["lat_max"] >= south
        for n, b in enumerate(boxes)
        if n % 100 != 7 and n % 700 != 5
    )  # fmt: skip
    (path,) = (p for p in live_files(maintained.output) if "run_id=one" in str(p))
    frame = geopandas.read_parquet(path)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.is_valid[frame.geometry.notna()].all()
    by_geopandas = len(geopandas.read_parquet(path, bbox=AREA))
    inside = pc.field("bbox", "xmin") <= east
    inside &= pc.field("bbox", "xmax") >= west
    inside &= (pc.field("bbox", "ymin") <= north) & (pc.field("bbox", "ymax") >= south)
    by_pyarrow = ds.dataset(path).count_rows(filter=inside)
    connection = duckdb.connect()
    named = f"FROM read_parquet('{path}')"
    kinds = connection.sql(f"SELECT DISTINCT typeof(geometry) {named}").fetchall()
    assert [kind[:8] for (kind,) in kinds] == ["GEOMETRY"]
    within = (
        f"bbox.xmin <= {east} AND bbox.xmax >= {west} "
        f"AND bbox.ymin <= {north} AND bbox.ymax >= {south}"
    )
    by_duckdb = connection.sql(f"SELECT count(*) {named} WHERE {within}").fetchall()[0][0]
    shapes = connection.sql(f"SELECT ST_AsWKB(geometry) {named} WHERE {within}").fetchall()
    assert all(shapely.from_wkb(wkb).intersects(shapely.box(*AREA)) for (wkb,) in shapes[:5])
    by_query = maintained.rows(
        f"SELECT count(*) FROM chip_scores WHERE run_id = 'one' AND {within}"
    )
    assert [by_geopandas, by_pyarrow, by_duckdb, by_query[0][0]] == [expected] * 4


def test_views_have_geometries_and_queries_of_any_kind_may_use_them(maintained: Nights) -> None:
    sql = "SELECT typeof(geometry), count(*) FROM {} WHERE geometry IS NOT NULL GROUP BY 1"
    for view in ("latest_chip_scores", "observations"):
        ((kind, count),) = maintained.rows(sql.format(view))
        assert kind == "GEOMETRY"
        assert count >= CHIPS - WITHOUT_PLACE - 6
    text = "SELECT ST_AsText(geometry) FROM latest_chip_scores WHERE geometry IS NOT NULL LIMIT 1"
    assert str(maintained.rows(text)[0][0]).startswith(("POLYGON", "MULTIPOLYGON"))


def test_the_files_of_the_log_become_a_geopackage_with_geopandas(
    nights: Nights, tmp_path: Path
) -> None:
    """As docs/asking.md shows it."""
    files = DeltaTable(f"{nights.output}/chip_scores").file_uris()
    chips = pandas.concat([geopandas.read_parquet(file, bbox=AREA) for file in files])
    chips.to_file(tmp_path / "chips.gpkg")
    drawn = geopandas.read_file(tmp_path / "chips.gpkg")
    assert len(drawn) == len(chips) > 200
    assert drawn.crs == "OGC:CRS84"
