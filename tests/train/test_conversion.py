"""An artifact gets what OpenVINO needs, and stays the same model."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipelines.scoring.classifier import Classifier
from schemas.artifact_files import read_artifact
from tests.support.drawn_chips import draw_labelled_jpgs, write_labels
from tests.support.releases import unpack
from tests.support.samples import make_artifact
from train.__main__ import main


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with chips, labels and an artifact that has no network for OpenVINO."""
    folder = tmp_path_factory.mktemp("trained")
    write_labels(folder / "labels.csv", draw_labelled_jpgs(folder / "chips", 24))
    asked = {"chips": folder / "chips", "labels": folder / "labels.csv"}
    asked |= {"artifact": folder / "model", "network": "cnn", "image_size": 32, "epochs": 1}
    assert main([f"--{name}={value}" for name, value in asked.items()] + ["--convert=none"]) == 0
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_a_converted_artifact_is_the_same_model_with_more_files(trained, capsys):
    folder = trained / "model"
    before, files = read_artifact(folder), digests(folder)
    assert before.engines == {}
    assert main(["convert", f"--artifact={folder}"]) == 0
    after = read_artifact(folder)
    assert (after.model_digest, after.thresholds_digest) == (
        before.model_digest,
        before.thresholds_digest,
    )
    now = digests(folder)
    described = {"artifact.json", "model_card.md", "mlm_item.json"}
    assert {name: now[name] for name in files.keys() - described} == {
        name: files[name] for name in files.keys() - described
    }
    assert now.keys() - files.keys() == {"openvino.xml", "openvino.bin"}
    assert main(["convert", f"--artifact={folder}"]) == 0  # again
    assert read_artifact(folder) == after


def test_a_converted_artifact_loses_its_signature_and_the_command_says_so(trained, capsys):
    folder = trained / "model"
    (folder / "artifact.sig").write_bytes(b"of the former artifact.json")
    assert main(["convert", f"--artifact={folder}"]) == 0
    assert "so its signature was removed" in capsys.readouterr().out
    assert not (folder / "artifact.sig").exists()


def test_with_its_chips_an_artifact_gets_an_int8_network_that_is_judged(trained, capsys):
    folder = trained / "model"
    flags = [f"--chips={trained}/chips", f"--labels={trained}/labels.csv"]
    digest = read_artifact(folder).model_digest
    assert main(["convert", f"--artifact={folder}", *flags]) == 0
    assert "int8 compared with float32 on" in capsys.readouterr().out
    artifact = read_artifact(folder)
    assert artifact.model_digest == digest
    assert {"openvino_int8.xml", "openvino_int8.bin"} < artifact.files.keys()
    judged = artifact.engines["openvino"]["int8"]
    assert judged["chips"] == artifact.training["chips"]["validation"]
    card = (folder / "model_card.md").read_text()
    assert "int8 compared with float32 on" in card
    assert main(["convert", f"--artifact={folder}"]) == 0  # float32 alone: int8 stays
    assert read_artifact(folder).engines["openvino"]["int8"] == judged
    assert read_artifact(folder).files.keys() == artifact.files.keys()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--labels={0}/labels.csv"], "--labels and --split need --chips"),
        (["--chips={0}/chips", "--labels={0}/labels.csv", "--split={0}/no.csv"], "no.csv"),
        (
            ["--chips={0}/chips", "--labels={0}/labels.csv", "--split={0}/all.csv"],
            "part validation",
        ),
    ],
)
def test_chips_that_cannot_judge_are_a_usage_error(trained, capsys, flags, message):
    (trained / "all.csv").write_text("image_name,split\nc0,train\nc1,train\n")
    files = digests(trained / "model")
    given = [flag.format(trained) for flag in flags]
    assert main(["convert", f"--artifact={trained}/model", *given]) == 2
    assert message in capsys.readouterr().err
    assert digests(trained / "model") == files


def test_a_model_of_an_earlier_release_scores_the_same_after_it_was_converted(tmp_path):
    unpack(tmp_path)
    folder = tmp_path / "model"
    before = read_artifact(folder)
    shape = before.preprocessing.input_shape
    pixels = np.random.default_rng(0).integers(0, 256, (20, *shape), np.uint8)
    expected = Classifier(folder, before, "float32")
    assert expected.engine == "tensorflow"
    assert main(["convert", f"--artifact={folder}"]) == 0
    after = read_artifact(folder)
    assert after.model_digest == before.model_digest
    found = Classifier(folder, after, "float32")
    assert found.engine == "openvino"
    np.testing.assert_allclose(found.score(pixels), expected.score(pixels), atol=1e-4)


def test_an_artifact_that_does_not_say_how_it_was_trained_is_converted_without_a_card(tmp_path):
    digest = make_artifact(tmp_path).model_digest
    assert main(["convert", f"--artifact={tmp_path}"]) == 0
    found = read_artifact(tmp_path)
    assert (found.model_digest, set(found.engines)) == (digest, {"openvino"})
    assert not (tmp_path / "model_card.md").exists()


def test_an_artifact_that_cannot_be_converted_stays_as_it_was(trained, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("no such operation")

    folder = trained / "model"
    files = digests(folder)
    monkeypatch.setattr("train.converting.engines.convert_network", fail)
    assert main(["convert", f"--artifact={folder}"]) == 1
    assert "is as before: its network cannot be converted" in capsys.readouterr().err
    assert digests(folder) == files


def test_what_is_not_an_artifact_is_a_usage_error(tmp_path, capsys):
    assert main(["convert", f"--artifact={tmp_path}"]) == 2
    assert "artifact.json is missing" in capsys.readouterr().err
    assert main(["convert", "--artifact=gs://models/a"]) == 2


def test_training_converts_unless_told_otherwise(trained):
    asked = {"chips": trained / "chips", "labels": trained / "labels.csv"}
    asked |= {"artifact": trained / "converted", "network": "cnn", "image_size": 32, "epochs": 1}
    assert main([f"--{name}={value}" for name, value in asked.items()]) == 0
    artifact = read_artifact(trained / "converted")
    assert {"openvino.xml", "openvino_int8.xml"} < artifact.files.keys()
    assert artifact.engines["openvino"]["model_digest"] == artifact.model_digest
