"""The job as Dataflow would get it: the command writes it as a template, which is read here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from apache_beam.internal.gcp import auth
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2

from beam_jobs import score_chips
from beam_jobs.engine.source_package import copy_source
from beam_jobs.running import scoring_run
from pipelines.commands import EXIT_BAD_NIGHT, exit_code
from pipelines.runs import run_plan
from pipelines.runs.run_plan import RunPlan
from pipelines.storage import store
from tests.support.object_stores import GcsServer
from tests.support.samples import make_artifact, write_chips

IMAGE = "europe-docker.pkg.dev/forest-project/forest/chips:1"
CHIPS = 600


_SEEK_NO_CREDENTIALS = """
from apache_beam.internal.gcp import auth
auth._Credentials._credentials_init = True
"""
"""Beam looks for credentials for some 20 seconds, even with --no_auth."""


class Submitted(NamedTuple):
    """The bucket's objects after a launch."""

    job: dict[str, Any]
    graph: beam_runner_api_pb2.Pipeline
    plan: RunPlan

    @property
    def pool(self) -> dict[str, Any]:
        (pool,) = self.job["environment"]["workerPools"]
        return dict(pool)


@pytest.fixture(scope="module")
def bucket(gcs_server: GcsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket with an artifact and a manifest of chips that are never read."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    uri = gcs_server.fresh_uri()
    with pytest.MonkeyPatch.context() as environment:
        environment.setattr(auth._Credentials, "_credentials_init", True)
        for name, value in gcs_server.env.items():
            environment.setenv(name, value)
        for path in folder.iterdir():
            store.write_bytes(f"{uri}/artifact/{path.name}", path.read_bytes())
        rows = "\n".join(f"chips/{i:04d}.jpg,e{i}" for i in range(CHIPS))
        store.write_bytes(f"{uri}/night.csv", f"chip_uri,etag\n{rows}\n".encode())
        yield uri


def flags_of(bucket: str, run_id: str) -> list[str]:
    """What a Flex Template's launcher is started with."""
    return [
        f"--chips={bucket}/night.csv",
        f"--artifact={bucket}/artifact",
        f"--output={bucket}/tables",
        f"--run_id={run_id}",
        "--runner=DataflowRunner",
        "--project=forest-project",
        "--region=europe-west4",
        f"--temp_location={bucket}/tmp",
        f"--template_location={bucket}/{run_id}.json",
        f"--sdk_container_image={IMAGE}",
        "--no_auth",
    ]


def launch(bucket: str, run_id: str, *flags: str) -> int:
    """Launch a job as a Flex Template's launcher does; returns the exit code."""
    return exit_code(score_chips.main, [*flags_of(bucket, run_id), *flags])


def read(bucket: str, run_id: str) -> Submitted:
    """The template, the graph that it names, and the run's plan."""
    plan = run_plan.read_plan(f"{bucket}/tables", run_id, 1)
    assert plan is not None
    return Submitted(*read_job(bucket, run_id), plan)


def read_job(bucket: str, run_id: str) -> tuple[dict[str, Any], beam_runner_api_pb2.Pipeline]:
    job = json.loads(store.read_bytes(f"{bucket}/{run_id}.json"))
    url = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    return job, beam_runner_api_pb2.Pipeline.FromString(store.read_bytes(url))


@pytest.fixture(scope="module")
def submitted(bucket: str) -> Submitted:
    """A job with GPUs."""
    assert launch(bucket, "night-1", "--gpu=nvidia-l4", "--max_num_workers=2") == 0
    return read(bucket, "night-1")


def test_the_job_asks_for_the_workers_that_were_chosen(submitted: Submitted) -> None:
    environment, pool = submitted.job["environment"], submitted.pool
    assert submitted.job["name"] == "forest-chips-night-1"
    assert submitted.job["type"] == "JOB_TYPE_BATCH"
    assert submitted.job["environment"]["sdkPipelineOptions"]["options"]["region"] == "europe-west4"
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert pool["machineType"] == "g2-standard-8"
    assert pool["diskSizeGb"] == 60
    assert pool["numThreadsPerWorker"] == 1
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 2
    assert environment["serviceOptions"] == [
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx"
    ]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    assert "use_multiple_sdk_containers" not in environment["experiments"]
    options = environment["sdkPipelineOptions"]["options"]
    assert options["element_processing_timeout_minutes"] == 60


def test_the_projects_source_is_staged_for_the_workers(submitted: Submitted) -> None:
    packages = {package["name"]: package["location"] for package in submitted.pool["packages"]}
    assert "workflow.tar.gz" in packages
    location = packages["workflow.tar.gz"].removeprefix("storage.googleapis.com/")
    assert store.head_object(f"gs://{location}") is not None


def test_the_graph_has_the_steps_of_the_job_in_order(submitted: Submitted) -> None:
    transforms = submitted.graph.components.transforms
    (story,) = (t for t in transforms.values() if t.unique_name == "ScoreArchive")
    assert [transforms[step].unique_name for step in story.subtransforms] == [
        "ScoreArchive/ReadManifest",
        "ScoreArchive/ReadChips",
        "ScoreArchive/ScoreChips",
        "ScoreArchive/LabelChips",
        "ScoreArchive/StageUnits",
        "ScoreArchive/PublishRun",
    ]


def steps_with(graph: beam_runner_api_pb2.Pipeline, urn: str) -> list[str]:
    return [t.unique_name for t in graph.components.transforms.values() if t.spec.urn == urn]


def crossing(graph: beam_runner_api_pb2.Pipeline) -> dict[str, str]:
    """Collections that leave a worker, by group or as a side input: their consumer, and the id of
    the coder of their elements."""
    found = {}
    collections = graph.components.pcollections
    for transform in graph.components.transforms.values():
        side = {}
        if transform.spec.urn == common_urns.primitives.PAR_DO.urn:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            side = dict(payload.side_inputs)
        grouped = transform.spec.urn == common_urns.primitives.GROUP_BY_KEY.urn
        for name, collection in transform.inputs.items():
            if grouped or name in side:
                found[transform.unique_name] = collections[collection].coder_id
    return found


def parts_of(components: beam_runner_api_pb2.Components, coder_id: str) -> set[str]:
    """The id of a coder and of the coders in it."""
    parts = components.coders[coder_id].component_coder_ids
    return {coder_id}.union(*(parts_of(components, part) for part in parts))


def output_coder(components: beam_runner_api_pb2.Components, name: str) -> str:
    (step,) = (t for t in components.transforms.values() if t.unique_name == name)
    (output,) = step.outputs.values()
    return str(components.pcollections[output].coder_id)


def test_one_reshuffle_spreads_addresses_and_nothing_else_is_grouped(submitted: Submitted) -> None:
    graph = submitted.graph
    spread = "ScoreArchive/ReadManifest/Spread"
    assert steps_with(graph, common_urns.composites.RESHUFFLE.urn) == [spread]
    (grouped,) = steps_with(graph, common_urns.primitives.GROUP_BY_KEY.urn)
    assert grouped.startswith(f"{spread}/")
    assert not steps_with(graph, common_urns.composites.COMBINE_PER_KEY.urn)


def test_no_pixels_and_no_scores_leave_a_worker(submitted: Submitted) -> None:
    components = submitted.graph.components
    coders = crossing(submitted.graph)
    publish = "ScoreArchive/PublishRun/Publish"
    assert [name for name in coders if "/Spread/" not in name] == [publish]
    assert coders[publish] == output_coder(components, "ScoreArchive/StageUnits")
    stay = {
        output_coder(components, f"ScoreArchive/{step}")
        for step in ("ReadChips", "ScoreChips", "LabelChips")
    }
    for coder_id in coders.values():
        assert stay.isdisjoint(parts_of(components, coder_id))


def test_unit_sizes_depend_on_the_number_of_workers(submitted: Submitted) -> None:
    assert submitted.plan.unit_rows == (256, 256, 88)
    assert submitted.plan.to_score == CHIPS


def test_without_a_gpu_the_job_asks_for_none(bucket: str) -> None:
    assert launch(bucket, "night-2") == 0
    found = read(bucket, "night-2")
    assert "serviceOptions" not in found.job["environment"]
    assert found.pool["machineType"] == "n2-standard-4"
    assert found.pool["numThreadsPerWorker"] == 2
    assert found.plan.unit_rows == (CHIPS,)


def test_a_night_with_nothing_to_score_and_a_published_run_still_submit_a_job(
    bucket: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a launcher submits no job, Dataflow reports that the launch failed."""
    for path in write_chips(tmp_path, 2):
        store.write_bytes(f"{bucket}/few/{path.name}", path.read_bytes())
    places = [f"--artifact={bucket}/artifact", f"--output={bucket}/scored"]
    chips = f"--chips={bucket}/few"
    assert exit_code(score_chips.main, [chips, *places, "--run_id=first"]) == 0
    where = [chips, f"--output={bucket}/scored", "--gpu=nvidia-l4"]
    for run_id, steps in [("second", "ScoreArchive"), ("first", "AlreadyPublished")]:
        assert launch(bucket, run_id, *where) == 0
        job, graph = read_job(bucket, run_id)
        (pool,) = job["environment"]["workerPools"]
        assert pool["machineType"] == "n2-standard-4"
        assert "serviceOptions" not in job["environment"]
        assert steps in {t.unique_name for t in graph.components.transforms.values()}
    assert "run first is published already" in capsys.readouterr().out
    monkeypatch.setattr(scoring_run, "_code_of_published", lambda _: EXIT_BAD_NIGHT)
    assert launch(bucket, "first", *where) == 0  # the job was launched, whatever the night was


def test_the_images_program_launches_from_an_installation_and_stages_no_source(
    bucket: str, tmp_path: Path
) -> None:
    """As in the image: the project is installed, there is no checkout, parameters have values."""
    root = Path(__file__).parents[2]
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    copy_source(root, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True)
    (site / "sitecustomize.py").write_text(_SEEK_NO_CREDENTIALS)
    shutil.copy(root / "deploy" / "flex_template" / "main.py", tmp_path / "main.py")
    given = [*flags_of(bucket, "from-image"), "--rescore=true", "--hold_on_drift=false"]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "main.py"), *given],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "run from-image: the job is submitted" in done.stdout
    found = read(bucket, "from-image")
    assert "workflow.tar.gz" not in {package["name"] for package in found.pool["packages"]}
    assert found.plan.rescore


def test_a_launch_that_cannot_work_leaves_nothing_behind(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--gpu=nvidia-l4", "--worker_machine_type=n1-standard-8"]
    assert launch(bucket, "night-3", *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    refused = "--worker_machine_type n1-standard-8 cannot have exactly one nvidia-l4"
    assert line.startswith(f"error: {refused}")
    assert store.head_object(f"{bucket}/night-3.json") is None
    assert run_plan.read_plan(f"{bucket}/tables", "night-3", 1) is None
