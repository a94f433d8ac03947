"""A model file is read with bounds, and refused if it has what our trainer does not write."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from schemas.artifact_files import MODEL_FILE, read_artifact, read_description, write_artifact
from schemas.networks.keras_file import ArtifactError, read_model
from tests.support.hostile_models import (
    change_weights,
    hostile_blocks,
    hostile_layers,
    hostile_settings,
    hostile_weights,
)
from tests.support.samples import JPG, make_artifact, read_member, rezip
from train.networks.backbones import BACKBONES
from train.networks.registry import NETWORKS
from train.networks.views import with_views

_NOWHERE = Path("/nonexistent/mark")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "artifact"))


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads(read_member(folder, "config.json"))
    change(config)
    rezip(folder, {"config.json": json.dumps(config).encode()})


# --- What is accepted ---------------------------------------------------------------------------


@pytest.mark.parametrize("views", [1, 8])
@pytest.mark.parametrize(
    "name", sorted(NETWORKS.keys() - BACKBONES.keys())
)  # test_backbones has those
def test_every_network_is_accepted_and_its_copy_has_the_same_scores(
    tmp_path: Path, name: str, views: int
) -> None:
    import keras

    side, bands = NETWORKS[name].min_image_size + 6, JPG.bands
    model = with_views(NETWORKS[name].build((side, side, len(bands)), 4), views)
    model.save(tmp_path / MODEL_FILE)
    found = read_model(tmp_path / MODEL_FILE)
    found.check()
    assert found.keras_version == keras.__version__
    found.write(tmp_path / "copy.keras")
    with zipfile.ZipFile(tmp_path / "copy.keras") as copy:
        assert copy.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.float32)
    again = keras.models.load_model(tmp_path / "copy.keras", compile=False)
    np.testing.assert_array_equal(again(pixels), model(pixels))


def test_a_model_that_was_compiled_and_trained_is_accepted_without_its_training(
    tmp_path: Path,
) -> None:
    model = NETWORKS["cnn"].build((32, 32, 3), 4)
    model.compile("adam", "binary_crossentropy")
    model.fit(np.zeros((2, 32, 32, 3)), np.zeros((2, 4)), verbose=0)
    model.save(tmp_path / MODEL_FILE)
    found = read_model(tmp_path / MODEL_FILE)
    found.check()
    assert "compile_config" not in found.architecture
    assert not [name for name, _ in found.arrays() if "optimizer" in name]


# --- What is refused: the configuration ---------------------------------------------------------


@pytest.mark.parametrize("hole", hostile_layers(_NOWHERE))
@pytest.mark.parametrize("first", [True, False])
def test_a_layer_that_runs_code_or_reads_files_is_refused(
    folder: Path, tmp_path: Path, hole: str, first: bool
) -> None:
    mark = tmp_path / "mark"
    hostile = hostile_layers(mark)[hole]
    change_config(
        folder, lambda config: config["config"]["layers"].insert(1 if first else 99, hostile)
    )
    with pytest.raises(ArtifactError, match="which no release of the trainer writes"):
        read_artifact(folder)
    assert not mark.exists()


@pytest.mark.parametrize("hole", hostile_blocks(_NOWHERE))
def test_a_layer_of_a_backbone_with_settings_of_none_is_refused(
    folder: Path, tmp_path: Path, hole: str
) -> None:
    mark = tmp_path / "mark"
    change_config(
        folder, lambda config: config["config"]["layers"].insert(1, hostile_blocks(mark)[hole])
    )
    with pytest.raises(ArtifactError) as refused:
        read_artifact(folder)
    assert "\n" not in str(refused.value)
    assert "model_digest" not in str(refused.value)
    assert not mark.exists()


@pytest.mark.parametrize("setting", hostile_settings(_NOWHERE))
def test_a_setting_that_the_trainer_does_not_write_is_refused(
    folder: Path, tmp_path: Path, setting: str
) -> None:
    change_config(folder, hostile_settings(tmp_path / "mark")[setting])
    with pytest.raises(ArtifactError) as refused:
        read_artifact(folder)
    assert "\n" not in str(refused.value)
    assert "model_digest" not in str(refused.value)
    assert not (tmp_path / "mark").exists()


def test_a_setting_of_a_newer_keras_that_changes_nothing_is_accepted(folder: Path) -> None:
    def add(config: dict[str, Any]) -> None:
        config["config"]["layers"][-1]["config"] |= {"new": None, "newer": False, "newest": 0.99}

    change_config(folder, add)
    read_model(folder / MODEL_FILE).check()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "no readable config.json"),
        (b"[" * 100_000, "no readable config.json"),
        (b'{"a":' * 100_000, "no readable config.json"),
        (b"[]", "has no model"),
        (b"{}", "has no model"),
        (b'{"config": 1, "config": 2}', "a key appears twice"),
        (b'{"config": NaN}', "NaN is not a number"),
        (b'{"config": ' + b"9" * 10_000 + b"}", "no readable config.json"),
        (b'{"config": {"layers": [{"class_name": 3}, 7]}}', "which no release"),
        (b'{"module": ["os"], "class_name": ["system"], "config": {}}', "which no release"),
    ],
)
def test_a_configuration_that_readers_may_understand_differently_is_refused(
    folder: Path, content: bytes, message: str
) -> None:
    rezip(folder, {"config.json": content})
    with pytest.raises(ArtifactError, match=message):
        read_artifact(folder)


# --- What is refused: the weights ---------------------------------------------------------------


@pytest.mark.parametrize("hole", hostile_weights(_NOWHERE))
def test_weights_that_are_not_plain_numbers_in_the_file_are_refused(
    folder: Path, tmp_path: Path, hole: str
) -> None:
    with h5py.File(tmp_path / "secret", "w") as secret:
        secret["kernel"] = np.zeros(2, "f4")
    change = hostile_weights(tmp_path / "secret")[hole]
    rezip(
        folder,
        {"model.weights.h5": change_weights(read_member(folder, "model.weights.h5"), change)},
    )
    with pytest.raises(ArtifactError, match=r"model\.keras") as refused:
        read_artifact(folder)
    assert "\n" not in str(refused.value)
    assert "model_digest" not in str(refused.value)


@pytest.mark.parametrize("seed", range(5))
def test_any_changed_bytes_make_another_model_or_are_refused(folder: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    model = read_model(folder / MODEL_FILE)
    sound = (folder / MODEL_FILE).read_bytes()
    for _ in range(300):
        weights, archive = bytearray(model.weights), bytearray(sound)
        for content, most in ((weights, 4000), (archive, len(sound))):
            for place in random.integers(0, min(most, len(content)), random.integers(1, 5)):
                content[place] = random.choice([0, 1, 127, 255, *random.bytes(1)])
        (folder / MODEL_FILE).write_bytes(archive)
        with suppress(ArtifactError):
            replace(model, weights=bytes(weights)).check()
        with suppress(ArtifactError):
            read_model(folder / MODEL_FILE)


def test_a_member_whose_name_is_not_text_is_refused(folder: Path) -> None:
    content = bytearray((folder / MODEL_FILE).read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 9] |= 8  # its name is in UTF-8
    content[directory + 46] = 0xA7
    (folder / MODEL_FILE).write_bytes(content)
    with pytest.raises(ArtifactError, match="is not a Keras 3 file"):
        read_model(folder / MODEL_FILE)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_damaged_weights_are_refused(folder: Path, content: bytes) -> None:
    rezip(folder, {"model.weights.h5": content})
    with pytest.raises(ArtifactError, match="no readable weights"):
        read_artifact(folder)


# --- What is refused: the archive ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "assets/vocabulary.txt",
        "assets/",
        "model.weights.npz",
        "model.weights.json",
        "Config.json",
        "./config.json",
        "config.json/../x",
        "/etc/passwd",
        "..\\x",
    ],
)
def test_an_archive_with_another_member_is_refused(folder: Path, name: str) -> None:
    rezip(folder, {name: b"x"})
    with pytest.raises(ArtifactError, match=r"holds .*, which no release of the trainer writes"):
        read_artifact(folder)


def test_an_archive_with_a_member_twice_is_refused(folder: Path) -> None:
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(folder / MODEL_FILE, "a") as archive,
    ):
        archive.writestr("config.json", b"{}")
    write_artifact(folder, read_description(folder))
    with pytest.raises(ArtifactError, match="holds a file twice"):
        read_artifact(folder)


def test_assets_of_gigabytes_are_refused_without_being_unpacked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("a member was unpacked"))
    with zipfile.ZipFile(folder / MODEL_FILE, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/fill", b"\0" * (100 << 20))
    write_artifact(folder, read_description(folder))
    assert (folder / MODEL_FILE).stat().st_size < 1 << 20
    with pytest.raises(ArtifactError, match="assets/fill"):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["metadata.json", "config.json", "model.weights.h5"])
def test_a_zip_bomb_is_refused_before_it_is_inflated(folder: Path, name: str) -> None:
    rezip(folder, {name: b"\0" * (200 << 20)}, zipfile.ZIP_DEFLATED)
    assert (folder / MODEL_FILE).stat().st_size < 1 << 20
    with pytest.raises(ArtifactError, match=f"{name} .* claims 209,715,200 bytes"):
        read_artifact(folder)


def test_an_encrypted_or_oddly_compressed_member_is_refused(folder: Path) -> None:
    rezip(folder, {}, zipfile.ZIP_LZMA)
    with pytest.raises(ArtifactError, match="compressed in an unusual way"):
        read_artifact(folder)
    rezip(folder, {}, zipfile.ZIP_STORED)
    content = bytearray((folder / MODEL_FILE).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # in the directory
    content[6] |= 1
    (folder / MODEL_FILE).write_bytes(content)
    write_artifact(folder, read_description(folder))
    with pytest.raises(ArtifactError, match="encrypted"):
        read_artifact(folder)


def test_a_model_in_the_older_format_under_the_name_of_the_newer_is_refused(folder: Path) -> None:
    """Keras' safe mode does not apply to it (CVE-2025-9905)."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["model_config"] = "{}"
    (folder / MODEL_FILE).write_bytes(content.getvalue())
    write_artifact(folder, read_description(folder))
    with pytest.raises(ArtifactError, match=r"model\.keras is not a Keras 3 file"):
        read_artifact(folder)
