"""A small OUTPUT with a history, and every command that changes it.

Three runs are published: two of a year ago, one of today. Alerts were updated before the last one.
Since then chips were added, replaced, repaired and damaged.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.labels import PLANET_LABELS
from tests.support.samples import jpg_bytes, make_artifact
from tests.support.season.bottle import CHIPS, OUTPUT, Bottle
from tests.support.season.commands import call
from tests.support.season.objects import is_commit

DARK, BRIGHT = 30, 200
PLACES = 4
NAMES = ("score", "publish", "rescore", "withdraw", "relabel", "replay", "maintain", "alerts")
ALERTS = ("alerts", "--labels", "road")
_LOW = {**dict.fromkeys(PLANET_LABELS.names, 0.5), "road": 0.05}


def picture(brightness: int, shade: int = 0) -> bytes:
    """A chip that shows every label, or none."""
    return jpg_bytes((brightness, brightness + shade, brightness), 64)


@dataclass(frozen=True)
class Scenario:
    """A command in the prepared OUTPUT.

    Attributes:
        flags: its name and arguments.
        again: what the docs promise to finish it if it died; the same again by default.
        prepare: a command that died before its first commit.
        together: whether scores and quarantine change for readers at once.
        replaced: the run that it replaces.
    """

    flags: tuple[object, ...]
    again: tuple[object, ...] = ()
    prepare: tuple[object, ...] = ()
    together: bool = True
    replaced: str = ""

    @property
    def recovery(self) -> Sequence[object]:
        return self.again or self.flags


@dataclass(frozen=True)
class Place:
    """Files next to the bottle: a model, thresholds, and a sidecar of times and positions."""

    folder: Path
    night: str

    def scenarios(self) -> dict[str, Scenario]:
        """Every command, by name."""
        model = ("--artifact", self.folder / "model", "--max_quarantine_ratio", 1)
        dated = ("--sidecar", self.folder / "sidecar.csv", "--run_date", self.night)
        score = ("score", "--chips", CHIPS, *dated, *model)
        relabel = ("relabel", "--thresholds", self.folder / "low.json", "--run_id", "relabelled")
        return {
            "score": Scenario((*score, "--run_id", "night")),
            "rival": Scenario((*score, "--run_id", "rival")),
            "publish": Scenario(
                ("publish", "--run_id", "night"), prepare=(*score, "--run_id", "night")
            ),
            "rescore": Scenario((*score, "--run_id", "third", "--rescore"), replaced="third"),
            "withdraw": Scenario(("withdraw", "--run_id", "third")),
            "relabel": Scenario(relabel),
            "replay": Scenario(("replay", *model, "--new_run_id", "replayed")),
            "maintain": Scenario(
                ("maintain", "--vacuum_hours", 0, "--keep_days", 100), together=False
            ),
            "alerts": Scenario(ALERTS),
        }


def do(flags: Sequence[object], code: int = 0) -> None:
    """Call a command, which must end with this code."""
    name, *arguments = flags
    outcome = call(str(name), "--output", OUTPUT, *arguments)
    assert outcome.code == code, outcome


def build(bottle: Bottle, folder: Path) -> Place:
    """Fill a bottle with the history; it is saved as `history`."""
    today = datetime.now(UTC)
    place = Place(folder, str(today.date()))
    make_files(folder)
    bottle.empty()
    score = [*place.scenarios()["score"].flags[:-1]]
    for number in range(3):
        bottle.put(f"chips/p{number}-0.jpg", picture(DARK, number))
    bottle.put("chips/empty.jpg", b"")
    do([*score, "first", "--run_date", str((today - timedelta(days=400)).date())])
    for number in range(3):
        bottle.put(f"chips/p{number}-1.jpg", picture(BRIGHT if number else DARK, 5 + number))
    bottle.put("chips/text.jpg", b"this is no picture")
    do([*score, "second", "--run_date", str((today - timedelta(days=399)).date())])
    do(ALERTS)
    for number in range(3):
        bottle.put(f"chips/p{number}-2.jpg", picture(BRIGHT, 10 + number))
    bottle.put("chips/cut.jpg", picture(BRIGHT)[:200])
    do([*score, "third"])
    for number in range(3):
        bottle.put(f"chips/p{number}-3.jpg", picture(BRIGHT, 20 + number))
    bottle.put("chips/p0-2.jpg", picture(DARK, 25))
    bottle.put("chips/empty.jpg", picture(BRIGHT, 30))
    bottle.put("chips/bad.jpg", b"no picture either")
    bottle.save("history")
    return place


def make_files(folder: Path) -> None:
    """What a place has next to its bottle, unless it is there."""
    if not (folder / "sidecar.csv").exists():
        make_artifact(folder / "model")
        (folder / "low.json").write_text(json.dumps(_LOW))
        _write_sidecar(folder / "sidecar.csv")


def _write_sidecar(path: Path) -> None:
    """Each picture pN-M shows place N in month M."""
    start = datetime.now(UTC) - timedelta(days=300)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["chip_id", "observed_at", "lon_min", "lat_min", "lon_max", "lat_max"])
        for place in range(PLACES):
            for month in range(5):
                west, at = -60 + place * 0.007, start + timedelta(days=30 * month)
                box = (west, -10, west + 0.007, -9.993)
                rows.writerow([f"p{place}-{month}", at.isoformat(), *box])


def begin(bottle: Bottle, *scenarios: Scenario) -> None:
    """Bring the history back, with what the scenarios find in it; the next operation is number 1.

    What a command has staged and not committed is what it leaves if it dies before its first
    commit.
    """
    bottle.load("history")
    for prepare in {scenario.prepare for scenario in scenarios if scenario.prepare}:
        bottle.begin()
        do(prepare)
        journal = bottle.record("prepare")
        first = next(n for n, done in enumerate(journal) if done.change and is_commit(done.key))
        bottle.crash("prepare", first)
    bottle.begin()
