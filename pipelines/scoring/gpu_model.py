"""A model on a GPU: copies overlap with computing, batch size and XLA are chosen by trying."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.scoring import tuning
from pipelines.scoring.devices import DeviceOutOfMemory, Gpu, translating_memory_errors
from pipelines.scoring.tuning import CALLS_IN_FLIGHT, Call, SizeTrial

Compile = Callable[[int | None], Any]
"""Returns the model as a TensorFlow function: for any number of chips (None), or compiled by XLA
for exactly that number."""

_log = logging.getLogger(__name__)


def on_gpu(
    gpu: Gpu,
    compiled: Compile,
    chip_shape: tuple[int, int, int],
    batch_size: int | None,
    tune: bool,
) -> tuple[Call, int, bool]:
    """Make a model ready to score on a GPU.

    With `tune`, growing batches of random chips are scored until the rate stops growing, or the
    memory of the device or the host's share for pixels is used up (`tuning.find_batch_size`). Then
    XLA compiles the model for that size, and is used if it is faster (`tuning.is_faster`). Without
    `tune`, the batch size is `tuning.BATCH_SIZE`.

    Args:
        gpu: the device.
        compiled: returns the model's functions.
        chip_shape: side, side, bands.
        batch_size: chips per call; None to choose it.
        tune: whether trying sizes is worth the time.

    Returns:
        Any number of chips to their scores, for several threads at once (raises DeviceOutOfMemory);
        the best number of chips per call; whether XLA compiled the model for that number.
    """
    enqueuing = Lock()
    plain = _call(compiled(None), gpu, enqueuing)
    if not tune:
        return plain, batch_size or tuning.BATCH_SIZE, False
    size = batch_size or _find_batch_size(gpu, plain, chip_shape)
    fixed = _call(compiled(size), gpu, enqueuing)
    xla = _wins(fixed, plain, _chips(size, chip_shape))
    call = tuning.pad_to(size, fixed, otherwise=plain) if xla else plain
    _log.info("%s: %d chips per call, %s XLA", gpu.name, size, "with" if xla else "without")
    return call, size, xla


def _call(function: Any, gpu: Gpu, enqueuing: Lock) -> Call:
    """Calls that overlap if several threads make them: while one batch is computed, the next is
    copied to the device, and the scores of the previous one are copied back.

    A copy starts after everything that is enqueued when it is requested (TensorFlow must know that
    the memory is free). So it overlaps only if it is requested before the previous batch is
    enqueued. That is why there are threads: they wait in the copy and not in the computation.
    `enqueuing` keeps the steps of two batches apart, which would otherwise use the memory of both.
    """

    def score(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        import tensorflow as tf

        with translating_memory_errors(len(pixels)):
            with tf.device("CPU:0"):
                here = tf.constant(pixels)
            with tf.device(gpu.device):
                there = tf.identity(here)
                with enqueuing:
                    scores = function(there)
            found: npt.NDArray[np.float32] = scores.numpy()
        return found

    return score


def _find_batch_size(gpu: Gpu, call: Call, chip_shape: tuple[int, int, int]) -> int:
    def trial(size: int) -> SizeTrial:
        gpu.forget_peak()
        rate = tuning.measure_rate(call, _chips(size, chip_shape), CALLS_IN_FLIGHT)
        _log.info("%s: %d chips per call, %.0f chips/s", gpu.name, size, rate)
        return SizeTrial(rate, gpu.peak_bytes())

    sizes = tuning.batch_sizes(int(np.prod(chip_shape)))
    return tuning.find_batch_size(trial, sizes, gpu.memory_bytes())


def _wins(fixed: Call, plain: Call, pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether XLA's function is faster; no if it cannot be compiled or does not fit in memory."""
    import tensorflow as tf

    try:
        rates = [tuning.measure_rate(call, pixels, CALLS_IN_FLIGHT) for call in (plain, fixed)]
    except (DeviceOutOfMemory, tf.errors.OpError) as error:
        _log.warning("XLA is not used: %s", str(error).splitlines()[0])
        return False
    _log.info("%.0f chips/s without XLA, %.0f with it", *rates)
    return tuning.is_faster(rates[1], than=rates[0])


def _chips(count: int, chip_shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Random chips: zeros need less power, so a device would run faster on them."""
    return np.random.default_rng(0).integers(0, 256, (count, *chip_shape), np.uint8)
