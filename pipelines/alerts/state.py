"""What the rows of `alerts` were made from, kept in the footer of their file.

The next update reads it to find what has changed since. It is in the same file as the rows, so it
can never be about other rows.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines.storage import store
from pipelines.tables import live_files, publications

_KEY = b"forest-chips-alerts"
VERSION = 1
"""Grows when the same looks give other rows: then everything is computed again."""


@dataclass(frozen=True)
class AlertOptions:
    """What an update is asked for, and the next one is, too, unless it says otherwise.

    Attributes:
        labels: those that alerts are about; empty: the threats of the OUTPUT.
        baseline: the last day of the baseline.
    """

    labels: tuple[str, ...] = ()
    baseline: date | None = None


@dataclass(frozen=True)
class State:
    """What the rows were made from.

    Attributes:
        options: as they were asked for.
        labels: those that alerts are about.
        resolution: of the H3 cells; None without positions.
        as_of: later looks were ignored; None: there was no look.
        runs: published runs, each with its attempt, rows and record, see `runs_of`.
        newest: the newest look; None if it was not asked for, or there is none.
        later_runs: those with pictures later than `as_of`, to be read again when time has gone on.
        areas: digest of the areas.
        trust: digest of what `models` says about the labels.
        version: of the computation.
        update: the row of `alert_updates`.
    """

    options: AlertOptions
    labels: tuple[str, ...]
    resolution: int | None
    as_of: datetime | None
    runs: Mapping[str, str] = field(default_factory=dict)
    newest: datetime | None = field(default=None, compare=False)
    later_runs: frozenset[str] = field(default=frozenset(), compare=False)
    areas: str = ""
    trust: str = ""
    version: int = VERSION
    update: Mapping[str, Any] = field(default_factory=dict, compare=False)


def state_json(state: State) -> str:
    """A state as JSON; `state_from` is the inverse."""
    options = state.options
    data = {
        "options": {"labels": options.labels, "baseline": _text(options.baseline)},
        "labels": state.labels,
        "resolution": state.resolution,
        "as_of": _text(state.as_of),
        "runs": dict(sorted(state.runs.items())),
        "newest": _text(state.newest),
        "later_runs": sorted(state.later_runs),
        "areas": state.areas,
        "trust": state.trust,
        "version": state.version,
        "update": dict(state.update),
    }
    return json.dumps(data, default=_text)


def state_from(text: str | bytes) -> State:
    """Read what `state_json` wrote."""
    data = json.loads(text)
    baseline, as_of = data["options"]["baseline"], data["as_of"]
    options = AlertOptions(
        tuple(data["options"]["labels"]), date.fromisoformat(baseline) if baseline else None
    )
    return State(
        options=options,
        labels=tuple(data["labels"]),
        resolution=data["resolution"],
        as_of=datetime.fromisoformat(as_of) if as_of else None,
        runs=data["runs"],
        newest=datetime.fromisoformat(data["newest"]) if data["newest"] else None,
        later_runs=frozenset(data["later_runs"]),
        areas=data["areas"],
        trust=data["trust"],
        version=data["version"],
        update=_row(data["update"]),
    )


def with_state(rows: pa.Table, state: State) -> pa.Table:
    """Rows with their state, to be written to the footer of their file."""
    return rows.replace_schema_metadata(
        {**(rows.schema.metadata or {}), _KEY: state_json(state).encode()}
    )


def read_state(table: DeltaTable) -> State | None:
    """The state of the rows in a snapshot; None if there are none, or another release made them.

    Raises:
        StorageError: the file cannot be read.
    """
    files = live_files.data_files(table)
    if len(files) != 1:
        return None
    uri = store.join_uri(store.absolute_uri(table.table_uri), files[0].path)
    with store.open_file(uri) as file:
        metadata = pq.read_schema(file).metadata or {}
    found = metadata.get(_KEY)
    if found is None or json.loads(found).get("version") != VERSION:
        return None
    return state_from(found)


def runs_of(scores: DeltaTable, chip_places: DeltaTable, runs: pa.Table) -> dict[str, str]:
    """Each published run that has rows, with what its looks depend on: attempt, number of rows,
    attempt whose places are known, kind and time of publication. Compaction changes none of these.
    """
    counts: dict[str, int] = {}
    for file in live_files.data_files(scores):
        counts[file.run_id] = counts.get(file.run_id, 0) + file.rows
    known = runs.select(["run_id", "kind", "published_at"]).to_pylist()
    records = {row["run_id"]: f"{row['kind']} {_text(row['published_at'])}" for row in known}
    return {
        run_id: f"{publications.attempts_of(scores, run_id)} {rows} "
        f"{publications.attempts_of(chip_places, run_id)} {records.get(run_id, '')}"
        for run_id, rows in counts.items()
        if rows
    }


def runs_to_read(before: State, now: Mapping[str, str]) -> list[str] | None:
    """Runs whose rows or record are new, and those that had later pictures; None if rows were
    removed, since nothing says where they were."""
    known = before.runs
    if any(_rows_of(now.get(run_id, "")) != _rows_of(known[run_id]) for run_id in known):
        return None
    return sorted({run for run in now if known.get(run) != now[run]} | before.later_runs)


def digest_of(*parts: bytes | str) -> str:
    """sha256 of some texts, each after its length."""
    found = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()


def _rows_of(run: str) -> list[str]:
    """A run's attempt and number of rows."""
    return run.split(" ", 2)[:2]


def _row(update: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `alert_updates` from JSON."""
    row = dict(update)
    for name in ("published_at", "as_of"):
        row[name] = datetime.fromisoformat(row[name])
    row["baseline"] = date.fromisoformat(row["baseline"]) if row["baseline"] else None
    return row


def _text(moment: date | datetime | None) -> str | None:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).isoformat()
    return moment.isoformat() if moment else None
