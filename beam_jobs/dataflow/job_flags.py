"""Beam's flags for a Dataflow job: given flags are kept, missing ones are filled in, and what
cannot work is refused before anything is listed.

Plain functions from flags to flags. Checks that need an answer from Google are in `cloud_checks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from beam_jobs.dataflow import cloud_checks
from beam_jobs.dataflow.workers import (
    MANY_PROCESSES,
    ONE_PROCESS,
    Workers,
    choose_workers,
    given_flags,
    list_of,
    service_options,
    unit_chips,
)
from beam_jobs.options.accelerators import SERVICE_OPTION
from beam_jobs.options.run_options import RunOptions
from pipelines.errors import UsageError
from pipelines.storage import store

UNITS_A_WORKER = 10
"""Units for each worker at the start, unless the user sets the number of workers."""

_RUNNERS = ("dataflowrunner", "dataflow")
_DEADLINE = "max_workflow_runtime_walltime_seconds"
_STREAMING = ("streaming", "update", "create_from_snapshot", "transform_name_mapping")
_IMAGES = (
    "sdk_container_image",
    "worker_harness_container_image",  # its old name
    "prebuild_sdk_container_engine",
)
_PROJECT_ID = re.compile(r"[a-z][-a-z0-9:.]{4,}[a-z0-9]")
_JOB_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_NO_JOB_NAME = re.compile(r"[^-a-z0-9]+")
_OLD_WORKER = re.compile(r"disable_.*(runner_v2|portable_runner).*")


def is_dataflow(beam_args: Sequence[str]) -> bool:
    """Whether the graph will run on Dataflow."""
    runner = str(given_flags(beam_args)["runner"] or "")
    return runner.rpartition(".")[2].lower() in _RUNNERS


def check_launch(options: RunOptions) -> None:
    """Refuse what will fail on Dataflow, and with another runner, what only Dataflow has.

    Raises:
        UsageError: one line that says what to do.
    """
    if is_dataflow(options.beam_args):
        check_job(options.beam_args, options.gpu, options.addresses())
        _ask_google(options)
    elif options.gpu:
        raise UsageError(
            f"--gpu {options.gpu} attaches a GPU to Dataflow's workers; on other runners a worker "
            "uses the GPU that it finds: leave the flag out"
        )


def check_job(beam_args: Sequence[str], gpu: str | None, addresses: Mapping[str, str]) -> None:
    """Refuse what cannot work on Dataflow, without asking Google.

    Args:
        gpu: value of `--gpu`.
        addresses: flag to the absolute address that it names.

    Raises:
        UsageError: one line that says what to do.
    """
    given = given_flags(beam_args)
    for flag, uri in addresses.items():
        if not store.is_remote(uri):
            raise UsageError(
                f"{flag} {uri!r} is local to the launcher, and no worker of Dataflow could open "
                "it: copy it to gs:// and give that"
            )
    _check_places(given)
    _check_batch(given)
    _check_flexrs(given, choose_workers(beam_args, gpu))


def unit_size(options: RunOptions, chips: int) -> int | None:
    """Chips in a unit of a run; None if the runner is not Dataflow."""
    if not is_dataflow(options.beam_args):
        return None
    return unit_chips(chips, choose_workers(options.beam_args, options.gpu))


def launch_flags(options: RunOptions, units: int) -> Sequence[str]:
    """Beam's flags for a number of units to score. A job without units needs no GPU, so that it
    does not wait for one."""
    if not is_dataflow(options.beam_args):
        return options.beam_args
    gpu = options.gpu if units or given_flags(options.beam_args)["machine_type"] else None
    return complete_flags(options.beam_args, gpu, units, options.run_id)


def complete_flags(beam_args: Sequence[str], gpu: str | None, units: int, run_id: str) -> list[str]:
    """Beam's flags, with the missing ones that a Dataflow job of that many units needs.

    Raises:
        UsageError: as `choose_workers`.
    """
    given, workers = given_flags(beam_args), choose_workers(beam_args, gpu)
    flags = {
        "job_name": ("--job_name", job_name(run_id)),
        "machine_type": ("--worker_machine_type", workers.machine_type),
        "disk_size_gb": ("--disk_size_gb", 60 if workers.gpu else 40),
        "number_of_worker_harness_threads": ("--number_of_worker_harness_threads", workers.threads),
        "element_processing_timeout_minutes": ("--element_processing_timeout_minutes", 60),
        **_scale_flags(given, workers, units),
    }
    missing = [f"{flag}={value}" for name, (flag, value) in flags.items() if given[name] is None]
    return [*beam_args, *missing, *_list_flags(given, workers)]


def job_name(run_id: str) -> str:
    """A job's name, made from its run's. Dataflow refuses two active jobs with one name, and so
    refuses a second launch of the run.

    >>> job_name("20261122T213000Z-0a1b2c3d")
    'forest-chips-20261122t213000z-0a1b2c3d'
    """
    return _NO_JOB_NAME.sub("-", f"forest-chips-{run_id.lower()}").strip("-")[:63].rstrip("-")


def _ask_google(options: RunOptions) -> None:
    given, workers = given_flags(options.beam_args), choose_workers(options.beam_args, options.gpu)
    temporary = {f"--{name}": given[name] for name in ("temp_location", "staging_location")}
    places = {"--output": options.output, **{k: v for k, v in temporary.items() if v}}
    cloud_checks.check_permissions(given["project"], places)
    if workers.gpu:
        region = given["worker_region"] or given["region"]
        zone = given["worker_zone"] or given["zone"] or ""
        cloud_checks.check_region(given["project"], region, zone, workers.gpu)


def _scale_flags(
    given: Mapping[str, Any], workers: Workers, units: int
) -> dict[str, tuple[str, int]]:
    """At most one worker thread per unit, and at the start one per UNITS_A_WORKER units: scaling
    up to that would take Dataflow minutes."""
    if given["autoscaling_algorithm"] == "NONE":
        return {}
    most = workers.most or max(1, -(-units // workers.threads))
    start = max(1, min(most, units // (UNITS_A_WORKER * workers.threads)))
    return {"max_num_workers": ("--max_num_workers", most), "num_workers": ("--num_workers", start)}


def _list_flags(given: Mapping[str, Any], workers: Workers) -> list[str]:
    flags = []
    asked = any(option.startswith(SERVICE_OPTION) for option in service_options(given))
    if workers.gpu and not asked:
        flags.append(f"--dataflow_service_options={workers.gpu.service_option()}")
    if not {ONE_PROCESS, MANY_PROCESSES}.intersection(list_of(given, "experiments")):
        # One process uses all cores, since TensorFlow and the decoders have threads.
        flags.append(f"--experiments={ONE_PROCESS}")
    if given["save_main_session"] is None:
        flags.append("--no_save_main_session")  # all that workers need is in modules
    return flags


def _check_places(given: Mapping[str, Any]) -> None:
    """Check where the job runs and stores its files."""
    if not given["project"] or not _PROJECT_ID.fullmatch(given["project"]):
        raise UsageError(f"--project {given['project'] or ''!r}: give the project's id")
    if not given["region"]:
        raise UsageError("--region is missing: give one near the bucket, such as europe-west4")
    if given["worker_region"] and (given["worker_zone"] or given["zone"]):
        raise UsageError("--worker_region and --worker_zone: give one of them")
    temporary = given["temp_location"] or given["staging_location"]
    if not temporary:
        raise UsageError("--temp_location is missing: give a folder on gs:// for the job's files")
    for name in ("temp_location", "staging_location"):
        if given[name] and not re.fullmatch("gs://[^/]+.*", given[name]):
            raise UsageError(f"--{name} {given[name]!r} is not on gs://")
    if not any(given[name] for name in _IMAGES):
        raise UsageError(
            "--sdk_container_image is missing: Beam's own image has no TensorFlow; build the "
            "project's (deploy/README.md)"
        )


def _check_batch(given: Mapping[str, Any]) -> None:
    for name in _STREAMING:
        if given[name]:
            raise UsageError(f"--{name} is for streaming jobs, and this is a batch job")
    old = [found for found in list_of(given, "experiments") if _OLD_WORKER.fullmatch(found)]
    if old:
        raise UsageError(f"--experiments={old[0]}: Beam runs on Dataflow's Runner v2 only")
    if given["job_name"] and not _JOB_NAME.fullmatch(given["job_name"]):
        raise UsageError(
            f"--job_name {given['job_name']!r}: use lower-case letters, digits and '-', at most 63"
        )
    start, most = given["num_workers"], given["max_num_workers"]
    if start and most and start > most:
        raise UsageError(f"--num_workers {start} is over --max_num_workers {most}")


def _check_flexrs(given: Mapping[str, Any], workers: Workers) -> None:
    if not given["flexrs_goal"]:
        return
    if workers.gpu:
        raise UsageError("--flexrs_goal: FlexRS has no GPUs; leave one of them out")
    if any(option.startswith(_DEADLINE) for option in service_options(given)):
        raise UsageError(
            f"--flexrs_goal may delay a job for six hours, and {_DEADLINE} would end it: leave one "
            "of them out"
        )
    if given["autoscaling_algorithm"] == "NONE":
        raise UsageError("--flexrs_goal needs autoscaling: leave out --autoscaling_algorithm NONE")
