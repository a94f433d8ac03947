"""What Google is asked before a launch, and how its answers are used."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import unquote

import pytest

from beam_jobs import score_chips
from beam_jobs.dataflow.cloud_checks import NEEDED, check_permissions, check_region
from beam_jobs.options.accelerators import GPU_TYPES
from pipelines.commands import exit_code
from pipelines.errors import UsageError
from tests.support.object_stores import GcsServer

L4 = GPU_TYPES["nvidia-l4"]


def listed(*zones: str) -> dict[str, Any]:
    """An aggregated list as Compute Engine answers it: zones without any GPU are listed, too."""
    empty = {"zones/us-east9-x": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}}
    return {"items": {**empty, **{f"zones/{z}": {"acceleratorTypes": [{}]} for z in zones}}}


def test_full_permissions_pass_and_each_bucket_is_checked_once() -> None:
    asked = []

    def test(bucket: str) -> list[str]:
        asked.append(bucket)
        return [*NEEDED, "storage.objects.update"]

    places = {"--output": "gs://a/tables", "--temp_location": "gs://a/tmp", "--x": "gs://b"}
    check_permissions("project", places, test)
    assert asked == ["a", "b"]


def test_a_read_only_bucket_is_refused_with_its_flag_and_the_missing_permission() -> None:
    readable = ["storage.objects.get", "storage.objects.list"]
    with pytest.raises(UsageError) as refused:
        check_permissions("p", {"--output": "gs://a/tables"}, lambda _: readable)
    assert "--output 'gs://a/tables'" in str(refused.value)
    assert "no storage.objects.create, storage.objects.delete on bucket a" in str(refused.value)


def test_a_failed_check_and_a_store_of_another_vendor_do_not_stop_the_launch() -> None:
    def fail(_: str) -> list[str]:
        raise ConnectionError

    check_permissions("p", {"--output": "gs://a/tables"}, fail)
    check_permissions("p", {"--output": "s3://a/tables"}, lambda _: [])


def test_permissions_are_requested_from_the_store(gs_uri: str) -> None:
    check_permissions("test-project", {"--output": f"{gs_uri}/tables"})
    with pytest.raises(UsageError, match="or there is no such bucket"):
        check_permissions("test-project", {"--output": "gs://bucket-that-is-not-there/tables"})


def test_the_command_refuses_a_read_only_output_before_anything_else(
    gcs_server: GcsServer, gs_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = gcs_server.create_bucket(f"readonly-{uuid.uuid4().hex[:8]}")
    places = {"chips": f"{gs_uri}/c", "artifact": f"{gs_uri}/a", "output": f"{output}/tables"}
    flags = ["--runner=DataflowRunner", "--project=test-project", "--region=europe-west4"]
    flags += [f"--temp_location={gs_uri}/tmp", "--sdk_container_image=gcr.io/p/i:1"]
    given = [f"--{name}={value}" for name, value in places.items()]
    assert exit_code(score_chips.main, [*given, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"error: --output '{output}/tables': the launcher has no storage.objects"
    )


@pytest.mark.parametrize(
    ("region", "zone"), [("europe-west4", ""), ("europe-west4", "europe-west4-b")]
)
def test_a_region_or_zone_with_the_gpu_passes(region: str, zone: str) -> None:
    urls = []

    def fetch(url: str) -> dict[str, Any]:
        urls.append(unquote(url))
        return listed("europe-west4-b", "us-central1-a")

    check_region("forest-project", region, zone, L4, fetch)
    (url,) = urls
    assert "/projects/forest-project/aggregated/acceleratorTypes?" in url
    assert 'filter=name="nvidia-l4"' in url


@pytest.mark.parametrize(
    ("region", "zone", "places"),
    [
        ("europe-west9", "", "it in europe-west4, us-central1$"),
        ("europe-west4", "europe-west4-c", "it in europe-west4-a, europe-west4-b$"),
    ],
)
def test_a_region_without_the_gpu_is_refused_with_those_that_have_it(
    region: str, zone: str, places: str
) -> None:
    answer = listed("europe-west4-a", "europe-west4-b", "us-central1-a")
    with pytest.raises(UsageError, match=f"no nvidia-l4 in {zone or region}: .*{places}"):
        check_region("p", region, zone, L4, lambda _: answer)


@pytest.mark.parametrize("answer", [{}, listed()])
def test_a_missing_answer_refuses_nothing(answer: dict[str, Any]) -> None:
    check_region("p", "europe-west9", "", L4, lambda _: answer)
