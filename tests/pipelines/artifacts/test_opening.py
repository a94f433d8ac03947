"""A machine fetches a remote artifact once and completely, whatever its processes do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.artifacts import opening
from pipelines.artifacts.opening import fetch_artifact, open_artifact
from pipelines.storage import store
from schemas.artifact import ArtifactError, ModelArtifact
from tests.support.samples import make_artifact

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
    """The addresses that were fetched; each takes a while."""
    fetched: list[str] = []
    fetch_folder = store.fetch_folder

    def slowly(uri: str, folder: Path) -> None:
        fetched.append(uri)
        time.sleep(0.2)
        fetch_folder(uri, folder)

    monkeypatch.setattr(store, "fetch_folder", slowly)
    return fetched


def test_of_many_callers_at_once_only_one_fetches(
    uploaded: tuple[str, ModelArtifact], fetches: list[str]
) -> None:
    uri, artifact = uploaded
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fetch_artifact, [uri] * 8))
    assert fetches == [uri]
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
        "from pipelines.storage import store\n"
        "def half(uri, folder):\n"
        "    folder.mkdir(parents=True)\n"
        "    (folder / 'model.keras').write_bytes(b'the first half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "store.fetch_folder = half\n"
        f"opening.fetch_artifact({uri!r})\n"
    )
    died = subprocess.run([sys.executable, "-c", dying], cwd=ROOT, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    (partial,) = (tmp_path / "machine").rglob("*.partial")
    assert [path.name for path in partial.iterdir()] == ["model.keras"]

    folder, opened = fetch_artifact(uri)
    assert opened == artifact
    assert fetches == [uri]
    assert not list((tmp_path / "machine").rglob("*.partial"))
    assert (folder / "model.keras").stat().st_size > 1000


def test_a_copy_that_has_lost_a_file_is_fetched_again(
    uploaded: tuple[str, ModelArtifact], fetches: list[str]
) -> None:
    uri, artifact = uploaded
    folder, _ = fetch_artifact(uri)
    (folder / "model.keras").unlink()
    assert fetch_artifact(uri) == (folder, artifact)
    assert fetches == [uri, uri]


def test_a_digest_other_than_planned_is_refused_from_the_cache_too(
    uploaded: tuple[str, ModelArtifact], fetches: list[str]
) -> None:
    uri, artifact = uploaded
    assert open_artifact(uri, artifact.model_digest)[1] == artifact
    with pytest.raises(ArtifactError, match=f"was 0000, is {artifact.model_digest}"):
        open_artifact(uri, expected_digest="0000")
    assert fetches == [uri]


def test_a_cache_that_another_user_made_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opening._cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    Path(tempfile.gettempdir(), f"forest-chips-artifacts-{me + 1}").mkdir()
    with pytest.raises(opening.StorageError, match="belongs to another user"):
        opening._cache_folder()
