"""Flink: the cluster's file and its command fit Beam; the job runs on a cluster if there is one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions

from beam_jobs.engine import launch
from beam_jobs.options.run_options import SCORE_LINE, parse_score_options
from pipelines.tables import delta_tables
from tests.support.samples import make_artifact, write_chips

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "deploy" / "flink"
_JAR = os.environ.get("BEAM_FLINK_JOB_SERVER_JAR", "")
_POOL_PORT = 50000  # of Beam's boot program with --worker_pool


def services() -> dict[str, Any]:
    return dict(yaml.safe_load((_FOLDER / "compose.yaml").read_text())["services"])


def command() -> list[str]:
    """The documented command's flags."""
    text = (_FOLDER / "README.md").read_text()
    found = re.search(r"-m beam_jobs\.score_chips(.*?)```", text, re.DOTALL)
    assert found
    return shlex.split(found[1].replace("\\\n", " "))


def beams() -> dict[str, Any]:
    options = parse_score_options(command(), datetime.now(UTC))
    return dict(PipelineOptions(list(options.beam_args)).get_all_options())


def test_each_taskmanager_has_a_pool_of_our_workers_in_its_network() -> None:
    managers = [name for name in services() if name.startswith("taskmanager")]
    pools = [found for name, found in services().items() if name.startswith("workers")]
    assert len(managers) > 1
    assert [pool["network_mode"] for pool in pools] == [f"service:{name}" for name in managers]
    for pool in pools:
        assert pool["command"] == ["--worker_pool"]
        assert pool["image"].startswith("${FOREST_CHIPS_IMAGE:?")
        assert pool["user"] != "root"


def test_the_pools_user_is_made_in_the_image() -> None:
    (user,) = {found["user"] for name, found in services().items() if name.startswith("workers")}
    assert re.search(rf"useradd .*{user}\b", (_ROOT / "deploy" / "Dockerfile").read_text())


def test_all_parts_use_one_flink_version_that_this_beam_supports() -> None:
    images = {found["image"] for found in services().values() if "flink" in found["image"]}
    (version,) = {re.sub(r"flink:([\d.]+)-java\d+", r"\1", image) for image in images}
    given = beams()
    assert given["flink_version"] == version
    assert version in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    assert f"-flink-{version}-job-server-" in given["flink_job_server_jar"]
    beam = re.search(r"^apache-beam==(.*)$", (_ROOT / "constraints.txt").read_text(), re.M)
    assert beam
    assert given["flink_job_server_jar"].endswith(f"-{beam[1]}.jar")


def test_the_job_accepts_the_documented_command() -> None:
    options = parse_score_options(command(), datetime.now(UTC))
    launch.check_beam_args(options.beam_args, SCORE_LINE.flag_names())
    given = beams()
    assert given["runner"] == "FlinkRunner"
    assert given["environment_config"] == f"localhost:{_POOL_PORT}"


def test_the_command_uses_all_slots() -> None:
    managers = [found for name, found in services().items() if name.startswith("taskmanager")]
    slots = [
        int(re.findall(r"numberOfTaskSlots: (\d+)", m["environment"]["FLINK_PROPERTIES"])[0])
        for m in managers
    ]
    assert beams()["parallelism"] == sum(slots)


def score(chips: Path, artifact: Path, output: Path, *flags: str) -> dict[str, list[float]]:
    """Run the command; returns each chip's scores."""
    places = ["--chips", str(chips), "--artifact", str(artifact), "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "beam_jobs.score_chips", *places, "--precision=float32", *flags],
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    table = delta_tables.open_table(str(output), "chip_scores")
    assert table is not None
    rows = delta_tables.open_dataset(table).to_table().to_pylist()
    return {r["chip_id"]: [v for k, v in r.items() if k.startswith("score_")] for r in rows}


@pytest.mark.flink
@pytest.mark.skipif(not _JAR, reason="BEAM_FLINK_JOB_SERVER_JAR names no job server")
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java on PATH")
def test_flink_publishes_the_same_rows_as_the_in_process_engine(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifact")
    write_chips(tmp_path / "chips", 60)
    places = (tmp_path / "chips", tmp_path / "artifact")
    expected = score(*places, tmp_path / "expected")
    flags = ["--runner=FlinkRunner", "--flink_master=[local]", f"--flink_job_server_jar={_JAR}"]
    found = score(*places, tmp_path / "found", *flags, "--environment_type=LOOPBACK")
    assert found.keys() == expected.keys()
    for chip, scores in expected.items():
        np.testing.assert_allclose(found[chip], scores, atol=1e-6)
