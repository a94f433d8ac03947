"""A command is stopped after each of its operations, or loses an answer; then what the docs promise
is done, and everything must be as if nothing had happened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.support.season import logs, seen
from tests.support.season.bottle import OUTPUT, Bottle
from tests.support.season.objects import READS, Operation, is_commit
from tests.support.season.scenarios import ALERTS, Place, Scenario, begin, do
from tests.support.season.seen import Seen

FATES = ("lost", "failed")
"""What happens to the answer of an operation that was done."""


@dataclass(frozen=True)
class Rehearsal:
    """A scenario without a crash.

    Attributes:
        before, after: what readers see before the command and after it.
        finished: what they see after `maintain`.
        journal: the operations of the command.
        record: under which the bottle remembers them.
    """

    name: str
    record: str
    scenario: Scenario
    before: Seen
    after: Seen
    finished: Seen
    journal: list[Operation]

    @property
    def points(self) -> list[int]:
        """Numbers of the operations that change something: a crash after any other operation
        leaves what a crash after the last of these leaves."""
        return [number for number, done in enumerate(self.journal, 1) if done.change]

    @property
    def commits(self) -> list[int]:
        """Those that commit."""
        return [number for number in self.points if is_commit(self.journal[number - 1].key)]

    @property
    def writes(self) -> int:
        """How many requests write; those that delete several objects count for each."""
        return sum(done.method not in READS for done in self.journal)


def rehearse(bottle: Bottle, place: Place, name: str) -> Rehearsal:
    """Run a scenario to its end."""
    scenario = place.scenarios()[name]
    begin(bottle, scenario)
    bottle.save(f"start of {name}")
    before = seen.look(OUTPUT)
    bottle.begin()
    do(scenario.flags)
    journal = bottle.record(name)
    after = seen.look(OUTPUT)
    finished = finish(bottle)
    check_alerts(bottle)
    return Rehearsal(name, name, scenario, before, after, finished, journal)


def check_crash(bottle: Bottle, rehearsal: Rehearsal, operations: int) -> None:
    """Readers see the old state or the new one; the recovery ends in the new one."""
    with explained(f"{rehearsal.name}, a crash after operation {operations}", rehearsal.journal):
        bottle.crash(rehearsal.record, operations)
        found = seen.look(OUTPUT)
        scenario = rehearsal.scenario
        states = found, rehearsal.before, rehearsal.after
        seen.check_between(*states, scenario.together, scenario.replaced)
        do(scenario.recovery)
        seen.check_same(finish(bottle), rehearsal.finished)


def check_lost_answer(bottle: Bottle, rehearsal: Rehearsal, write: int, fate: str) -> None:
    """The command goes on as if the answer had come."""
    with explained(f"{rehearsal.name}, the answer to write {write} {fate}", rehearsal.journal):
        bottle.load(f"start of {rehearsal.name}")
        bottle.fail(write, fate)
        do(rehearsal.scenario.flags)
        seen.check_same(seen.look(OUTPUT), rehearsal.after)
        seen.check_rows(bottle.objects())


def again(bottle: Bottle, rehearsal: Rehearsal) -> Rehearsal:
    """The same scenario once more, which must end as the rehearsal did."""
    bottle.load(f"start of {rehearsal.name}")
    do(rehearsal.scenario.flags)
    journal = bottle.record("again")
    seen.check_same(seen.look(OUTPUT), rehearsal.after)
    return replace(rehearsal, record="again", journal=journal)


def finish(bottle: Bottle) -> Seen:
    """Tidy up, days later; returns what readers see."""
    bottle.age()
    do(("maintain", "--vacuum_hours", 24))
    objects = bottle.objects()
    assert not (left := logs.orphans(objects)), f"nothing needs these, and they stay: {left}"
    seen.check_rows(objects)
    return seen.look(OUTPUT)


def check_alerts(bottle: Bottle) -> None:
    """The tables of alerts, updated, are those that are made from nothing but what is published."""
    do(ALERTS)
    updated = seen.look(OUTPUT)
    for key in bottle.objects():
        if key.startswith(("out/alerts/", "out/sites/")):
            bottle.delete(key)
    do(ALERTS)
    seen.check_same(seen.look(OUTPUT), updated)


@contextmanager
def explained(what: str, journal: list[Operation]) -> Iterator[None]:
    """Name the moment in an error, with the operations that write."""
    try:
        yield
    except Exception as error:
        writes = [
            f"{number} {done.method} {done.key}"
            for number, done in enumerate(journal, 1)
            if done.change
        ]
        raise AssertionError(f"{what}: {error}\n" + "\n".join(writes)) from error
