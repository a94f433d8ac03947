"""Thresholds set by hand are in a copy of an artifact, which is the same model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.artifacts.opening import open_artifact
from pipelines.storage import store
from schemas.artifact import ModelArtifact
from schemas.artifact_files import read_artifact, write_artifact
from schemas.labels import LabelSet
from schemas.trust import trust_rows
from tests.support.drawn_chips import draw_labelled_jpgs, write_labels
from tests.support.releases import unpack
from tests.support.samples import make_artifact
from train.__main__ import main

pytest_plugins = ["tests.support.object_stores"]

SKY = LabelSet(("clear", "cloudy", "road", "water"), sky=("clear", "cloudy"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with figures, a card and an item."""
    folder = tmp_path_factory.mktemp("trained")
    write_labels(folder / "labels.csv", draw_labelled_jpgs(folder / "chips", 60))
    asked = {"chips": folder / "chips", "labels": folder / "labels.csv"}
    asked |= {"artifact": folder / "model", "network": "mean_colour", "epochs": 2}
    asked |= {"validation_share": 0.4, "test_share": 0.2, "convert": "none"}
    assert main([f"--{name}={value}" for name, value in asked.items()]) == 0
    return folder / "model"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that only scoring needs."""
    folder = tmp_path_factory.mktemp("plain") / "model"
    make_artifact(folder, label_set=SKY)
    return folder


def set_by_hand(artifact: object, target: Path, thresholds: Any, *flags: str) -> int:
    file = target.parent / "thresholds.json"
    file.write_text(thresholds if isinstance(thresholds, str) else json.dumps(thresholds))
    asked = {"artifact": artifact, "thresholds": file, "to": target}
    return main(["set_thresholds", *(f"--{k}={v}" for k, v in asked.items()), *flags])


def test_the_copy_is_the_same_model_with_the_given_thresholds(trained, tmp_path, capsys):
    before = read_artifact(trained)
    files = {path.name: path.read_bytes() for path in trained.iterdir()}
    assert set_by_hand(trained, tmp_path / "copy", {"water": 0.9, "primary": None}) == 0
    after = read_artifact(tmp_path / "copy")
    assert after.by_label == {**before.by_label, "water": 0.9, "primary": None}
    assert after.model_digest == before.model_digest
    assert after.thresholds_digest != before.thresholds_digest
    out = capsys.readouterr().out
    assert f"water: {before.by_label['water']:.4f} -> 0.9000\n" in out
    assert f"primary: {before.by_label['primary']:.4f} -> never\n" in out
    assert f"thresholds_digest {after.thresholds_digest}, it was {before.thresholds_digest}" in out

    assert {path.name: path.read_bytes() for path in trained.iterdir()} == files
    described = {"artifact.json", "model_card.md", "mlm_item.json"}
    now = {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()}
    assert {n: now[n] for n in files.keys() - described} == {
        n: files[n] for n in files.keys() - described
    }
    assert now.keys() == files.keys()
    item = json.loads(now["mlm_item.json"])["properties"]["mlm:hyperparameters"]["thresholds"]
    assert (item["water"], item["primary"]) == (0.9, None)


def test_what_was_measured_at_other_thresholds_is_not_said_of_the_new_ones(trained, tmp_path):
    before = read_artifact(trained)
    assert set_by_hand(trained, tmp_path / "copy", {"water": 0.9}) == 0
    after = read_artifact(tmp_path / "copy")
    for part in ("validation", "test"):
        old, new = before.figures[part], after.figures[part]
        assert new["labels"]["primary"] == old["labels"]["primary"]
        water = new["labels"]["water"]
        assert set(water["at_threshold"].values()) == {None}
        assert water["threshold"] == 0.9
        assert water["at_half"] == old["labels"]["water"]["at_half"]
        assert water["positives"] == old["labels"]["water"]["positives"] > 0
        assert set(new["at_threshold"].values()) == {None}
        assert new["at_half"] == old["at_half"]
        assert set(new["intervals"]["labels"]["water"]["at_threshold"].values()) == {None}
        assert new["intervals"]["at_half"] == old["intervals"]["at_half"]
    rows = {row["label"]: row for row in trust_rows(after)}
    assert (rows["water"]["precision"], rows["water"]["recall"]) == (None, None)
    assert rows["water"]["average_precision"] is not None
    assert rows["primary"] == {row["label"]: row for row in trust_rows(before)}["primary"]
    assert "haze" in before.unproven_thresholds
    assert set_by_hand(trained, tmp_path / "haze", {"haze": None}) == 0
    left = read_artifact(tmp_path / "haze").unproven_thresholds
    assert {*left, "haze"} == {*before.unproven_thresholds}
    card = (tmp_path / "copy" / "model_card.md").read_text()
    assert "| water | 0.9000 | set by hand |" in card
    assert "Set by hand, so not measured at the threshold: water." in card


def test_what_is_set_a_second_time_adds_up_and_the_same_numbers_change_nothing(trained, tmp_path):
    assert set_by_hand(trained, tmp_path / "one", {"water": 0.9}) == 0
    assert set_by_hand(tmp_path / "one", tmp_path / "two", {"primary": 0.8}) == 0
    two = read_artifact(tmp_path / "two")
    assert two.set_by_hand == ("primary", "water")
    assert set_by_hand(tmp_path / "two", tmp_path / "three", {"water": 0.9}) == 0
    assert read_artifact(tmp_path / "three") == two


def test_a_promise_is_dropped_with_its_threshold(plain, tmp_path, capsys):
    source = tmp_path / "promising"
    shutil.copytree(plain, source)
    promises = {
        name: {"precision": 0.9, "kept": True, "chosen": 70, "correct": 68}
        for name in ("road", "water")
    }
    artifact = read_artifact(source).to_dict() | {"promises": promises}
    write_artifact(source, ModelArtifact.from_dict(artifact))
    assert set_by_hand(source, tmp_path / "copy", {"road": 0.7, "water": 0.5}) == 0
    copy = read_artifact(tmp_path / "copy")
    assert copy.promises == {"water": promises["water"]}
    assert copy.set_by_hand == ("road",)
    assert "Promised for other thresholds, so not any more: road\n" in capsys.readouterr().out


def test_a_promise_that_was_not_kept_is_not_said_to_be_lost(plain, tmp_path, capsys):
    source = tmp_path / "promising"
    shutil.copytree(plain, source)
    before = read_artifact(source)
    found = {"precision": 0.9, "kept": False, "chosen": 0, "correct": 0}
    thresholds = [None if n == "water" else t for n, t in before.by_label.items()]
    never = replace(before, thresholds=tuple(thresholds), promises={"water": found})
    write_artifact(source, never)
    assert set_by_hand(source, tmp_path / "copy", {"water": 0.9}) == 0
    assert read_artifact(tmp_path / "copy").promises == {}
    out = capsys.readouterr().out
    assert "water: never -> 0.9000\n" in out
    assert "Promised" not in out


def test_a_signature_is_not_copied_and_the_command_says_so(plain, tmp_path, capsys):
    shutil.copytree(plain, tmp_path / "signed")
    (tmp_path / "signed" / "artifact.sig").write_bytes(b"of this artifact.json")
    assert set_by_hand(tmp_path / "signed", tmp_path / "copy", {"road": 0.7}) == 0
    assert "is not signed: train sign signs it" in capsys.readouterr().out
    assert not (tmp_path / "copy" / "artifact.sig").exists()
    assert set_by_hand(plain, tmp_path / "other", {"road": 0.7}) == 0
    assert "is not signed" not in capsys.readouterr().out


def test_a_remote_artifact_and_remote_thresholds_are_taken(plain, tmp_path, object_store_uri):
    for path in plain.iterdir():
        store.write_bytes(f"{object_store_uri}/model/{path.name}", path.read_bytes())
    file = f"{object_store_uri}/thresholds.json"
    store.write_bytes(file, json.dumps({"road": None}).encode())
    asked = {"artifact": f"{object_store_uri}/model", "thresholds": file, "to": tmp_path / "copy"}
    assert main(["set_thresholds", *(f"--{k}={v}" for k, v in asked.items())]) == 0
    assert read_artifact(tmp_path / "copy").never == ("road",)


def test_the_thresholds_of_another_artifact_are_taken(plain, tmp_path):
    mine = ModelArtifact("n", SKY, (0.1, 0.2, 0.3, None), read_artifact(plain).preprocessing, "0")
    assert set_by_hand(plain, tmp_path / "copy", mine.to_dict()) == 0
    assert read_artifact(tmp_path / "copy").thresholds == (0.1, 0.2, 0.3, None)


def test_an_artifact_of_an_earlier_release_gets_thresholds_too(tmp_path):
    unpack(tmp_path / "release")
    artifact = tmp_path / "release" / "model"
    before = read_artifact(artifact)
    label = before.label_set.names[-1]
    assert set_by_hand(artifact, tmp_path / "copy", {label: 0.125}) == 0
    after = read_artifact(tmp_path / "copy")
    assert after.by_label == {**before.by_label, label: 0.125}
    assert after.model_digest == before.model_digest


def test_the_copy_scores_as_before_and_labels_by_the_new_thresholds(plain, tmp_path):
    from pipelines.scoring.classifier import Classifier
    from schemas.decisions import choose_labels

    assert set_by_hand(plain, tmp_path / "copy", {"road": 0.0, "water": None}) == 0
    pixels = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    opened = [open_artifact(str(folder)) for folder in (plain, tmp_path / "copy")]
    scores = [Classifier(*each, "float32").score(pixels) for each in opened]
    assert (scores[0] == scores[1]).all()
    chosen = choose_labels(scores[1], opened[1][1].thresholds, SKY)
    assert chosen[:, 2].all()
    assert not chosen[:, 3].any()


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"sea": 0.5}, "do not fit the artifact (labels that the artifact does not have: sea)"),
        ({"road": 1.5}, "must be a number in [0, 1], or null, not 1.5"),
        ({"road": "0.5"}, "must be a number in [0, 1], or null, not '0.5'"),
        ('{"road": 0.5, "road": 0.6}', "named twice: road"),
        ('{"road": NaN}', "NaN is not a number in [0, 1]"),
        ({}, "it names no label"),
        ([], "it must be a JSON object, label: number or null"),
        ("road: 0.5", "Expecting value"),
    ],
)
def test_invalid_thresholds_are_a_usage_error_in_one_line(
    plain, tmp_path, capsys, thresholds, message
):
    assert set_by_hand(plain, tmp_path / "copy", thresholds) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --thresholds")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "copy").exists()


def test_a_sky_label_that_the_highest_score_chooses_cannot_be_never(plain, tmp_path, capsys):
    source = tmp_path / "argmax"
    shutil.copytree(plain, source)
    artifact = read_artifact(source)
    write_artifact(source, replace(artifact, sky_rule="argmax"))
    assert set_by_hand(source, tmp_path / "copy", {"cloudy": None}) == 2
    assert "'cloudy' is null, which means never; but sky_rule argmax" in capsys.readouterr().err
    assert set_by_hand(source, tmp_path / "copy", artifact.to_dict()) == 2
    assert "artifact with the sky_rule threshold, and this one has" in capsys.readouterr().err
    assert set_by_hand(source, tmp_path / "copy", {"road": None}) == 0


def test_a_folder_that_exists_and_what_is_no_artifact_are_usage_errors(plain, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    for target, message in (
        (tmp_path / "there", "there exists already; give a new folder"),
        (plain, "model exists already; give a new folder"),
        ("gs://bucket/copy", "is remote; give a local folder"),
    ):
        file = tmp_path / "thresholds.json"
        file.write_text('{"road": 0.5}')
        asked = {"artifact": plain, "thresholds": file, "to": target}
        assert main(["set_thresholds", *(f"--{k}={v}" for k, v in asked.items())]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: --to")
        assert message in error
    assert set_by_hand(tmp_path / "there", tmp_path / "copy", {"road": 0.5}) == 2
    assert capsys.readouterr().err.startswith("error: --artifact")
