"""The GPU of a worker: what it can do and how much memory it has for a model.

Nothing here needs the tool `nvidia-smi`: TensorFlow reports the device and its own use of memory,
and the driver's library reports the free memory.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

_RETRY_SECONDS = 300.0
_MIB = 2**20


class DeviceOutOfMemory(Exception):
    """The device has no memory for a batch; a smaller one may fit."""


@dataclass(frozen=True)
class Gpu:
    """The first GPU that TensorFlow sees, the only one that a process uses.

    Attributes:
        device: TensorFlow's name for it.
        name: the vendor's name for it.
        compute_capability: major and minor number, None if the driver does not say.
    """

    device: str
    name: str
    compute_capability: tuple[int, int] | None

    def memory_bytes(self) -> int | None:
        """Device memory that this process may use, including what it already uses; None if unknown,
        or if all of it is taken at the start."""
        import tensorflow as tf

        gpu = tf.config.list_physical_devices("GPU")[0]
        if limits := tf.config.get_logical_device_configuration(gpu):
            return int(limits[0].memory_limit) * _MIB
        free = driver_free_bytes()
        if free is None or not tf.config.experimental.get_memory_growth(gpu):
            return None
        return free + int(tf.config.experimental.get_memory_info(self.device)["current"])

    def forget_peak(self) -> None:
        """Reset the peak of memory use."""
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats(self.device)

    def peak_bytes(self) -> int:
        """Most device memory that TensorFlow used since `forget_peak`."""
        import tensorflow as tf

        return int(tf.config.experimental.get_memory_info(self.device)["peak"])


def find_gpu() -> Gpu | None:
    """The GPU that this process computes on, taking memory as it needs it; None without one."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        if not tf.config.get_logical_device_configuration(gpu):
            with suppress(RuntimeError):  # in use already: it stays as it is
                tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return None
    details = tf.config.experimental.get_device_details(gpus[0])
    return Gpu("GPU:0", details.get("device_name", "GPU"), details.get("compute_capability"))


def has_gpu(load: Callable[[str], Any] = ctypes.CDLL) -> bool:
    """Whether the CUDA driver has a device for this process; asked without TensorFlow, whose import
    takes seconds. Source: CUDA Driver API, `cuDeviceGetCount`."""
    try:
        cuda = load("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return not cuda.cuInit(0) and not cuda.cuDeviceGetCount(ctypes.byref(count)) and count.value > 0


def driver_free_bytes(load: Callable[[str], Any] = ctypes.CDLL) -> int | None:
    """Free memory of the first CUDA device, as the driver counts; None without a CUDA driver.

    Source: CUDA Driver API, `cuMemGetInfo`, in the device's primary context, which TensorFlow
    uses too.
    """
    try:
        cuda = load("libcuda.so.1")
    except OSError:
        return None
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        return _free_in_context(cuda, context)
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)


def _free_in_context(cuda: Any, context: ctypes.c_void_p) -> int | None:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if cuda.cuCtxPushCurrent_v2(context):
        return None
    failed = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    return None if failed else free.value


@contextmanager
def translating_memory_errors(chips: int) -> Iterator[None]:
    """Turn TensorFlow's errors for missing memory into one error.

    Its allocators raise ResourceExhausted; libraries below it fail with the driver's code in an
    internal error.

    Raises:
        DeviceOutOfMemory: no memory for `chips` chips at once.
    """
    import tensorflow as tf

    try:
        yield
    except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
        if isinstance(error, tf.errors.InternalError) and "OUT_OF_MEMORY" not in str(error):
            raise
        raise DeviceOutOfMemory(f"no memory for {chips} chips at once") from error


class MemoryLimit:
    """Remembers the number of chips for which the device had no memory.

    Each failed try costs ten seconds, in which TensorFlow waits for free memory. So a size that
    failed is not tried again for five minutes: then another process may have released its memory.
    A single chip is always tried.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed = 0
        self._until = 0.0

    def allows(self, chips: int) -> bool:
        """Whether it makes sense to try that many chips at once."""
        return chips == 1 or chips < self._failed or self._clock() >= self._until

    def lower(self, chips: int) -> None:
        """Remember that this number of chips did not fit."""
        now = self._clock()
        self._failed = min(self._failed, chips) if now < self._until else chips
        self._until = now + _RETRY_SECONDS
