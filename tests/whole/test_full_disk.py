"""A disk that is full: the command says so in one line, publishes nothing half, and resumes once
there is space."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beam_jobs.query import ask
from pipelines.storage._local_store import LocalStore
from tests.support.quick_scoring import start
from tests.support.samples import make_artifact, write_chips

_NOTHING, _RECORD_MISSING, _PUBLISHED = [0, 0, 0], [9, 1, 0], [9, 1, 1]
_SEEN = """SELECT (SELECT count(*) FROM chip_scores), (SELECT count(*) FROM quarantine),
(SELECT count(*) FROM runs WHERE status = 'published')"""


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A run over ten chips, one of them empty."""
    place: Path = tmp_path_factory.mktemp("full")
    write_chips(place / "chips", 10)[3].write_bytes(b"")
    make_artifact(place / "model")
    return {"chips": place / "chips", "artifact": place / "model", "run_id": "night"}


def seen(output: Path) -> list[int]:
    """Rows that readers see: scores, quarantine, published runs."""
    return list(ask(str(output), _SEEN).to_pylist()[0].values())


# --- A disk with room for that many files ---------------------------------------------------------


@pytest.mark.parametrize("room", [0, 4])  # the plan, then two or three files a unit
def test_a_disk_that_is_full_while_staging_fails_the_run_which_resumes_with_more_space(
    flags, quick_score, room, tmp_path, monkeypatch, capsys
):
    written = []
    write, create = LocalStore.write, LocalStore.create

    def unless_full(writer: Callable[..., object]) -> Callable[..., object]:
        def write_or_fail(disk: LocalStore, uri: str, data: bytes) -> object:
            if len(written) == room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            result = writer(disk, uri, data)
            written.append(uri)
            return result

        return write_or_fail

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "write", unless_full(write))
        patch.setattr(LocalStore, "create", unless_full(create))
        code = quick_score(**flags, output=tmp_path)
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == (2 if room < 1 else 1)  # refused before any work, or failed
    assert "cannot write" in error
    assert error.partition("; ")[0].endswith("No space left on device")
    assert seen(tmp_path) == _NOTHING
    assert quick_score(**flags, output=tmp_path) == 0
    assert seen(tmp_path) == _PUBLISHED


# --- A real one, where tests may mount, or CI has mounted one -------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of some megabytes."""
    given = os.environ.get("SMALL_DISK")
    disk = Path(given) if given else tmp_path
    mount = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(disk)]
    if not given and (os.geteuid() or subprocess.run(mount, capture_output=True).returncode):
        pytest.skip("needs the right to mount, or a file system of 10 MB in SMALL_DISK")
    try:
        yield disk
    finally:
        for left in disk.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if not given:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, free_kib: int) -> Path:
    """Fill a file system with one file, but for that many KiB.

    Returns: the file.
    """
    filling = disk / "filling"
    space = os.statvfs(disk)
    with filling.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - free_kib * 1024)
    return filling


@pytest.mark.parametrize("free_kib", [44, 112, 160, 208])
def test_a_disk_that_is_full_at_any_moment_leaves_a_whole_run_or_none(
    flags, small_disk, free_kib, tmp_path_factory
):
    """From the tables' creation to the run's record: the sizes are spread over the whole run."""
    filling, output = fill(small_disk, free_kib), small_disk / "tables"
    log = tmp_path_factory.mktemp("log") / "log"
    code, said = start({**flags, "output": output}, log).finish()
    assert code in (1, 2), said
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "No space left on device" in error
    assert seen(output) == (_RECORD_MISSING if "chips are published" in error else _NOTHING)
    filling.unlink()
    code, said = start({**flags, "output": output}, log).finish()
    assert code == 0, said
    assert seen(output) == _PUBLISHED
