"""Whatever moment a command dies at, whoever commits in between, whatever a year brings: the tables
are whole, and what docs/operating.md promises finishes what was begun.

`make soak` tries every store operation, every pair of commands and three years, from a seed that it
prints and SEED sets; otherwise some are tried, the same ones each time.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from itertools import combinations_with_replacement
from typing import TypeVar

import pytest

from tests.support.season.actors import Actor
from tests.support.season.bottle import Bottle
from tests.support.season.commands import stand_ins
from tests.support.season.crashes import (
    FATES,
    Rehearsal,
    check_crash,
    check_lost_answer,
)
from tests.support.season.hunting import Clean, prepare_hunt
from tests.support.season.mutants import MUTANTS, planted
from tests.support.season.orders import CLIENTS, check_order
from tests.support.season.scenarios import NAMES, Place, build
from tests.support.season.year import Year

_SOAK = os.environ.get("SEASON") == "all"
_DRAWN = random.randrange(1_000_000) if _SOAK else 1
_SEED = int(os.environ.get("SEED", str(_DRAWN)))
_PAIRS = [("score", "rival"), *combinations_with_replacement(NAMES, 2)]
_USUAL_PAIRS = [("score", "rival"), ("score", "withdraw"), ("relabel", "withdraw")]
_CHEAP_MUTANTS = [name for name, mutant in MUTANTS.items() if mutant.by == ("crash", "publish")]
_YEARS, _NIGHTS = 3, 365
T = TypeVar("T")


@pytest.fixture(scope="module")
def bottle() -> Iterator[Bottle]:
    with Bottle() as bottle, stand_ins(bottle.env()):
        yield bottle


@pytest.fixture(scope="module")
def place(bottle, tmp_path_factory) -> Place:
    return build(bottle, tmp_path_factory.mktemp("season"))


@pytest.fixture(scope="module")
def actors(bottle) -> Iterator[Callable[[], Mapping[str, Actor]]]:
    """Starts them when they are needed."""
    with ExitStack() as stack:

        @cache
        def start() -> Mapping[str, Actor]:
            return {name: stack.enter_context(Actor(bottle.env(name))) for name in CLIENTS}

        yield start


@pytest.fixture(scope="module")
def clean(bottle, place) -> Clean:
    return Clean(bottle, place)


@pytest.fixture(scope="module", params=NAMES if _SOAK else ("publish", "drawn"))
def rehearsal(request, clean) -> Rehearsal:
    """A scenario that ran to its end."""
    drawn = random.Random(_SEED).choice(NAMES)
    found: Rehearsal = clean.rehearsal(drawn if request.param == "drawn" else request.param)
    operations, points, commits = map(len, (found.journal, found.points, found.commits))
    print(f"{found.name}: {operations} operations, {points} change something, {commits} commit")
    return found


def some(numbers: Sequence[T], count: int) -> Sequence[T]:
    """All of them in `make soak`, else a few."""
    if _SOAK:
        return numbers
    return random.Random(_SEED).sample(numbers, min(count, len(numbers)))


def test_a_command_that_dies_after_any_operation_is_finished_by_what_the_docs_promise(
    bottle, rehearsal
):
    print(f"SEED={_SEED}")
    for operations in {*some([0, *rehearsal.points], 2), *some(rehearsal.commits, 1)}:
        check_crash(bottle, rehearsal, operations)


def test_a_command_whose_answers_are_lost_ends_as_if_nothing_had_happened(bottle, rehearsal):
    print(f"SEED={_SEED}")
    writes = [(write, fate) for write in range(1, rehearsal.writes + 1) for fate in FATES]
    for write, fate in some(writes, 2):
        check_lost_answer(bottle, rehearsal, write, fate)


@pytest.mark.parametrize("names", _PAIRS if _SOAK else [None])
def test_two_commands_at_once_end_as_one_after_the_other(bottle, place, clean, actors, names):
    names = names or random.Random(_SEED).choice(_USUAL_PAIRS)
    pair = clean.pair(names)
    orders = list(pair.orders())
    print(f"SEED={_SEED}, {names}: {pair.commits} commits, {len(orders)} orders")
    for order in some(orders, 1):
        check_order(bottle, place, actors(), pair, order)


@pytest.mark.parametrize("name", MUTANTS if _SOAK else [None])
def test_a_bug_that_is_planted_in_the_commit_path_is_found(clean, name):
    name = name or random.Random(_SEED).choice(_CHEAP_MUTANTS)
    print(f"SEED={_SEED}, {name}")
    with ExitStack() as stack:
        hunt = prepare_hunt(clean, MUTANTS[name].by, name, stack)
        with planted(name), pytest.raises((AssertionError, RuntimeError, LookupError)) as found:
            hunt()
    print(str(found.value)[:200])


@pytest.mark.parametrize("name", MUTANTS)
def test_every_bug_can_be_planted_in_the_code_as_it_is(name):
    with planted(name):
        pass


@pytest.mark.skipif(_SOAK, reason="years are lived instead")
def test_some_nights_of_a_year_end_with_the_rows_that_a_model_of_the_archive_expects(
    bottle, place, actors
):
    bottle.empty()
    for _ in Year(bottle, actors, place.folder, _SEED, 4).live():
        pass


@pytest.mark.skipif(not _SOAK, reason="part of make soak")
def test_every_night_of_some_years_ends_with_the_rows_that_a_model_expects(place):
    def live(seed: int) -> str:
        command = [sys.executable, "-m", "tests.support.season.live", str(place.folder)]
        done = subprocess.run([*command, str(seed), str(_NIGHTS)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
        return done.stdout

    with ThreadPoolExecutor(_YEARS) as pool:
        for said in pool.map(live, range(_SEED, _SEED + _YEARS)):
            print(said.splitlines()[-1])
