"""Nights by a seed: an archive that changes, and everything that goes wrong with the runs.

After each night the published rows are compared with what a simple model of the archive expects:
for each run, which pictures it has scored and which it has quarantined.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from beam_jobs.sessions import open_session
from tests.support.samples import jpg_bytes
from tests.support.season import logs
from tests.support.season.actors import Actor
from tests.support.season.bottle import CHIPS, OUTPUT, Bottle
from tests.support.season.commands import call
from tests.support.season.objects import is_commit
from tests.support.season.orders import CLIENTS, interleave

DAY_S = 86_400
KEEP_DAYS = 20
_ASKED_EVERY = 5  # nights: asking costs as much as scoring
_NAMES = [f"c{number}" for number in range(12)]
_DAMAGED = (b"", b"this is no picture")
Picture = tuple[str, str]
"""A chip's address and etag."""


@dataclass
class Run:
    """What a published run must have.

    Attributes:
        scored: each picture with the night that it belongs to.
        order: its place among all publications.
    """

    night: date
    order: int
    scored: dict[Picture, date]
    quarantined: set[Picture]
    kind: str = "score"
    done: set[Picture] = field(default_factory=set)


@dataclass
class Year:
    """A season: its bottle, its chance, and the model.

    Attributes:
        archive: the etag of each chip that is there, and whether it is sound.
    """

    bottle: Bottle
    actors: Callable[[], Mapping[str, Actor]]
    folder: Path
    seed: int
    nights: int
    archive: dict[str, tuple[str, bool]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    publications: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        noon = datetime.now(UTC).replace(hour=12)  # clocks that jump two hours keep the day
        self.start = noon.timestamp() - (self.nights + 1) * DAY_S
        self.log: list[str] = []

    def live(self) -> Iterator[int]:
        """One night after the other; yields its number once it is checked."""
        for night in range(self.nights):
            try:
                self._change_archive(night)
                self._spend(night)
                self._check_rows()
                if night % _ASKED_EVERY == 0 or night + 1 == self.nights:
                    self._check_answers()
            except Exception as error:
                told = "\n".join(self.log[-12:])
                raise AssertionError(
                    f"seed {self.seed}, night {night}: {error}\nthe nights before:\n{told}"
                ) from error
            yield night

    # --- What happens -------------------------------------------------------------------------

    def _change_archive(self, night: int) -> None:
        """Chips are added, replaced, damaged and removed; one is always there, since an archive
        without chips is refused."""
        self.now = self.start + night * DAY_S
        self.bottle.set_clock(self.now - 3600)
        for _ in range(self.draw.choice([0, 1, 2, 3]) if self.archive else 1):
            name = self.draw.choice(_NAMES)
            if name in self.archive and len(self.archive) > 1 and self.draw.random() < 0.3:
                self.bottle.delete(f"chips/{name}.jpg")
                del self.archive[name]
                continue
            sound = self.draw.random() < 0.8
            data = self._new_picture(night) if sound else self.draw.choice(_DAMAGED)
            self.bottle.put(f"chips/{name}.jpg", data)
            etag = self.bottle.etag(f"chips/{name}.jpg")
            self.archive[name] = etag, sound
        self.bottle.set_clock(self.now)

    def _new_picture(self, night: int) -> bytes:
        tint = self.draw.randrange(40)
        brightness = self.draw.choice([30, 200])
        return jpg_bytes((brightness + night % 50, brightness + tint, brightness), 64)

    def _spend(self, night: int) -> None:
        """The night's run, and now and then another command."""
        self._score(night)
        other = self.draw.random()
        if night % 6 == 5:
            self._do(
                "maintain", "--vacuum_hours", self.draw.choice([0, 24]), "--keep_days", KEEP_DAYS
            )
            self._expire()
        elif other < 0.06:
            self._withdraw()
        elif other < 0.1:
            self._relabel(f"relabel-{night}")
        elif other < 0.14:
            self._do("alerts", "--labels", "road")
        elif other < 0.2:
            self._score(night, "again", "--rescore")

    def _score(self, night: int, suffix: str = "", *more: str) -> None:
        run_id = f"n{night}{suffix}"
        late = self.draw.random() < 0.1
        day = self._today(-1 if late else 0)
        flags = (
            *("score", "--chips", CHIPS, "--artifact", self.folder / "model"),
            *("--max_quarantine_ratio", 1, "--run_date", day, "--drift_nights", 0, *more),
        )
        manner = self.draw.random()
        if manner < 0.07:
            self._at_once((*flags, "--run_id", run_id), (*flags, "--run_id", run_id))
        elif manner < 0.14 and not more:
            self._with_rival(flags, run_id, day)
            return
        elif manner < 0.2:
            self._abandon(*flags, "--run_id", f"{run_id}-dead")
            self._do(*flags, "--run_id", run_id)
        else:
            self._do(*flags, "--run_id", run_id)
        self._publish(run_id, day, bool(more))

    def _do(self, *flags: object, codes: Sequence[int] = (0,)) -> int:
        """Call a command, which may crash or lose answers; then it is called again."""
        manner, name = self.draw.random(), str(flags[0])
        at = self.now + self.draw.choice([0, 0, 0, 7200, -7200])
        self.bottle.begin()
        if manner < 0.1:
            self.bottle.fail(self.draw.randrange(1, 30), self.draw.choice(["lost", "failed"]))
        outcome = call(name, "--output", OUTPUT, *flags[1:], at=at)
        self._note(name, flags[1:], outcome.code, f"{manner:.2f}")
        if 0.1 <= manner < 0.3:
            points = [n for n, done in enumerate(self.bottle.record("x"), 1) if done.change]
            self.bottle.crash("x", self.draw.choice([0, *points]))
            self._note("crash")
        if manner < 0.3 and (outcome.code == 1 or manner >= 0.1):
            outcome = call(name, "--output", OUTPUT, *flags[1:], at=at + 60)
            self._note("again", outcome.code)
        assert outcome.code in codes, outcome
        return outcome.code

    def _abandon(self, *flags: object) -> None:
        """A run dies before it is published, and nobody starts it again."""
        self.bottle.begin()
        call(str(flags[0]), "--output", OUTPUT, *flags[1:], at=self.now)
        journal = self.bottle.record("x")
        last = next(
            number
            for number, done in enumerate(journal)
            if is_commit(done.key)
            and "/chip_scores/" in done.key
            and done.change
            and b'"run:' in next(iter(done.change.values())).data  # type: ignore[union-attr]
        )
        self.bottle.crash("x", self.draw.randrange(last + 1))
        self._note("abandoned", flags[-1])

    def _at_once(self, *commands: Sequence[object]) -> list[int]:
        """Two commands at once, with clocks that differ."""
        order = self.draw.choices(CLIENTS, k=12)
        at = {CLIENTS[0]: self.now, CLIENTS[1]: self.now + self.draw.choice([0, 7200, -7200])}
        flags = dict(zip(CLIENTS, commands, strict=True))
        self.bottle.begin()
        outcomes, turns = interleave(self.bottle, self.actors(), flags, order, at)
        codes = [outcomes[client].code for client in CLIENTS]
        self._note("at once", turns, codes)
        assert {*codes} <= {0, 1}, outcomes
        if 1 in codes:  # the loser, or a launcher that found the other's staging gone
            for command in commands:
                outcome = call(str(command[0]), "--output", OUTPUT, *command[1:], at=self.now + 60)
                assert outcome.code == 0, outcome
        return codes

    def _with_rival(self, flags: Sequence[object], run_id: str, day: date) -> None:
        """Two runs at once; whichever is faster has the chips."""
        rival = f"{run_id}-rival"
        self._at_once((*flags, "--run_id", run_id), (*flags, "--run_id", rival))
        rows = self._rows_by_run()
        first = [name for name in (run_id, rival) if rows.get(name)]
        for name in first or [run_id]:
            self._publish(name, day)
        for name in {run_id, rival} - {*first}:
            self._publish(name, day)

    def _withdraw(self) -> None:
        alive = [name for name, run in self.runs.items() if run.scored or run.quarantined]
        if not alive:
            return
        name = self.draw.choice(alive)
        relabelled = self.runs[name].kind == "score" and any(
            run.kind == "relabel" and run.scored for run in self.runs.values()
        )
        if self._do("withdraw", "--run_id", name, codes=(0, 2) if relabelled else (0,)) == 0:
            del self.runs[name]

    def _relabel(self, run_id: str) -> None:
        newest: dict[Picture, date] = {}
        labelled: set[Picture] = set()  # with the same thresholds, by an earlier relabelling
        for run in sorted(self.runs.values(), key=lambda run: run.order):
            if run.kind == "score":
                newest |= run.scored
                labelled -= run.scored.keys()
            else:
                labelled |= run.scored.keys()
        if not newest:
            return
        self._do("relabel", "--thresholds", self.folder / "low.json", "--run_id", run_id)
        if newest.keys() <= labelled:  # nothing would change, so nothing is published
            return
        self.publications += 1
        self.runs[run_id] = Run(self._today(), self.publications, newest, set(), "relabel")

    # --- What must be -------------------------------------------------------------------------

    def _publish(self, run_id: str, day: date, rescore: bool = False) -> None:
        """What a run over the archive publishes."""
        done = set() if rescore else {each for run in self.runs.values() for each in run.done}
        left = {
            (f"{CHIPS}/{name}.jpg", etag): sound
            for name, (etag, sound) in self.archive.items()
            if (f"{CHIPS}/{name}.jpg", etag) not in done
        }
        self.publications += 1
        scored = {each: day for each, sound in left.items() if sound}
        bad = {each for each, sound in left.items() if not sound}
        self.runs[run_id] = Run(day, self.publications, scored, bad, done={*left})

    def _expire(self) -> None:
        first = self._today(-KEEP_DAYS)
        for run in self.runs.values():
            run.scored = {each: night for each, night in run.scored.items() if night >= first}
            if run.night < first:
                run.quarantined = set()

    def _check_rows(self) -> None:
        expected = {
            name: (sorted(run.scored), sorted(run.quarantined))
            for name, run in self.runs.items()
            if run.scored or run.quarantined
        }
        rows = self._rows_by_run()
        assert rows == expected, _differences(rows, expected)

    def _check_answers(self) -> None:
        newest: dict[str, Picture] = {}
        for run in sorted(self.runs.values(), key=lambda run: run.order):
            if run.kind == "score":
                newest |= {each[0]: each for each in run.scored}
        with open_session(OUTPUT, "FROM latest_chip_scores, runs, quarantine", "") as (db, _):
            found = db.sql("SELECT chip_uri, etag FROM latest_chip_scores").fetchall()
            wrong = db.sql(_WRONG_COUNTS).fetchall()
        assert {uri: (uri, etag) for uri, etag in found if uri in newest} == newest, "newest"
        assert len({uri for uri, _ in found}) == len(found), "chips are twice in the newest"
        assert not wrong, f"runs have other counts: {wrong}"

    def _rows_by_run(self) -> dict[str, tuple[list[Picture], list[Picture]]]:
        """The pictures of each published run that has rows, from the files."""
        objects = self.bottle.objects()
        published = {
            row["run_id"]
            for row in logs.rows_of(objects, "out/runs")
            if row["status"] == "published"
        }
        found: dict[str, tuple[list[Picture], list[Picture]]] = {}
        for place, table in enumerate(("chip_scores", "quarantine")):
            for row in logs.rows_of(objects, f"out/{table}"):
                if row["run_id"] in published:
                    rows = found.setdefault(row["run_id"], ([], []))
                    rows[place].append((row["chip_uri"], row["etag"]))
        return {name: (sorted(a), sorted(b)) for name, (a, b) in found.items()}

    def _today(self, days: int = 0) -> date:
        return datetime.fromtimestamp(self.now, UTC).date() + timedelta(days=days)

    def _note(self, *what: object) -> None:
        self.log.append(" ".join(map(str, what)))


_WRONG_COUNTS = """SELECT runs.run_id, runs.listed, runs.scored, runs.quarantined FROM runs
WHERE status = 'published' AND listed <> skipped + left_over + scored + quarantined"""


def _differences(found: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    lines = [
        f"{name}: {found.get(name)} instead of {wanted.get(name)}"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]
    return "\n".join(lines)
