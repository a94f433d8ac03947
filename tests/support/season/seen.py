"""What readers see, and what must be true of it at every moment."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from beam_jobs.sessions import open_session
from pipelines.storage import store
from schemas.tables import QuarantineReason
from tests.support.season.logs import Row, rows_of
from tests.support.season.objects import Object

_CHIP = "chip_uri, etag, run_id, run_date"
_SCORE = f"{_CHIP}, labels, round(score_road, 4) AS road, thresholds_digest"
QUERIES = {
    "chip_scores": f"SELECT {_SCORE} FROM chip_scores",
    "quarantine": f"SELECT {_CHIP}, reason FROM quarantine",
    "latest_chip_scores": f"SELECT {_SCORE} FROM latest_chip_scores",
    "observations": f"SELECT {_SCORE} FROM observations",
    "open_quarantine": "SELECT chip_uri, etag, reason, run_id FROM open_quarantine",
    "runs": "SELECT run_id, run_date, kind, status, listed, skipped, left_over, scored, quarantined"
    " FROM runs",
    "models": "SELECT thresholds_digest, count(*) AS n FROM models GROUP BY ALL",
    "alerts": "SELECT * EXCLUDE (updated_at) FROM alerts",
    "sites": "SELECT * EXCLUDE (updated_at) FROM sites",
    "alert_changes": "SELECT alert_id, step, from_status, to_status, changed_at FROM alert_changes",
}
"""What is compared: everything but times and identifiers that a repeated run makes again."""

TOGETHER = ("chip_scores", "quarantine")
"""Views that one commit changes."""

PERMANENT = {reason.value for reason in QuarantineReason if reason.permanent}
Seen = dict[str, tuple[str, ...]]


def look(output: str) -> Seen:
    """The rows of every view, as sorted lines."""
    store.forget_stores()
    with open_session(output, f"SELECT '{' '.join(QUERIES)}'", "") as (connection, _):
        return {name: _lines(connection, sql) for name, sql in QUERIES.items()}


def _lines(connection: Any, sql: str) -> tuple[str, ...]:
    rows = connection.sql(sql).to_arrow_table().to_pylist()
    return tuple(sorted(json.dumps(row, default=str, sort_keys=True) for row in rows))


def check_between(
    found: Seen, before: Seen, after: Seen, together: bool = True, replaced: str = ""
) -> None:
    """Each view is as before a command or as after it; those of one commit, both the same; and
    those runs that have a row have the rows that it counts, except one that is being replaced."""
    for name in QUERIES:
        if name == "runs":
            assert {*found[name]} <= {*before[name], *after[name]}, f"odd rows in runs: {found}"
        else:
            assert found[name] in (before[name], after[name]), difference(name, found, after)
    pair = [tuple(each[name] for name in TOGETHER) for each in (found, before, after)]
    if together:
        assert pair[0] in pair[1:], "scores are of one state, quarantine is of another"
    for run in map(json.loads, found["runs"]):
        if run["status"] == "published" and run["run_id"] != replaced:
            rows = [f'"run_id": "{run["run_id"]}"' in line for line in found["chip_scores"]]
            assert sum(rows) in (run["scored"], 0 if not together else run["scored"]), run


def difference(name: str, found: Seen, wanted: Seen) -> str:
    """What a view has too much and too little."""
    more, less = {*found[name]} - {*wanted[name]}, {*wanted[name]} - {*found[name]}
    return f"{name}: {sorted(more)} instead of {sorted(less)}, {len(found[name])} rows"


def check_same(found: Seen, wanted: Seen) -> None:
    """Every view is as it should be."""
    for name in QUERIES:
        assert found[name] == wanted[name], difference(name, found, wanted)


def check_rows(objects: Mapping[str, Object]) -> None:
    """The files themselves: counts as in `runs`, and each version of a chip in one place."""
    tables = {name: rows_of(objects, f"out/{name}") for name in ("chip_scores", "quarantine")}
    runs = {row["run_id"]: row for row in rows_of(objects, "out/runs")}
    published = {run: row for run, row in runs.items() if row["status"] == "published"}
    for table, column in (("chip_scores", "scored"), ("quarantine", "quarantined")):
        numbers = Counter(row["run_id"] for row in tables[table])
        for run, row in published.items():
            expired = numbers[run] < row[column] and _is_expired(objects, run, row["kind"])
            assert numbers[run] == row[column] or expired, f"{run}: {numbers[run]} in {table}"
            assert row["commit_version"] is not None, f"{run} has no place in the order of runs"
    for run, row in published.items():
        parts = ("skipped", "left_over", "scored", "quarantined")
        assert row["listed"] == sum(row[part] for part in parts), f"{run}: chips are not conserved"
    _check_one_place(tables, published)


def _check_one_place(tables: Mapping[str, list[Row]], published: Mapping[str, Row]) -> None:
    own = {run for run, row in published.items() if _scores_what_is_left(row)}
    places = Counter(
        (row["chip_uri"], row["etag"], row["model_digest"])
        for rows in tables.values()
        for row in rows
        if row["run_id"] in own and row.get("reason", "empty") in PERMANENT
    )
    twice = [chip for chip, number in places.items() if number > 1]
    assert not twice, f"chips in several places: {twice}"


def _scores_what_is_left(run: Row) -> bool:
    """Whether a run leaves out what others have scored."""
    return run["kind"] == "score" and not json.loads(run["options"]).get("rescore")


def _is_expired(objects: Mapping[str, Object], run_id: str, kind: str) -> bool:
    """Whether nights were removed; those of a relabelling are remembered with its sources."""
    expired = rows_of(objects, "out/expired_chips")
    return any(row["run_id"] == run_id or kind == "relabel" for row in expired)
