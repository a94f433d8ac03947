"""The card and the STAC item agree with the artifact, and hide no weakness."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.artifact import BANDS, ModelArtifact, Preprocessing
from schemas.artifact_files import MODEL_FILE, read_artifact
from tests.support.drawn_chips import draw_labelled_jpgs, draw_labelled_tifs, write_labels
from train.__main__ import main
from train.artifact.mlm_item import describe_model
from train.artifact.model_card import render_model_card
from train.artifact.weaknesses import find_weaknesses


def train(folder: Path, *flags: str) -> Path:
    common = ["--chips", str(folder / "chips"), "--labels", str(folder / "labels.csv")]
    common += ["--artifact", str(folder / "model"), "--network", "mean_colour", "--epochs", "2"]
    assert main([*common, "--pixel_cache", "none", *flags]) == 0
    return folder / "model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An artifact of jpgs, with a test part."""
    here = tmp_path_factory.mktemp("jpg")
    write_labels(here / "labels.csv", draw_labelled_jpgs(here / "chips", 30))
    return train(here, "--test_share", "0.3")


@pytest.fixture
def artifact(folder) -> ModelArtifact:
    return read_artifact(folder)


def without_test_part(artifact: ModelArtifact) -> ModelArtifact:
    return replace(artifact, figures={"validation": artifact.figures["validation"]})


def test_the_card_says_which_bands_the_model_takes_and_how_they_are_stored(artifact):
    assert "It takes red, green, blue of chips of" in render_model_card(artifact)
    usual = Preprocessing("tif", 64, BANDS["tif"], ((0.0, 1.0),) * 4, (64, 256))
    card = render_model_card(replace(artifact, preprocessing=usual))
    assert "It takes blue, green, red, near infrared of chips of 64 to 256" in card
    stored = {"stored_bands": ("SR_B2", "SR_B4", "SR_B5"), "sample_type": "int16"}
    two = replace(usual, bands=("SR_B5", "SR_B4"), scaling=((0.0, 1.0),) * 2, **stored)
    card = render_model_card(replace(artifact, preprocessing=two))
    assert "It takes SR_B5, SR_B4 (stored: SR_B2, SR_B4, SR_B5, int16) of chips" in card


# --- The card -----------------------------------------------------------------------------------


def test_card_and_item_are_in_the_artifact_with_their_digests(folder, artifact):
    assert {"model_card.md", "mlm_item.json"} <= set(artifact.files)
    assert (folder / "model_card.md").read_text() == render_model_card(artifact)


def test_the_card_shows_counts_threshold_and_f1_of_each_label(artifact):
    card = render_model_card(artifact)
    for name, threshold in zip(artifact.label_set.names, artifact.thresholds, strict=True):
        row = artifact.figures["test"]["labels"][name]
        learned = artifact.training["positives"]["train"][name]
        predicted = row["at_threshold"]["predicted"]
        assert f"| {name} | {learned} | {row['positives']} | {predicted} |" in card
        assert f"| {name} | {threshold:.4f} |" in card


def test_the_card_says_how_thresholds_were_chosen_with_and_without_promises(artifact):
    cut = "the cut with the highest F1 on validation; the fewer positives a label has"
    promised = "labels with a promise: the lowest cut that promises their precision on new chips"
    assert f"at or above its threshold: {cut}" in (card := render_model_card(artifact))
    assert "promise" not in card
    kept = {"precision": 0.9, "confidence": 0.95, "kept": True, "chosen": 9, "correct": 9}
    names = artifact.label_set.names
    some = render_model_card(replace(artifact, promises={names[0]: kept}))
    assert f"at or above its threshold: labels without a promise: {cut}" in some
    assert f"; {promised}, by validation; never, if there is none." in some
    every = render_model_card(replace(artifact, promises=dict.fromkeys(names, kept)))
    assert f"at or above its threshold: {promised}" in every
    assert "highest F1" not in every


def test_the_card_reports_on_the_test_part_with_intervals(artifact):
    card = render_model_card(artifact)
    figures = artifact.figures["test"]
    low, high = figures["intervals"]["at_threshold"]["micro_f1"]
    value = figures["at_threshold"]["micro_f1"]
    assert f"| micro F1 | {value:.3f} ({low:.3f} to {high:.3f}) |" in card
    assert f"On {figures['chips']} test chips" in card


def test_every_section_of_the_card_exists_and_is_not_empty(artifact):
    sections = re.split(r"^## ", render_model_card(artifact), flags=re.M)[1:]
    titles = [section.splitlines()[0] for section in sections]
    assert titles == [
        *("Intended use", "Data", "Measures", "Labels", "Thresholds"),
        *("Engines", "Known weaknesses", "Training", "Versions"),
    ]
    assert all(len(section.splitlines()) > 2 for section in sections)


# --- Weaknesses ---------------------------------------------------------------------------------


def test_labels_with_few_chips_are_named_with_their_counts(artifact):
    text = " ".join(find_weaknesses(artifact))
    learned = artifact.training["positives"]["train"]
    assert f"water ({learned['water']})" in text
    assert "haze (0)" in text
    assert f"clear ({learned['clear']})" not in text


def test_labels_without_proof_are_named(artifact):
    found = [w for w in find_weaknesses(artifact) if w.startswith("No validation chip proves")]
    assert len(found) == 1
    assert all(name in found[0] for name in artifact.unproven_thresholds)


def test_only_a_missing_test_part_is_reported(artifact):
    assert not any("no test part" in weakness for weakness in find_weaknesses(artifact))
    assert any("no test part" in w for w in find_weaknesses(without_test_part(artifact)))


def test_thresholds_that_do_worse_than_a_half_are_reported(artifact):
    def is_reported(cross_fitted: float) -> bool:
        validation = dict(artifact.figures["validation"])
        validation["cross_fitted"] = {"micro_f1": cross_fitted}
        validation["at_half"] = {"micro_f1": 0.5}
        figures = {**artifact.figures, "validation": validation}
        return any(
            "worse than 0.5" in w for w in find_weaknesses(replace(artifact, figures=figures))
        )

    assert is_reported(0.49)
    assert not is_reported(0.51)


# --- The STAC item ------------------------------------------------------------------------------

REQUIRED = {
    "": ("type", "stac_version", "id", "geometry", "properties", "links", "assets"),
    "properties": (
        *("datetime", "start_datetime", "end_datetime"),
        *("mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"),
    ),
    "input": ("name", "bands", "input"),
    "output": ("name", "tasks", "result"),
    "array": ("shape", "dim_order", "data_type"),
}
"""Fields that STAC 1.1 requires of an item and MLM 1.4 of it, its inputs, outputs and arrays."""


def check_item(item: dict) -> None:
    properties = item["properties"]
    (taken,), (given,) = properties["mlm:input"], properties["mlm:output"]
    parts = {"": item, "properties": properties, "input": taken, "output": given}
    for where, part in parts.items():
        assert set(REQUIRED[where]) <= set(part), where
    for array in (taken["input"], given["result"]):
        assert set(REQUIRED["array"]) <= set(array)
        assert len(array["shape"]) == len(array["dim_order"])
    assert item["type"] == "Feature"
    assert item["geometry"] is None
    assert "bbox" not in item  # STAC: not allowed without a geometry
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", properties["mlm:name"])
    assert set(properties["mlm:tasks"]) <= {"classification", "scene-classification"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", properties["mlm:framework_version"])
    if not properties["mlm:pretrained"]:
        assert properties["mlm:pretrained_source"] is None
    # MLM: bands of an input are defined in the item; STAC 1.1: and so in an asset, too.
    names = [band["name"] for band in properties["bands"]]
    assert taken["bands"] == names
    assert any("bands" in asset for asset in item["assets"].values())
    for asset in item["assets"].values():
        assert ("mlm:model" in asset["roles"]) == ("mlm:artifact_type" in asset)


def test_the_item_has_every_field_that_stac_and_its_model_extension_require(folder, artifact):
    item = json.loads((folder / "mlm_item.json").read_bytes())
    check_item(item)
    assert item["assets"][MODEL_FILE]["file:checksum"] == "1220" + artifact.files[MODEL_FILE]
    assert item["properties"]["mlm:total_parameters"] == 3 * 17 + 17
    classes = item["properties"]["mlm:output"][0]["classification:classes"]
    assert [c["description"] for c in classes] == list(artifact.label_set.names)
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+", c["name"]) for c in classes)


def test_the_item_of_a_tif_model_describes_how_radiometric_values_become_pixels(tmp_path):
    write_labels(tmp_path / "labels.csv", draw_labelled_tifs(tmp_path / "chips", 8))
    folder = train(tmp_path, "--image_size", "16")
    artifact = read_artifact(folder)
    item = describe_model(folder, artifact)
    check_item(item)
    taken = item["properties"]["mlm:input"][0]
    assert taken["input"]["shape"] == [-1, 16, 16, 4]
    scaling = artifact.preprocessing.scaling
    for (low, high), operation in zip(scaling, taken["value_scaling"], strict=True):
        assert operation["type"] == "processing"
        assert f"{low!r}" in operation["expression"]
        assert f"{high!r}" in operation["expression"]


def test_each_file_of_the_artifact_is_an_asset_next_to_the_item(folder, artifact):
    item = json.loads((folder / "mlm_item.json").read_bytes())
    assert set(item["assets"]) == {*artifact.files, "artifact.json"} - {"mlm_item.json"}
    for asset in item["assets"].values():
        assert (folder / asset["href"]).is_file()
