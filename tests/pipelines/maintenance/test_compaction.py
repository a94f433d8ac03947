"""Compaction: files of a night become one in map order, old files get footprints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from deltalake.schema import Field, PrimitiveType

from beam_jobs.query import ask
from pipelines.maintenance import compaction, rewriting
from pipelines.maintenance.compaction import Compaction, compact
from pipelines.maintenance.housekeeping import clean_up
from pipelines.tables import delta_tables
from pipelines.tables.commits import commit_files, next_turn
from pipelines.tables.delta_tables import open_table
from pipelines.tables.geometry import bounds_of, map_order
from schemas.tables import RUNS
from tests.support.footprints import (
    STEP,
    as_of_an_earlier_release,
    box,
    check_geoparquet,
    group_bounds,
    live_files,
    touched,
)
from tests.support.published_runs import (
    NIGHT,
    SCORES,
    at,
    commit_rows,
    publish,
    quarantined_row,
    run_row,
    scored,
    write_rows,
)

ACROSS = 80


def publish_units(output: str, units: list[list[dict]], run_id: str = "r", **row: object) -> None:
    """A published run with a file for each unit."""
    publish(output, run_id, [], [quarantined_row("q", "empty", **box(0, 1))])
    table, part = open_table(output, "chip_scores"), {"run_date": NIGHT, "run_id": run_id}
    assert table is not None
    files = [write_rows(output, SCORES, part, unit, f"u{n}") for n, unit in enumerate(units)]
    commit_files(table, files, part, [("filled", table.version())], False, part)
    commit_rows(output, RUNS, run_id, [run_row(at(1), **row)])


def drawn(rows: int, without_place: int = 0) -> list[dict]:
    """Rows on a grid, shuffled; the last ones have no position."""
    order = np.random.default_rng(0).permutation(rows).tolist()
    places = [box(n, ACROSS) for n in range(rows - without_place)] + [{}] * without_place
    return [scored(f"chip-{n:05}", *["road"] * (n % 2), **places[n]) for n in order]


def rows_of(output: str) -> list[dict]:
    return ask(output, "FROM chip_scores ORDER BY run_id, chip_uri").to_pylist()


def test_a_night_of_several_units_becomes_a_file_in_map_order_with_fine_row_groups(
    tmp_path: Path,
) -> None:
    output, rows = str(tmp_path), drawn(4200, without_place=40)
    publish_units(output, [rows[:4096], rows[4096:]])
    before = rows_of(output)
    assert compact(output, "chip_scores", preview=True) == Compaction(1, 2, 1)
    assert compact(output, "chip_scores", preview=False) == Compaction(1, 2, 1)
    assert rows_of(output) == before
    (path,) = live_files(output)
    written = pq.read_table(path, partitioning=None)
    bounds = bounds_of(written)
    assert np.array_equal(map_order(bounds), np.arange(4200))
    assert written["geometry"].null_count == written["bbox"].null_count == 40
    assert written["geometry"].slice(4160).null_count == 40
    assert check_geoparquet(output, "chip_scores", "quarantine") == 2
    areas = group_bounds([path])
    assert len(areas) > 100
    side = ACROSS * STEP * 0.1
    corners = np.random.default_rng(1).uniform([-60, -10], [-59.3, -9.55], (200, 2))
    shares = [touched(areas, (x, y, x + side, y + side * 0.65)) for x, y in corners]
    assert max(shares) <= 0.1
    assert np.mean(shares) < 0.06


def test_a_night_larger_than_a_file_becomes_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, rows = str(tmp_path), drawn(600)
    publish_units(output, [rows[:200], rows[200:400], rows[400:]])
    before = rows_of(output)
    size = sum(path.stat().st_size for path in live_files(output))
    monkeypatch.setattr(rewriting, "TARGET_BYTES", size // 3 + 1)
    monkeypatch.setattr(rewriting, "are_small", lambda files: len(files) > 2)
    assert compact(output, "chip_scores", preview=False) == Compaction(1, 3, 3)
    assert rows_of(output) == before
    parts = [pq.read_table(path, partitioning=None) for path in live_files(output)]
    assert sorted(part.num_rows for part in parts) == [200, 200, 200]
    for part in parts:
        west, south, east, north = bounds_of(part).T
        assert (east.max() - west.min()) * (north.max() - south.min()) < 600 * STEP**2


def test_files_of_an_earlier_release_get_footprints_once(tmp_path: Path) -> None:
    output = str(tmp_path)
    publish_units(output, [drawn(50, without_place=5)])
    for name in ("chip_scores", "quarantine"):
        for path in live_files(output, name):
            as_of_an_earlier_release(path)
    before = rows_of(output)
    assert before[0]["geometry"] is None
    assert compact(output, "chip_scores", preview=True) == Compaction(rewritten=1)
    assert compact(output, "chip_scores", preview=False) == Compaction(rewritten=1)
    assert compact(output, "quarantine", preview=False) == Compaction(rewritten=1)
    for name in ("chip_scores", "quarantine"):
        assert compact(output, name, preview=False) == Compaction()
    after = rows_of(output)
    drop = ("geometry", "bbox")
    assert [{k: v for k, v in row.items() if k not in drop} for row in after] == [
        {k: v for k, v in row.items() if k not in drop} for row in before
    ]
    for row in after:
        if row["lon_min"] is None:
            assert row["geometry"] is row["bbox"] is None
        else:
            expected = shapely.box(*(row[n] for n in ("lon_min", "lat_min", "lon_max", "lat_max")))
            assert shapely.from_wkb(row["geometry"]).equals(expected)
    assert check_geoparquet(output, "chip_scores", "quarantine") == 2


def test_tables_that_lack_the_columns_gain_them_only_when_files_are_rewritten(
    tmp_path: Path,
) -> None:
    output = str(tmp_path)
    publish_units(output, [drawn(5)])
    table = open_table(output, "chip_scores")
    assert table is not None
    version = table.version()
    compact(output, "chip_scores", preview=True)
    compact(output, "chip_scores", preview=False)
    again = open_table(output, "chip_scores")
    assert again is not None
    assert again.version() == version


def test_footers_of_runs_that_say_that_they_wrote_footprints_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, read = str(tmp_path), []
    publish_units(output, [drawn(5)], "old")
    publish_units(output, [drawn(5)], "new", versions='{"forest-chips-files": "2"}')

    def footer(opened: object) -> pq.FileMetaData:
        read.append(opened)
        return pq.ParquetFile(opened).metadata

    monkeypatch.setattr(pq, "read_metadata", footer)
    assert compact(output, "chip_scores", preview=False) == Compaction()
    assert len(read) == 1


def test_only_the_night_of_a_run_that_has_several_files_is_rewritten(tmp_path: Path) -> None:
    """A relabelling has rows of many nights."""
    output = str(tmp_path)
    publish_units(output, [drawn(5), drawn(7)])
    other = {"run_date": "2026-07-02", "run_id": "r"}
    table = open_table(output, "chip_scores")
    assert table is not None
    one = [write_rows(output, SCORES, other, [scored("z")], "z")]
    commit_files(table, one, other, [("filled", table.version())], False, other)
    before = rows_of(output)
    assert compact(output, "chip_scores", preview=False) == Compaction(1, 2, 1)
    assert rows_of(output) == before
    names = sorted(path.name.partition("-")[0] for path in live_files(output))
    assert names == ["compacted", "z.parquet"]


def test_a_night_that_is_replaced_while_it_is_written_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, write = str(tmp_path), rewriting.write_night
    publish_units(output, [drawn(5), drawn(7)])

    def write_then_replace(table, files):
        written = write(table, files)
        newest, part = open_table(output, "chip_scores"), {"run_date": NIGHT, "run_id": "r"}
        new = [write_rows(output, SCORES, part, [scored("new")], "new")]
        commit_files(newest, new, part, [next_turn(newest)], True, part)
        return written

    monkeypatch.setattr(rewriting, "write_night", write_then_replace)
    assert compact(output, "chip_scores", preview=False) == Compaction()
    assert [row["chip_uri"] for row in rows_of(output)] == ["new"]


@pytest.mark.parametrize("reads", ["without_footprints", "write_night"])
def test_files_that_another_maintain_has_replaced_and_deleted_are_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: str
) -> None:
    output, read = str(tmp_path), getattr(rewriting, reads)
    publish_units(output, [drawn(5), drawn(7)])
    publish_units(output, [drawn(3)], "old")
    for path in live_files(output):
        as_of_an_earlier_release(path)
    before = rows_of(output)

    def read_after_another(*args):
        monkeypatch.setattr(rewriting, reads, read)
        compact(output, "chip_scores", preview=False)
        clean_up(output, "chip_scores", 0, preview=False)
        return read(*args)

    monkeypatch.setattr(rewriting, reads, read_after_another)
    assert compact(output, "chip_scores", preview=False) == Compaction()
    assert len(rows_of(output)) == len(before)
    assert len(live_files(output)) == 2


def test_a_conflict_with_another_publisher_does_not_write_the_night_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, write, writes = str(tmp_path), rewriting.write_night, []
    publish_units(output, [drawn(5), drawn(7)])
    commit = compaction.commits.commit_files

    def commit_after_another(table, *args, **kwargs):
        if len(writes) == 1:
            writes.append("raced")
            publish(output, "other", [scored("other")])
        commit(table, *args, **kwargs)

    def count(*args):
        writes.append("written")
        return write(*args)

    monkeypatch.setattr(rewriting, "write_night", count)
    monkeypatch.setattr(compaction.commits, "commit_files", commit_after_another)
    assert compact(output, "chip_scores", preview=False) == Compaction(1, 2, 1)
    assert writes == ["written", "raced"]
    assert len(rows_of(output)) == 13


def test_columns_of_a_later_release_are_kept(tmp_path: Path) -> None:
    output = str(tmp_path)
    publish_units(output, [drawn(3), drawn(4)])
    table = open_table(output, "chip_scores")
    assert table is not None
    table.alter.add_columns([Field("later", PrimitiveType("string"))])
    path = live_files(output)[0]
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.append_column("later", pa.array(["x"] * rows.num_rows)), path)
    assert compact(output, "chip_scores", preview=False) == Compaction(1, 2, 1)
    (file,) = live_files(output)
    assert pq.read_table(file, partitioning=None)["later"].null_count in (3, 4)


def test_runs_and_other_tables_without_positions_are_compacted_too(tmp_path: Path) -> None:
    output = str(tmp_path)
    publish_units(output, [drawn(3)])
    runs = open_table(output, "runs")
    assert runs is not None
    part = {"run_date": NIGHT, "run_id": "r"}
    more = [write_rows(output, RUNS, part, [run_row(at(2))], "more")]
    commit_files(runs, more, part, [next_turn(runs)], False, part)
    assert compact(output, "runs", preview=False) == Compaction(1, 2, 1)
    table = open_table(output, "runs")
    assert table is not None
    assert delta_tables.open_dataset(table).to_table().num_rows == 2
