"""What is known of a GPU's memory: from a fake driver, and from failures."""

from __future__ import annotations

import pytest

from pipelines.scoring.devices import (
    DeviceOutOfMemory,
    MemoryLimit,
    driver_free_bytes,
    translating_memory_errors,
)
from schemas.precision import gpu_precision

# --- The driver ---------------------------------------------------------------------------------


class Driver:
    """The functions of libcuda that are called; `fails` names the one that fails."""

    def __init__(self, fails: str = "") -> None:
        self._fails = fails
        self.pushed: list[int] = []
        self.released = False

    def _code(self, name: str) -> int:
        return 100 if name == self._fails else 0

    def cuInit(self, flags):
        return self._code("cuInit")

    def cuDeviceGet(self, device, ordinal):
        device._obj.value = ordinal
        return self._code("cuDeviceGet")

    def cuDevicePrimaryCtxRetain(self, context, device):
        context._obj.value = 77
        return self._code("cuDevicePrimaryCtxRetain")

    def cuCtxPushCurrent_v2(self, context):
        if not self._code("cuCtxPushCurrent_v2"):
            self.pushed.append(context.value)
        return self._code("cuCtxPushCurrent_v2")

    def cuMemGetInfo_v2(self, free, total):
        free._obj.value, total._obj.value = 15_000_000_000, 16_000_000_000
        return self._code("cuMemGetInfo_v2")

    def cuCtxPopCurrent_v2(self, context):
        self.pushed.pop()
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, device):
        self.released = True
        return 0


def test_the_driver_reports_free_memory_in_the_context_that_tensorflow_uses() -> None:
    driver = Driver()
    assert driver_free_bytes(lambda name: driver) == 15_000_000_000
    assert driver.released
    assert driver.pushed == []


@pytest.mark.parametrize(
    "fails",
    [
        "cuInit",
        "cuDeviceGet",
        "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2",
        "cuMemGetInfo_v2",
    ],
)
def test_a_driver_that_fails_leaves_the_free_memory_unknown_and_the_context_as_it_was(
    fails,
) -> None:
    driver = Driver(fails)
    assert driver_free_bytes(lambda name: driver) is None
    assert driver.pushed == []


def test_without_a_driver_the_free_memory_is_unknown() -> None:
    def load(name):
        raise OSError(f"{name}: cannot open shared object file")

    assert driver_free_bytes(load) is None


# --- Failures -----------------------------------------------------------------------------------


def test_all_out_of_memory_errors_of_tensorflow_become_one_error() -> None:
    from tensorflow import errors

    for error in [
        errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ]:
        with (
            pytest.raises(DeviceOutOfMemory, match="for 512 chips"),
            translating_memory_errors(512),
        ):
            raise error


def test_other_errors_are_not_translated() -> None:
    from tensorflow import errors

    with pytest.raises(errors.InternalError, match="illegal address"), translating_memory_errors(8):
        raise errors.InternalError(None, None, "CUDA_ERROR_ILLEGAL_ADDRESS: illegal address")
    with pytest.raises(errors.InvalidArgumentError), translating_memory_errors(8):
        raise errors.InvalidArgumentError(None, None, "wrong shape")


def test_a_size_that_did_not_fit_is_not_tried_again_for_five_minutes() -> None:
    now = [1000.0]
    limit = MemoryLimit(lambda: now[0])
    assert limit.allows(10**9)
    limit.lower(1024)
    limit.lower(512)
    assert [limit.allows(count) for count in (256, 511, 512, 1024)] == [True, True, False, False]
    now[0] += 299
    assert not limit.allows(512)
    now[0] += 1
    assert limit.allows(1024)


def test_after_five_minutes_a_new_limit_is_found() -> None:
    now = [0.0]
    limit = MemoryLimit(lambda: now[0])
    limit.lower(4)
    now[0] += 300
    limit.lower(1024)
    assert limit.allows(512)


def test_a_single_chip_is_always_tried() -> None:
    limit = MemoryLimit(lambda: 0.0)
    limit.lower(1)
    assert limit.allows(1)
    assert not limit.allows(2)


# --- Precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((9, 0), "bfloat16"),
        ((8, 0), "bfloat16"),
        ((10, 0), "bfloat16"),
        ((7, 5), "float16"),
        ((7, 0), "float16"),
        ((6, 1), "float32"),
        (None, "float32"),
    ],
)
def test_a_gpu_computes_in_a_precision_of_its_tensor_cores(capability, precision) -> None:
    assert gpu_precision(capability) == precision
