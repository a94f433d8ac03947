"""The facts of a brief: sites by what has changed, totals, and how far they can be trusted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import duckdb

from pipelines.alerts.published import NEVER_REPORTED
from pipelines.briefs.clouds import Clouds
from schemas.alert_tables import ALERT_UPDATES, DROPPED, ENDED, HIGH, LOW, RETRACTED
from schemas.trust import wilson_interval

CONFIRMED, NEW, GROWN, GONE = "confirmed", "new", "grown", "ended"
UNCHANGED, PAST = "unchanged", "past"
CHANGES = (CONFIRMED, NEW, GROWN, GONE)
"""How a site may have changed, in the order of the page; one that has not is UNCHANGED if it is
open, and PAST if it had ended before: those are only counted."""

LISTED_SITES = 500
"""Sites in the lists of the page at most."""

MAPPED_SITES = 10_000
"""Sites with a circle of their own on the map at most."""

WEEKS = 26
"""Weeks in the charts."""

ENOUGH_VERDICTS = 5
"""With fewer, what tests say counts instead."""

_SITES = f"""
CREATE TEMP TABLE judged AS
WITH before AS (
  SELECT alert_id, arg_max(to_status, step) AS status
  FROM alert_changes WHERE published_at <= $since GROUP BY alert_id
),
of_site AS (
  SELECT site_id,
    coalesce(bool_or(before.status IN ('{LOW}', '{HIGH}')), false) AS was_open,
    coalesce(bool_or(before.status = '{HIGH}'), false) AS was_high,
    coalesce(bool_or(before.status IN ('{LOW}', '{HIGH}', '{ENDED}')), false) AS was_known,
    bool_or(coalesce(before.status, '{RETRACTED}') IN ('{RETRACTED}', '{DROPPED}')) AS has_more,
    max(cloudy_looks) AS cloudy
  FROM alerts LEFT JOIN before USING (alert_id) WHERE site_id IS NOT NULL GROUP BY site_id
),
verdict AS (
  SELECT site_id, arg_max(struct_pack(verdict, who, judged_at), judged_at) AS verdict
  FROM newest_verdicts WHERE site_id IS NOT NULL GROUP BY site_id
),
changed AS (
  SELECT sites.* EXCLUDE (geometry, bbox, pictures, updated_at), cloudy, verdict,
    coalesce(proven, true) AS shown,
    CASE
      WHEN status = '{ENDED}' AND (was_open OR NOT was_known) THEN '{GONE}'
      WHEN status = '{ENDED}' THEN '{PAST}'
      WHEN NOT was_open THEN '{NEW}'
      WHEN status = '{HIGH}' AND NOT was_high THEN '{CONFIRMED}'
      WHEN has_more THEN '{GROWN}'
      ELSE '{UNCHANGED}'
    END AS change
  FROM sites JOIN of_site USING (site_id) LEFT JOIN verdict USING (site_id)
  WHERE $area IS NULL OR list_contains(areas, $area)
)
SELECT *, row_number() OVER (
    ORDER BY change = '{PAST}', change = '{UNCHANGED}', shown DESC,
      coalesce(verdict.verdict, '') = 'false', status = '{ENDED}', status = '{LOW}',
      area_ha DESC NULLS LAST, max_score DESC, site_id
  ) AS importance
FROM changed
"""
_LISTED = f"""
FROM judged WHERE importance <= {LISTED_SITES} AND change <> '{PAST}' ORDER BY importance
"""
_OUTLINES = f"""
SELECT site_id, sites.geometry FROM sites JOIN judged USING (site_id)
WHERE importance <= {LISTED_SITES} AND change <> '{PAST}' AND sites.geometry IS NOT NULL
"""
_TOTALS = f"""
SELECT label, shown,
  {", ".join(f"count(*) FILTER (change = '{name}') AS {name}" for name in CHANGES)},
  count(*) FILTER (change = '{UNCHANGED}') AS unchanged,
  count(*) FILTER (status <> '{ENDED}') AS open,
  count(*) AS sites,
  coalesce(sum(area_ha) FILTER (status <> '{ENDED}'), 0) AS hectares
FROM judged GROUP BY label, shown ORDER BY sites DESC, label
"""
_ON_MAP = f"""
SELECT count(longitude), count(longitude) FILTER (importance > {MAPPED_SITES}),
  count(*) FILTER (longitude IS NULL)
FROM judged WHERE change <> '{PAST}'
"""
_WITHDRAWN = f"""
WITH last AS (
  SELECT alert_id,
    arg_max(to_status, step) FILTER (published_at <= $since) AS before,
    arg_max(to_status, step) AS now
  FROM alert_changes GROUP BY alert_id
)
SELECT count(*) FROM last LEFT JOIN alerts USING (alert_id)
WHERE before IN ('{LOW}', '{HIGH}', '{ENDED}') AND now IN ('{DROPPED}', '{RETRACTED}')
  AND ($area IS NULL OR list_contains(areas, $area))
"""
_WEEKS = """
SELECT label, date_trunc('week', first_detected)::DATE AS week, count(*) AS sites
FROM judged WHERE shown GROUP BY label, week
"""
_TRUST = """
WITH newest AS (
  SELECT label, arg_max(struct_pack(model_digest, thresholds_digest), first_detected) AS made
  FROM alerts GROUP BY label
)
SELECT newest.label, bool_or(proven) AS proven,
  max(struct_pack(a := precision, b := precision_low, c := precision_high))
    FILTER (models.thresholds_digest = made.thresholds_digest) AS figures
FROM newest JOIN models ON models.model_digest = made.model_digest AND models.label = newest.label
GROUP BY newest.label
"""
_VERDICTS = """
SELECT label, count(*) FILTER (verdict = 'true') AS right, count(*) AS judged
FROM (
  SELECT label, arg_max(verdict, judged_at) AS verdict FROM newest_verdicts
  GROUP BY label, coalesce(site_id, alert_id)
)
WHERE verdict <> 'unclear' GROUP BY label
"""


@dataclass(frozen=True)
class Trust:
    """How far one label can be trusted.

    Attributes:
        precision, low, high: share of pictures given the label that show it, in tests, with the
            ends of its 95 % interval; None if not known.
        right, judged: sites that officers found right, and those that they found right or wrong.
    """

    precision: float | None = None
    low: float | None = None
    high: float | None = None
    right: int = 0
    judged: int = 0

    @property
    def measured(self) -> tuple[float, float] | None:
        """The 95 % interval of the share that officers found right; None without a verdict."""
        return wilson_interval(self.right / self.judged, self.judged) if self.judged else None

    @property
    def share(self) -> float | None:
        """The share of sites that officers found right; None with too few verdicts. Tests do not
        say it: what is common in test pictures may be rare among what is new."""
        return self.right / self.judged if self.judged >= ENOUGH_VERDICTS else None


_NEVER = f"""
WITH never AS ({NEVER_REPORTED})
SELECT label FROM never WHERE label IN (
  SELECT unnest(labels) FROM (FROM {ALERT_UPDATES.name} ORDER BY update_number DESC LIMIT 1)
) ORDER BY label
"""


@dataclass(frozen=True)
class BriefFacts:
    """Everything in a brief, except the pictures.

    Attributes:
        since: changes published up to then are not new; None: all are.
        as_of: the time as of which the alerts are; None if there was no look yet.
        area: the area that the brief is about; None: everything.
        sites: rows of sites with `change`, `shown` (False: the label is not proven), `cloudy`
            and `verdict`, the most important first, at most `LISTED_SITES`.
        totals: rows by label: sites by change, `open`, `sites`, `hectares` of open sites.
        weeks: sites by label and the Monday of the week of their first detection.
        withdrawn: alerts that were dropped or retracted since.
        trust: by label.
        never: labels of the last update that the newest published run never reports.
        placed, grouped, unplaced: sites with a position, those of them without a circle of their
            own on the map, and sites without a position.
        outlines: WKB of the sites in `sites` that have a position, by site_id.
    """

    since: datetime | None
    as_of: datetime | None
    area: str | None
    sites: Sequence[Mapping[str, Any]]
    totals: Sequence[Mapping[str, Any]]
    weeks: Mapping[str, Mapping[date, int]]
    withdrawn: int
    trust: Mapping[str, Trust]
    clouds: Clouds
    placed: int = 0
    grouped: int = 0
    unplaced: int = 0
    outlines: Mapping[str, bytes] = field(default_factory=dict)
    never: Sequence[str] = ()

    @property
    def labels(self) -> list[str]:
        """The labels of all sites, by name."""
        return sorted({row["label"] for row in self.totals})

    def count(self, name: str) -> int:
        """A number of all labels that are shown."""
        return sum(row[name] for row in self.totals if row["shown"])


def rank_sites(
    connection: duckdb.DuckDBPyConnection, since: datetime | None, area: str | None
) -> None:
    """Make the temporary table `judged`: each site with its change and its importance, 1 for the
    most important one.

    Args:
        connection: see `pipelines.alerts.published.open_alerts`.
    """
    connection.execute(_SITES, {"since": since, "area": area})


def gather_facts(
    connection: duckdb.DuckDBPyConnection,
    since: datetime | None,
    as_of: datetime | None,
    area: str | None,
    clouds: Clouds,
) -> BriefFacts:
    """Read the facts. The table `judged` must be there, see `rank_sites`."""
    sites = list(_rows(connection, _LISTED))
    outlines = _rows(connection, _OUTLINES)
    weeks: dict[str, dict[date, int]] = {}
    for row in _rows(connection, _WEEKS):
        weeks.setdefault(row["label"], {})[row["week"]] = row["sites"]
    placed, grouped, unplaced = connection.sql(_ON_MAP).fetchall()[0]
    (withdrawn,) = connection.execute(_WITHDRAWN, {"since": since, "area": area}).fetchall()[0]
    return BriefFacts(
        since=since,
        as_of=as_of,
        area=area,
        sites=sites,
        totals=list(_rows(connection, _TOTALS)),
        weeks=weeks,
        withdrawn=withdrawn,
        trust=_trust(connection),
        clouds=clouds,
        placed=placed,
        grouped=grouped,
        unplaced=unplaced,
        outlines={row["site_id"]: row["geometry"] for row in outlines},
        never=[row["label"] for row in _rows(connection, _NEVER)],
    )


def _trust(connection: duckdb.DuckDBPyConnection) -> dict[str, Trust]:
    verdicts = {row["label"]: row for row in _rows(connection, _VERDICTS)}
    figures = {row["label"]: row["figures"] or {} for row in _rows(connection, _TRUST)}
    found = {}
    for label in sorted({*verdicts, *figures}):
        made, judged = figures.get(label, {}), verdicts.get(label, {})
        found[label] = Trust(
            made.get("a"), made.get("b"), made.get("c"),
            judged.get("right", 0), judged.get("judged", 0),
        )  # fmt: skip
    return found


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[dict[str, Any]]:
    yield from connection.sql(sql).to_arrow_table().to_pylist()
