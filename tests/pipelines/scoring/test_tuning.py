"""What a worker with a GPU decides at start-up, on simulated devices."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from pipelines.runs.run_plan import UNIT_CHIPS
from pipelines.scoring.devices import DeviceOutOfMemory
from pipelines.scoring.tuning import (
    CALLS_IN_FLIGHT,
    LARGEST_BATCH,
    SizeTrial,
    batch_sizes,
    find_batch_size,
    is_faster,
    measure_rate,
    pad_to,
)

SIZES = [256, 512, 1024, 2048]
MIB = 2**20


class Device:
    """Has a rate for each batch size, and needs memory for weights and for each chip."""

    def __init__(self, rates: list[float], memory: int = 2**60, chip: int = MIB) -> None:
        self._rates = dict(zip(SIZES, rates, strict=False))
        self._memory, self._chip = memory, chip
        self.tried: list[int] = []

    def trial(self, size: int) -> SizeTrial:
        self.tried.append(size)
        peak = 60 * MIB + size * self._chip
        if peak > self._memory:
            raise DeviceOutOfMemory
        return SizeTrial(self._rates[size], peak)


# --- Batch size ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "chosen", "tried"),
    [
        ([1000, 1010], 256, 2),
        ([1000, 1100, 1120], 512, 3),
        ([1000, 1100, 1200, 1300], 2048, 4),
        ([1000, 1100, 900, 9000], 512, 3),
    ],
)
def test_batches_grow_until_the_rate_rises_by_3_percent_at_most(rates, chosen, tried) -> None:
    device = Device(rates)
    assert find_batch_size(device.trial, SIZES, None) == chosen
    assert device.tried == SIZES[:tried]


def test_a_size_that_would_take_over_0_8_of_the_memory_is_not_tried() -> None:
    for memory, chosen in [(3000 * MIB, 2048), (2600 * MIB, 1024), (700 * MIB, 256), (1, 256)]:
        device = Device([1, 2, 3, 4], memory=max(memory, 400 * MIB))
        assert find_batch_size(device.trial, SIZES, memory) == chosen
        assert max(device.tried) == chosen


def test_if_free_memory_is_unknown_a_size_that_fails_ends_the_search() -> None:
    device = Device([1, 2, 3, 4], memory=700 * MIB)
    assert find_batch_size(device.trial, SIZES, None) == 512
    assert device.tried == [256, 512, 1024]


def test_if_not_even_the_first_size_fits_it_is_chosen_and_halved_in_the_run() -> None:
    assert find_batch_size(Device([1, 2], memory=0).trial, SIZES, None) == 256


def test_batches_of_pixels_stay_within_32_mib_and_a_unit() -> None:
    assert batch_sizes(64 * 64 * 3) == [256, 512, 1024, 2048]
    assert batch_sizes(32 * 32 * 3) == [256, 512, 1024, 2048, 4096]
    assert batch_sizes(224 * 224 * 3) == [256]
    assert batch_sizes(10**9) == [256]
    assert LARGEST_BATCH == UNIT_CHIPS


def test_three_percent_may_be_chance() -> None:
    assert is_faster(104, than=100)
    assert not is_faster(103, than=100)


# --- Rates --------------------------------------------------------------------------------------


def test_a_rate_is_that_of_the_best_round_of_calls_without_the_first_call() -> None:
    now, calls = [0.0], []
    lock = threading.Lock()

    def call(pixels):
        with lock:
            calls.append(len(pixels))
            # The first one compiles; of the rounds of six, the first is slower than the others.
            now[0] += 100.0 if len(calls) == 1 else 0.05 if len(calls) <= 7 else 0.025
        return np.zeros((len(pixels), 2), np.float32)

    rate = measure_rate(call, np.zeros((10, 2, 2, 3), np.uint8), 3, clock=lambda: now[0])
    assert rate == pytest.approx(10 / 0.025)
    assert set(calls) == {10}


def test_a_slow_model_is_timed_for_one_round_only() -> None:
    now, calls = [0.0], []

    def call(pixels):
        calls.append(1)
        now[0] += 60.0
        return np.zeros((len(pixels), 2), np.float32)

    rate = measure_rate(call, np.zeros((60, 2, 2, 3), np.uint8), 1, clock=lambda: now[0])
    assert rate == pytest.approx(1.0)
    assert len(calls) == 7


def test_a_rate_is_measured_with_as_many_calls_at_a_time_as_the_job_makes() -> None:
    together, most = [0], [0]
    lock = threading.Lock()

    def call(pixels):
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        time.sleep(0.01)
        with lock:
            together[0] -= 1
        return np.zeros((len(pixels), 2), np.float32)

    measure_rate(call, np.zeros((1, 2, 2, 3), np.uint8), CALLS_IN_FLIGHT)
    assert most[0] == CALLS_IN_FLIGHT


# --- Padding ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "padded", "plain"),
    [(8, [8], []), (7, [8], []), (5, [8], []), (4, [], [4]), (1, [], [1]), (9, [], [9])],
)
def test_a_batch_more_than_half_full_is_padded_and_keeps_its_scores(count, padded, plain) -> None:
    sizes: dict[str, list[int]] = {"padded": [], "plain": []}

    def scoring(name):
        def call(pixels):
            sizes[name].append(len(pixels))
            return pixels[:, 0, 0, :2].astype(np.float32)

        return call

    pixels = np.random.default_rng(0).integers(1, 256, (count, 2, 2, 3), np.uint8)
    scores = pad_to(8, scoring("padded"), scoring("plain"))(pixels)
    assert np.array_equal(scores, pixels[:, 0, 0, :2])
    assert sizes == {"padded": padded, "plain": plain}
