"""How the time to plan, to ask and to report grows with the number of nights, at 20 chips a night.

    python -m benchmarks.many_nights --nights 50 400

Each night is one small file in `chip_scores`, `quarantine` and `runs`. Every step is measured in a
process of its own, the best of three times, and printed in milliseconds of wall time and of CPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from beam_jobs.query import ask
from benchmarks.harness.own_process import run_module
from pipelines.planning.done import chips_done
from pipelines.reports.reporting import write_report
from pipelines.tables import delta_tables
from pipelines.tables.commits import commit_files, next_transactions
from pipelines.tables.evolution import ensure_table
from pipelines.tables.parquet_files import write_rows
from schemas.labels import PLANET_LABELS, score_column
from schemas.table import Table
from schemas.tables import QUARANTINE, RUNS, chip_scores

CHIPS = 20
MODEL = "0" * 64
SCORES = chip_scores(PLANET_LABELS)
_FIRST_NIGHT = datetime(2025, 1, 1, 3, tzinfo=UTC)
_TIMES = 3
_AREA = "lon_min >= -60.0 AND lon_max <= -59.9 AND lat_min >= -3.0 AND lat_max <= -2.9"


def main() -> None:
    """Make the tables, measure each step, print."""
    given = _parser().parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.folder, given.nights[0])))
        return
    for nights in given.nights:
        with tempfile.TemporaryDirectory(prefix="nights-", dir=given.folder) as folder:
            make_nights(folder, nights)
            print(f"{nights} nights of {CHIPS} chips")
            for step in STEPS:
                arguments = ("--measure", step, "--folder", folder, "--nights", str(nights))
                found = run_module(__spec__.name, *arguments)
                print(f"  {step:<14} {found['wall']:7.0f} ms, {found['cpu']:7.0f} ms of CPU")


STEPS: Mapping[str, Callable[[str, int], object]] = {
    "open": lambda folder, _: [
        delta_tables.open_table(folder, table.name) for table in (SCORES, QUARANTINE, RUNS)
    ],
    "plan": lambda folder, _: chips_done(folder, MODEL).read_all(),
    "latest, all": lambda folder, _: ask(folder, "SELECT count(*) FROM latest_chip_scores"),
    "latest, area": lambda folder, _: ask(
        folder, f"SELECT chip_uri, labels FROM latest_chip_scores WHERE {_AREA}"
    ),
    "latest, day": lambda folder, nights: ask(
        folder,
        f"SELECT chip_uri, labels FROM latest_chip_scores WHERE run_date = '{_night(nights - 1)}'",
    ),
    "scores, day": lambda folder, nights: ask(
        folder, f"SELECT chip_uri, labels FROM chip_scores WHERE run_date = '{_night(nights - 1)}'"
    ),
    "report": lambda folder, nights: write_report(folder, _run_id(nights - 1)),
}


def measure(step: str, folder: str, nights: int) -> dict[str, float]:
    """The best wall time and CPU time of a step, in milliseconds."""
    found = []
    for _ in range(_TIMES):
        wall, cpu = time.perf_counter(), time.process_time()
        STEPS[step](folder, nights)
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return {"wall": 1000 * min(w for w, _ in found), "cpu": 1000 * min(c for _, c in found)}


def make_nights(folder: str, nights: int) -> None:
    """Published runs, one a night, each of other chips along a line in the Amazon."""
    for number in range(nights):
        at = _FIRST_NIGHT + timedelta(days=number)
        chips = range(number * CHIPS, (number + 1) * CHIPS)
        _commit(folder, QUARANTINE, number, [_rejected(chips[0], at)])
        _commit(folder, SCORES, number, [_scored(chip, at) for chip in chips])
        _commit(folder, RUNS, number, [_record(number, at)])
    assert Path(folder, RUNS.name).is_dir()


def _commit(folder: str, table: Table, number: int, rows: list[dict[str, Any]]) -> None:
    partition = {"run_date": str(_night(number)), "run_id": _run_id(number)}
    path = f"run_date={partition['run_date']}/run_id={partition['run_id']}/unit-000000-1.parquet"
    delta = ensure_table(folder, table)
    file = write_rows(folder, table, path, rows)
    transactions = next_transactions(delta, partition["run_id"])
    commit_files(delta, [file], partition, transactions, False, partition)


def _scored(chip: int, at: datetime) -> dict[str, Any]:
    west, south = -60.0 + 0.01 * (chip % 1000), -3.0 + 0.01 * (chip // 1000)
    box = {"lon_min": west, "lat_min": south, "lon_max": west + 0.007, "lat_max": south + 0.007}
    return {
        **_chip(chip),
        **box,
        "media_type": "tif",
        "labels": ["primary", "clear"],
        "sky_label": "clear",
        "thresholds_digest": "1" * 64,
        "scored_at": at,
        **{score_column(name): 0.25 for name in PLANET_LABELS.names},
    }


def _rejected(chip: int, at: datetime) -> dict[str, Any]:
    more = {"reason": "empty", "message": "the object has no bytes", "quarantined_at": at}
    return {**_chip(10_000_000 + chip), **more}


def _chip(chip: int) -> dict[str, Any]:
    uri = f"/archive/chips/chip-{chip:08d}.tif"
    etag = f"{chip:032x}"
    return {"chip_uri": uri, "chip_id": f"chip-{chip:08d}", "etag": etag, "model_digest": MODEL}


def _record(number: int, at: datetime) -> dict[str, Any]:
    counts = {"listed": CHIPS + 1, "skipped": 0, "left_over": 0, "scored": CHIPS, "quarantined": 1}
    return {
        "kind": "score",
        "status": "published",
        **counts,
        "model_digest": MODEL,
        "thresholds_digest": "1" * 64,
        "quarantined_by_reason": '{"empty": 1}',
        "versions": "{}",
        "options": "{}",
        "started_at": at,
        "planned_at": at,
        "published_at": at,
        "commit_version": number + 1,
        "plan_seconds": 1.0,
        "score_seconds": 2.0,
    }


def _night(number: int) -> date:
    return (_FIRST_NIGHT + timedelta(days=number)).date()


def _run_id(number: int) -> str:
    return f"nightly-{_night(number)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, nargs="+", default=[50, 400])
    parser.add_argument("--folder", help="Where the tables are made. Default: the temporary one.")
    parser.add_argument("--measure", choices=tuple(STEPS), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
