"""An artifact opens if all of it fits together; else the values that differ are named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.artifact import BANDS, ArtifactError, ModelArtifact, Preprocessing, thresholds_digest
from schemas.artifact_files import (
    ARTIFACT_FILE,
    MODEL_FILE,
    model_digest,
    read_artifact,
    read_description,
    write_artifact,
)
from schemas.labels import LabelSet
from tests.support.samples import JPG, TIF, make_artifact

LABELS = LabelSet(("clear", "cloudy", "road"), ("clear", "cloudy"))
THRESHOLDS = (0.25, 0.5, 0.75)

KEPT = {"precision": 0.9, "kept": True, "chosen": 70, "correct": 68}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sound artifact; tests break copies of it."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder, label_set=LABELS, thresholds=THRESHOLDS)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "artifact"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change artifact.json, as a careless person would."""
    data = json.loads((folder / ARTIFACT_FILE).read_bytes())
    change(data)
    (folder / ARTIFACT_FILE).write_text(json.dumps(data))


def save_model(folder: Path, *layers: Any, shape: tuple[int, int, int] = (64, 64, 3)) -> None:
    """Replace the model by one of these layers, with matching hashes and digest."""
    import keras

    pixels = flow = keras.Input(shape)
    for layer in layers:
        flow = layer(flow)
    keras.Model(pixels, flow).save(folder / MODEL_FILE)
    record_model(folder)


def record_model(folder: Path) -> None:
    """Write an artifact.json that fits the files, as a hostile author would."""
    artifact = read_description(folder)
    digest = model_digest(folder / MODEL_FILE, artifact.label_set, artifact.preprocessing)
    write_artifact(folder, replace(artifact, model_digest=digest))


# --- What holds ---------------------------------------------------------------------------------


def test_a_whole_artifact_is_read_as_it_was_written(whole: Path) -> None:
    artifact = read_artifact(whole)
    assert artifact.label_set == LABELS
    assert artifact.thresholds == THRESHOLDS
    assert artifact.preprocessing == JPG
    assert set(artifact.files) == {MODEL_FILE}
    assert artifact == read_description(whole)


def test_reading_an_artifact_needs_no_tensorflow(whole: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from schemas.artifact_files import read_artifact;"
        f"read_artifact(Path({str(whole)!r}));"
        "print({'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"set()\n"


def test_additional_files_are_kept_and_checked(folder: Path) -> None:
    (folder / "curves.png").write_bytes(b"curves")
    write_artifact(folder, read_description(folder))
    assert set(read_artifact(folder).files) == {MODEL_FILE, "curves.png"}
    (folder / "curves.png").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"sha256 of curves\.png differs"):
        read_artifact(folder)


def test_thresholds_are_looked_up_by_label_and_not_by_position(folder: Path) -> None:
    edit(folder, lambda data: data.update(thresholds=dict(reversed(data["thresholds"].items()))))
    assert read_artifact(folder).thresholds == THRESHOLDS


# --- The digest ---------------------------------------------------------------------------------


def test_two_saves_of_one_model_differ_in_bytes_and_not_in_digest(
    whole: Path, tmp_path: Path
) -> None:
    import keras

    model = keras.models.load_model(whole / MODEL_FILE)
    again = tmp_path / "again.keras"
    model.save(again)
    rewritten = tmp_path / "rewritten.keras"
    with zipfile.ZipFile(again) as old, zipfile.ZipFile(rewritten, "w") as new:
        for name in reversed(old.namelist()):
            info = zipfile.ZipInfo(name, (1999, 12, 31, 23, 59, 58))
            new.writestr(info, old.read(name))
    model.compile("adam", "binary_crossentropy")
    model.fit(np.zeros((2, 64, 64, 3)), np.zeros((2, 3)), epochs=0, verbose=0)
    model.optimizer.build(model.trainable_variables)
    trained = tmp_path / "trained.keras"
    model.save(trained)

    paths = [whole / MODEL_FILE, again, rewritten, trained]
    assert len({path.read_bytes() for path in paths}) > 1
    assert len({model_digest(path, LABELS, JPG) for path in paths}) == 1


def test_the_digest_depends_only_on_what_affects_a_score(whole: Path, tmp_path: Path) -> None:
    import keras

    path = whole / MODEL_FILE
    model = keras.models.load_model(path)
    kernel, bias = model.get_layer("scores").get_weights()
    kernel[0, 0] = np.nextafter(kernel[0, 0], np.float32(9))
    model.get_layer("scores").set_weights([kernel, bias])
    model.save(tmp_path / "nudged.keras")
    smaller = Preprocessing("jpg", 64, JPG.bands, None, (65, 1024))

    digests = [
        model_digest(path, LABELS, JPG),
        model_digest(tmp_path / "nudged.keras", LABELS, JPG),
        model_digest(path, LabelSet(("cloudy", "clear", "road"), LABELS.sky), JPG),
        model_digest(path, LABELS, smaller),
        model_digest(path, LABELS, replace(JPG, bands=("blue", "green", "red"))),
        model_digest(path, LABELS, TIF),
        model_digest(path, LABELS, replace(TIF, scaling=((2000.0, 12001.0),) * 4)),
    ]
    assert len(set(digests)) == len(digests)


def test_a_value_written_in_two_ways_has_one_digest(whole: Path) -> None:
    whole_numbers = replace(TIF, scaling=((2000, 12000),) * 4)
    assert whole_numbers == TIF
    path = whole / MODEL_FILE
    assert model_digest(path, LABELS, whole_numbers) == model_digest(path, LABELS, TIF)


def test_thresholds_change_only_their_own_digest(folder: Path) -> None:
    before = read_artifact(folder)
    write_artifact(folder, replace(before, thresholds=(0.25, 0.5, 0.7500001)))
    after = read_artifact(folder)
    assert after.model_digest == before.model_digest
    assert after.thresholds_digest != before.thresholds_digest
    assert thresholds_digest({"b": 1, "a": 0.5}) == thresholds_digest({"a": 0.5, "b": 1.0})


def test_the_sky_rule_is_kept_and_changes_the_thresholds_digest(folder: Path) -> None:
    before = read_artifact(folder)
    write_artifact(folder, replace(before, sky_rule="argmax"))
    after = read_artifact(folder)
    assert (before.sky_rule, after.sky_rule) == ("threshold", "argmax")
    assert after.model_digest == before.model_digest
    assert after.thresholds_digest != before.thresholds_digest
    edit(folder, lambda data: data.update(sky_rule="threshold"))
    with pytest.raises(ArtifactError, match="thresholds_digest differs"):
        read_artifact(folder)


def test_an_artifact_without_a_sky_rule_uses_thresholds(
    folder: Path,
) -> None:
    before = read_artifact(folder)
    edit(folder, lambda data: data.pop("sky_rule"))
    assert read_artifact(folder) == before


def test_a_null_threshold_means_never_and_has_a_digest_of_its_own(folder: Path) -> None:
    before = read_artifact(folder)
    write_artifact(folder, replace(before, thresholds=(None, *before.thresholds[1:])))
    after = read_artifact(folder)
    assert after.thresholds == (None, *before.thresholds[1:])
    assert json.loads((folder / ARTIFACT_FILE).read_text())["thresholds"]["clear"] is None
    assert after.never == ("clear",)
    assert after.model_digest == before.model_digest
    digests = {before.thresholds_digest, after.thresholds_digest}
    digests.add(thresholds_digest({**before.by_label, "clear": 0.0}))
    digests.add(thresholds_digest({**before.by_label, "clear": 1.0}))
    assert len(digests) == 4


def test_equal_thresholds_have_one_digest_however_they_are_written() -> None:
    ways = [
        {"road": 0, "water": 1},
        {"water": 1.0, "road": -0.0},
        {"road": np.float32(0), "water": 1},
    ]
    assert len({thresholds_digest(each) for each in ways}) == 1


def test_without_a_null_the_thresholds_digest_is_that_of_earlier_releases() -> None:
    given = {"water": 0.25, "road": 1}
    expected = hashlib.sha256(b'{"road":1.0,"water":0.25}').hexdigest()
    assert thresholds_digest(given) == expected
    with_null = hashlib.sha256(b'{"road":null,"water":0.25}').hexdigest()
    assert thresholds_digest({**given, "road": None}) == with_null


def test_promises_are_kept_and_an_artifact_without_any_is_described_as_before(folder: Path) -> None:
    before = read_artifact(folder)
    assert "promises" not in json.loads((folder / ARTIFACT_FILE).read_text())
    promises = {"road": KEPT}
    write_artifact(folder, replace(before, promises=promises))
    assert read_artifact(folder).promises == promises
    assert read_artifact(folder).description_digest != before.description_digest


def test_never_is_no_threshold_for_a_sky_label_that_is_chosen_by_the_highest_score(
    folder: Path,
) -> None:
    artifact = read_artifact(folder)
    with pytest.raises(ArtifactError, match="'cloudy' is null, which means never; but sky_rule"):
        replace(artifact, thresholds=(0.5, None, 0.5), sky_rule="argmax")
    assert replace(artifact, thresholds=(0.5, 0.5, None), sky_rule="argmax").never == ("road",)


# --- What is refused: the description -----------------------------------------------------------


def test_a_folder_without_artifact_json_is_refused_with_a_question(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"artifact\.json is missing: is this a model artifact"):
        read_artifact(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "format_version is None, this code reads 1"),
    ],
)
def test_an_invalid_description_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / ARTIFACT_FILE).write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", 2, "format_version is 2, this code reads 1"),
        ("format_version", "1", "format_version is '1', this code reads 1"),
        ("thresholds", {"clear": 0.5, "cloudy": 0.5}, r"labels without one \['road'\]"),
        ("thresholds", {"sea": 0.5}, r"without a label \['sea'\].*\['clear', 'cloudy', 'road'\]"),
        ("thresholds", {"clear": float("nan"), "cloudy": 1, "road": 1}, "'clear' .* not nan"),
        ("thresholds", {"clear": 1.5, "cloudy": 1, "road": 1}, r"'clear' must be in \[0, 1\]"),
        ("thresholds", {"clear": [], "cloudy": 1, "road": 1}, "must be a string or a real"),
        ("promises", {"road": 0.9}, "not subscriptable"),
        ("promises", {"road": {"precision": 1}}, "promise of 'road' must be over 0 and under 1"),
        ("promises", {"road": {"precision": 0.9}}, "the key 'correct' is missing"),
        (
            "promises",
            {"road": KEPT | {"kept": False}},
            "promise of 'road' does not fit its threshold",
        ),
        (
            "promises",
            {"road": KEPT | {"correct": 71}},
            "promise of 'road' does not fit its threshold",
        ),
        ("promises", {"road": KEPT | {"chosen": None}}, "not supported between"),
        ("promises", ["road"], "sequence element"),
        ("set_by_hand", "road", "set_by_hand has labels that are not there: a, d, o, r"),
        ("promises", {"sea": {"precision": 0.9}}, "promises has labels that are not there: sea"),
        ("thresholds", [0.5, 0.5, 0.5], "labels without one"),
        ("thresholds_digest", "0" * 64, "thresholds_digest differs: recorded 0{64}, found "),
        ("label_set", {"labels": ["clear", "clear"], "sky": []}, "named twice: 'clear'"),
        ("label_set", ["clear"], "unknown keys"),
        ("preprocessing", [], "list indices"),
        ("sky_rule", "loudest", "sky_rule must be threshold or argmax, not 'loudest'"),
        ("files", ["model.keras"], "dictionary update sequence"),
        ("files", {}, r"does not list model\.keras"),
        ("figures", 3, "not iterable"),
        ("model_digest", "0" * 64, "model_digest differs: recorded 0{64}, found [0-9a-f]{64}$"),
    ],
)
def test_an_invalid_value_is_refused_with_its_name(
    folder: Path, key: str, value: Any, message: str
) -> None:
    edit(folder, lambda data: data.update({key: value}))
    with pytest.raises(ArtifactError, match=message):
        read_artifact(folder)


@pytest.mark.parametrize("key", ["label_set", "thresholds", "preprocessing", "files", "network"])
def test_a_key_that_is_missing_is_named(folder: Path, key: str) -> None:
    edit(folder, lambda data: data.pop(key))
    with pytest.raises(ArtifactError, match=f"the key '{key}' is missing"):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"media_type": "gif"}, "media_type must be jpg, tif or png, not 'gif'"),
        ({"image_size": 0}, "image_size must be 1 to 8192, not 0"),
        ({"image_size": 100_000}, "image_size must be 1 to 8192, not 100000"),
        ({"image_size": float("inf")}, "infinity"),
        ({"image_size": 32}, r"takes \[\[64, 64, 3\]\], preprocessing makes \[32, 32, 3\]"),
        (
            {"bands": ["red", "green"]},
            r"takes \[\[64, 64, 3\]\], preprocessing makes \[64, 64, 2\]",
        ),
        ({"bands": ["red", "nir"]}, r"bands \['nir'\] are not among a jpg's: red, green, blue"),
        ({"bands": []}, "bands"),
        ({"bands": ["red", "red", "red"]}, "a band is named twice: red, red, red"),
        ({"scaling": [[0, 255]] * 3}, "a jpg model has no scaling"),
        ({"media_type": "tif"}, "a tif model of uint16 needs scaling"),
        ({"media_type": "tif", "scaling": [[0, 1]]}, "1 scalings for 3 bands"),
        ({"media_type": "tif", "scaling": [[0, 1], [0, 1], [7, 7]]}, "low < high"),
        ({"media_type": "tif", "scaling": [[0, 1], [0, 1], [0, float("nan")]]}, "low < high"),
        ({"media_type": "tif", "scaling": [[0, 1], [0, 1], [0]]}, "unpack"),
        ({"accepted_sides_px": [65, 64]}, r"65\.\.64 is not a range"),
        ({"accepted_sides_px": [0, 64]}, r"0\.\.64 is not a range"),
        ({"accepted_sides_px": []}, "index"),
    ],
)
def test_a_preprocessing_that_makes_no_sense_is_refused(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    edit(folder, lambda data: data["preprocessing"].update(changes))
    with pytest.raises(ArtifactError, match=message):
        read_artifact(folder)


# --- What is refused: the files -----------------------------------------------------------------


def test_a_missing_model_is_named(folder: Path) -> None:
    (folder / MODEL_FILE).unlink()
    with pytest.raises(ArtifactError, match=r"the file model\.keras is missing"):
        read_artifact(folder)


def test_one_changed_byte_in_the_model_is_found_and_both_hashes_named(folder: Path) -> None:
    content = bytearray((folder / MODEL_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / MODEL_FILE).write_bytes(content)
    differs = r"sha256 of model\.keras differs: recorded [0-9a-f]{64}, found [0-9a-f]{64}$"
    with pytest.raises(ArtifactError, match=differs):
        read_artifact(folder)


@pytest.mark.parametrize("name", [ARTIFACT_FILE, MODEL_FILE, "curves.png"])
def test_a_file_that_would_block_or_fill_the_memory_is_refused_without_reading_it(
    folder: Path, name: str
) -> None:
    if name != ARTIFACT_FILE:
        edit(folder, lambda data: data["files"].update({name: "0" * 64}))
    (folder / name).unlink(missing_ok=True)
    with (folder / name).open("wb") as endless:
        endless.truncate(2**43)
    with pytest.raises(ArtifactError, match=r"it has 8,796,093,022,208 bytes, at most [\d,]+ are"):
        read_artifact(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match="it is not a regular file"):
        read_artifact(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ArtifactError, match="it is not a regular file"):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a" * 3000])
def test_a_listed_name_that_no_file_can_have_is_refused(folder: Path, name: str) -> None:
    edit(folder, lambda data: data["files"].update({name: "0" * 64}))
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", ".", "", "sub/file", "a/.."])
def test_a_file_name_outside_the_artifact_is_refused(folder: Path, name: str) -> None:
    edit(folder, lambda data: data["files"].update({name: "0" * 64}))
    with pytest.raises(ArtifactError, match="points outside the artifact"):
        read_artifact(folder)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_a_model_that_is_not_a_keras_file_is_refused(folder: Path, content: bytes) -> None:
    (folder / MODEL_FILE).write_bytes(content)
    write_artifact(folder, read_description(folder))
    with pytest.raises(ArtifactError, match=r"model\.keras is not a Keras 3 file"):
        read_artifact(folder)


# --- What is refused: the model -----------------------------------------------------------------


def test_a_model_with_other_outputs_is_refused_with_both_numbers(folder: Path) -> None:
    import keras

    save_model(folder, keras.layers.Flatten(), keras.layers.Dense(4))
    with pytest.raises(ArtifactError, match="the model has 4 outputs for 3 labels"):
        read_artifact(folder)


def test_a_model_with_another_input_is_refused_with_both_shapes(folder: Path) -> None:
    import keras

    save_model(folder, keras.layers.Flatten(), keras.layers.Dense(3), shape=(32, 32, 3))
    both = r"takes \[\[32, 32, 3\]\], preprocessing makes \[64, 64, 3\]"
    with pytest.raises(ArtifactError, match=both):
        read_artifact(folder)


# --- Round trips --------------------------------------------------------------------------------

FINITE = st.floats(-1e6, 1e6)
NAMES = st.lists(st.text("abcdef", min_size=1, max_size=6), min_size=1, max_size=5, unique=True)
JSON = st.dictionaries(st.text(max_size=5), st.one_of(FINITE, st.text(max_size=5)), max_size=3)


@st.composite
def preprocessings(draw: st.DrawFn) -> Preprocessing:
    media_type = draw(st.sampled_from(sorted(BANDS)))
    bands = draw(st.lists(st.sampled_from(BANDS[media_type]), min_size=1, unique=True))
    lows = draw(st.lists(FINITE, min_size=len(bands), max_size=len(bands)))
    span = draw(st.floats(0.5, 1e5))
    shortest = draw(st.integers(1, 500))
    return Preprocessing(
        media_type,
        draw(st.integers(1, 512)),
        tuple(bands),
        tuple((low, low + span) for low in lows) if media_type == "tif" else None,
        (shortest, shortest + draw(st.integers(0, 500))),
    )


@given(preprocessings())
def test_a_preprocessing_is_read_back_from_json_unchanged(preprocessing: Preprocessing) -> None:
    assert Preprocessing.from_dict(json.loads(json.dumps(asdict(preprocessing)))) == preprocessing


@given(preprocessing=preprocessings(), names=NAMES, data=st.data(), figures=JSON, versions=JSON)
def test_a_description_is_read_back_from_json_unchanged(
    preprocessing: Preprocessing,
    names: list[str],
    data: st.DataObject,
    figures: dict[str, Any],
    versions: dict[str, Any],
) -> None:
    thresholds = data.draw(st.lists(st.floats(0, 1), min_size=len(names), max_size=len(names)))
    artifact = ModelArtifact(
        network="vgg16",
        label_set=LabelSet(tuple(names)),
        thresholds=tuple(thresholds),
        preprocessing=preprocessing,
        model_digest="ab" * 32,
        unproven_thresholds=tuple(names[:1]),
        figures=figures,
        versions=versions,
        files={"model.keras": "cd" * 32},
    )
    assert ModelArtifact.from_dict(json.loads(json.dumps(artifact.to_dict()))) == artifact


def test_the_size_limit_allows_the_largest_accepted_chip() -> None:
    assert JPG.max_bytes >= 1024 * 1024 * 4 * np.dtype(np.uint16).itemsize
    assert replace(JPG, accepted_sides_px=(64, 256)).max_bytes < JPG.max_bytes
