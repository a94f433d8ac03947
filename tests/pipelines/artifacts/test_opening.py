"""A machine fetches a remote artifact once and completely, whatever its processes do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.artifacts import loading, opening
from pipelines.artifacts.opening import fetch_artifact, open_artifact
from pipelines.errors import StorageError
from pipelines.storage import store
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import read_description, write_artifact
from tests.support.samples import make_artifact, rezip

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "machine"))
    (tmp_path / "machine").mkdir()


@pytest.fixture
def uploaded(tmp_path: Path, gs_uri: str) -> tuple[str, ModelArtifact]:
    """An artifact's address, and its files there."""
    artifact = make_artifact(tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        store.write_bytes(f"{gs_uri}/model/{path.name}", path.read_bytes())
    return f"{gs_uri}/model", artifact


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of the files that were fetched, but not of descriptions; each takes a while."""
    fetched: list[str] = []
    read_bytes = store.read_bytes

    def slowly(uri: str, most_bytes: int | None = None) -> bytes:
        if not uri.endswith("artifact.json"):
            fetched.append(uri)
            time.sleep(0.2)
        return read_bytes(uri, most_bytes)

    monkeypatch.setattr(store, "read_bytes", slowly)
    return fetched


def test_of_many_callers_at_once_only_one_fetches(
    uploaded: tuple[str, ModelArtifact], fetches: list[str]
) -> None:
    uri, artifact = uploaded
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fetch_artifact, [uri] * 8))
    assert fetches == [f"{uri}/model.keras"]
    assert len({folder for folder, _ in found}) == 1
    assert {opened.model_digest for _, opened in found} == {artifact.model_digest}


def test_after_a_process_died_while_fetching_another_can_fetch(
    uploaded: tuple[str, ModelArtifact], fetches: list[str], tmp_path: Path
) -> None:
    uri, artifact = uploaded
    dying = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from pipelines.artifacts import opening\n"
        "def half(folder, data):\n"
        "    folder.open('wb').write(data[:1000])\n"
        "    if folder.name == 'model.keras':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.write_bytes = half\n"
        f"opening.fetch_artifact({uri!r})\n"
    )
    died = subprocess.run([sys.executable, "-c", dying], cwd=ROOT, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    (partial,) = (tmp_path / "machine").rglob("*.partial")
    assert {path.name for path in partial.iterdir()} == {"artifact.json", "model.keras"}

    folder, opened = fetch_artifact(uri)
    assert opened == artifact
    assert fetches == [f"{uri}/model.keras"]
    assert not list((tmp_path / "machine").rglob("*.partial"))
    assert (folder / "model.keras").stat().st_size > 1000


def test_a_copy_that_has_lost_a_file_is_fetched_again(
    uploaded: tuple[str, ModelArtifact], fetches: list[str]
) -> None:
    uri, artifact = uploaded
    folder, _ = fetch_artifact(uri)
    (folder / "model.keras").unlink()
    assert fetch_artifact(uri) == (folder, artifact)
    assert fetches == [f"{uri}/model.keras"] * 2


def test_a_digest_other_than_planned_is_refused_from_the_cache_too(
    uploaded: tuple[str, ModelArtifact], fetches: list[str]
) -> None:
    uri, artifact = uploaded
    assert open_artifact(uri, artifact.model_digest)[1] == artifact
    with pytest.raises(ArtifactError, match=f"was 0000, is {artifact.model_digest}"):
        open_artifact(uri, expected_digest="0000")
    assert fetches == [f"{uri}/model.keras"]


def test_only_the_description_and_the_model_are_fetched(
    uploaded: tuple[str, ModelArtifact], fetches: list[str], tmp_path: Path
) -> None:
    uri, _ = uploaded
    (tmp_path / "model" / "model.h5").write_bytes(b"a listed file")
    artifact = write_artifact(tmp_path / "model", read_description(tmp_path / "model"))
    for name in ("artifact.json", "model.h5"):
        store.write_bytes(f"{uri}/{name}", (tmp_path / "model" / name).read_bytes())
    store.write_bytes(f"{uri}/unlisted", b"an unlisted file")
    folder, opened = fetch_artifact(uri)
    assert opened == artifact
    assert {path.name for path in folder.iterdir()} == {"artifact.json", "model.keras"}
    assert fetches == [f"{uri}/model.keras"]


@pytest.mark.parametrize("name", ["artifact.json", "model.keras"])
def test_a_file_that_is_larger_than_any_artifact_needs_is_not_fetched(
    uploaded: tuple[str, ModelArtifact], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    limit = {"artifact.json": "MOST_DESCRIPTION_BYTES", "model.keras": "MOST_MODEL_BYTES"}[name]
    monkeypatch.setattr(opening, limit, 100)
    with pytest.raises(StorageError, match=rf"{name}' has [\d,]+ bytes, at most 100 are read"):
        fetch_artifact(uploaded[0])


@pytest.mark.parametrize("recorded", ["description", "model"])
def test_a_model_of_a_newer_keras_is_refused_with_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: str
) -> None:
    artifact = make_artifact(tmp_path)
    if recorded == "description":
        write_artifact(tmp_path, replace(artifact, versions={"keras": "9.10.1"}))
        monkeypatch.setattr(loading, "version", lambda _: "9.9.3")
    else:
        rezip(tmp_path, {"metadata.json": b'{"keras_version": "9.10.1"}'})
        monkeypatch.setattr(loading, "version", lambda _: "8.99.0rc1")
    with pytest.raises(ArtifactError, match=r"saved by Keras 9\.10\.1, .* older; install keras>=9"):
        open_artifact(str(tmp_path))
    monkeypatch.setattr(loading, "version", lambda _: "9.10.0")
    open_artifact(str(tmp_path))
    monkeypatch.setattr(loading, "version", lambda _: "10.0.0.dev1")
    open_artifact(str(tmp_path))


def test_a_version_that_is_none_is_not_compared(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    rezip(tmp_path, {"metadata.json": b'{"keras_version": ["9.9"]}'})
    for version in ("", None, "9", "9.x", "9.9999999", "nightly", {"a": 1}):
        write_artifact(tmp_path, replace(artifact, versions={"keras": version}))  # type: ignore[dict-item]
        open_artifact(str(tmp_path))


def test_a_cache_that_another_user_made_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opening._cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    Path(tempfile.gettempdir(), f"forest-chips-artifacts-{me + 1}").mkdir()
    with pytest.raises(StorageError, match="belongs to another user"):
        opening._cache_folder()


def test_a_cache_that_is_a_link_or_open_to_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user may have made the link, or put a model into the folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache = tmp_path / f"forest-chips-artifacts-{os.getuid()}"
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    cache.symlink_to(own)
    with pytest.raises(StorageError, match="is not a folder"):
        opening._cache_folder()
    cache.unlink()
    cache.mkdir()
    for mode in (0o777, 0o720, 0o702):
        cache.chmod(mode)
        with pytest.raises(StorageError, match="is open to other users"):
            opening._cache_folder()
    cache.chmod(0o700)
    assert opening._cache_folder() == cache
