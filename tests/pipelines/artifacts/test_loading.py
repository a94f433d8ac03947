"""Keras opens a copy of the model with what was checked; what it cannot open is one line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from beam_jobs import score_chips
from pipelines.artifacts.loading import load_model
from pipelines.commands import exit_code
from schemas.artifact import ArtifactError
from schemas.artifact_files import MODEL_FILE, model_digest, read_description, write_artifact
from tests.support.hostile_models import hostile_layers
from tests.support.samples import JPG, make_artifact, read_member, rezip, write_chips


def record(folder: Path) -> None:
    """Write an artifact.json that fits the model, as a hostile author would."""
    artifact = read_description(folder)
    digest = model_digest(folder / MODEL_FILE, artifact.label_set, JPG)
    write_artifact(folder, replace(artifact, model_digest=digest))


def test_a_loaded_model_has_the_scores_of_the_file_and_keras_sees_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = make_artifact(tmp_path / "model")
    plain = keras.models.load_model(tmp_path / "model" / MODEL_FILE)
    load, seen = keras.models.load_model, []

    def watched(path: Path, **options: Any) -> Any:
        with zipfile.ZipFile(path) as archive:
            seen.append((path, archive.namelist(), options["safe_mode"]))
        return load(path, **options)

    monkeypatch.setattr(keras.models, "load_model", watched)
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 64, 64, 3)).astype(np.float32)
    found = load_model(tmp_path / "model", artifact)
    np.testing.assert_array_equal(found(pixels), plain(pixels))
    ((path, names, safe_mode),) = seen
    assert names == ["metadata.json", "config.json", "model.weights.h5"]
    assert safe_mode
    assert not path.exists()


def test_a_model_that_was_exchanged_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "model")
    make_artifact(tmp_path / "other", seed=1)
    (tmp_path / "other" / MODEL_FILE).rename(tmp_path / "model" / MODEL_FILE)
    with pytest.raises(ArtifactError, match="model_digest differs"):
        load_model(tmp_path / "model", artifact)


def test_a_model_that_keras_cannot_build_is_one_line_with_the_file_and_the_version(
    tmp_path: Path,
) -> None:
    make_artifact(tmp_path)
    config = json.loads(read_member(tmp_path, "config.json"))
    config["config"]["layers"][1]["inbound_nodes"] = []
    rezip(tmp_path, {"config.json": json.dumps(config).encode()})
    record(tmp_path)
    with pytest.raises(
        ArtifactError, match=rf"Keras {keras.__version__} cannot open .*model\.keras: [^\n]+$"
    ):
        load_model(tmp_path, read_description(tmp_path))


def test_a_model_without_weights_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """Each layer joins its input to itself: 64 x 64 pixels become 64 x 2 million."""
    artifact = make_artifact(tmp_path)
    layers = keras.layers
    flow = pixels = keras.Input((64, 64, 3))
    for _ in range(15):
        flow = layers.Concatenate(axis=1)([flow, flow])
    scores = layers.Dense(len(artifact.label_set.names), name="scores")
    keras.Model(pixels, scores(layers.GlobalAveragePooling2D()(flow))).save(tmp_path / MODEL_FILE)
    record(tmp_path)
    with pytest.raises(ArtifactError, match=r"a layer of the model has \(None, 2097152, 64, 3\)"):
        load_model(tmp_path, read_description(tmp_path))


@pytest.mark.parametrize("hole", hostile_layers(Path()))
def test_a_hostile_model_ends_the_command_before_anything_is_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hole: str
) -> None:
    mark = tmp_path / "mark"
    refuse_to_score(tmp_path, capsys, lambda layers: layers.insert(1, hostile_layers(mark)[hole]))
    assert not mark.exists()


def _history(name: str) -> dict[str, Any]:
    tensor = {"shape": [None, 3], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": tensor}


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers[-1].update(inbound_nodes=[]),
        lambda layers: layers[-1]["inbound_nodes"][0].update(args=[_history("nowhere")]),
        lambda layers: layers[-1]["inbound_nodes"][0].update(args=[_history("scores")]),
        lambda layers: layers[-1]["config"].update(activity_regularizer=1.0),
        lambda layers: layers[-1]["config"].update(kernel_initializer=5.0),
        lambda layers: layers[-1]["config"].update(trainable=5),
    ],
    ids=["no call", "no such layer", "a circle", "a regularizer", "an initializer", "trainable"],
)
def test_a_model_that_keras_cannot_build_ends_the_command_before_anything_is_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[list[Any]], object]
) -> None:
    error = refuse_to_score(tmp_path, capsys, change)
    assert f"Keras {keras.__version__} cannot open {tmp_path / 'model' / MODEL_FILE}: " in error
    assert len(error) < 500


def refuse_to_score(
    folder: Path, capsys: pytest.CaptureFixture[str], change: Callable[[list[Any]], object]
) -> str:
    """The error of `score_chips`, whose artifact has these changes to its layers."""
    make_artifact(folder / "model")
    write_chips(folder / "chips", 1)
    config = json.loads(read_member(folder / "model", "config.json"))
    change(config["config"]["layers"])
    rezip(folder / "model", {"config.json": json.dumps(config).encode()})
    record(folder / "model")
    flags = {"chips": "chips", "artifact": "model", "output": "out"}
    command = [f"--{flag}={folder / name}" for flag, name in flags.items()]
    assert exit_code(score_chips.main, command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --artifact: ")
    assert error.count("\n") == 1
    assert not (folder / "out").exists()
    return error
