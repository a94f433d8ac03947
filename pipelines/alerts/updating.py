"""The tables of alerts, brought up to date with the published looks.

Rows of `alerts` are a pure function of the published looks, the options and the areas. An update
finds the places that have other pictures than before, applies the rule to all looks at these, and
keeps the other rows. If rows of looks were removed, or the options are others, all places are
computed.

The tables are written one after the other:

    alert_changes   what differs from the changes that were published before
    sites           replaced
    alerts          replaced, with what they were made from in the footer
    alert_updates   a row about this update

An update that dies leaves `alerts` as they were, so the next one computes the same places; changes
that are published already are not published again. Each commit takes its turn among the updates: of
two from the same snapshot, the second starts again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from pipelines.alerts.changes import new_changes
from pipelines.alerts.computing import Found, Surroundings, Trust, completed, find_alerts
from pipelines.alerts.looks import LookReader
from pipelines.alerts.pictures import epoch_us, moment
from pipelines.alerts.source import open_connection
from pipelines.alerts.state import (
    AlertOptions,
    State,
    digest_of,
    read_state,
    runs_to_read,
    with_state,
)
from pipelines.alerts.writing import areas_digest, replace_areas, rows_of, write, write_update
from pipelines.errors import StorageError
from pipelines.places.updating import Update, update_places
from pipelines.tables import commits, delta_tables, evolution, live_files
from pipelines.tables.delta_tables import one_line
from schemas.alert_tables import (
    ALERT_AREAS,
    ALERT_CHANGES,
    ALERT_TABLES,
    ALERT_UPDATES,
    ALERTS,
    SITES,
    STATUSES,
)
from schemas.render import arrow_schema
from schemas.tables import MODELS

_MOST_FILES = 50  # of a table that grows; then they become one


@dataclass(frozen=True)
class Request:
    """What an update is asked for.

    Attributes:
        labels, baseline: None: as the last time.
        areas: rows of `alert_areas` that replace those of before; None: as the last time.
        as_of: None: the newest look.
        reset: whether options that are not given have their defaults again.
    """

    labels: tuple[str, ...] | None = None
    baseline: date | None = None
    areas: pa.Table | None = None
    as_of: datetime | None = None
    reset: bool = False


@dataclass(frozen=True)
class Outcome:
    """What an update did.

    Attributes:
        state: what the rows are made from.
        row: the row of `alert_updates`.
        unchanged: whether nothing was new, so that nothing was written.
        why_all: why all places were computed; "" if only those with other pictures were.
        found: what was computed.
        places: what `update_places` did before.
    """

    state: State
    row: Mapping[str, Any]
    unchanged: bool = True
    why_all: str = ""
    found: Found | None = None
    places: Update = field(default_factory=Update)


def update_alerts(output: str, request: Request) -> Outcome:
    """Bring the tables of alerts up to date.

    Raises:
        UsageError: there is no `chip_scores`; a label is not one of its labels, or none is known as
            a threat.
        RunFailed: every attempt to commit conflicted with another writer.
        StorageError: a table cannot be read or written.
    """
    places = update_places(output)
    areas = request.areas
    if areas is None and request.reset:
        areas = arrow_schema(ALERT_AREAS).empty_table()
    if areas is not None:
        replace_areas(output, areas)
    outcome = commits.commit_in_turn(
        lambda: _update(output, request, places.resolution), "update the alerts"
    )
    return replace(outcome, places=places)


def _update(output: str, request: Request, resolution: int | None) -> Outcome:
    tables = {table.name: evolution.ensure_table(output, table) for table in ALERT_TABLES}
    before = read_state(tables[ALERTS.name])
    areas = rows_of(tables[ALERT_AREAS.name], ALERT_AREAS)
    trust = _trust(output)
    with open_connection() as connection:
        try:
            options = _options(request, before)
            reader = LookReader(connection, output, options.labels)
            state = State(
                options=options,
                labels=reader.labels,
                resolution=resolution,
                as_of=request.as_of,
                runs=reader.runs,
                areas=areas_digest(areas),
                trust=digest_of(*(f"{key} {trust[key]}" for key in sorted(trust))),
            )
            state, why_all = _timed(reader, before, state)
            if before and state == before == read_state(tables[SITES.name]):
                return _unchanged(output, tables[ALERT_UPDATES.name], before)
            changed = before is None or before.areas != state.areas
            return _renew(
                connection, output, tables, reader, before, state, why_all,
                Surroundings(areas, changed, trust),
            )  # fmt: skip
        except duckdb.Error as error:
            raise StorageError(f"cannot read the looks: {one_line(error)}") from error


def _renew(
    connection: duckdb.DuckDBPyConnection,
    output: str,
    tables: Mapping[str, DeltaTable],
    reader: LookReader,
    before: State | None,
    state: State,
    why_all: str,
    around: Surroundings,
) -> Outcome:
    """Compute and write everything that differs."""
    now = datetime.now(UTC)
    old_alerts, old_sites = (rows_of(tables[table.name], table) for table in (ALERTS, SITES))
    found = find_alerts(connection, reader, state, not why_all, old_alerts, around)
    alerts, sites = completed(connection, found.rows, old_alerts, old_sites, now)
    published = rows_of(tables[ALERT_CHANGES.name], ALERT_CHANGES)
    changes = new_changes(connection, published, alerts, now, state.as_of or now)
    updates = rows_of(tables[ALERT_UPDATES.name], ALERT_UPDATES)
    row = {
        "update_number": 1 + max([*updates["update_number"].to_pylist(), _number(before)]),
        "published_at": now,
        "as_of": state.as_of or now,
        "labels": list(state.labels),
        "baseline": state.options.baseline,
        "h3_resolution": state.resolution,
        "areas": around.areas.num_rows,
        "looks": found.counted.looks,
        "changes": changes.num_rows + _of_a_dead_update(published, updates),
        **{s: pc.sum(pc.equal(alerts["status"], s)).as_py() or 0 for s in STATUSES},
        "sites": sites.num_rows,
    }
    done = replace(state, later_runs=found.counted.later_runs, update=row)
    full = len(live_files.data_files(tables[ALERT_CHANGES.name])) >= _MOST_FILES
    log = pa.concat_tables([published, changes]) if full else changes
    write(output, ALERT_CHANGES, tables[ALERT_CHANGES.name], log, replace=full)
    write(output, SITES, tables[SITES.name], with_state(sites, done), replace=True)
    write(output, ALERTS, tables[ALERTS.name], with_state(alerts, done), replace=True)
    write_update(output, tables[ALERT_UPDATES.name], row)
    return Outcome(done, row, False, why_all, found)


def _unchanged(output: str, updates: DeltaTable, before: State) -> Outcome:
    """Nothing is new. The last update may have died just before it wrote its row."""
    known = rows_of(updates, ALERT_UPDATES)["update_number"].to_pylist()
    if before.update["update_number"] not in known:
        write_update(output, updates, before.update)
    return Outcome(before, before.update)


def _timed(reader: LookReader, before: State | None, state: State) -> tuple[State, str]:
    """The state with its time; and why all places must be computed, "" if only those that the
    reader is now asked for."""
    run_ids, why_all = _what_to_read(before, state)
    of_runs = None if why_all else reader.ask_places_of_runs(run_ids)
    if state.as_of is None:
        known = epoch_us(before.newest) if before and before.newest and not why_all else None
        newest: int | None = known
        if known is not None and not run_ids:
            pass  # it is still the newest
        elif known is not None and of_runs is not None and of_runs >= known:
            newest = of_runs  # all other looks are from before
        else:
            newest = reader.newest_look_us()
        state = replace(state, as_of=moment(newest), newest=moment(newest))
    earlier = before and epoch_us(state.as_of) < epoch_us(before.as_of)
    return state, why_all or ("an earlier as_of" if earlier else "")


def _what_to_read(before: State | None, state: State) -> tuple[list[str], str]:
    """The runs whose places are computed; and why all places are."""
    if before is None:
        return [], "the tables are new, or of another release"
    if changed := _other_options(before, state):
        return [], f"other options: {', '.join(changed)}"
    run_ids = runs_to_read(before, state.runs)
    if run_ids is None:
        return [], "rows of runs were removed or replaced"
    return run_ids, ""


def _other_options(before: State, state: State) -> list[str]:
    pairs = {
        "labels": (before.labels, state.labels),
        "baseline": (before.options.baseline, state.options.baseline),
        "resolution": (before.resolution, state.resolution),
    }
    return [name for name, (old, new) in pairs.items() if old != new]


def _options(request: Request, before: State | None) -> AlertOptions:
    kept = before.options if before and not request.reset else AlertOptions()
    return AlertOptions(
        kept.labels if request.labels is None else request.labels,
        request.baseline or kept.baseline,
    )


def _trust(output: str) -> Trust:
    """What `models` says of each model and label, whatever the thresholds."""
    table = delta_tables.open_table(output, MODELS.name)
    found: dict[tuple[str, str], bool | None] = {}
    if table is not None:
        columns = ["model_digest", "label", "proven"]
        for row in delta_tables.open_dataset(table).to_table(columns).to_pylist():
            key = row["model_digest"], row["label"]
            known = found.get(key)
            found[key] = row["proven"] if known is None else known or bool(row["proven"])
    return found


def _of_a_dead_update(published: pa.Table, updates: pa.Table) -> int:
    """Changes since the last update with a row: another one published them, and then died."""
    last = pc.max(updates["published_at"])
    if not last.is_valid:
        return int(published.num_rows)
    return int(pc.sum(pc.greater(published["published_at"], last)).as_py() or 0)


def _number(state: State | None) -> int:
    return int(state.update["update_number"]) if state else 0
