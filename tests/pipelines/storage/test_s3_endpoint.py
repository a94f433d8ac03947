"""`s3://` means the store that options or the usual environment variables name."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyarrow as pa
import pytest

from beam_jobs import query, score_chips
from pipelines.commands import exit_code
from pipelines.run_log import RunLog
from pipelines.scoring import scoring
from pipelines.scoring.scoring import SharedModel
from pipelines.storage import _connections, store
from pipelines.storage.s3_endpoint import s3_endpoint
from pipelines.storage.store import StoreSettings
from pipelines.storage.worker_settings import WorkerSettings
from tests.support.object_stores import S3Server
from tests.support.published_runs import publish, scored
from tests.support.quick_scoring import start
from tests.support.samples import make_artifact, write_chips

NOBODY = "http://127.0.0.1:1"
SECRET = "not-to-be-printed-anywhere"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@pytest.fixture
def bare(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket; the environment has keys, but does not say where the store is."""
    for name in (*ENDPOINTS, *REGIONS, "AWS_ALLOW_HTTP", "AWS_CONDITIONAL_PUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    store.forget_stores()
    yield s3_uri
    store.configure(StoreSettings())


def use_every_library(uri: str, server: S3Server) -> None:
    """obstore reads and writes, delta-rs commits, boto3 lists what obstore cannot."""
    store.write_bytes(f"{uri}/a.jpg", b"1")
    assert store.read_bytes(f"{uri}/a.jpg") == b"1"
    assert not store.create_bytes(f"{uri}/a.jpg", b"2")
    publish(f"{uri}/out", "run-1", [scored("a")])
    asked = query.ask(f"{uri}/out", "SELECT chip_uri FROM chip_scores")
    assert asked.to_pylist() == [{"chip_uri": "a"}]
    client = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1")
    client.put_object(Bucket=uri.removeprefix("s3://"), Key="odd//name", Body=b"3")
    listed = pa.concat_tables(store.list_objects(uri))["uri"].to_pylist()
    assert {f"{uri}/a.jpg", f"{uri}/odd//name"} <= set(listed)


def test_every_library_uses_the_store_of_the_option(
    bare: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
    store.configure(StoreSettings(s3_endpoint=s3_server.url, s3_region="eu-west-1"))
    use_every_library(bare, s3_server)


@pytest.mark.parametrize("variable", ENDPOINTS)
def test_every_library_uses_the_store_of_the_variable(
    bare: str, s3_server: S3Server, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, s3_server.url)
    use_every_library(bare, s3_server)


def test_the_option_comes_before_the_variables_and_s3s_own_before_that_of_all_services(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for name in reversed(ENDPOINTS):
        monkeypatch.setenv(name, f"https://{name}")
        found.append(s3_endpoint("", "").url)
    assert found == [f"https://{name}" for name in reversed(ENDPOINTS)]
    assert s3_endpoint("https://option", "").url == "https://option"


def test_a_region_is_always_set_for_a_custom_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, delta-rs asks the machine's cloud, waits, and complains at length."""
    for name in (*ENDPOINTS, *REGIONS):
        monkeypatch.delenv(name, raising=False)
    assert s3_endpoint("", "").for_delta() == {}
    assert s3_endpoint("https://minio", "").for_delta() == {
        "aws_endpoint_url": "https://minio",
        "aws_region": "us-east-1",
    }
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert s3_endpoint("https://minio", "").for_boto3()["region_name"] == "eu-west-1"
    assert s3_endpoint("https://minio", "here").for_obstore()["region"] == "here"


@pytest.mark.parametrize(("url", "plain"), [("http://minio:9000", True), ("https://m", False)])
def test_only_an_address_without_tls_allows_http(url: str, plain: bool) -> None:
    assert s3_endpoint(url, "").allow_http == plain
    assert ("allow_http" in s3_endpoint(url, "").for_delta()) == plain


READ_AS_A_WORKER = """
import pickle, sys
pickle.loads(bytes.fromhex(sys.argv[1])).apply()
from pipelines.storage import store
sys.stdout.buffer.write(store.read_bytes(sys.argv[2]))
"""


def test_a_worker_that_knows_only_its_settings_reaches_the_store(
    bare: str, s3_server: S3Server
) -> None:
    stores = StoreSettings(s3_endpoint=s3_server.url)
    store.configure(stores)
    store.write_bytes(f"{bare}/a", b"hello")
    settings = pickle.dumps(WorkerSettings(RunLog("run-1", "text"), stores))
    assert SECRET.encode() not in settings
    command = [sys.executable, "-c", READ_AS_A_WORKER, settings.hex(), f"{bare}/a"]
    assert subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout == b"hello"


def test_the_settings_are_applied_before_the_model_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beam sets up the DoFn that scores before the one that reads."""
    settings = WorkerSettings(RunLog("run-1", "text"), StoreSettings(deadline_s=7.0))
    seen = []

    def load(*_: object) -> None:
        seen.append(_connections._settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "open_artifact", load)
    with pytest.raises(KeyboardInterrupt):
        SharedModel("s3://b/model", "digest", "float32", 1, 1, settings).classifier()
    store.configure(StoreSettings())
    assert seen == [settings.stores]


def test_a_whole_job_runs_on_a_store_that_only_its_flags_name(
    bare: str, s3_server: S3Server, tmp_path: Path
) -> None:
    """From listing to published rows, and the keys are printed nowhere."""
    store.configure(StoreSettings(s3_endpoint=s3_server.url))
    make_artifact(tmp_path / "model")
    for path in [*write_chips(tmp_path / "chips", 5), *(tmp_path / "model").iterdir()]:
        store.write_bytes(f"{bare}/{path.parent.name}/{path.name}", path.read_bytes())
    flags = {"chips": f"{bare}/chips", "artifact": f"{bare}/model", "output": f"{bare}/out"}
    command = start({**flags, "s3_endpoint": s3_server.url}, tmp_path / "log")
    code, said = command.finish()
    assert (code, "5 scored" in said) == (0, True), said
    asking = ["--output", f"{bare}/out", "--s3_endpoint", s3_server.url]
    store.configure(StoreSettings())
    assert query.main([*asking, "SELECT count(*) FROM latest_chip_scores"]) == 0
    assert SECRET not in said
    for part in store.list_objects(f"{bare}/out"):
        for uri in part["uri"].to_pylist():
            assert SECRET.encode() not in store.read_bytes(uri)


@pytest.mark.parametrize("url", ["minio:9000", "ftp://h", "http://me:key@h", "https://h?x=1", ""])
def test_an_endpoint_that_is_no_address_or_holds_a_key_is_refused(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--chips", "s3://b/c", "--artifact", "s3://b/m", "--output", "s3://b/o"]
    for main, arguments in ((score_chips.main, flags), (query.main, ["--output", "s3://b/o", "-"])):
        assert exit_code(main, [*arguments, "--s3_endpoint", url]) == 2
        assert "without credentials" in capsys.readouterr().err
