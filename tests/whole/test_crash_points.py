"""A command that dies after any of its store operations, or loses an answer, leaves a whole state,
and what docs/operating.md promises finishes it.

`make soak` tries each operation; otherwise some are drawn. The seed is printed; SEED sets it.
"""

import os
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

import pytest

from tests.support.season.bottle import Bottle
from tests.support.season.commands import stand_ins
from tests.support.season.crashes import (
    FATES,
    Rehearsal,
    check_crash,
    check_lost_answer,
    rehearse,
)
from tests.support.season.scenarios import Place, build

_SOAK = os.environ.get("SEASON") == "all"
_SEED = int(os.environ.get("SEED", str(random.randrange(1_000_000))))
_NAMES = ("score", "publish", "rescore", "withdraw", "relabel", "replay", "maintain", "alerts")
_DRAWN = _NAMES if _SOAK else ("publish", random.Random(_SEED).choice(_NAMES))
T = TypeVar("T")


@pytest.fixture(scope="module")
def bottle() -> Iterator[Bottle]:
    with Bottle() as bottle, stand_ins(bottle.env()):
        yield bottle


@pytest.fixture(scope="module")
def place(bottle, tmp_path_factory) -> Place:
    return build(bottle, tmp_path_factory.mktemp("season"))


@pytest.fixture(scope="module", params=_DRAWN)
def rehearsal(request, bottle, place) -> Rehearsal:
    """A scenario that ran to its end."""
    found = rehearse(bottle, place, request.param)
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
    for operations in {*some([0, *rehearsal.points], 3), *some(rehearsal.commits, 2)}:
        check_crash(bottle, rehearsal, operations)


def test_a_command_whose_answers_are_lost_ends_as_if_nothing_had_happened(bottle, rehearsal):
    print(f"SEED={_SEED}")
    writes = [(write, fate) for write in range(1, rehearsal.writes + 1) for fate in FATES]
    for write, fate in some(writes, 3):
        check_lost_answer(bottle, rehearsal, write, fate)
