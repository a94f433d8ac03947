"""The scoring command with OpenVINO, where TensorFlow and Keras cannot be imported."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beam_jobs import score_chips
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.scoring.scoring import SharedModel
from pipelines.storage import store
from schemas.artifact_files import read_description
from tests.support.openvino_networks import add_to_artifact
from tests.support.samples import make_artifact, write_chips
from train.converting.int8 import Chips

_ROOT = Path(__file__).parents[2]
_WITHOUT_TENSORFLOW = (
    "import sys\n"
    "sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'sklearn']))\n"
    "from beam_jobs.__main__ import main\n"
    "sys.exit(main())\n"
)


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    """A folder with 12 chips, one of them broken, and an artifact with both kinds of networks."""
    folder = tmp_path_factory.mktemp("night")
    write_chips(folder / "chips", 12)[3].write_bytes(b"")
    make_artifact(folder / "model", network="cnn")
    make_artifact(folder / "plain", network="cnn")
    add_to_artifact(folder / "model")
    make_artifact(folder / "int8", network="cnn")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    add_to_artifact(folder / "int8", Chips(pixels, pixels, np.eye(20, 17, dtype=np.uint8)))
    return folder


def score(night: Path, output: str, *flags: str) -> subprocess.CompletedProcess[str]:
    arguments = ["score", f"--chips={night}/chips", f"--output={night}/{output}", *flags]
    if not any(flag.startswith("--artifact") for flag in flags):
        arguments.append(f"--artifact={night}/model")
    command = [sys.executable, "-c", _WITHOUT_TENSORFLOW, *arguments]
    return subprocess.run(command, cwd=_ROOT, env=dict(os.environ), capture_output=True, text=True)


def rows(night: Path, output: str, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in ask(str(night / output), sql).to_pylist()]


def test_a_cpu_without_tensorflow_scores_what_tensorflow_scores(night):
    done = score(night, "one", "--precision=float32")
    assert done.returncode == 0, done.stderr
    assert "11 scored, 1 quarantined" in done.stdout
    assert "float32, openvino" in done.stdout
    asked = {"chips": "chips", "artifact": "model", "output": "two"}
    flags = [f"--{name}={night}/{value}" for name, value in asked.items()]
    flags += ["--engine=tensorflow", "--precision=float32"]
    assert exit_code(score_chips.main, flags) == 0
    scores = "SELECT COLUMNS('score_.*') FROM chip_scores ORDER BY chip_id"
    one, two = (np.array(rows(night, output, scores)) for output in ("one", "two"))
    assert one.shape == two.shape == (11, 17)
    np.testing.assert_allclose(one, two, atol=1e-4)
    digests = "SELECT DISTINCT model_digest, thresholds_digest FROM chip_scores"
    assert rows(night, "one", digests) == rows(night, "two", digests)
    used = "SELECT engine, precision, options FROM runs"
    ((engine, precision, options),) = rows(night, "one", used)
    assert (engine, precision, json.loads(options)["engine"]) == ("openvino", "float32", "auto")
    assert rows(night, "two", used)[0][:2] == ("tensorflow", "float32")


def test_int8_is_used_only_when_it_is_asked_for(night):
    flags = (f"--artifact={night}/int8",)
    assert score(night, "plainly", *flags).returncode == 0
    done = score(night, "int8s", *flags, "--precision=int8")
    assert done.returncode == 0, done.stderr
    used = "SELECT engine, precision, model_digest, thresholds_digest FROM runs"
    (plain,), (quantised,) = rows(night, "plainly", used), rows(night, "int8s", used)
    assert quantised[:2] == ("openvino", "int8")
    assert plain[0] == "openvino"
    assert plain[1] != "int8"
    assert quantised[2:] == plain[2:]
    scores = "SELECT COLUMNS('score_.*') FROM chip_scores ORDER BY chip_id"
    one, two = (np.array(rows(night, output, scores)) for output in ("plainly", "int8s"))
    assert 0 < np.abs(one - two).max() < 0.1


def test_an_int8_network_that_the_trainer_did_not_accept_is_used_with_a_warning(night, tmp_path):
    folder = shutil.copytree(night / "int8", tmp_path / "doubted")
    description = json.loads((folder / "artifact.json").read_text())
    for accepted, warnings in ((True, 0), (False, 1)):
        description["engines"]["openvino"]["int8"]["accepted"] = accepted
        (folder / "artifact.json").write_text(json.dumps(description))
        done = score(night, "doubts", f"--artifact={folder}", "--precision=int8", "--plan_only")
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("int8 network differs from float32 by more") == warnings


def test_chips_that_tensorflow_scored_are_not_scored_again(night):
    assert score(night, "three").returncode == 0
    again = score(night, "three", "--engine=openvino")
    assert again.returncode == 0, again.stderr
    assert "0 scored, 0 quarantined, 12 skipped" in again.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--engine=tensorflow"], "the artifact needs tensorflow, which is not installed here"),
        (["--artifact={night}/plain"], "or let OpenVINO score it: python -m train convert"),
        (["--precision=int8"], "the artifact has no int8 network; python -m train convert"),
        (["--precision=float16"], "the artifact needs tensorflow"),
    ],
)
def test_what_cannot_be_scored_here_is_a_usage_error_before_any_work(night, flags, message):
    done = score(night, "nothing", *(flag.format(night=night) for flag in flags))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (night / "nothing").exists()


def test_an_estimate_needs_no_tensorflow_either(night):
    done = score(night, "nothing", "--estimate")
    assert done.returncode == 0, done.stderr
    assert "on openvino" in done.stdout


def test_of_a_remote_artifact_only_the_network_that_is_used_is_fetched(night, gs_uri, monkeypatch):
    artifact = read_description(night / "model")
    for path in (night / "model").iterdir():
        store.write_bytes(f"{gs_uri}/model/{path.name}", path.read_bytes())
    read, fetched = store.read_bytes, []

    def watched(uri, *limit):
        fetched.append(uri)
        return read(uri, *limit)

    monkeypatch.setattr(store, "read_bytes", watched)
    asked = (f"{gs_uri}/model", artifact.model_digest, "auto", None, 1, None)
    model = SharedModel(*asked)
    assert model._load().engine == "openvino"
    assert {Path(uri).name for uri in fetched} == {"artifact.json", "openvino.xml", "openvino.bin"}
    fetched.clear()
    model = SharedModel(*asked, "tensorflow")
    assert model._load().engine == "tensorflow"
    assert {Path(uri).name for uri in fetched} == {"artifact.json", "model.keras"}
