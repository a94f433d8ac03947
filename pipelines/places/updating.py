"""The tables of places, brought up to date with the published chips.

`chip_places` is made from the footprints in `chip_scores`, and `places` from the cells in
`chip_places`. Both only grow, so an update computes the cells of new footprints; with another
resolution both are made again. What is done already is in Delta's application transactions:

- `run:<run_id>`, in `chip_places`: the attempt at a run whose footprints are there.
- `h3_resolution`, in both tables: the resolution of their cells.

A killed update leaves files without a commit, or new places without their footprints; the next
one completes them. Of two at once, one finds the rows of the other.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from pipelines import databases
from pipelines.errors import StorageError, UsageError
from pipelines.places.cells import (
    MOST_CELLS,
    Cells,
    Floats,
    areas_m2,
    cell_area_m2,
    cell_names,
    cells_named,
    cells_of,
    choose_resolution,
)
from pipelines.places.place_files import write_places, write_rows
from pipelines.tables import (
    commits,
    delta_tables,
    evolution,
    live_files,
    publications,
    views,
)
from pipelines.tables.commits import DataFile
from pipelines.tables.delta_tables import one_line
from pipelines.tables.transactions import transaction_version
from schemas.place_tables import CHIP_PLACES, PLACES
from schemas.render import arrow_schema, file_schema
from schemas.table import Table
from schemas.tables import CHIP_SCORES

RESOLUTION = "h3_resolution"
"""The application transaction whose version is the resolution of a table's cells."""

_BATCH_ROWS = 131_072
_MEMORY = "1500MB"
_PAIRS = file_schema(CHIP_PLACES)


@dataclass(frozen=True)
class Update:
    """What an update did.

    Attributes:
        resolution: of the cells; None if no footprint is known.
        footprints: new ones.
        places: new ones.
        refused: new footprints with too many cells, which are places of their own.
        unknown: chips with a bounding box, and without a geometry yet: `maintain` makes it.
        remade: whether the tables were made again, with another resolution.
    """

    resolution: int | None = None
    footprints: int = 0
    places: int = 0
    refused: int = 0
    unknown: int = 0
    remade: bool = False


@dataclass
class _Footprints:
    """New footprints: their files, their distinct cells, and how many."""

    files: list[DataFile]
    cells: Cells
    footprints: int = 0
    refused: int = 0


def update_places(output: str, resolution: int | None = None) -> Update:
    """Add the footprints of all published chips, and their places.

    Args:
        resolution: of the H3 cells, 0 to 15. By default, that of the tables; of new tables, the
            coarsest whose average cell is at most a quarter of the median footprint of the first
            published run.

    Raises:
        UsageError: there is no `chip_scores`.
        RunFailed: every attempt to commit conflicted with another writer.
        StorageError: a table cannot be read or written.
    """
    if delta_tables.open_table(output, CHIP_SCORES.name) is None:
        raise UsageError(f"{output!r} has no table {CHIP_SCORES.name}: publish a run there first")
    return commits.commit_in_turn(lambda: _update(output, resolution), "update the places")


def _update(output: str, asked: int | None) -> Update:
    scores = delta_tables.open_table(output, CHIP_SCORES.name)
    places, pairs = (evolution.ensure_table(output, table) for table in (PLACES, CHIP_PLACES))
    kept = transaction_version(pairs, RESOLUTION)
    if scores is None:
        return Update()
    resolution = _resolution(output, scores, kept, asked)
    remade = kept is not None and kept != resolution
    runs = _runs_to_read(scores, None if remade else pairs)
    with _connection() as connection:
        connection.register("chips", delta_tables.open_dataset(scores, runs))
        connection.register("known", _rows(pairs, CHIP_PLACES, remade))
        unknown = _chips_without_geometry(connection)
        if resolution is None:
            return Update(unknown=sum(unknown.values()))
        found = _write_footprints(connection, output, resolution)
        is_other = transaction_version(places, RESOLUTION) not in (None, resolution)
        connection.register("places", _rows(places, PLACES, is_other))
        cells = _new_cells(connection, found.cells, is_other)
    files = write_places(output, cells, resolution)
    if files or is_other:
        _commit(places, files, resolution, {}, is_other)
    damaged = {file.run_id for file in live_files.left_out(scores)}
    known = [run for run in runs if run not in unknown and run not in damaged]
    done = {run: publications.attempts_of(scores, run) for run in known}
    if found.files or done or remade:
        _commit(pairs, found.files, resolution, done, remade)
    chips = sum(unknown.values())
    return Update(resolution, found.footprints, len(cells), found.refused, chips, remade)


def _resolution(output: str, scores: DeltaTable, kept: int | None, asked: int | None) -> int | None:
    """The resolution of the cells; None if no footprint is known.

    Raises:
        UsageError: at the resolution that was asked for, footprints have too many cells.
    """
    if kept is not None and asked in (None, kept):
        return kept
    areas = _first_areas(output, scores)
    if asked is None or not len(areas):
        return choose_resolution(areas)
    median = float(np.median(areas))
    if median / cell_area_m2(asked) > MOST_CELLS:
        finest = max(n for n in range(asked) if median / cell_area_m2(n) <= MOST_CELLS)
        raise UsageError(
            f"--h3_resolution {asked}: the median footprint would have "
            f"{median / cell_area_m2(asked):,.0f} cells, and {MOST_CELLS:,} is the most; give at "
            f"most {finest}"
        )
    return asked


def _first_areas(output: str, scores: DeltaTable) -> Floats:
    """The areas of the chips of the first published run that has some with footprints."""
    rows = views.published_runs(output)
    published = (
        rows.select(["run_id", "published_at"]).sort_by("published_at")["run_id"].to_pylist()
    )
    with_rows = {partition["run_id"] for partition in scores.partitions()}
    ordered = [run for run in published if run in with_rows]
    for run in [*ordered, *sorted(with_rows.difference(ordered))]:
        chips = delta_tables.open_dataset(scores, [run])
        geometry = chips.to_table(columns=["geometry"])["geometry"]
        areas = areas_m2(geometry.combine_chunks())
        if np.isfinite(areas).any():
            return areas[np.isfinite(areas)]
    return np.empty(0)


def _runs_to_read(scores: DeltaTable, pairs: DeltaTable | None) -> list[str]:
    """The runs with rows whose footprints are not in `chip_places` yet."""
    runs = sorted({partition["run_id"] for partition in scores.partitions()})
    return [
        run
        for run in runs
        if publications.attempts_of(pairs, run) < publications.attempts_of(scores, run)
    ]


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(prefix="places-") as scratch:
        connection = databases.connect(temp_directory=scratch, memory_limit=_MEMORY)
        connection.execute("SET python_enable_replacements = false")
        try:
            yield connection
        except duckdb.Error as error:
            raise StorageError(f"cannot update the places: {one_line(error)}") from error
        finally:
            connection.close()


def _rows(found: DeltaTable, table: Table, as_empty: bool) -> Any:
    """The rows of a table; none of one that is made again."""
    return arrow_schema(table).empty_table() if as_empty else delta_tables.open_dataset(found)


def _chips_without_geometry(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many chips of each run have a bounding box, and no geometry."""
    sql = "FROM chips WHERE lon_min IS NOT NULL AND geometry IS NULL GROUP BY run_id"
    return dict(connection.sql(f"SELECT run_id, count(*) {sql}").fetchall())


def _write_footprints(
    connection: duckdb.DuckDBPyConnection, output: str, resolution: int
) -> _Footprints:
    """Write the rows of the footprints that are not known yet."""
    new = connection.sql(
        "SELECT DISTINCT geometry FROM chips WHERE geometry IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM known WHERE known.footprint = chips.geometry)"
    )
    found = _Footprints([], np.empty(0, np.uint64))
    cells: list[Cells] = []

    def rows() -> Iterator[pa.Table]:
        for batch in new.to_arrow_reader(_BATCH_ROWS):
            footprints = batch["geometry"].cast(pa.binary())
            covering = cells_of(footprints, resolution)
            found.footprints += len(footprints)
            found.refused += int(covering.refused.sum())
            cells.append(covering.cells)
            without = footprints.filter(pa.array(covering.refused))
            names = [cell_names(covering.cells), pa.nulls(len(without), pa.string())]
            shown = [footprints.take(pa.array(covering.rows)), without]
            yield pa.table([pa.concat_arrays(each) for each in (shown, names)], schema=_PAIRS)

    found.files = write_rows(output, CHIP_PLACES, rows())
    found.cells = np.unique(np.concatenate([found.cells, *cells]))
    return found


def _new_cells(connection: duckdb.DuckDBPyConnection, cells: Cells, with_known: bool) -> Cells:
    """Those of the cells that are not in `places`, with those of the known footprints if asked,
    ascending."""
    connection.register("new", pa.table({"place_id": cell_names(cells)}))
    known = "UNION SELECT place_id FROM known WHERE place_id IS NOT NULL" if with_known else ""
    missing = connection.sql(
        f"SELECT place_id FROM (FROM new {known}) ANTI JOIN places USING (place_id)"
    )
    names = missing.to_arrow_table()["place_id"].combine_chunks()
    return np.sort(cells_named(names))


def _commit(
    table: DeltaTable,
    files: list[DataFile],
    resolution: int,
    runs: Mapping[str, int],
    replace: bool,
) -> None:
    done = [(publications.run_transaction(run), attempt) for run, attempt in runs.items()]
    transactions = [commits.next_turn(table), (RESOLUTION, resolution), *done]
    commits.commit_files(table, files, {}, transactions, replace, {"maintained": "places"})
