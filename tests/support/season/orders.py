"""Two commands at once, in every order of their commits that switches between them a few times.

The server holds each commit until it is that client's turn. Whatever the order, once both were
called again the OUTPUT must be as if one had run after the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.support.season import seen
from tests.support.season.actors import Actor
from tests.support.season.bottle import OUTPUT, Bottle
from tests.support.season.commands import Outcome, call
from tests.support.season.crashes import check_alerts, finish
from tests.support.season.objects import is_commit
from tests.support.season.scenarios import Place, begin
from tests.support.season.seen import QUERIES, Seen

CLIENTS = ("A", "B")
_PATIENCE_S = 0.05
_MOST_TURNS = 200
_REFUSED = (
    "was faster",
    "was replaced or withdrawn meanwhile",
    "were relabelled by",
    "nothing is staged",
)
"""What a command says that another one has rightly kept from its work."""

PUBLISHED = tuple(name for name in QUERIES if name not in ("alerts", "sites", "alert_changes"))


@dataclass(frozen=True)
class Pair:
    """Two scenarios, and what is right if they run one after the other.

    Attributes:
        serial: the ends of the two orders.
        commits: how often each of them commits, if it is the first.
    """

    names: tuple[str, str]
    serial: tuple[Seen, ...]
    commits: tuple[int, int]

    def orders(self) -> Iterator[tuple[str, ...]]:
        """Who commits, turn by turn; the last one named goes on to its end, then the other.

        One switch at every place, each of the two being the first.
        """
        for first, commits in zip(CLIENTS, self.commits, strict=True):
            second = CLIENTS[1 - CLIENTS.index(first)]
            for before in range(commits + 1):
                yield (first,) * before + (second,)


def serial(bottle: Bottle, place: Place, names: tuple[str, str]) -> Pair:
    """Run a pair in its two orders."""
    ends, commits = [], []
    for order in (names, names[::-1]):
        _begin(bottle, place, names, order[0])
        commits.append(sum(is_commit(done.key) and bool(done.change) for done in bottle.journal()))
        _any(place.scenarios()[order[1]].flags)
        ends.append(end(bottle, place, names))
    return Pair(names, tuple(ends), (commits[0], commits[1]))


def _begin(bottle: Bottle, place: Place, names: Sequence[str], first: str) -> None:
    """Call the first of a pair."""
    scenarios = place.scenarios()
    begin(bottle, *(scenarios[name] for name in names))
    bottle.begin()
    _any(scenarios[first].flags)


def end(bottle: Bottle, place: Place, names: Sequence[str]) -> Seen:
    """Call both again, then tidy up; returns what readers see in the end. A staged run that was
    refused is finished by the command that has staged it."""
    for name in names:
        scenario = place.scenarios()[name]
        _any(scenario.prepare or scenario.flags)
    seen.check_rows(bottle.objects())
    return finish(bottle)


def _any(flags: Sequence[object]) -> None:
    """Call a command that may be refused: it depends on the order."""
    name, *arguments = flags
    outcome = call(str(name), "--output", OUTPUT, *arguments)
    assert outcome.code in (0, 2) or _is_refused(outcome), outcome


def _is_refused(outcome: Outcome) -> bool:
    """Whether another command has rightly kept it from its work."""
    return any(words in outcome[1] for words in _REFUSED)


def check_order(
    bottle: Bottle,
    place: Place,
    actors: Mapping[str, Actor],
    pair: Pair,
    order: Sequence[str],
    with_alerts: bool = False,
) -> None:
    """Run a pair in an order of commits."""
    scenarios = place.scenarios()
    begin(bottle, *(scenarios[name] for name in pair.names))
    bottle.begin()
    flags = [scenarios[name].flags for name in pair.names]
    outcomes, turns = interleave(bottle, actors, dict(zip(CLIENTS, flags, strict=True)), order)
    what = f"{pair.names} in the order {turns}"
    for outcome in outcomes.values():
        assert outcome.code == 0 or _is_refused(outcome), f"{what}: {outcome}"
    try:
        found = end(bottle, place, pair.names)
        if with_alerts:
            check_alerts(bottle)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}\n{outcomes}") from error
    if any(_same(found, wanted) for wanted in pair.serial):
        return
    allowed = [*pair.serial]
    for client, other in zip(CLIENTS, pair.names[::-1], strict=True):
        if _is_refused(outcomes[client]):  # it has run only after the other one
            _begin(bottle, place, pair.names, other)
            allowed.append(end(bottle, place, pair.names))
    if not any(_same(found, wanted) for wanted in allowed):
        texts = [
            seen.difference(name, found, wanted)
            for wanted in allowed
            for name in PUBLISHED
            if found[name] != wanted[name]
        ]
        raise AssertionError(f"{what} is no order of the two:\n" + "\n".join(texts))


def _same(found: Seen, wanted: Seen) -> bool:
    return all(found[name] == wanted[name] for name in PUBLISHED)


def interleave(
    bottle: Bottle,
    actors: Mapping[str, Actor],
    flags: Mapping[str, Sequence[object]],
    order: Sequence[str],
    at: Mapping[str, float] | None = None,
) -> tuple[dict[str, Outcome], str]:
    """Run commands at once, and let them commit in this order, each with a clock of its own;
    returns how they ended, and the turns that were taken."""
    turns, planned = "", list(order)
    bottle.hold(*flags)
    for client, (name, *arguments) in flags.items():
        actors[client].start([name, "--output", OUTPUT, *arguments], (at or {}).get(client))
    while running := {client for client in flags if not actors[client].is_done}:
        waiting = bottle.settled(running, _PATIENCE_S)
        if not running <= waiting.keys():
            continue
        wanted = planned.pop(0) if len(planned) > 1 else planned[0]
        client = wanted if wanted in running else running.pop()
        turns += client
        assert len(turns) < _MOST_TURNS, f"no end: {turns}"
        bottle.release(client)
    bottle.hold()
    return {client: actors[client].finish() for client in flags}, turns
