"""What a worker with a GPU decides at start-up: chips a call, and whether XLA compiles the model.

Both depend on model and device, so both are tried on the real model. Everything here works on
plain callables and numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.scoring.devices import DeviceOutOfMemory

BATCH_SIZE = 256
"""Chips a call of the model where nothing is tuned: on a CPU, and in small runs."""

TUNED_FROM_CHIPS = 100_000
"""Chips of a run from which on tuning, some ten seconds a worker, is likely to win them back."""

CALLS_IN_FLIGHT = 3
"""Calls of a model at a time on a GPU: one computing, one waiting behind it with its chips on the
device already, one being copied there or back."""

LARGEST_BATCH = 4096  # a unit has no more chips
_PIXELS_BYTES = 32 * 2**20  # of one batch; some seven are held in all
_GAIN = 1.03
_MEMORY_SHARE = 0.8  # the rest is for fragments, and for what libraries take beside TensorFlow
_ROUND_CALLS = 2 * CALLS_IN_FLIGHT
_TRIAL_SECONDS = 0.5

Call = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""`uint8 [n, S, S, bands]` to `float32 [n, labels]`; several threads may call it at a time."""


@dataclass(frozen=True)
class SizeTrial:
    """A batch size, tried.

    Attributes:
        chips_per_s: rate of the model.
        peak_bytes: device memory held at most, weights included.
    """

    chips_per_s: float
    peak_bytes: int


def batch_sizes(chip_bytes: int) -> list[int]:
    """Batch sizes worth trying, doubling from 256, as long as a batch of decoded chips of so many
    bytes stays within 32 MiB of the host's memory and within a unit; at least the first."""
    sizes = [BATCH_SIZE]
    while sizes[-1] < LARGEST_BATCH and 2 * sizes[-1] * chip_bytes <= _PIXELS_BYTES:
        sizes.append(2 * sizes[-1])
    return sizes


def find_batch_size(
    trial: Callable[[int], SizeTrial], sizes: Sequence[int], memory_bytes: int | None
) -> int:
    """The smallest of some growing batch sizes from which the next gains no more than 3 %.

    It ends earlier at a size that does not fit: one of which the peak of the size before, grown in
    proportion (more than it will need, as weights do not grow), says that it needs over 0.8 of
    the device's memory; or, where that is not known, one that fails.

    Args:
        trial: runs the model on so many chips a call; raises DeviceOutOfMemory.
        sizes: ascending; the first is the answer where not even that fits, since batches are
            halved while they are scored.
        memory_bytes: memory that the process may have on the device in all, None if unknown.
    """
    best_size, best = sizes[0], None
    for size in sizes:
        likely_bytes = best.peak_bytes * size // best_size if best else 0
        if memory_bytes is not None and likely_bytes > _MEMORY_SHARE * memory_bytes:
            break
        try:
            found = trial(size)
        except DeviceOutOfMemory:
            break
        if best and not is_faster(found.chips_per_s, best.chips_per_s):
            break
        best_size, best = size, found
    return best_size


def is_faster(chips_per_s: float, than: float) -> bool:
    """Whether a rate is over 3 % higher than another: less may be chance."""
    return chips_per_s > _GAIN * than


def measure_rate(
    call: Call,
    pixels: npt.NDArray[np.uint8],
    calls_at_a_time: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Chips/s of calls on the same batch, as many at a time as the job makes: the best of some
    rounds within half a second, after a first call that traces, compiles and chooses kernels."""
    call(pixels)
    best, ends_at = 0.0, clock() + _TRIAL_SECONDS
    with ThreadPoolExecutor(calls_at_a_time) as pool:
        while not best or clock() < ends_at:
            start = clock()
            list(pool.map(call, [pixels] * _ROUND_CALLS))
            best = max(best, _ROUND_CALLS * len(pixels) / (clock() - start))
    return best


def pad_to(size: int, call: Call, otherwise: Call) -> Call:
    """A call for any number of chips, where `call` takes `size` of them and no others.

    A batch of more than half of them is filled up; what is smaller, or larger, goes to
    `otherwise`, as filling up would more than double its price.
    """

    def score(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        count = len(pixels)
        if count > size or 2 * count <= size:
            return otherwise(pixels)
        if count < size:
            rest = np.zeros((size - count, *pixels.shape[1:]), np.uint8)
            pixels = np.concatenate([pixels, rest])
        return call(pixels)[:count]

    return score
