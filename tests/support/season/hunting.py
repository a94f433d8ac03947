"""What finds a planted bug, as its entry in MUTANTS says."""

from collections.abc import Callable
from contextlib import ExitStack

from tests.support.season.actors import Actor
from tests.support.season.bottle import Bottle
from tests.support.season.crashes import FATES, again, check_crash, check_lost_answer, rehearse
from tests.support.season.mutants import VARIABLE
from tests.support.season.orders import CLIENTS, check_order, serial
from tests.support.season.scenarios import Place

Hunt = Callable[[], None]
"""Called when the bug is there; raises if it finds it."""


def prepare_hunt(
    bottle: Bottle, place: Place, by: tuple[str, ...], bug: str, stack: ExitStack
) -> Hunt:
    """Find out what is right, without the bug.

    Args:
        by: `Mutant.by`.
        bug: for the processes that this starts.
        stack: ends them.
    """
    way, *names = by
    if way == "orders":
        env = {VARIABLE: bug}
        pair = serial(bottle, place, (names[0], names[1]))
        actors = {name: stack.enter_context(Actor({**bottle.env(name), **env})) for name in CLIENTS}

        def every_order() -> None:
            for order in pair.orders():
                check_order(bottle, place, actors, pair, order)

        return every_order
    clean = rehearse(bottle, place, names[0])

    def every_crash() -> None:
        mutated = again(bottle, clean)
        for operations in [*mutated.commits, *mutated.points]:
            check_crash(bottle, mutated, operations)

    def every_answer() -> None:
        for write in range(1, clean.writes + 1):
            for fate in FATES:
                check_lost_answer(bottle, clean, write, fate)

    return every_crash if way == "crash" else every_answer
