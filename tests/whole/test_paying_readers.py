"""Buckets whose readers pay are read with the flags, and without them the error names the flag."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_jobs import score_chips
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.storage import store
from pipelines.storage.store import StoreSettings
from tests.support.client_writes import put_by_client
from tests.support.object_stores import ObjectStoreServer
from tests.support.published_runs import publish, scored
from tests.support.samples import jpg_bytes

FLAGS: dict[str, dict[str, Any]] = {
    "gs": {"gcs_user_project": "my-project"},
    "s3": {"s3_requester_pays": True},
}


@pytest.fixture
def paid_uri(object_store_uri: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A bucket whose readers pay, with two chips, one of them with a name that obstore refuses."""
    scheme = object_store_uri.partition("://")[0]
    name = {"gs": "gcs", "s3": "s3"}[scheme]
    server: ObjectStoreServer = request.getfixturevalue(f"{name}_server")
    uri = server.create_bucket(f"payer-{uuid.uuid4().hex[:12]}")
    store.configure(StoreSettings(**FLAGS[scheme]))
    store.write_bytes(f"{uri}/chips/a.jpg", jpg_bytes())
    put_by_client(uri, "odd//name.jpg")
    store.configure(StoreSettings())
    yield uri
    store.configure(StoreSettings())


def test_a_run_reads_the_bucket_with_the_flag_and_without_it_the_error_names_the_flag(
    quick_score: Any, artifact: Path, paid_uri: str, tmp_path: Path, capsys: Any
) -> None:
    ((flag, value),) = FLAGS[paid_uri.partition("://")[0]].items()
    output = str(tmp_path / "out")
    places = ["--chips", f"{paid_uri}/chips", "--artifact", str(artifact), "--output", output]
    assert exit_code(score_chips.main, places) == 2
    error = capsys.readouterr().err
    assert f"--{flag}" in error
    assert len(error.splitlines()) == 1
    given = [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
    assert exit_code(score_chips.main, [*places, *given]) == 0
    assert ask(output, "SELECT chip_id FROM chip_scores").to_pylist() == [{"chip_id": "a"}]


def test_every_library_pays(paid_uri: str) -> None:
    """obstore reads and lists, the store's own client lists odd names, delta-rs on s3:// only."""
    scheme = paid_uri.partition("://")[0]
    store.configure(StoreSettings(**FLAGS[scheme]))
    listed = [uri for table in store.list_objects(paid_uri) for uri in table["uri"].to_pylist()]
    assert sorted(listed) == [f"{paid_uri}/chips/a.jpg", f"{paid_uri}/odd//name.jpg"]
    assert store.read_bytes(f"{paid_uri}/chips/a.jpg") == jpg_bytes()
    if scheme == "s3":
        publish(f"{paid_uri}/out", "run-1", [scored("a")])
        assert ask(f"{paid_uri}/out", "SELECT chip_uri FROM chip_scores").num_rows == 1
