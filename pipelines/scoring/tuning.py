"""What a worker with a GPU decides at start-up: chips per call, and whether to use XLA.

Both depend on model and device, so both are tried with the real model. Everything here works
with plain callables and numbers.
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
"""Chips per call of the model without tuning: on a CPU, and in small runs."""

TUNED_FROM_CHIPS = 100_000
"""Number of chips in a run from which tuning (some ten seconds per worker) is likely to pay."""

CALLS_IN_FLIGHT = 3
"""Concurrent calls of a model on a GPU: one is computed, one waits with its chips on the device,
one is copied to or from it."""

LARGEST_BATCH = 4096  # a unit has no more chips
_PIXELS_BYTES = 32 * 2**20  # of one batch; about seven are in memory at once
_GAIN = 1.03
_MEMORY_SHARE = 0.8  # the rest is for fragmentation and other libraries
_ROUND_CALLS = 2 * CALLS_IN_FLIGHT
_TRIAL_SECONDS = 0.5

Call = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""`uint8 [n, S, S, bands]` to `float32 [n, labels]`; several threads may call it at once."""


@dataclass(frozen=True)
class SizeTrial:
    """The result of trying a batch size.

    Attributes:
        chips_per_s: rate of the model.
        peak_bytes: most device memory used, weights included.
    """

    chips_per_s: float
    peak_bytes: int


def batch_sizes(chip_bytes: int) -> list[int]:
    """Batch sizes to try: 256, then doubling while a batch of decoded chips of `chip_bytes` bytes
    fits in 32 MiB of the host's memory and in a unit."""
    sizes = [BATCH_SIZE]
    while sizes[-1] < LARGEST_BATCH and 2 * sizes[-1] * chip_bytes <= _PIXELS_BYTES:
        sizes.append(2 * sizes[-1])
    return sizes


def find_batch_size(
    trial: Callable[[int], SizeTrial], sizes: Sequence[int], memory_bytes: int | None
) -> int:
    """The first of some ascending batch sizes after which the next is at most 3 % faster.

    It stops earlier at a size that does not fit: the peak of the previous size, scaled up (too
    much, as weights do not grow), is over 0.8 of the device's memory; or, if that is unknown, the
    trial fails.

    Args:
        trial: runs the model with that many chips per call; raises DeviceOutOfMemory.
        sizes: ascending; if not even the first fits, it is returned anyway: batches are halved
            while they are scored.
        memory_bytes: memory that the process may use on the device, None if unknown.
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
    """Whether a rate is more than 3 % higher than another: less may be chance."""
    return chips_per_s > _GAIN * than


def measure_rate(
    call: Call,
    pixels: npt.NDArray[np.uint8],
    calls_at_a_time: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Chips/s of repeated calls with one batch, `calls_at_a_time` at once: the best round of half a
    second, after a first call that traces, compiles and chooses kernels."""
    call(pixels)
    best, ends_at = 0.0, clock() + _TRIAL_SECONDS
    with ThreadPoolExecutor(calls_at_a_time) as pool:
        while not best or clock() < ends_at:
            start = clock()
            list(pool.map(call, [pixels] * _ROUND_CALLS))
            best = max(best, _ROUND_CALLS * len(pixels) / (clock() - start))
    return best


def pad_to(size: int, call: Call, otherwise: Call) -> Call:
    """A call for any number of chips, built from `call`, which takes exactly `size` chips.

    A batch of more than half of `size` is padded. Smaller and larger batches go to `otherwise`:
    padding would more than double the cost of a smaller one.
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
