"""How long it takes to plan ten million chips of which most are done, and how much memory.

    python -m benchmarks.planning --listed 10000000 --scored 9800000

First a published table of that many chips is made, night by night. Then two things are measured,
each in its own process: the scoring command from a listing to a stored plan, and for comparison the
bare join of two Parquet files in DuckDB.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness.own_process import run_module
from pipelines import databases
from pipelines.planning.done import chips_done
from pipelines.planning.manifests import read_manifest
from pipelines.planning.selection import select_chips
from pipelines.runs import run_plan
from pipelines.storage import store
from pipelines.tables.commits import DataFile, commit_files, next_transactions
from pipelines.tables.evolution import ensure_table
from schemas.labels import PLANET_LABELS, score_column
from schemas.render import file_schema
from schemas.tables import QUARANTINE, chip_scores

MODEL = "0" * 64
SCORES = chip_scores(PLANET_LABELS)
_LISTING = "listing.parquet"
_PAIRS = "pairs.parquet"
_PART_ROWS = 1_000_000
_FIRST_NIGHT = date(2026, 1, 1)
_T = TypeVar("_T")


def main() -> None:
    """Make what is missing, measure, print."""
    given = _parser().parse_args()
    if given.measure:
        found = bare_join(Path(given.folder)) if given.measure == "join" else plan(given.folder)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory(prefix="planning-", dir=given.folder) as folder:
        make_archive(Path(folder), given.listed, given.scored, given.nights)
        steps = ("join", "plan")
        report(*(run_module(__spec__.name, "--measure", s, "--folder", folder) for s in steps))


def report(join: dict[str, float], planned: dict[str, float]) -> None:
    """Print seconds and memory, step by step."""
    print(f"bare join in DuckDB     {join['join']:6.1f} s, {join['peak_gb']:.2f} GB")
    for step in ("read_listing", "select", "store"):
        print(f"{step:<23} {planned[step]:6.1f} s, {planned[f'{step}.peak_gb']:.2f} GB so far")
    seconds = planned["select"] + planned["store"]
    print(f"join and manifest       {seconds:6.1f} s, {planned['peak_gb']:.2f} GB at the most")
    print(f"over the bare join      {seconds / join['join']:6.1f}")
    print(f"listed {planned['listed']:,}, to score {planned['to_score']:,}")


def plan(folder: str) -> dict[str, float]:
    """The scoring command from a listing to a stored plan."""
    figures: dict[str, float] = {}
    chips = _timed(figures, "read_listing", lambda: read_manifest(f"{folder}/{_LISTING}"))
    done = chips_done(folder, MODEL)
    chosen = _timed(figures, "select", lambda: select_chips(chips, done))
    uri = store.join_uri(folder, "manifest.parquet")

    def put() -> None:
        with store.create_file(uri) as file:
            run_plan.write_manifest(file, chosen.chips, run_plan.unit_rows(chosen.to_score))

    _timed(figures, "store", put)
    rows = pq.ParquetFile(uri).metadata.num_rows
    if rows != chosen.to_score:
        raise RuntimeError(f"{rows} rows written, {chosen.to_score} planned")
    return figures | {
        "listed": chosen.listed,
        "to_score": chosen.to_score,
        "peak_gb": peak_gb(),
    }


def bare_join(folder: Path) -> dict[str, float]:
    """The anti-join of two Parquet files, counted."""
    connection = databases.connect()
    started = time.perf_counter()
    connection.sql(
        f"SELECT count(*) FROM '{folder / _LISTING}' ANTI JOIN '{folder / _PAIRS}' "
        "USING (chip_uri, etag)"
    ).fetchall()
    return {"join": time.perf_counter() - started, "peak_gb": peak_gb()}


def peak_gb() -> float:
    """The peak memory of this process, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def make_archive(folder: Path, listed: int, scored: int, nights: int) -> None:
    """A listing, the pairs that are scored, and a published table of these, night by night."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_parts(folder / _LISTING, listed, ["chip_uri", "etag", "size_bytes", "modified_at"])
    _write_parts(folder / _PAIRS, scored, ["chip_uri", "etag"])
    ensure_table(str(folder), QUARANTINE)
    edges = np.linspace(0, scored, nights + 1).astype(int)
    for night in range(nights):
        publish_night(str(folder), night, int(edges[night]), int(edges[night + 1]))


def publish_night(output: str, night: int, start: int, stop: int) -> None:
    """One night's run: a file for each unit."""
    run_date, run_id = str(_FIRST_NIGHT + timedelta(days=night)), f"night-{night:04d}"
    partition = {"run_date": run_date, "run_id": run_id}
    folder = f"run_date={run_date}/run_id={run_id}"
    files = []
    for first in range(start, stop, run_plan.UNIT_CHIPS):
        rows = scored_rows(first, min(first + run_plan.UNIT_CHIPS, stop))
        path = f"{folder}/unit-{first:09d}.parquet"
        target = Path(output, SCORES.name, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, target, compression="zstd")
        files.append(DataFile(path, target.stat().st_size, rows.num_rows))
    table = ensure_table(output, SCORES)
    commit_files(table, files, partition, next_transactions(table, run_id), False, partition)


def listing_rows(start: int, stop: int) -> pa.Table:
    """Chips as in the listing of a bucket."""
    numbers = np.arange(start, stop)
    text = pa.array(numbers).cast(pa.string())
    padded = pc.utf8_lpad(text, 9, "0")
    scene = pc.utf8_slice_codeunits(padded, 0, 5)
    uris = pc.binary_join_element_wise(
        "gs://forest-archive/chips/2026/scene-", scene, "/train_", padded, ".jpg", ""
    )
    etags = pc.binary_join_element_wise("5f3a9c0d1e2b4f6a8c7d9e0f", pc.utf8_lpad(text, 8, "0"), "")
    times = pa.array(numbers * 1_000_000 + 1_700_000_000_000_000, pa.timestamp("us", "UTC"))
    sizes = pa.array(numbers % 9973 + 9000)
    return pa.table(
        {"chip_uri": uris, "chip_id": padded, "etag": etags, "size_bytes": sizes}
    ).append_column("modified_at", times)


def scored_rows(start: int, stop: int) -> pa.Table:
    """The same chips as rows of chip_scores, in random scores."""
    chips = listing_rows(start, stop)
    count = stop - start
    scores = np.random.default_rng(start).random((len(PLANET_LABELS.names), count), np.float32)
    known = {name: chips[name] for name in ("chip_uri", "chip_id", "etag", "size_bytes")}
    known |= {
        score_column(n): pa.array(s) for n, s in zip(PLANET_LABELS.names, scores, strict=True)
    }
    same = {"media_type": "jpg", "sky_label": "clear", "model_digest": MODEL}
    same |= {"thresholds_digest": "1" * 64}
    known |= {name: pa.array(np.full(count, value)) for name, value in same.items()}
    known["labels"] = pa.array([["primary", "clear"]] * count)
    known["scored_at"] = pa.array([datetime(2026, 7, 1, tzinfo=UTC)] * count)
    schema = file_schema(SCORES)
    columns = [known[f.name] if f.name in known else pa.nulls(count, f.type) for f in schema]
    cast = [column.cast(f.type) for column, f in zip(columns, schema, strict=True)]
    return pa.table(cast, schema=schema)


def _write_parts(path: Path, rows: int, columns: list[str]) -> None:
    schema = listing_rows(0, 1).select(columns).schema
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in _parts(rows):
            writer.write_table(part.select(columns))


def _parts(rows: int) -> Iterator[pa.Table]:
    for start in range(0, rows, _PART_ROWS):
        yield listing_rows(start, min(start + _PART_ROWS, rows))


def _timed(figures: dict[str, float], step: str, work: Callable[[], _T]) -> _T:
    started = time.perf_counter()
    found = work()
    figures[step] = time.perf_counter() - started
    figures[f"{step}.peak_gb"] = peak_gb()
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning")
    parser.add_argument("--listed", type=int, default=10_000_000)
    parser.add_argument("--scored", type=int, default=9_800_000)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--folder", help="scratch folder with some 2 GB")
    parser.add_argument("--measure", choices=("join", "plan"), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
