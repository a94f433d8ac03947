"""Beam's flags for Dataflow: given ones are kept, missing ones filled in, invalid ones refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from hypothesis import given
from hypothesis import strategies as st

from beam_jobs.dataflow import job_flags
from beam_jobs.dataflow.job_flags import check_job, complete_flags, job_name
from beam_jobs.dataflow.workers import (
    LARGEST_UNIT_CHIPS,
    LEAST_UNIT_CHIPS,
    Workers,
    choose_workers,
    unit_chips,
)
from beam_jobs.engine import launch
from beam_jobs.options.accelerators import GPU_TYPES
from beam_jobs.options.run_options import parse_score_options
from pipelines.errors import UsageError

BASE = (
    "--runner=DataflowRunner",
    "--project=forest-project",
    "--region=europe-west4",
    "--temp_location=gs://bucket/tmp",
    "--sdk_container_image=europe-docker.pkg.dev/forest-project/forest/chips:1",
)
PLACES = {"--chips": "gs://bucket/chips", "--output": "s3://bucket/tables"}
L4 = "--dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"


def completed(*flags: str, gpu: str | None = None, units: int = 100) -> dict[str, Any]:
    """Beam's options for a job with that many units."""
    args = complete_flags([*BASE, *flags], gpu, units, "run-1")
    launch.check_beam_args(args, our_flags=[])
    return dict(PipelineOptions(args).get_all_options())


def without(flag: str) -> list[str]:
    return [given for given in BASE if not given.startswith(f"--{flag}")]


def test_a_job_on_cpus_gets_one_process_two_threads_and_a_machine_with_memory() -> None:
    options = completed()
    assert options["experiments"] == ["no_use_multiple_sdk_containers"]
    assert options["number_of_worker_harness_threads"] == 2
    assert options["machine_type"] == "n2-standard-4"
    assert options["disk_size_gb"] == 40
    assert options["element_processing_timeout_minutes"] == 60
    assert options["dataflow_service_options"] is None
    assert options["job_name"] == "forest-chips-run-1"


@pytest.mark.parametrize(
    ("gpu", "machine"),
    [
        ("nvidia-tesla-t4", "n1-standard-8"),
        ("nvidia-tesla-v100", "n1-standard-8"),
        ("nvidia-l4", "g2-standard-8"),
        ("nvidia-tesla-a100", "a2-highgpu-1g"),
        ("nvidia-a100-80gb", "a2-ultragpu-1g"),
        ("nvidia-h100-80gb", "a3-highgpu-1g"),
    ],
)
def test_a_gpu_job_gets_its_driver_a_fitting_machine_and_one_process_with_one_thread(
    gpu: str, machine: str
) -> None:
    options = completed(gpu=gpu)
    wanted = f"worker_accelerator=type:{gpu};count:1;install-nvidia-driver:5xx"
    assert options["dataflow_service_options"] == [wanted]
    assert options["machine_type"] == machine
    assert options["experiments"] == ["no_use_multiple_sdk_containers"]
    assert options["number_of_worker_harness_threads"] == 1
    assert options["disk_size_gb"] == 60


def test_the_machine_proposed_for_each_gpu_can_have_it() -> None:
    for gpu in GPU_TYPES.values():
        gpu.check_machine(gpu.machine_type)


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [
        ("--worker_machine_type=c3-standard-8", "machine_type", "c3-standard-8"),
        ("--number_of_worker_harness_threads=4", "number_of_worker_harness_threads", 4),
        ("--disk_size_gb=100", "disk_size_gb", 100),
        ("--element_processing_timeout_minutes=5", "element_processing_timeout_minutes", 5),
        ("--max_num_workers=7", "max_num_workers", 7),
        ("--num_workers=3", "num_workers", 3),
        ("--job_name=tonight", "job_name", "tonight"),
        ("--flexrs_goal=COST_OPTIMIZED", "flexrs_goal", "COST_OPTIMIZED"),
        (
            "--experiments=use_multiple_sdk_containers",
            "experiments",
            ["use_multiple_sdk_containers"],
        ),
    ],
)
def test_flags_of_the_user_are_kept(flag: str, name: str, value: object) -> None:
    assert completed(flag)[name] == value


def test_other_experiments_and_service_options_are_kept_with_ours() -> None:
    options = completed(
        "--experiments=upload_graph", "--dataflow_service_options=enable_preflight", gpu="nvidia-l4"
    )
    assert options["experiments"] == ["upload_graph", "no_use_multiple_sdk_containers"]
    assert options["dataflow_service_options"][0] == "enable_preflight"
    assert "nvidia-l4" in options["dataflow_service_options"][1]


@pytest.mark.parametrize("flag", [L4, L4.replace("--dataflow_service_options", "--experiments")])
def test_a_gpu_requested_by_dataflows_own_option_is_requested_once(flag: str) -> None:
    options = completed(flag)
    asked = [*(options["dataflow_service_options"] or []), *options["experiments"]]
    assert sum(option.startswith("worker_accelerator=") for option in asked) == 1
    assert options["machine_type"] == "g2-standard-8"
    assert options["number_of_worker_harness_threads"] == 1


@pytest.mark.parametrize(
    ("units", "flags", "start", "most"),
    [
        (1, (), 1, 1),
        (30, (), 1, 15),
        (400, (), 20, 200),
        (400, ("--max_num_workers=5",), 5, 5),
        (400, ("--num_workers=2",), 2, 200),
    ],
)
def test_a_job_starts_with_some_units_per_worker_and_never_more_workers_than_units(
    units: int, flags: tuple[str, ...], start: int, most: int
) -> None:
    options = completed(*flags, units=units)
    assert (options["num_workers"], options["max_num_workers"]) == (start, most)


def test_a_fixed_number_of_workers_is_left_to_the_user() -> None:
    options = completed("--autoscaling_algorithm=NONE", "--num_workers=4")
    assert (options["num_workers"], options["max_num_workers"]) == (4, None)


@pytest.mark.parametrize(
    ("machine", "gpu", "most", "chips", "expected"),
    [
        ("n2-standard-4", None, None, 10_000_000, 5_888),  # a minute at 100 chips/s
        ("n2-standard-16", None, None, 10_000_000, 23_808),
        ("custom-8-16384", None, None, 10_000_000, 11_776),
        ("g2-standard-8", "nvidia-l4", None, 10_000_000, 131_072),
        ("g2-standard-8", "nvidia-l4", 100, 10_000_000, 24_832),  # four for each worker
        ("n2-standard-4", None, 50, 10_000, 256),
        ("n2-standard-4", None, None, 10, 5_888),
    ],
)
def test_a_unit_takes_a_minute_or_is_a_quarter_of_a_workers_share(
    machine: str, gpu: str | None, most: int | None, chips: int, expected: int
) -> None:
    flags = [*BASE, f"--worker_machine_type={machine}"]
    if most:
        flags.append(f"--max_num_workers={most}")
    assert unit_chips(chips, choose_workers(flags, gpu)) == expected


@given(
    chips=st.integers(1, 20_000_000),
    vcpus=st.sampled_from([1, 2, 4, 8, 16, 96]),
    threads=st.integers(1, 12),
    most=st.none() | st.integers(1, 1000),
)
def test_a_unit_has_whole_batches_within_the_bounds(
    chips: int, vcpus: int, threads: int, most: int | None
) -> None:
    size = unit_chips(chips, Workers(None, f"n2-standard-{vcpus}", threads, most))
    assert LEAST_UNIT_CHIPS <= size <= LARGEST_UNIT_CHIPS
    assert size % LEAST_UNIT_CHIPS == 0


@pytest.mark.parametrize(
    ("flags", "gpu", "message"),
    [
        (without("region"), None, "--region is missing"),
        (without("project"), None, "--project ''"),
        ([*without("project"), "--project=abc"], None, "--project 'abc'"),
        (without("temp_location"), None, "--temp_location is missing"),
        (without("sdk_container_image"), None, "--sdk_container_image is missing"),
        ([*BASE, "--temp_location=/tmp/here"], None, "'/tmp/here' is not on gs://"),
        ([*BASE, "--staging_location=s3://b/x"], None, "'s3://b/x' is not on gs://"),
        ([*BASE, "--worker_region=a", "--worker_zone=a-b"], None, "give one of them"),
        ([*BASE, "--streaming"], None, "--streaming is for streaming jobs"),
        ([*BASE, "--update"], None, "--update is for streaming jobs"),
        ([*BASE, "--create_from_snapshot=x"], None, "for streaming jobs"),
        ([*BASE, "--experiments=disable_runner_v2"], None, "Runner v2 only"),
        ([*BASE, "--job_name=Tonight"], None, "--job_name 'Tonight': use lower-case"),
        ([*BASE, "--num_workers=9", "--max_num_workers=3"], None, "9 is over --max_num_workers 3"),
        ([*BASE, "--flexrs_goal=COST_OPTIMIZED"], "nvidia-l4", "FlexRS has no GPUs"),
        ([*BASE, "--flexrs_goal=SPEED_OPTIMIZED", L4], None, "FlexRS has no GPUs"),
        (
            [
                *BASE,
                "--flexrs_goal=COST_OPTIMIZED",
                "--dataflow_service_options=max_workflow_runtime_walltime_seconds=3600",
            ],
            None,
            "for six hours",
        ),
        (
            [*BASE, "--flexrs_goal=COST_OPTIMIZED", "--autoscaling_algorithm=NONE"],
            None,
            "needs autoscaling",
        ),
        ([*BASE, "--worker_machine_type=n2-standard-8"], "nvidia-tesla-t4", "n1-standard-8"),
        ([*BASE, "--worker_machine_type=n1-standard-8"], "nvidia-l4", "use g2-standard-8"),
        ([*BASE, "--worker_machine_type=g2-standard-24"], "nvidia-l4", "cannot have exactly one"),
        ([*BASE, "--worker_machine_type=a2-highgpu-8g"], "nvidia-tesla-a100", "a2-highgpu-1g"),
        ([*BASE, "--worker_machine_type=g2-standard-4"], None, "--gpu nvidia-l4"),
        ([*BASE, "--worker_machine_type=a4-highgpu-8g"], None, "--gpu TYPE"),
        (
            [*BASE, "--experiments=use_multiple_sdk_containers"],
            "nvidia-l4",
            "memory of the one GPU",
        ),
        ([*BASE, L4], "nvidia-tesla-t4", "name different GPUs"),
        ([*BASE, L4, L4], None, "given 2 times"),
        ([*BASE, L4.replace("count:1", "count:2")], None, "the others stay idle"),
        ([*BASE, L4.removesuffix(";install-nvidia-driver")], None, "installs no driver"),
        ([*BASE, L4.replace("nvidia-l4", "nvidia-k80")], None, "not a type of GPU that this job"),
    ],
)
def test_flags_that_cannot_work_are_refused_with_the_reason(
    flags: list[str], gpu: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        check_job(flags, gpu, PLACES)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("gpu", [None, *GPU_TYPES])
def test_flags_that_can_work_are_not_refused(gpu: str | None) -> None:
    check_job(BASE, gpu, PLACES)
    check_job([*BASE, "--worker_zone=europe-west4-a", "--staging_location=gs://b"], gpu, PLACES)


@pytest.mark.parametrize(
    "flag",
    ["--worker_harness_container_image=gcr.io/p/i", "--prebuild_sdk_container_engine=docker"],
)
def test_an_image_given_by_another_flag_is_accepted(flag: str) -> None:
    check_job([*without("sdk_container_image"), flag], None, PLACES)


@pytest.mark.parametrize("flag", ["--chips", "--artifact", "--output"])
def test_a_local_address_is_refused_with_its_flag(flag: str) -> None:
    with pytest.raises(UsageError, match=f"^{flag} '/data/x' is local to the launcher"):
        check_job(BASE, None, {**PLACES, flag: "/data/x"})


@pytest.mark.parametrize(
    "runner", ["DataflowRunner", "dataflow", "apache_beam.runners.dataflow.DataflowRunner"]
)
def test_dataflow_is_recognised_by_all_its_names(runner: str) -> None:
    assert job_flags.is_dataflow([f"--runner={runner}"])


@pytest.mark.parametrize("flags", [[], ["--runner=PrismRunner"], ["--runner=FlinkRunner"]])
def test_another_runner_gets_its_flags_as_they_were_given(flags: list[str]) -> None:
    options = parse_score_options(
        ["--chips=/c", "--artifact=/a", "--output=/o", *flags], datetime.now(UTC)
    )
    job_flags.check_launch(options)
    assert list(job_flags.launch_flags(options, 9)) == flags
    assert job_flags.unit_size(options, 1_000) is None


def test_a_gpu_can_be_requested_on_dataflow_only() -> None:
    options = parse_score_options(
        ["--chips=/c", "--artifact=/a", "--output=/o", "--gpu=nvidia-l4"], datetime.now(UTC)
    )
    with pytest.raises(UsageError, match="attaches a GPU to Dataflow's workers"):
        job_flags.check_launch(options)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True))
def test_every_run_id_makes_a_name_that_dataflow_accepts(run_id: str) -> None:
    assert re.fullmatch(PipelineOptionsValidator.JOB_PATTERN, job_name(run_id))
    assert len(job_name(run_id)) <= 63
