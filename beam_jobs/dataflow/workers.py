"""The workers of a Dataflow job, and the size of a unit of work for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beam_jobs.options.accelerators import GpuType, check_no_gpu, find_gpu
from pipelines.errors import UsageError

CPU_MACHINE_TYPE = "n2-standard-4"
UNIT_SECONDS = 60.0
"""About how long a unit takes. Units are not split, so a worker that starts late, or replaces a
dead one, needs small ones."""

LEAST_UNIT_CHIPS, LARGEST_UNIT_CHIPS = 256, 131_072
"""The first is one batch; the second is about 100 MB of addresses and scores."""

ONE_PROCESS, MANY_PROCESSES = "no_use_multiple_sdk_containers", "use_multiple_sdk_containers"
"""Experiments: one SDK process for each worker, or one for each core."""

_GPU_CHIPS_PER_S = 2_500.0  # VGG16 at 64x64 from gs://; a large GPU can do far more
_VCPU_CHIPS_PER_S = 25.0  # VGG16 at 64x64 in float32
_VCPUS = re.compile(r"-(\d+)$|custom-(\d+)-")


@dataclass(frozen=True)
class Workers:
    """The workers of a Dataflow job.

    Attributes:
        gpu: type of the one GPU that each has, or None.
        machine_type: of Compute Engine.
        threads: Beam's threads in each worker; each works on its own unit.
        most: the most workers at a time; None: by the number of units.
    """

    gpu: GpuType | None
    machine_type: str
    threads: int
    most: int | None

    @property
    def chips_per_s(self) -> float:
        """Roughly what one worker scores; it affects sizes, not results."""
        if self.gpu:
            return _GPU_CHIPS_PER_S
        found = _VCPUS.search(self.machine_type)
        return _VCPU_CHIPS_PER_S * int((found and (found[1] or found[2])) or 4)


def choose_workers(beam_args: Sequence[str], gpu: str | None) -> Workers:
    """The workers of a job: as given, with fitting values for what is not given.

    Raises:
        UsageError: GPU, machine and processes that do not fit together.
    """
    given = given_flags(beam_args)
    found = find_gpu(gpu, service_options(given))
    machine_type = given["machine_type"]
    if found and machine_type:
        found.check_machine(machine_type)
    elif machine_type:
        check_no_gpu(machine_type)
    if found and MANY_PROCESSES in list_of(given, "experiments"):
        raise UsageError(
            f"--experiments={MANY_PROCESSES} starts a process for each core, and all of them would "
            "need the memory of the one GPU: leave it out"
        )
    return Workers(
        gpu=found,
        machine_type=machine_type or (found.machine_type if found else CPU_MACHINE_TYPE),
        threads=given["number_of_worker_harness_threads"] or (1 if found else 2),
        most=given["max_num_workers"],
    )


def unit_chips(chips: int, workers: Workers) -> int:
    """Chips in a unit of a run: about a minute of work, but several units for each worker.

    >>> unit_chips(10_000_000, Workers(None, "n2-standard-4", 2, None))
    5888
    """
    size = workers.chips_per_s * UNIT_SECONDS
    if workers.most:
        size = min(size, chips / (workers.most * workers.threads * 4))
    batches = int(size) // LEAST_UNIT_CHIPS
    return max(LEAST_UNIT_CHIPS, min(LARGEST_UNIT_CHIPS, batches * LEAST_UNIT_CHIPS))


def service_options(given: Mapping[str, Any]) -> list[str]:
    """The service options. Dataflow also takes them as experiments, and a Flex Template's request
    has only experiments."""
    return [*list_of(given, "dataflow_service_options"), *list_of(given, "experiments")]


def list_of(given: Mapping[str, Any], name: str) -> list[str]:
    """The values of a flag that can be given several times."""
    return list(given[name] or [])


def given_flags(beam_args: Sequence[str]) -> dict[str, Any]:
    """Beam's options by name, as its flags set them."""
    return dict(_beam_options(tuple(beam_args)))


@lru_cache(maxsize=8)
def _beam_options(beam_args: tuple[str, ...]) -> dict[str, Any]:
    # Cached: Beam makes a parser of 300 flags for it, and a command asks several times.
    return dict(PipelineOptions(list(beam_args)).get_all_options())
