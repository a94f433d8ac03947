"""Every way of running the job publishes the same rows; a worker's death loses and doubles none.

`ENGINE_CHIPS=5000` makes the archive larger than the suite has time for.
"""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from pipelines.tables import delta_tables
from tests.support import engines
from tests.support.engines import Ended, Launch
from tests.support.openvino_networks import add_to_artifact
from tests.support.samples import make_artifact, write_chips

CHIPS = int(os.environ.get("ENGINE_CHIPS", "300"))
UNIT_CHIPS = max(40, CHIPS // 10)
FEW = 3  # small units, so that a worker can be killed between two of many
PRISM_SECONDS = 240  # longest run of which a worker is killed
TOLERANCE = 1e-6
"""Largest difference of a score between two engines: batches are cut alike, so little is left."""

COUNTS = ("listed", "skipped", "scored", "quarantined", "quarantined_by_reason", "precision")
TWO_PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
_WORKER = r"^\S*python\S* -m apache_beam\.runners\.worker\.sdk_worker_main"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chips, some of them broken in three ways."""
    folder = tmp_path_factory.mktemp("chips")
    paths = write_chips(folder, CHIPS)
    for path in paths[5::60]:
        path.write_bytes(b"")
    for path in paths[17::60]:
        path.write_bytes(path.read_bytes()[:400])
    for path in paths[29::60]:
        path.write_bytes(b"no picture at all")
    return folder


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that workers without TensorFlow can score with, too."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    add_to_artifact(folder)
    return folder


BROKEN = sum(len(range(first, CHIPS, 60)) for first in (5, 17, 29))


class Published(NamedTuple):
    """The rows of a run, in an order of their own."""

    scores: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    runs: list[dict[str, Any]]


def _rows(output: Path, name: str, key: str) -> list[dict[str, Any]]:
    table = delta_tables.open_table(str(output), name)
    if table is None:
        return []
    return delta_tables.open_dataset(table).to_table().sort_by(key).to_pylist()


def _published(output: Path) -> Published:
    return Published(
        _rows(output, "chip_scores", "chip_uri"),
        _rows(output, "quarantine", "chip_uri"),
        _rows(output, "runs", "run_id"),
    )


def _flags(archive: Path, artifact: Path, output: Path) -> list[str]:
    named = {"chips": archive, "artifact": artifact, "output": output, "run_id": "night"}
    flags = [f"--{name}={value}" for name, value in named.items()]
    return [*flags, "--precision=float32", "--batch_size=64"]


@pytest.fixture(scope="module")
def expected(archive: Path, artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """What the in-process engine publishes."""
    output = tmp_path_factory.mktemp("in_process")
    ended = Launch(_flags(archive, artifact, output), UNIT_CHIPS).finish()
    assert ended.code == 0, ended.terminal
    _assert_told(ended)
    return _published(output)


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark in the environment of the processes that a test starts; none may outlive the test."""
    mark = uuid.uuid4().hex
    yield mark
    try:
        engines.wait_until(lambda: not engines.running(mark), 60)
    finally:
        for process in engines.running(mark):
            os.kill(process, signal.SIGKILL)


@pytest.fixture
def prism() -> None:
    if missing := engines.missing_programs():
        pytest.skip(f"`make engines` was not run: no {missing}")


@pytest.fixture
def engine(request: pytest.FixtureRequest, mark: str) -> Iterator[list[str]]:
    """Beam's flags for a way of running, named by the test's parameter."""
    if request.param == "two processes":
        yield list(TWO_PROCESSES)
        return
    request.getfixturevalue("prism")
    if request.param == "Prism in the launcher":
        yield list(engines.PRISM)
    elif request.param == "Prism with boot":
        yield engines.process_flags()
    else:
        with engines.worker_pool(mark) as flags:
            yield flags


def _on(*names: str) -> pytest.MarkDecorator:
    marks = [[pytest.mark.prism] if name.startswith("Prism") else [] for name in names]
    named = [
        pytest.param(n, marks=m, id=n.replace(" ", "-")) for n, m in zip(names, marks, strict=True)
    ]
    return pytest.mark.parametrize("engine", named, indirect=True)


def _assert_told(ended: Ended) -> None:
    """The bar got to its end, and the engine has the counters."""
    counters = f"chips_scored {CHIPS - BROKEN}, chips_quarantined {BROKEN},"
    assert f"{CHIPS}/{CHIPS}" in ended.terminal
    assert f"counters    {counters}" in ended.out


@_on("two processes", "Prism in the launcher", "Prism with a worker pool", "Prism with boot")
def test_every_engine_publishes_the_rows_of_the_one_in_the_process(
    engine: list[str],
    mark: str,
    archive: Path,
    artifact: Path,
    expected: Published,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    flags = [*_flags(archive, artifact, tmp_path), "--log_format=json", *engine]
    ended = Launch(flags, UNIT_CHIPS, mark).finish()
    if "no worker was ready within the minute" in ended.terminal:  # on a busy machine
        ended = Launch(flags, UNIT_CHIPS, mark).finish()
    assert ended.code == 0, ended.terminal
    _assert_told(ended)
    loads = len(re.findall(r'event\\*": \\*"model_loaded', ended.terminal))
    assert loads == (2 if request.node.callspec.params["engine"] == "two processes" else 1)
    found = _published(tmp_path)

    for name in ("chip_uri", "labels", "sky_label", "model_digest", "etag"):
        assert [r[name] for r in found.scores] == [r[name] for r in expected.scores], name
    columns = [name for name in found.scores[0] if name.startswith("score_")]
    scores, reference = (
        np.array([[row[name] for name in columns] for row in rows])
        for rows in (found.scores, expected.scores)
    )
    np.testing.assert_allclose(scores, reference, atol=TOLERANCE, rtol=0)
    for name in ("chip_uri", "reason", "message"):
        assert [r[name] for r in found.quarantine] == [r[name] for r in expected.quarantine], name
    ((run,), (reference_run,)) = found.runs, expected.runs
    assert {n: run[n] for n in COUNTS} == {n: reference_run[n] for n in COUNTS}


def _assert_failed(ended: Ended, output: Path) -> None:
    """It says so in one line, its last, and has published nothing."""
    assert ended.code == 1, ended.terminal
    assert ended.terminal.splitlines()[-1].startswith(
        "error: a worker process ended during the run"
    )
    assert "Traceback" not in ended.terminal
    errors = [line for line in ended.terminal.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    found = _published(output)
    assert (found.scores, found.quarantine) == ([], [])
    assert [run["status"] for run in found.runs] == ["failed"]


def _units(staged: Path) -> int:
    return len(list(staged.glob("*/units/*.json")))


def _end_after_a_kill(flags: list[str], mark: str, staged: Path) -> Ended:
    """How a run ends of which a worker is killed when it has staged a unit."""
    before = _units(staged)
    launch = Launch([*flags, f"--job_server_timeout={PRISM_SECONDS}"], FEW, mark)
    engines.wait_until(lambda: _units(staged) > before or not launch.is_running(), 200)
    os.kill(engines.running(mark, _WORKER)[-1], signal.SIGKILL)
    return launch.finish()


@_on("Prism with boot")
def test_a_run_on_prism_that_takes_longer_than_it_may_says_so_in_its_last_line(
    engine: list[str], mark: str, archive: Path, artifact: Path, tmp_path: Path
) -> None:
    flags = [*_flags(archive, artifact, tmp_path), *engine, "--job_server_timeout=3"]
    ended = Launch(flags, FEW, mark).finish()
    assert ended.code == 1, ended.terminal
    assert ended.terminal.splitlines()[-1].startswith(
        "error: the engine has not ended the run within --job_server_timeout; nothing"
    )


def test_a_worker_killed_before_it_is_connected_fails_the_run_at_once(
    mark: str, archive: Path, artifact: Path, tmp_path: Path
) -> None:
    launch = Launch([*_flags(archive, artifact, tmp_path), *TWO_PROCESSES], FEW, mark)
    engines.wait_until(lambda: engines.running(mark, _WORKER) or not launch.is_running(), 200)
    os.kill(engines.running(mark, _WORKER)[-1], signal.SIGKILL)
    _assert_failed(launch.finish(), tmp_path)
    assert not engines.running(mark)


@_on("two processes", "Prism with a worker pool", "Prism with boot")
def test_a_worker_killed_in_mid_run_fails_it_and_the_next_start_finishes_it(
    engine: list[str],
    mark: str,
    archive: Path,
    artifact: Path,
    expected: Published,
    tmp_path: Path,
) -> None:
    flags = _flags(archive, artifact, tmp_path)
    staged = tmp_path / "_staging"
    ended = _end_after_a_kill([*flags, *engine], mark, staged)
    if "within --job_server_timeout" in ended.terminal:  # Prism missed it: docs/engines.md
        ended = _end_after_a_kill([*flags, *engine], mark, staged)
    _assert_failed(ended, tmp_path)
    assert 0 < _units(staged) < CHIPS // FEW

    again = Launch(flags, FEW, mark).finish()
    assert again.code == 0, again.terminal
    assert "units staged before" in again.out
    found = _published(tmp_path)
    for name in ("chip_uri", "labels"):
        assert [r[name] for r in found.scores] == [r[name] for r in expected.scores]
    assert [r["chip_uri"] for r in found.quarantine] == [r["chip_uri"] for r in expected.quarantine]
    ((run,), (reference_run,)) = found.runs, expected.runs
    assert {n: run[n] for n in COUNTS} == {n: reference_run[n] for n in COUNTS}
