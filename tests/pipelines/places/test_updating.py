"""The tables of places, over published runs: what is in them, and what updates leave alone."""

import io
import threading
from pathlib import Path
from typing import Any

import geoparquet_validator
import h3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from beam_jobs import maintain, query
from pipelines.errors import UsageError
from pipelines.maintenance.withdrawing import withdraw_run
from pipelines.places import updating
from pipelines.places.updating import Update, update_places
from pipelines.storage import store
from pipelines.tables import delta_tables
from pipelines.tables.commits import DataFile, PublishConflict, commit_files, next_transactions
from pipelines.tables.evolution import ensure_table
from schemas.render import file_schema
from schemas.tables import CHIP_PLACES, PLACES
from tests.support.published_runs import NIGHT, SCORES, at, publish, scored

pytest_plugins = ["tests.support.object_stores"]

SIDE = 0.0069  # degrees: 768 m


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path)


def chip(
    uri: str, column: int = 0, row: int = 0, side: float = SIDE, **more: Any
) -> dict[str, Any]:
    """A row of chip_scores whose box is one of a grid."""
    west, south = -60 + column * side, -3 + row * side
    box = {"lon_min": west, "lat_min": south, "lon_max": west + side, "lat_max": south + side}
    return scored(uri, **{**box, **more})


def cells_of_box(box: dict[str, Any], resolution: int) -> set[str]:
    shape = shapely.box(*(box[name] for name in ("lon_min", "lat_min", "lon_max", "lat_max")))
    found = set(h3.h3shape_to_cells(h3.geo_to_h3shape(shape), resolution))
    return found or {h3.latlng_to_cell(shape.centroid.y, shape.centroid.x, resolution)}


def pairs(output: str) -> list[tuple[bytes, str | None]]:
    sql = "SELECT footprint, place_id FROM chip_places ORDER BY ALL"
    return [tuple(row.values()) for row in query.ask(output, sql).to_pylist()]


def places(output: str) -> list[dict[str, Any]]:
    return query.ask(output, "FROM places ORDER BY place_id").to_pylist()


def versions(output: str) -> list[int]:
    tables = [delta_tables.open_table(output, table.name) for table in (PLACES, CHIP_PLACES)]
    return [table.version() for table in tables if table]


def test_each_footprint_has_its_cells_and_each_cell_one_place(output: str) -> None:
    chips = [chip(f"{i}-{j}", i, j) for i in range(4) for j in range(3)]
    publish(output, "run-1", [*chips, scored("nowhere")], published_at=at(1))
    update = update_places(output)
    expected = {c["chip_uri"]: cells_of_box(c, 9) for c in chips}
    assert update == Update(9, 12, len(set().union(*expected.values())))
    looks = query.ask(output, "SELECT chip_uri, place_id FROM looks").to_pylist()
    assert {(row["chip_uri"], row["place_id"]) for row in looks} == {
        *((uri, cell) for uri, cells in expected.items() for cell in cells),
        ("nowhere", "nowhere"),
    }
    assert len(looks) == sum(map(len, expected.values())) + 1
    for place in places(output):
        cell = place["place_id"]
        assert place["h3_resolution"] == 9
        assert (place["latitude"], place["longitude"]) == pytest.approx(h3.cell_to_latlng(cell))
        outline = shapely.from_wkb(place["geometry"])
        assert outline.exterior.is_ccw
        assert np.allclose(
            sorted(outline.exterior.coords[:-1]),
            sorted((lon, lat) for lat, lon in h3.cell_to_boundary(cell)),
        )
        assert tuple(place["bbox"].values()) == pytest.approx(outline.bounds)


def test_places_are_geoparquet(output: str) -> None:
    publish(output, "run-1", [chip(str(n), n) for n in range(9)], published_at=at(1))
    update_places(output)
    table = delta_tables.open_table(output, PLACES.name)
    assert table is not None
    for uri in table.file_uris():
        checks = geoparquet_validator.check(uri)
        assert geoparquet_validator.failed(checks) == []


def test_an_update_adds_what_is_new_and_a_second_one_nothing(output: str) -> None:
    publish(output, "run-1", [chip("a"), chip("b", 1)], published_at=at(1))
    first = update_places(output)
    before = versions(output)
    assert update_places(output) == Update(9)
    assert versions(output) == before
    publish(output, "run-2", [chip("a"), chip("c", 2), chip("d", 2)], published_at=at(2))
    second = update_places(output)
    assert (first.footprints, second.footprints) == (2, 1)
    assert second.places == len(cells_of_box(chip("c", 2), 9))
    publish(output, "run-3", [chip("again", 1)], published_at=at(3))
    assert update_places(output) == Update(9)
    found = pairs(output)
    assert len(found) == len(set(found)) == sum(len(cells_of_box(chip("", n), 9)) for n in range(3))
    assert len(places(output)) == len({place for _, place in found})


def test_nights_in_any_cut_and_order_leave_the_same_rows(tmp_path: Path) -> None:
    chips = [chip(str(n), n % 7, n // 7) for n in range(35)]
    chips += [chip(f"x{n}", n, 0, side=SIDE * 1.5) for n in range(5)]
    found = []
    for seed, nights in ((0, 1), (1, 3), (2, 8)):
        output = str(tmp_path / str(seed))
        order = np.random.default_rng(seed).permutation(len(chips))
        for night, part in enumerate(np.array_split(order, nights)):
            rows = [chips[n] for n in part]
            publish(output, f"run-{night}", rows, published_at=at(1 + night))
            update_places(output, 9)
        found.append((pairs(output), places(output)))
    assert found[0] == found[1] == found[2]


def test_the_resolution_is_that_of_the_first_published_run(output: str) -> None:
    publish(output, "a-later", [chip("a", side=SIDE / 7)], published_at=at(3))
    publish(output, "no-place", [scored("x")], published_at=at(1))
    first = [chip("b", side=SIDE), chip("c", 1, side=SIDE), chip("d", side=30 * SIDE)]
    publish(output, "z-first", first, published_at=at(2))
    assert update_places(output).resolution == 9
    publish(output, "next", [chip("e", side=40 * SIDE)], published_at=at(4))
    assert update_places(output).resolution == 9


def test_another_resolution_makes_both_tables_again(output: str) -> None:
    rows = [chip("a"), chip("b", 1)]
    publish(output, "run-1", rows, published_at=at(1))
    update_places(output)
    assert update_places(output, 9) == Update(9)
    again = update_places(output, 7)
    expected = set().union(*(cells_of_box(row, 7) for row in rows))
    assert again == Update(7, 2, len(expected), remade=True)
    assert {row["place_id"] for row in places(output)} == expected
    assert {place for _, place in pairs(output)} == expected
    publish(output, "run-2", [chip("c", 9)], published_at=at(2))
    assert update_places(output).resolution == 7
    assert {row["h3_resolution"] for row in places(output)} == {7}


def test_a_resolution_that_is_too_fine_is_refused_with_the_finest_that_is_not(output: str) -> None:
    publish(output, "run-1", [chip("a")], published_at=at(1))
    with pytest.raises(UsageError, match=r"--h3_resolution 15: .* 65\d,\d{3} cells.* most 12$"):
        update_places(output, 15)
    assert update_places(output, 12).resolution == 12


def test_chips_without_positions_need_no_places(output: str) -> None:
    publish(output, "run-1", [scored("a"), scored("b")], published_at=at(1))
    assert update_places(output) == Update()
    looks = query.ask(output, "SELECT place_id FROM looks ORDER BY 1").to_pylist()
    assert [row["place_id"] for row in looks] == ["a", "b"]
    publish(output, "run-2", [chip("c")], published_at=at(2))
    assert update_places(output).footprints == 1


def test_a_footprint_with_too_many_cells_is_a_place_of_its_own(output: str) -> None:
    publish(output, "run-1", [chip("a"), chip("b", 1), chip("c", 2)], published_at=at(1))
    update_places(output)
    publish(output, "run-2", [chip("scene", side=2.0)], published_at=at(2))
    update = update_places(output)
    assert (update.footprints, update.refused, update.places) == (1, 1, 0)
    assert update_places(output) == Update(9)
    sql = "SELECT place_id FROM looks WHERE chip_uri = 'scene'"
    assert query.ask(output, sql).to_pylist() == [{"place_id": "scene"}]


def test_chips_without_a_footprint_yet_are_counted_and_found_later(output: str) -> None:
    publish(output, "run-1", [chip("a")], published_at=at(1))
    _publish_without_geometry(output, "old", [chip("b", 1), chip("c", 2)])
    assert update_places(output) == Update(9, 1, len(cells_of_box(chip(""), 9)), unknown=2)
    assert query.ask(output, "SELECT DISTINCT chip_uri FROM looks").to_pylist() == [
        {"chip_uri": "a"}
    ]
    publish(output, "old", [chip("b", 1), chip("c", 2)])  # with geometry
    assert update_places(output).footprints == 2


def _publish_without_geometry(output: str, run_id: str, rows: list[dict[str, Any]]) -> None:
    """A run of an earlier release."""
    schema = file_schema(SCORES)
    names = [name for name in schema.names if name not in ("geometry", "bbox")]
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema).select(names), data)
    partition = {"run_date": NIGHT, "run_id": run_id}
    path = f"run_date={NIGHT}/run_id={run_id}/0.parquet"
    store.write_bytes(store.join_uri(output, SCORES.name, path), data.getvalue())
    table = ensure_table(output, SCORES)
    file = DataFile(path, len(data.getvalue()), len(rows))
    commit_files(table, [file], partition, next_transactions(table, run_id), False, partition)


def test_a_withdrawn_run_leaves_no_looks_and_counts_again_when_it_is_published_again(
    output: str,
) -> None:
    publish(output, "run-1", [chip("a")], published_at=at(1))
    publish(output, "run-2", [chip("b", 1)], published_at=at(2))
    update_places(output)
    withdraw_run(output, "run-2")
    assert update_places(output) == Update(9)
    assert query.ask(output, "FROM looks WHERE chip_uri = 'b'").num_rows == 0
    publish(output, "run-2", [chip("b", 2)], published_at=at(3))
    assert update_places(output).footprints == 1
    assert query.ask(output, "FROM looks WHERE chip_uri = 'b'").num_rows > 0


def test_maintain_leaves_places_and_looks_as_they_are(output: str) -> None:
    for night in range(3):
        publish(output, f"run-{night}", [chip(f"{night}", night)], published_at=at(1 + night))
        update_places(output)
    update_places(output, 8)
    before = pairs(output), places(output), query.ask(output, "FROM looks ORDER BY ALL")
    assert maintain.main(["--output", output, "--vacuum_hours", "0"]) == 0
    assert (pairs(output), places(output), query.ask(output, "FROM looks ORDER BY ALL")) == before
    assert update_places(output) == Update(8)
    for table in (PLACES, CHIP_PLACES):
        assert len(list(Path(output, table.name).glob("*.parquet"))) == 1


def test_without_tables_there_is_nothing_to_update(output: str) -> None:
    with pytest.raises(UsageError, match="no table chip_scores: publish a run there first"):
        update_places(output)


@pytest.mark.parametrize("resolution", [None, 8], ids=["added", "made_again"])
@pytest.mark.parametrize("killed_before", [PLACES.name, CHIP_PLACES.name])
def test_a_killed_update_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_before: str, resolution: int | None
) -> None:
    output, whole = str(tmp_path / "killed"), str(tmp_path / "whole")
    for each in (output, whole):
        publish(each, "run-1", [chip("a"), chip("b", 1)], published_at=at(1))
        update_places(each)
        publish(each, "run-2", [chip("c", 2), chip("d", 3)], published_at=at(2))
    update_places(whole, resolution)
    commit = updating._commit

    def die(table: Any, *more: Any) -> None:
        if table.table_uri.rstrip("/").endswith(f"/{killed_before}"):
            raise KeyboardInterrupt
        commit(table, *more)

    with monkeypatch.context() as patch:
        patch.setattr(updating, "_commit", die)
        with pytest.raises(KeyboardInterrupt):
            update_places(output, resolution)
    if resolution and killed_before == CHIP_PLACES.name:  # the old cells are still in force
        assert update_places(output).resolution == 9
        assert {row["h3_resolution"] for row in places(output)} == {9}
    update_places(output, resolution)
    assert pairs(output) == pairs(whole)
    assert places(output) == places(whole)


def test_two_updates_at_once_add_each_row_once(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(output, "run-1", [chip(str(n), n) for n in range(20)], published_at=at(1))
    barrier = threading.Barrier(2, timeout=60)
    commit, conflicts = updating._commit, []

    def together(table: Any, *more: Any) -> None:
        if table.table_uri.endswith(f"/{PLACES.name}/") and not conflicts:
            barrier.wait()  # both have seen the same snapshot
        try:
            commit(table, *more)
        except PublishConflict:
            conflicts.append(table)
            raise

    monkeypatch.setattr(updating, "_commit", together)
    threads = [threading.Thread(target=update_places, args=[output]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(conflicts) == 1
    found = pairs(output)
    assert (
        len(found) == len(set(found)) == sum(len(cells_of_box(chip("", n), 9)) for n in range(20))
    )
    assert [row["place_id"] for row in places(output)] == sorted({place for _, place in found})


def test_places_in_object_stores_are_updated_too(object_store_uri: str) -> None:
    publish(object_store_uri, "run-1", [chip("a"), chip("b", 1)], published_at=at(1))
    assert update_places(object_store_uri).footprints == 2
    assert update_places(object_store_uri) == Update(9)
    assert query.ask(object_store_uri, "FROM looks").num_rows == len(pairs(object_store_uri))
