"""Make a brief: gather its facts, draw its pictures, render the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import duckdb

from pipelines.alerts.published import check_area, open_alerts
from pipelines.briefs.clouds import count_clouds
from pipelines.briefs.facts import CHANGES, UNCHANGED, gather_facts, rank_sites
from pipelines.briefs.languages import language
from pipelines.briefs.map_data import draw_map
from pipelines.briefs.page import render_brief
from pipelines.briefs.pictures import SITES_WITH_PICTURES, draw_pictures, find_bands
from schemas.alert_tables import ALERT_UPDATES

MOST_BYTES = 5_000_000
"""Size of a brief at most."""

_LAST_TWO = f"""
SELECT as_of, looks, published_at FROM {ALERT_UPDATES.name} ORDER BY update_number DESC LIMIT 2
"""


@dataclass(frozen=True)
class Request:
    """What a brief is about.

    Attributes:
        since: changes that were published after it are new; None: since the update before the
            last one.
        area: only sites that touch this area.
        language: of `pipelines.briefs.languages.LANGUAGES`.
    """

    since: datetime | None = None
    area: str | None = None
    language: str = "en"


@dataclass(frozen=True)
class Brief:
    """A brief.

    Attributes:
        page: HTML.
        since: where it begins; None: at the first alert.
        sites: sites that have changed, and all open ones.
        pictures: sites with pictures, and those of them whose pictures are all missing.
    """

    page: str
    since: datetime | None
    changed: int
    open_sites: int
    with_pictures: int
    without: int


class _Updates(NamedTuple):
    as_of: datetime | None
    before: datetime | None


def make_brief(output: str, request: Request) -> Brief:
    """A brief of the published alerts.

    Raises:
        UsageError: there are no alerts yet, or no such area.
        StorageError: the tables cannot be read.
    """
    with open_alerts(output) as connection:
        check_area(connection, request.area)
        updates = _updates(connection)
        since = updates.before if request.since is None else request.since
        rank_sites(connection, since, request.area)
        clouds = count_clouds(connection, since, updates.as_of, request.area)
        facts = gather_facts(connection, since, updates.as_of, request.area, clouds)
        changed = [site for site in facts.sites if site["change"] != UNCHANGED]
        shown = changed[:SITES_WITH_PICTURES]
        numbers = {site["site_id"]: n for n, site in enumerate(in_page_order(shown), 1)}
        words = language(request.language)
        on_map = draw_map(connection, words, facts.labels, numbers, facts.outlines)
    pictures = draw_pictures(shown, find_bands(output, shown))
    page = render_brief(words, facts, numbers, pictures, on_map, datetime.now(UTC))
    return Brief(
        page=page,
        since=since,
        changed=sum(facts.count(name) for name in ("new", "confirmed", "grown", "ended")),
        open_sites=facts.count("open"),
        with_pictures=len(shown),
        without=sum(pair.after is None for pair in pictures.values()),
    )


def in_page_order(sites: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sites in the order of the page: by change, those that are not proven last."""
    return sorted(sites, key=lambda site: (not site["shown"], CHANGES.index(site["change"])))


def _updates(connection: duckdb.DuckDBPyConnection) -> _Updates:
    """The time that the alerts are as of, and when the update before the last one was published.
    None if there was no look yet, or no such update."""
    rows = connection.sql(_LAST_TWO).fetchall()
    as_of = rows[0][0] if rows and rows[0][1] else None
    return _Updates(as_of, rows[1][2] if len(rows) > 1 else None)
