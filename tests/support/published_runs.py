"""Published runs made by hand: rows in Parquet files, committed to Delta tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.storage import store
from pipelines.tables import parquet_files
from pipelines.tables.commits import DataFile, commit_files, next_transactions
from pipelines.tables.evolution import ensure_table
from schemas.labels import PLANET_LABELS, LabelSet, score_column
from schemas.table import Table
from schemas.tables import MODELS, QUARANTINE, RUNS, chip_scores

Row = Mapping[str, Any]
SCORES = chip_scores(PLANET_LABELS)
NIGHT = "2026-07-01"


def at(day: int, hour: int = 0, month: int = 7) -> datetime:
    """A time in 2026."""
    return datetime(2026, month, day, hour, tzinfo=UTC)


def scored(
    uri: str,
    *labels: str,
    sky: str | None = "clear",
    label_set: LabelSet = PLANET_LABELS,
    **more: Any,
) -> dict[str, Any]:
    """A row of chip_scores: 0.75 for the labels that it has (the sky's too), 0.25 for others."""
    names = [*([sky] if sky else []), *labels]
    scores = {score_column(name): 0.75 if name in names else 0.25 for name in label_set.names}
    return {
        "chip_uri": uri,
        "chip_id": store.file_stem(uri),
        "etag": "1",
        "media_type": "jpg",
        "labels": [name for name in label_set.names if name in names],
        "sky_label": sky,
        "model_digest": "model-1",
        "thresholds_digest": "thresholds-1",
        "scored_at": at(1, 2),
        **scores,
        **more,
    }


def quarantined_row(uri: str, reason: str, **more: Any) -> dict[str, Any]:
    """A row of quarantine."""
    return {
        "chip_uri": uri,
        "chip_id": store.file_stem(uri),
        "reason": reason,
        "message": f"{reason} it is",
        "model_digest": "model-1",
        "quarantined_at": at(1, 2),
        **more,
    }


def run_row(published_at: datetime, **more: Any) -> dict[str, Any]:
    """A row of runs."""
    counts = dict.fromkeys(("listed", "skipped", "left_over", "scored", "quarantined"), 0)
    return {
        "kind": "score",
        "status": "published",
        **counts,
        "model_digest": "model-1",
        "thresholds_digest": "thresholds-1",
        "versions": "{}",
        "options": "{}",
        "started_at": published_at,
        "planned_at": published_at,
        "published_at": published_at,
        "plan_seconds": 1.0,
        "score_seconds": 2.0,
        **more,
    }


def write_rows(
    output: str, table: Table, partition: Mapping[str, str], rows: Iterable[Row], name: str = "0"
) -> DataFile:
    """Write a Parquet file into a table's folder, without a commit."""
    folder = "/".join(f"{column}={value}" for column, value in partition.items())
    path = f"{folder}/{name}.parquet" if folder else f"{name}.parquet"
    return parquet_files.write_rows(output, table, path, list(rows))


def commit_rows(
    output: str,
    table: Table,
    run_id: str,
    rows: Iterable[Row],
    night: str = NIGHT,
    replace: bool = False,
) -> None:
    """Write and commit the rows of one run; without rows no file is written."""
    partition = {"run_date": night, "run_id": run_id}
    delta = ensure_table(output, table)
    transactions = next_transactions(delta, run_id)
    rows = list(rows)
    name = f"unit-{transactions[1][1]}"
    files = [write_rows(output, table, partition, rows, name)] if rows else []
    commit_files(delta, files, partition, transactions, replace, partition)


def publish(
    output: str,
    run_id: str,
    rows: Iterable[Row] = (),
    quarantine: Iterable[Row] = (),
    night: str = NIGHT,
    published_at: datetime | None = None,
    label_set: LabelSet = PLANET_LABELS,
    in_order: bool = False,
) -> None:
    """Publish a whole run, its tables in the order in which a publisher commits them.

    Args:
        in_order: whether its row has the version of its commit, as those of this release have.
    """
    ensure_table(output, MODELS)
    commit_rows(output, QUARANTINE, run_id, quarantine, night)
    commit_rows(output, chip_scores(label_set), run_id, rows, night)
    if published_at is not None:
        version = ensure_table(output, chip_scores(label_set)).version() if in_order else None
        row = run_row(published_at, commit_version=version)
        commit_rows(output, RUNS, run_id, [row], night)
