"""How long an update of alerts takes: ten million places with history, 300,000 new looks.

    python -m benchmarks.alerts --chips 1850000 --nights 4 --new 56000

Chips of 768 m cover a square, each with 5.4 H3 cells of resolution 9 on average. They are scored in
some nights, then `update_places` and a first `update_alerts` run. Then some chips, chosen at random
all over the square, are scored again, and a second `update_alerts` is measured in its own process.
"""

import argparse
import json
import resource
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.harness.own_process import run_module
from pipelines.alerts.updating import Outcome, Request, update_alerts
from pipelines.places.updating import update_places
from pipelines.tables.commits import DataFile, commit_files, next_transactions
from pipelines.tables.evolution import ensure_table
from pipelines.tables.parquet_files import parquet_bytes, write_rows
from schemas.labels import PLANET_LABELS, score_column
from schemas.render import file_schema
from schemas.tables import QUARANTINE, RUNS, chip_scores

SCORES = chip_scores(PLANET_LABELS)
THREATS = ("road", "selective_logging", "slash_burn", "artisinal_mine", "conventional_mine")
_DEGREES = 768 / 111_320
_FILE_CHIPS = 250_000
_FIRST_NIGHT = date(2026, 1, 1)
_DAYS = 10  # between nights
_AFFECTED, _SEEN, _FALSE = 0.01, 0.8, 0.001  # shares of places, and of looks there and elsewhere


def main() -> None:
    """Make tables, measure, print."""
    given = _parser().parse_args()
    if given.measure:
        print(json.dumps(measure(given.folder)))
        return
    with tempfile.TemporaryDirectory(prefix="alerts-", dir=given.folder) as folder:
        make_tables(folder, given.chips, given.nights)
        started = time.perf_counter()
        update_places(folder)
        print(f"update_places at first    {time.perf_counter() - started:6.1f} s")
        report("first update_alerts", run_module(__spec__.name, "--measure", "--folder", folder))
        chosen = np.random.default_rng(7).choice(given.chips, given.new, replace=False)
        publish_night(folder, given.nights, np.sort(chosen), given.chips)
        report("update_alerts", run_module(__spec__.name, "--measure", "--folder", folder))


def measure(output: str) -> dict[str, float]:
    """One update: seconds, CPU seconds, peak memory, and what it found."""
    started, cpu = time.perf_counter(), time.process_time()
    outcome: Outcome = update_alerts(output, Request())
    places = outcome.found.places if outcome.found else 0
    row = outcome.row
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "places": places,
        "looks": row["looks"],
        "alerts": sum(row[status] for status in ("low", "high", "dropped", "ended")),
        "changes": row["changes"],
        "sites": row["sites"],
    }


def report(step: str, found: dict[str, float]) -> None:
    """Print the figures of a step."""
    print(
        f"{step:<25} {found['seconds']:6.1f} s, {found['cpu_seconds']:.1f} s of CPU, "
        f"{found['peak_gb']:.2f} GB; {found['places']:,} places, {found['looks']:,} looks, "
        f"{found['alerts']:,} alerts, {found['changes']:,} changes, {found['sites']:,} sites",
        flush=True,
    )


def make_tables(output: str, chips: int, nights: int) -> None:
    """A table of all chips, scored in each night."""
    ensure_table(output, QUARANTINE)
    for night in range(nights):
        publish_night(output, night, np.arange(chips), chips)


def publish_night(output: str, night: int, chosen: np.ndarray, chips: int) -> None:
    """One night's run over some chips."""
    day = _FIRST_NIGHT + timedelta(days=_DAYS * night)
    run_id, folder = f"night-{night:04d}", f"run_date={day}/run_id=night-{night:04d}"
    partition = {"run_date": str(day), "run_id": run_id}
    files = []
    for start in range(0, len(chosen), _FILE_CHIPS):
        data = parquet_bytes(scored_rows(night, chosen[start : start + _FILE_CHIPS], chips))
        path = f"{folder}/unit-{start:09d}.parquet"
        target = Path(output, SCORES.name, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        files.append(DataFile(path, len(data), min(_FILE_CHIPS, len(chosen) - start)))
    table = ensure_table(output, SCORES)
    commit_files(table, files, partition, next_transactions(table, run_id), False, partition)
    runs = ensure_table(output, RUNS)
    record = write_rows(output, RUNS, f"{folder}/run.parquet", [_record(_time_of(night, 3))])
    commit_files(runs, [record], partition, next_transactions(runs, run_id), False, partition)


def scored_rows(night: int, chosen: np.ndarray, chips: int) -> pa.Table:
    """Rows of chip_scores. Some chips show a threat from the second night on."""
    count, side = len(chosen), int(np.ceil(np.sqrt(chips)))
    draw = np.random.default_rng(night)
    scores = {name: draw.random(count, np.float32) * 0.4 for name in PLANET_LABELS.names}
    shown = {}
    for number, name in enumerate(THREATS):
        affected = (chosen * 2654435761 + number * 97) % 1000 < 1000 * _AFFECTED
        share = np.where(affected & (night > 0), _SEEN, _FALSE)
        shown[name] = draw.random(count) < share
        scores[name] += np.float32(0.5) * shown[name]
    west, south = -70 + chosen % side * _DEGREES, -10 + chosen // side * _DEGREES
    number = pc.utf8_lpad(pa.array(chosen).cast(pa.string()), 9, "0")
    uri = pc.binary_join_element_wise(
        f"gs://forest-archive/scenes/{night:04d}/", pc.utf8_slice_codeunits(number, 0, 5),
        "/chip_", number, ".tif", "",
    )  # fmt: skip
    sky = np.array(PLANET_LABELS.sky)[draw.choice(4, count, p=[0.5, 0.2, 0.2, 0.1])]
    known: dict[str, object] = {
        "chip_uri": uri,
        "chip_id": number,
        "etag": pc.binary_join_element_wise("5f3a9c0d1e2b4f6a8c7d", number, ""),
        "observed_at": pa.array([_time_of(night, 0)] * count),
        "observed_at_source": pa.array(["given"] * count),
        "lon_min": west,
        "lat_min": south,
        "lon_max": west + _DEGREES,
        "lat_max": south + _DEGREES,
        "media_type": pa.array(["tif"] * count),
        "sky_label": pa.array(sky),
        "labels": _labels(shown, sky),
        "model_digest": pa.array(["0" * 64] * count),
        "thresholds_digest": pa.array(["1" * 64] * count),
        "scored_at": pa.array([_time_of(night, 2)] * count),
        **{score_column(name): values for name, values in scores.items()},
    }
    schema = file_schema(SCORES)
    columns = [
        pa.array(known[f.name]) if f.name in known else pa.nulls(count, f.type) for f in schema
    ]
    return pa.table([c.cast(f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _labels(shown: dict[str, np.ndarray], sky: np.ndarray) -> pa.Array:
    names = np.column_stack([sky, *(np.full(len(sky), name) for name in shown)])
    chosen = np.column_stack([np.ones(len(sky), bool), *shown.values()])
    ends = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(names[chosen].tolist()))


def _record(published_at: datetime) -> dict[str, object]:
    """A row of runs."""
    counts = dict.fromkeys(("listed", "skipped", "left_over", "scored", "quarantined"), 0)
    return {
        **counts,
        "kind": "score",
        "status": "published",
        "versions": "{}",
        "options": "{}",
        "model_digest": "0" * 64,
        "thresholds_digest": "1" * 64,
        **dict.fromkeys(("started_at", "planned_at", "published_at"), published_at),
        "plan_seconds": 1.0,
        "score_seconds": 1.0,
    }


def _time_of(night: int, hour: int) -> datetime:
    day = _FIRST_NIGHT + timedelta(days=_DAYS * night)
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alerts")
    parser.add_argument("--chips", type=int, default=1_850_000)
    parser.add_argument("--nights", type=int, default=4)
    parser.add_argument("--new", type=int, default=56_000)
    parser.add_argument("--folder", help="scratch folder with some 5 GB")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
