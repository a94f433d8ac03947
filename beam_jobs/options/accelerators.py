"""GPUs that Dataflow attaches to workers: the machines for each, and how a job asks for one.

Source: Google's pages "Dataflow support for GPUs" and "GPU machine types" (2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.errors import UsageError

SERVICE_OPTION = "worker_accelerator="
_DRIVER = "install-nvidia-driver"
_DRIVER_BRANCH = f"{_DRIVER}:5xx"  # the newest: TensorFlow's CUDA 12 needs 525 or later


@dataclass(frozen=True)
class GpuType:
    """A type of GPU.

    Attributes:
        name: as Compute Engine calls it.
        machine_type: a machine with one of them, and with enough processors to decode for it.
        machines: pattern of the machine types that can have exactly one of them.
    """

    name: str
    machine_type: str
    machines: str

    def service_option(self) -> str:
        """The option that asks Dataflow for one of these on every worker, with its driver."""
        return f"{SERVICE_OPTION}type:{self.name};count:1;{_DRIVER_BRANCH}"

    def check_machine(self, machine_type: str) -> None:
        """Refuse a machine that cannot have exactly one of these.

        Raises:
            UsageError: names a machine type that can.
        """
        if not re.fullmatch(self.machines, machine_type):
            raise UsageError(
                f"--worker_machine_type {machine_type} cannot have exactly one {self.name}, "
                f"which is what a worker uses: use {self.machine_type}, or leave it out"
            )


_N1 = r"n1-(standard|highmem|highcpu)-\d+|custom-\d+-\d+|n1-custom-\d+-\d+(-ext)?"
GPU_TYPES = {
    gpu.name: gpu
    for gpu in (
        GpuType("nvidia-tesla-p4", "n1-standard-4", _N1),
        GpuType("nvidia-tesla-p100", "n1-standard-8", _N1),
        GpuType("nvidia-tesla-v100", "n1-standard-8", _N1),
        GpuType("nvidia-tesla-t4", "n1-standard-8", _N1),
        GpuType("nvidia-l4", "g2-standard-8", r"g2-standard-(4|8|12|16|32)|g2-custom-\d+-\d+"),
        GpuType("nvidia-tesla-a100", "a2-highgpu-1g", "a2-highgpu-1g"),
        GpuType("nvidia-a100-80gb", "a2-ultragpu-1g", "a2-ultragpu-1g"),
        GpuType("nvidia-h100-80gb", "a3-highgpu-1g", "a3-highgpu-1g"),
    )
}
_WITH_GPU = re.compile(r"(a2|a3|a4|a4x|g2|g4)-.*")
"""Machine types that always have a GPU."""


def find_gpu(asked: str | None, service_options: Iterable[str]) -> GpuType | None:
    """The GPU that `--gpu` or Dataflow's own service option asks for.

    Args:
        asked: value of `--gpu`.
        service_options: Dataflow's service options of the job.

    Raises:
        UsageError: two types of GPU, several on a worker, an unknown type, or no driver.
    """
    options = [option for option in service_options if option.startswith(SERVICE_OPTION)]
    if not options:
        return GPU_TYPES[asked] if asked else None
    if len(options) > 1:
        raise UsageError(f"{SERVICE_OPTION}... is given {len(options)} times: give it once")
    gpu = _read_service_option(options[0])
    if asked and asked != gpu.name:
        raise UsageError(f"--gpu {asked} and {options[0]!r} name different GPUs: give one of them")
    return gpu


def check_no_gpu(machine_type: str) -> None:
    """Refuse a machine whose GPU would not be used.

    Raises:
        UsageError: names the flag that uses it.
    """
    if _WITH_GPU.fullmatch(machine_type):
        fitting = [gpu.name for gpu in GPU_TYPES.values() if gpu.machine_type[:2] in machine_type]
        names = " or ".join(fitting) or "TYPE"
        raise UsageError(
            f"--worker_machine_type {machine_type} has a GPU that would not be used: ask for it "
            f"with --gpu {names}, or use a machine without"
        )


def _read_service_option(option: str) -> GpuType:
    fields = option.removeprefix(SERVICE_OPTION).split(";")
    given = dict(field.partition(":")[::2] for field in fields)
    if given.get("type") not in GPU_TYPES:
        raise UsageError(
            f"{option!r} is not a type of GPU that this job knows: {', '.join(GPU_TYPES)}"
        )
    if given.get("count", "1") != "1":
        raise UsageError(
            f"{option!r}: a worker uses one GPU and the others stay idle; give count:1 and more "
            "workers"
        )
    if _DRIVER not in given:
        raise UsageError(
            f"{option!r} installs no driver, so no worker would see its GPU: add ;{_DRIVER_BRANCH}"
        )
    return GPU_TYPES[given["type"]]
