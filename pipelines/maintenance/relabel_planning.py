"""Which stored scores get new labels: the newest of each picture (chip_uri, etag) by one model.

They are stored as positions of rows in published files, which never change, so a relabelling that
died resumes with the same rows.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipelines import databases
from pipelines.errors import UsageError
from pipelines.tables import delta_tables, live_files
from pipelines.tables.live_files import PublishedFile
from schemas.render import arrow_schema
from schemas.tables import PUBLISHED, RUNS

UNIT_ROWS = 100_000
"""Rows of a relabelled file; more if a single source file has more."""

MANIFEST = pa.schema(
    [
        ("unit", pa.int64()),
        ("run_date", pa.string()),
        ("run_id", pa.string()),
        ("path", pa.string()),
        ("rows", pa.list_(pa.int64())),
    ]
)
"""Rows to relabel: a published file of `chip_scores` and positions in it, ascending. The files of
a unit are of one night."""

_KEYS = ("chip_uri", "etag", "model_digest", "scored_at")
_FILENAME = "__filename"  # pyarrow's own name for it
_RUN_COLUMNS = ("run_id", "kind", "published_at", "commit_version")
_MEMORY = "2GB"  # of DuckDB, which uses the disk beyond that

_NEWEST = """
CREATE TEMP TABLE newest AS
WITH publications AS (
  SELECT
    keys.*,
    files.run_date,
    files.run_id,
    runs.published_at,
    runs.commit_version,
    min(
      CASE
        WHEN runs.run_id IS NULL THEN 9223372036854775807
        WHEN runs.kind <> 'relabel' THEN coalesce(runs.commit_version, -1)
      END
    ) OVER (PARTITION BY keys.chip_uri, keys.scored_at) AS first_version,
    min(CASE WHEN runs.kind <> 'relabel' THEN runs.published_at END)
      OVER (PARTITION BY keys.chip_uri, keys.scored_at) AS score_published_at
  FROM keys
  JOIN files USING (file)
  LEFT JOIN runs USING (run_id)
)
SELECT file, row, run_date, model_digest, scored_at
FROM publications
QUALIFY row_number() OVER (
  PARTITION BY chip_uri, etag
  ORDER BY
    coalesce(first_version, -1) DESC,
    coalesce(score_published_at, scored_at) DESC,
    scored_at DESC,
    commit_version DESC NULLS LAST,
    published_at DESC NULLS LAST,
    run_id DESC
) = 1
"""  # the same ranking as the view `observations`, which a test checks


@dataclass(frozen=True)
class RowsToRelabel:
    """The rows to relabel.

    Attributes:
        model_digest: the model that made their scores.
        manifest: see `MANIFEST`.
        others: number of rows that are the newest of their pictures, but by other models.
    """

    model_digest: str
    manifest: pa.Table
    others: int

    @property
    def unit_rows(self) -> tuple[int, ...]:
        """Rows of each unit."""
        rows = pc.list_value_length(self.manifest["rows"]).to_numpy()
        sizes = np.bincount(self.manifest["unit"].to_numpy(), rows).astype(np.int64)
        return tuple(sizes.tolist())

    @property
    def run_ids(self) -> list[str]:
        """The runs that the rows are copied from."""
        return sorted(set(self.manifest["run_id"].to_pylist()))


def find_rows_to_relabel(output: str, scores: DeltaTable, night: str, model: str) -> RowsToRelabel:
    """The newest scores of each picture by one model.

    Args:
        scores: the snapshot of `chip_scores` to search.
        night: only rows of this run date; "" for all.
        model: start of the model's digest; "" for the model that scored last.

    Raises:
        UsageError: there are no such rows, or the digest fits no model or several.
        StorageError: a table cannot be read.
    """
    files = live_files.data_files(scores)
    with tempfile.TemporaryDirectory(prefix="relabel-") as scratch:
        connection = databases.connect(temp_directory=scratch, memory_limit=_MEMORY)
        try:
            _find_newest(connection, output, scores, files)
            if night:
                connection.execute("DELETE FROM newest WHERE run_date <> ?", [night])
            digest, others = _choose_model(connection, night, model)
            return RowsToRelabel(
                digest, _manifest(_rows_by_file(connection, digest), files), others
            )
        finally:
            connection.close()


def _find_newest(
    connection: duckdb.DuckDBPyConnection,
    output: str,
    scores: DeltaTable,
    files: list[PublishedFile],
) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    numbered = pa.table(
        {
            "file": pa.array(range(len(files)), pa.int32()),
            "run_date": pa.array([file.run_date for file in files], pa.string()),
            "run_id": pa.array([file.run_id for file in files], pa.string()),
        }
    )
    connection.register("files", numbered)
    connection.register("runs", _published_runs(output))
    numbers = {file.path: number for number, file in enumerate(files)}
    connection.register("keys", _keys(delta_tables.open_dataset(scores), numbers))
    connection.execute(_NEWEST)


def _published_runs(output: str) -> pa.Table:
    runs = delta_tables.open_table(output, "runs")
    if runs is None:
        return arrow_schema(RUNS).empty_table().select(_RUN_COLUMNS)
    rows = delta_tables.open_dataset(runs)
    return rows.to_table(columns=list(_RUN_COLUMNS), filter=ds.field("status") == PUBLISHED)


def _keys(rows: ds.Dataset, numbers: dict[str, int]) -> pa.RecordBatchReader:
    """The columns that decide which rows are the newest, with the file and position of each."""
    fields = [rows.schema.field(name) for name in _KEYS]
    schema = pa.schema([*fields, ("file", pa.int32()), ("row", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        seen: defaultdict[str, int] = defaultdict(int)
        for batch in rows.to_batches(columns=[*_KEYS, _FILENAME]):
            if not batch.num_rows:
                continue
            path = batch[_FILENAME][0].as_py()
            positions = np.arange(seen[path], seen[path] + batch.num_rows)
            seen[path] += batch.num_rows
            file = pa.repeat(pa.scalar(numbers[path], pa.int32()), batch.num_rows)
            columns = [*(batch[name] for name in _KEYS), file, pa.array(positions)]
            yield pa.record_batch(columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _choose_model(connection: duckdb.DuckDBPyConnection, night: str, model: str) -> tuple[str, int]:
    """The digest of the model whose rows to relabel, and the number of rows by other models."""
    models: list[tuple[Any, ...]] = connection.sql(
        "SELECT model_digest, count(*) FROM newest GROUP BY 1 ORDER BY max(scored_at) DESC, 1"
    ).fetchall()
    where = f" of {night}" if night else ""
    if not models:
        raise UsageError(f"there are no current scores{where} to relabel")
    fitting = [digest for digest, _ in models if digest.startswith(model)]
    if not fitting or (model and len(fitting) > 1):
        raise UsageError(
            f"{len(fitting) or 'no'} models {model!r} have current scores{where}, there are: "
            f"{', '.join(digest for digest, _ in models)}; choose one by --model_digest"
        )
    return fitting[0], sum(rows for digest, rows in models if digest != fitting[0])


def _rows_by_file(connection: duckdb.DuckDBPyConnection, digest: str) -> pa.Table:
    return connection.sql(
        "SELECT file, list(row ORDER BY row) AS rows FROM newest WHERE model_digest = ? "
        "GROUP BY file ORDER BY file",
        params=[digest],
    ).to_arrow_table()


def _manifest(found: pa.Table, files: list[PublishedFile]) -> pa.Table:
    """The chosen rows in the MANIFEST schema, ordered by night, run and path."""
    chosen = [files[number] for number in found["file"].to_pylist()]
    units = _units(
        (file.run_date, len(rows)) for file, rows in zip(chosen, found["rows"], strict=True)
    )
    columns = {
        "unit": list(units),
        "run_date": [file.run_date for file in chosen],
        "run_id": [file.run_id for file in chosen],
        "path": [file.path for file in chosen],
        "rows": found["rows"],
    }
    return pa.table(columns).cast(MANIFEST)


def _units(files: Iterable[tuple[str, int]]) -> Iterator[int]:
    """The unit of each file, from its night and number of rows.

    >>> list(_units([("1", 60_000), ("1", 40_000), ("1", 1), ("2", 1)]))
    [0, 0, 1, 2]
    """
    unit, night, held = -1, "", 0
    for file_night, rows in files:
        if file_night != night or held + rows > UNIT_ROWS:
            unit, night, held = unit + 1, file_night, 0
        held += rows
        yield unit
