"""A process holds a limited number of batches of pixels, however many threads read ahead."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.elements import Unit
from pipelines.reading import pixel_budget, reading_ahead
from pipelines.reading.pixel_budget import PixelBudget
from pipelines.reading.reading_ahead import BATCHES_AHEAD, ReadAhead
from tests.support.planned_chips import planned_chips
from tests.support.samples import JPG, write_chips

THREADS = 8


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> PixelBudget:
    """A separate budget: threads of other tests may still hold slots of the shared one."""
    budget = PixelBudget(BATCHES_AHEAD + 1)
    monkeypatch.setattr(reading_ahead, "_budget", budget)
    return budget


@pytest.fixture
def unit(tmp_path: Path) -> Callable[[int], Unit]:
    write_chips(tmp_path, 24)
    chips = planned_chips(tmp_path)
    return lambda number: Unit(number, chips)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts the pixel arrays in this process, read or being read."""
    arrays: list[weakref.ref[Any]] = []
    begin = reading_ahead.begin_batch

    def watched(*arguments: Any) -> Any:
        begun = begin(*arguments)
        arrays.append(weakref.ref(begun.pixels))
        return begun

    monkeypatch.setattr(reading_ahead, "begin_batch", watched)
    return lambda: sum(array() is not None for array in arrays)


def test_many_threads_need_no_more_pixels_than_one_and_lose_no_batch(
    unit: Callable[[int], Unit], alive: Callable[[], int]
) -> None:
    most = []

    def score(number: int) -> list[tuple[int, int]]:
        ahead, found = ReadAhead(JPG, 4), []
        for part in (ahead.read(unit(number)), ahead.drain()):
            for batch in part:
                most.append(alive())
                time.sleep(0.002)
                found.append((batch.unit, batch.chips.num_rows))
                del batch
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(score, range(THREADS)))
    assert found == [[(number, 4)] * 6 for number in range(THREADS)]
    assert 2 <= max(most) <= BATCHES_AHEAD + 1


def test_the_slots_of_a_failed_bundle_are_free_again(
    unit: Callable[[int], Unit], budget: PixelBudget
) -> None:
    for number in range(2 * BATCHES_AHEAD):
        ahead = ReadAhead(JPG, 4)
        batches = ahead.read(unit(number))
        assert next(batches).unit == number
        del ahead, batches
    gc.collect()
    assert len(budget._taken) == 0


def test_a_holder_of_a_slot_lets_waiting_threads_go_first() -> None:
    budget = PixelBudget(2)
    mine, yours = budget.take(patient=True), budget.take(patient=False)
    assert mine is not None
    assert yours is not None
    assert budget.take(patient=False) is None

    waited = []
    waiter = threading.Thread(target=lambda: waited.append(budget.take(patient=True)))
    waiter.start()
    while not budget._waiting:
        time.sleep(0.001)
    budget.give_back(mine)
    assert budget.take(patient=False) is None  # the freed one is the waiter's
    waiter.join(10)
    assert waited[0] is not None


def test_a_slot_that_is_never_returned_does_not_stop_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pixel_budget, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(pixel_budget, "_LOOK_SECONDS", 0.01)
    budget = PixelBudget(1)
    kept = budget.take(patient=True)
    assert budget.take(patient=True) is not None
    assert kept is not None
