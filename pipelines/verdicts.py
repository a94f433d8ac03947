"""What officers say about alerts: read from a csv, and kept with the alerts that they mean.

A row of the csv names an alert or a site. It is stored with place, label and time of each alert
that it is about, so that it stays true when a late picture gives the alert another id.
"""

import csv
import io
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from pipelines.alerts.published import open_alerts
from pipelines.errors import ObjectTooLarge, UsageError, as_usage_error
from pipelines.moments import parse_time
from pipelines.storage import store
from pipelines.tables import commits, delta_tables, evolution
from pipelines.tables.parquet_files import write_table
from schemas.render import arrow_schema
from schemas.verdict_table import VERDICT_WORDS, VERDICTS

MOST_BYTES = 64 * 2**20
"""The most bytes that a csv of verdicts may have."""

COLUMNS = ("alert_id", "site_id", "verdict", "who", "when", "note")
"""The columns of the csv; one of the first two is enough, and `who` and `note` may be missing.
Others are ignored."""

_MOST_LETTERS = {"alert_id": 100, "site_id": 100, "who": 200, "note": 10_000}
_NAMESPACE = uuid.UUID("0f1b7c52-6f0e-5d3c-9b0a-9f6a5f3e1c77")
_ALERTS = """
SELECT alert_id, site_id, place_id, label, first_detected,
  coalesce(ended_at, dropped_at, last_looked) AS until,
  ended_at IS NULL AND dropped_at IS NULL AS is_open
FROM alerts WHERE alert_id IN (SELECT id FROM named) OR site_id IN (SELECT id FROM named)
"""
_FORMER = """
SELECT alert_id, any_value(place_id) AS place_id, any_value(label) AS label,
  min(changed_at) AS first_detected, max(changed_at) AS until, false AS is_open
FROM alert_changes WHERE alert_id IN (SELECT id FROM named) GROUP BY alert_id
"""


class Verdict(NamedTuple):
    """A row of the csv.

    Attributes:
        line: of the file, for messages.
        alert_id, site_id: what it is about; one of them is "". A row that has both is about the
            alert.
    """

    line: int
    alert_id: str
    site_id: str
    verdict: str
    who: str
    when: datetime
    note: str

    @property
    def verdict_id(self) -> str:
        """The same for the same row."""
        parts = (self.alert_id, self.site_id, self.verdict, self.who, self.when.isoformat())
        return str(uuid.uuid5(_NAMESPACE, "\n".join(map(repr, (*parts, self.note)))))


@dataclass(frozen=True)
class Recorded:
    """What was recorded: verdicts, the alerts that they are about, and verdicts that had been
    recorded before."""

    verdicts: int
    alerts: int
    known: int


def record_verdicts(output: str, uri: str) -> Recorded:
    """Record the verdicts of a csv; those that are known already are skipped.

    Raises:
        UsageError: the file cannot be read, a row is wrong, or an alert is unknown: nothing is
            recorded then.
        RunFailed: every attempt to commit conflicted with another writer.
        StorageError: a table cannot be read or written.
    """
    with as_usage_error("--file"):
        try:
            data = store.read_bytes(uri, MOST_BYTES)
        except ObjectTooLarge as error:
            raise UsageError(f"--file: {error}") from error
    verdicts = {each.verdict_id: each for each in read_verdicts(data, f"--file {uri!r}")}
    with open_alerts(output) as connection:
        rows = list(_rows(connection, verdicts.values(), f"--file {uri!r}"))
    return commits.commit_in_turn(lambda: _commit(output, rows), "record the verdicts")


def read_verdicts(data: bytes, where: str) -> list[Verdict]:
    """The rows of a csv (UTF-8; commas or semicolons).

    Raises:
        UsageError: the first thing that is wrong, with its line.
    """
    try:
        text = data.decode("utf-8-sig")
        head = text.partition("\n")[0]
        mark = ";" if head.count(";") > head.count(",") else ","
        lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        lines.fieldnames = [name.strip().lower() for name in lines.fieldnames or ()]
        _check_names(lines.fieldnames, where)
        now = datetime.now(UTC)
        found = (_verdict(row, lines.line_num, where, now) for row in lines)
        return [verdict for verdict in found if verdict is not None]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{where} is not a csv in UTF-8: {error}") from error


def _check_names(names: Sequence[str], where: str) -> None:
    lacking = [name for name in ("verdict", "when") if name not in names]
    if not {"alert_id", "site_id"}.intersection(names):
        lacking.insert(0, "alert_id or site_id")
    if lacking:
        raise UsageError(
            f"{where} lacks the columns {', '.join(lacking)} (its columns: "
            f"{', '.join(map(repr, names[:10])) or 'none'})"
        )
    twice = sorted({name for name in names if name in COLUMNS and names.count(name) > 1})
    if twice:
        raise UsageError(f"{where} has columns twice: {', '.join(twice)}")


def _verdict(row: Mapping[str, Any], line: int, where: str, now: datetime) -> Verdict | None:
    """A row of the csv; None if no one has judged it."""
    at = f"{where}, line {line}"
    given = {name: str(row.get(name) or "").strip() for name in COLUMNS}
    if not given["verdict"]:
        return None
    if given["alert_id"]:
        given["site_id"] = ""
    elif not given["site_id"]:
        raise UsageError(f"{at}: give an alert_id or a site_id")
    said = given["verdict"].lower()
    if said not in VERDICT_WORDS:
        options = ", ".join(VERDICT_WORDS)
        raise UsageError(f"{at}: verdict must be one of {options}, not {given['verdict'][:60]!r}")
    for name, most in _MOST_LETTERS.items():
        if len(given[name]) > most:
            raise UsageError(f"{at}: {name} has {len(given[name]):,} letters, at most {most:,}")
    when = _when(given["when"], at)
    if when > now + timedelta(days=1):
        raise UsageError(f"{at}: when is in the future: {given['when'][:60]!r}")
    who, note = given["who"], given["note"]
    return Verdict(line, given["alert_id"], given["site_id"], said, who, when, note)


def _when(text: str, at: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError(
            f"{at}: when must be a date or a time such as 2026-07-01, not {text[:60]!r}"
        ) from error


def _rows(
    connection: duckdb.DuckDBPyConnection, verdicts: Iterable[Verdict], where: str
) -> Iterator[dict[str, Any]]:
    """Rows of `verdicts`: one for each verdict and alert that it is about."""
    verdicts = list(verdicts)
    ids = pa.array([each.alert_id or each.site_id for each in verdicts], pa.string())
    connection.register("named", pa.table({"id": ids}))
    alerts = connection.sql(_ALERTS).to_arrow_table().to_pylist()
    former = connection.sql(_FORMER).to_arrow_table().to_pylist()
    by_id = {row["alert_id"]: row for row in (*former, *alerts)}
    by_site: dict[str, list[dict[str, Any]]] = {}
    for row in alerts:
        by_site.setdefault(row["site_id"] or "", []).append(row)
    now = datetime.now(UTC)
    for each in verdicts:
        # A site that became part of another one: the alert that it was named after.
        about = by_site.get(each.site_id, []) if each.site_id else []
        named = about or [by_id[n] for n in (each.alert_id or each.site_id,) if n in by_id]
        if not named:
            kind, name = ("site", each.site_id) if each.site_id else ("alert", each.alert_id)
            raise UsageError(f"{where}, line {each.line}: unknown {kind} {name!r}")
        for alert in named:
            yield _row(each, alert, now)


def _row(verdict: Verdict, alert: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    until = max(alert["until"], verdict.when) if alert["is_open"] else alert["until"]
    return {
        "verdict_id": verdict.verdict_id,
        **{name: alert[name] for name in ("alert_id", "place_id", "label", "first_detected")},
        "site_id": verdict.site_id or None,
        "until": until,
        "verdict": verdict.verdict,
        "who": verdict.who or None,
        "judged_at": verdict.when,
        "note": verdict.note or None,
        "recorded_at": now,
    }


def _commit(output: str, rows: Sequence[Mapping[str, Any]]) -> Recorded:
    table = evolution.ensure_table(output, VERDICTS)
    known = set(delta_tables.open_dataset(table).to_table(["verdict_id"])["verdict_id"].to_pylist())
    new = [row for row in rows if row["verdict_id"] not in known]
    if new:
        content = pa.Table.from_pylist([dict(row) for row in new], arrow_schema(VERDICTS))
        file = write_table(output, VERDICTS.name, f"verdicts-{uuid.uuid4().hex}.parquet", content)
        commits.commit_files(table, [file], {}, [commits.next_turn(table)], False, {})
    asked = {row["verdict_id"] for row in rows}
    return Recorded(len(asked - known), len({row["alert_id"] for row in new}), len(asked & known))
