"""What finds a planted bug, as its entry in MUTANTS says."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache

from tests.support.season.actors import Actor
from tests.support.season.bottle import Bottle
from tests.support.season.crashes import FATES, again, check_crash, check_lost_answer, rehearse
from tests.support.season.mutants import VARIABLE
from tests.support.season.orders import CLIENTS, check_order, serial
from tests.support.season.scenarios import Place

Hunt = Callable[[], None]
"""Called when the bug is there; raises if it finds it."""


class Clean:
    """What is right: scenarios and pairs without a bug, each run once."""

    def __init__(self, bottle: Bottle, place: Place) -> None:
        self.bottle, self.place = bottle, place
        self.rehearsal = cache(lambda name: rehearse(bottle, place, name))
        self.pair = cache(lambda names: serial(bottle, place, names))


def prepare_hunt(clean: Clean, by: tuple[str, ...], bug: str, stack: ExitStack) -> Hunt:
    """Find out what is right, without the bug.

    Args:
        by: `Mutant.by`.
        bug: for the processes that this starts.
        stack: ends them.
    """
    bottle = clean.bottle
    way, *names = by
    if way == "orders":
        env = {VARIABLE: bug}
        pair = clean.pair((names[0], names[1]))
        actors = {name: stack.enter_context(Actor({**bottle.env(name), **env})) for name in CLIENTS}

        def every_order() -> None:
            for order in pair.orders():
                check_order(bottle, clean.place, actors, pair, order)

        return every_order
    rehearsal = clean.rehearsal(names[0])

    def every_crash() -> None:
        mutated = again(bottle, rehearsal)
        for operations in [*mutated.commits, *mutated.points]:
            check_crash(bottle, mutated, operations)

    def every_answer() -> None:
        for write in range(1, rehearsal.writes + 1):
            for fate in FATES:
                check_lost_answer(bottle, rehearsal, write, fate)

    return every_crash if way == "crash" else every_answer
