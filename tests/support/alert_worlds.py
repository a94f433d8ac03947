"""Random pictures of the same ground, published in any order, and the tables that must follow.

What is expected is computed from the rows that were published, in plain Python, place by place.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import h3

from beam_jobs.query import ask
from pipelines.alerts.finding import NAMESPACE
from pipelines.maintenance.withdrawing import withdraw_run
from schemas.tables import RUNS
from tests.support.alert_oracle import Expected, Seen, expected_alerts
from tests.support.published_runs import commit_rows, publish, run_row, scored

START = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = ("road", "slash_burn")
SKIES = ("clear", "partly_cloudy", "cloudy", "haze", None)
RESOLUTION = 9
SIDE = 0.007  # degrees, some 770 m

Row = dict[str, Any]


@dataclass
class Run:
    """A published run."""

    run_id: str
    published_at: datetime
    rows: list[Row]
    relabel: bool = False
    withdrawn: bool = False


@dataclass
class World:
    """An OUTPUT, and what was published to it."""

    output: str
    runs: list[Run] = field(default_factory=list)

    def publish(self, rows: Sequence[Row], run_id: str = "", relabel: bool = False) -> Run:
        """Publish a run, later than all others."""
        number = len(self.runs)
        run = Run(
            run_id or f"run-{number}", START + timedelta(days=2000 + number), list(rows), relabel
        )
        night = str(run.published_at.date())
        publish(self.output, run.run_id, rows, night=night)
        record = run_row(run.published_at, kind="relabel" if relabel else "score")
        commit_rows(self.output, RUNS, run.run_id, [record], night)
        self.runs.append(run)
        return run

    def withdraw(self, run: Run) -> None:
        withdraw_run(self.output, run.run_id)
        run.withdrawn = True

    def rows(self) -> list[tuple[Run, Row]]:
        return [(run, row) for run in self.runs if not run.withdrawn for row in run.rows]

    def pictures(self) -> list[Row]:
        """The newest row of each picture, with `first_scored`."""
        of_picture: dict[tuple[str, str], list[tuple[Run, Row]]] = defaultdict(list)
        of_score: dict[tuple[str, datetime], list[datetime]] = defaultdict(list)
        for run, row in self.rows():
            of_picture[row["chip_uri"], row["etag"]].append((run, row))
            if not run.relabel:
                of_score[row["chip_uri"], row["scored_at"]].append(run.published_at)
        return [self._newest(rows, of_score) for rows in of_picture.values()]

    def _newest(self, rows: list[tuple[Run, Row]], of_score: Mapping[Any, list[datetime]]) -> Row:
        def rank(pair: tuple[Run, Row]) -> Any:
            run, row = pair
            scores = of_score.get((row["chip_uri"], row["scored_at"]))
            return min(scores) if scores else row["scored_at"], row["scored_at"], run.published_at

        return max(rows, key=rank)[1] | {"first_scored": min(row["scored_at"] for _, row in rows)}


def random_pictures(draw: Random, count: int = 900) -> list[Row]:
    """Pictures of positioned chips in two cuts, and of addresses without a position, not in the
    order in which they were taken."""
    chance = {place: draw.choice([0.02, 0.2, 0.5, 0.9]) for place in range(60)}
    rows = [_picture(draw, number, chance) for number in range(count)]
    draw.shuffle(rows)
    return rows


def in_nights(draw: Random, rows: Sequence[Row], nights: int) -> list[list[Row]]:
    """The rows, cut into nights at random."""
    cuts = sorted(draw.sample(range(1, len(rows)), nights - 1))
    return [list(rows[a:b]) for a, b in pairwise([0, *cuts, len(rows)])]


def _picture(draw: Random, number: int, chance: Mapping[int, float]) -> Row:
    place = draw.randrange(60)
    taken = START + timedelta(days=draw.randrange(0, 500), hours=draw.choice([3, 9, 9, 15]))
    day = (taken - START).days
    share = chance[place] * (0.3 if day < 100 else 1 if day < 350 else 0.05)
    labels = [label for label in LABELS if draw.random() < share]
    sky = draw.choice(SKIES)
    uri, more = f"c-{number}", {}
    if place < 40:
        shift = draw.choice([0.0, SIDE * 0.4])
        west, south = -60 + (place % 8) * SIDE + shift, -10 + (place // 8) * SIDE + shift
        more = {"lon_min": west, "lat_min": south, "lon_max": west + SIDE, "lat_max": south + SIDE}
    else:
        uri = f"place-{place}"
    row = scored(
        uri,
        *labels,
        sky=sky,
        etag=f"{number}",
        observed_at=taken,
        scored_at=taken + timedelta(days=draw.choice([1, 1, 1, 1, -1]), seconds=number),
        thresholds_digest=draw.choice(["t-1", "t-2"]),
        **more,
    )
    scores = {f"score_{name}": round(draw.uniform(0.5, 1), 3) for name in [*labels, sky] if name}
    return row | scores


def relabelled(draw: Random, rows: Iterable[Row]) -> list[Row]:
    """The same scores with other labels."""
    names = [[label for label in LABELS if draw.random() < 0.3] for _ in range(7)]
    return [
        row
        | {
            "labels": [*draw.choice(names), *([row["sky_label"]] if row["sky_label"] else [])],
            "thresholds_digest": "t-3",
        }
        for row in rows
    ]


def cells_of(row: Row) -> list[str]:
    """The places that a picture shows."""
    if row.get("lon_min") is None:
        return [row["chip_uri"]]
    west, south, east, north = (row[n] for n in ("lon_min", "lat_min", "lon_max", "lat_max"))
    ring = [(south, west), (south, east), (north, east), (north, west)]
    cells = h3.h3shape_to_cells(h3.LatLngPoly(ring), RESOLUTION)
    return cells or [h3.latlng_to_cell((south + north) / 2, (west + east) / 2, RESOLUTION)]


def expected_rows(
    world: World, as_of: datetime | None = None, baseline: date | None = None
) -> list[Row]:
    """The rows of `alerts`, by id, without sites, areas and geometry."""
    shown: dict[str, list[Row]] = defaultdict(list)
    for picture in world.pictures():
        if picture["observed_at"] <= picture["first_scored"]:
            for place in cells_of(picture):
                shown[place].append(picture)
    looks = [p for pictures in shown.values() for p in pictures if p["sky_label"] != "cloudy"]
    as_of = as_of or max((p["observed_at"] for p in looks), default=START)
    rows = [
        _row(place, label, alert, pictures, as_of)
        for place, pictures in shown.items()
        for label in LABELS
        for alert in expected_alerts(
            [
                Seen(p["observed_at"], label in p["labels"], p[f"score_{label}"])
                for p in pictures
                if p["sky_label"] != "cloudy"
            ],
            as_of,
            baseline,
        )
    ]
    return sorted(rows, key=lambda row: row["alert_id"])


def _row(place: str, label: str, alert: Expected, pictures: list[Row], as_of: datetime) -> Row:
    def clearest(moment: datetime, showing: bool) -> Row:
        sky = ["clear", "partly_cloudy", "haze", None]
        those = [
            p
            for p in pictures
            if p["observed_at"].date() == moment.date()
            and p["observed_at"] <= as_of
            and p["sky_label"] != "cloudy"
            and (label in p["labels"] or not showing)
        ]
        return min(
            those,
            key=lambda p: (
                sky.index(p["sky_label"]),
                -p[f"score_{p['sky_label']}"] if p["sky_label"] else 0,
                p["observed_at"],
                p["chip_uri"],
                p["etag"],
            ),
        )

    after = clearest(alert.first_detected, True)
    text = f"{place}\n{label}\n{alert.first_detected:%Y-%m-%dT%H:%M:%S.%fZ}"
    return {
        "alert_id": str(uuid.uuid5(NAMESPACE, text)),
        "place_id": place,
        "label": label,
        "status": alert.status,
        "confidence": 3 if alert.confirmed_at else 2,
        "first_detected": alert.first_detected,
        "previous_clear": alert.previous_clear,
        "confirmed_at": alert.confirmed_at,
        "last_seen": alert.seen[-1],
        "last_looked": alert.looked[-1],
        "dropped_at": alert.closed_at if alert.status == "dropped" else None,
        "ended_at": alert.closed_at if alert.status == "ended" else None,
        "looks": len(alert.looked),
        "positives": len(alert.seen),
        "cloudy_looks": sum(
            p["sky_label"] == "cloudy" and alert.first_detected <= p["observed_at"] <= as_of
            for p in pictures
        ),
        "max_score": round(max(alert.scores), 3),
        "before_uri": clearest(alert.previous_clear, False)["chip_uri"],
        "after_uri": after["chip_uri"],
        "model_digest": after["model_digest"],
        "thresholds_digest": after["thresholds_digest"],
    }


def found_rows(output: str) -> list[Row]:
    """The same columns of the table `alerts`."""
    columns = (
        "alert_id, place_id, label, status, confidence, first_detected, previous_clear, "
        "confirmed_at, last_seen, last_looked, dropped_at, ended_at, looks, positives, "
        "cloudy_looks, max_score, before_uri, after_uri, model_digest, thresholds_digest"
    )
    rows = ask(output, f"SELECT {columns} FROM alerts ORDER BY alert_id").to_pylist()
    return [row | {"max_score": round(row["max_score"], 3)} for row in rows]


def whole_table(output: str, name: str) -> list[Row]:
    """All rows of `alerts` or `sites`, without the time of the update."""
    key = {"alerts": "alert_id", "sites": "site_id"}[name]
    sql = f"SELECT * EXCLUDE (updated_at) FROM {name} ORDER BY {key}"
    return ask(output, sql).to_pylist()
