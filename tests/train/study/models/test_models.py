"""Which networks of a study are trained or kept, and with which options."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from schemas.artifact_files import read_artifact
from schemas.labels import PLANET_LABELS
from tests.support.drawn_chips import draw_labelled_jpgs, draw_labelled_tifs, write_labels
from tests.support.samples import make_artifact
from train.fitting.checkpoints import checkpoint_folder
from train.forest.forest import ForestGrid
from train.options import check_options
from train.recipes import RECIPES
from train.results import write_summary
from train.study.models import exploration, forest_model
from train.study.models import material as material_of_studies
from train.study.models import models as study_models
from train.study.models.exploration import explore_or_keep
from train.study.models.forest_model import describe_forest, find_forest, grow_or_keep
from train.study.models.material import Material, gather_material
from train.study.models.models import (
    find_kept,
    load_missing_weights,
    network_folder,
    network_options,
    train_or_keep,
)
from train.study.models.plan import MODELS
from train.study.options import StudyOptions
from train.study.run import run_study

CHIPS = 40


@pytest.fixture
def options(tmp_path) -> StudyOptions:
    tags = draw_labelled_jpgs(tmp_path / "chips", CHIPS)
    write_labels(tmp_path / "labels.csv", tags | {"c0": "clear artisinal_mine"})
    write_split(tmp_path / "parts.csv")
    return StudyOptions(
        chips=str(tmp_path / "chips"),
        labels=str(tmp_path / "labels.csv"),
        output=str(tmp_path / "study"),
        split=str(tmp_path / "parts.csv"),
    )


def write_split(path: Path) -> None:
    parts = {**dict.fromkeys(range(20), "train"), **dict.fromkeys(range(20, 30), "validation")}
    rows = [f"c{i},{parts.get(i, 'test')}" for i in range(CHIPS)]
    path.write_text("\n".join(["image_name,split", *rows]) + "\n")


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """The networks that a fake trainer was called for; each gets random weights."""
    asked: list[str] = []

    def train(options):
        asked.append(options.network)
        folder = Path(options.artifact)
        make_artifact(folder, network=options.network, seed=len(asked))
        return read_artifact(folder)

    monkeypatch.setattr(study_models, "train_model", train)
    return asked


def ask(options: StudyOptions, name: str = "mean_colour") -> tuple[str, bool]:
    """Digest of a model, and whether it was there."""
    material, folder = gather_material(options), Path(options.output)
    asked = network_options(MODELS[name], options, material, folder)
    artifact, was_there = train_or_keep(name, asked, material, folder)
    return artifact.model_digest, was_there


def test_a_model_with_the_same_options_is_kept(options, trained):
    first, was_there = ask(options)
    assert not was_there
    assert ask(options) == (first, True)
    assert ask(replace(options, pixel_cache="none", published="p.csv")) == (first, True)
    assert trained == ["mean_colour"]


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 3}, {"image_size": 32}])
def test_a_model_with_other_options_is_trained_again(options, trained, change):
    first, _ = ask(options)
    assert ask(replace(options, **change))[0] != first
    assert len(trained) == 2


def test_a_damaged_artifact_is_made_again(options, trained):
    ask(options)
    (network_folder(Path(options.output), "mean_colour") / "model.keras").write_bytes(b"damaged")
    assert ask(options)[1] is False
    assert ask(options)[1] is True
    assert len(trained) == 2


def test_a_foreign_artifact_in_the_folder_is_not_used(options, trained):
    ask(options)
    make_artifact(network_folder(Path(options.output), "mean_colour"), seed=77)
    assert ask(options)[1] is False


def test_other_chips_labels_or_parts_need_a_new_model(options, trained):
    ask(options)
    chips, folder = Path(options.chips), Path(options.chips).parent
    (chips / "c1.jpg").write_bytes((chips / "c2.jpg").read_bytes() + b"\0")
    assert ask(options)[1] is False
    (folder / "labels.csv").write_text(
        (folder / "labels.csv").read_text().replace("c3,", "c3.jpg,")
    )
    assert ask(options)[1] is True  # the same label, spelt otherwise
    text = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(text.replace("c0,clear", "c0,haze"))
    assert ask(options)[1] is False
    (folder / "parts.csv").write_text(
        (folder / "parts.csv").read_text().replace("c5,train", "c5,test")
    )
    assert ask(options)[1] is False


def test_chips_without_a_row_or_a_part_change_no_model(options, trained):
    ask(options)
    chips = Path(options.chips)
    (chips / "unlabelled.jpg").write_bytes((chips / "c2.jpg").read_bytes())
    assert ask(options)[1] is True


def test_a_report_includes_only_results_that_fit(options, trained):
    ask(options)
    material, folder = gather_material(options), Path(options.output)

    def fits(options: StudyOptions, material: Material) -> bool:
        asked = network_options(MODELS["mean_colour"], options, material, folder)
        return find_kept("mean_colour", asked, material, folder) is not None

    assert fits(options, material)
    assert not fits(replace(options, seed=1), material)


def test_checkpoints_of_a_training_with_other_options_are_deleted(options, monkeypatch):
    def stop(options):
        checkpoint_folder(Path(options.artifact)).mkdir(parents=True, exist_ok=True)
        raise KeyboardInterrupt

    left: list[bool] = []

    def look(options):
        left.append(checkpoint_folder(Path(options.artifact)).exists())
        raise KeyboardInterrupt

    for train, asked in ((stop, options), (look, options), (look, replace(options, seed=1))):
        monkeypatch.setattr(study_models, "train_model", train)
        with pytest.raises(KeyboardInterrupt):
            ask(asked)
    assert left == [True, False]


def test_without_a_test_part_the_forest_is_tested_on_validation(options, tmp_path, monkeypatch):
    monkeypatch.setattr(forest_model, "GRID", ForestGrid((2,), (4,), 2))
    (tmp_path / "parts.csv").write_text(
        (tmp_path / "parts.csv").read_text().replace("test", "train")
    )
    material, folder = gather_material(options), Path(options.output)
    assert not grow_or_keep(options, material, folder)
    assert grow_or_keep(options, material, folder)
    figures = describe_forest(find_forest(options, material, folder), material)["figures"]
    assert {part: found["chips"] for part, found in figures.items()} == {"validation": 10}
    assert not find_forest(replace(options, seed=1), material, folder)


def test_networks_differ_from_the_baseline_as_the_plan_says(options):
    material, folder = gather_material(options), Path(options.output)
    asked = {
        name: network_options(model, options, material, folder)
        for name, model in MODELS.items()
        if model.network
    }
    assert asked["cnn_grey"].image_size == 2 * (asked["cnn"].image_size or 0)
    assert asked["cnn_upsampled"].imbalance.upsample == ("artisinal_mine",)
    assert asked["cnn"].imbalance.upsample == ()
    assert asked["cnn_upsampled"].network == asked["cnn"].network == "cnn"


def test_the_fine_tuned_vgg16_follows_its_recipe_in_at_most_the_study_s_epochs(options):
    material, folder = gather_material(options), Path(options.output)
    tuned = network_options(MODELS["vgg16_tuned"], options, material, folder)
    assert (tuned.recipe, tuned.epochs, tuned.monitor) == ("best", 30, "val_map")
    assert tuned.augmentation.level == RECIPES["best"]["level"]
    assert tuned.schedule.ema == RECIPES["best"]["ema"]
    plain = network_options(MODELS["vgg16"], options, material, folder)
    assert (plain.recipe, plain.augmentation.level, plain.schedule.ema) == (None, "none", 0)
    short = network_options(MODELS["vgg16_tuned"], replace(options, epochs=1), material, folder)
    assert (short.epochs, short.schedule.warmup_epochs) == (1, 0.5)
    check_options(short)


def test_the_small_model_sees_a_tenth_of_the_training_chips_and_all_others(options):
    material, folder = gather_material(options), Path(options.output)
    parts = {}
    for name in ("cnn", "cnn_small"):
        asked = network_options(MODELS[name], options, material, folder)
        with Path(asked.split or "").open(newline="") as lines:
            rows = [(row["image_name"], row["split"]) for row in csv.DictReader(lines)]
        parts[name] = {part: {n for n, p in rows if p == part} for _, part in rows}
    assert len(parts["cnn"]["train"]) == 20
    assert len(parts["cnn_small"]["train"]) == 2
    assert parts["cnn_small"]["train"] < parts["cnn"]["train"]
    assert parts["cnn_small"]["validation"] == parts["cnn"]["validation"]
    assert parts["cnn_small"]["test"] == parts["cnn"]["test"]


# --- What is remembered -------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch, trained) -> list[str]:
    """The parts of a study that were made: fake ones, which leave only a summary."""
    done = trained

    def make(name):
        def make_part(options):
            done.append(name)
            Path(options.output).mkdir(parents=True, exist_ok=True)
            write_summary(Path(options.output), {"pictures": [], "media_type": options.media_type})

        return make_part

    monkeypatch.setattr(exploration, "explore", make("exploration"))
    monkeypatch.setattr(forest_model, "train_forest", make("forest"))
    return done


def run_parts(options: StudyOptions, made: list[str]) -> set[str]:
    """The parts that are made, of those with a memory."""
    del made[:]
    material, folder = gather_material(options), Path(options.output)
    explore_or_keep(options, material, folder)
    grow_or_keep(options, material, folder)
    asked = network_options(MODELS["vgg16"], options, material, folder)
    train_or_keep("vgg16", asked, material, folder)
    return set(made)


def change_scenes(folder: Path) -> dict[str, str]:
    lines = (folder / "labels.csv").read_text().splitlines()
    rows = [f"{line},s{n // 4}" for n, line in enumerate(lines[1:])]
    (folder / "labels.csv").write_text("\n".join([f"{lines[0]},scene_id", *rows]))
    return {}


def change_chip(folder: Path) -> dict[str, str]:
    (folder / "chips/c3.jpg").write_bytes((folder / "chips/c6.jpg").read_bytes() + b"\0")
    return {}


def change_label(folder: Path) -> dict[str, str]:
    text = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(text.replace("c4,clear", "c4,haze"))
    return {}


def change_label_set(folder: Path) -> dict[str, str]:
    names = [*PLANET_LABELS.names, "snow"]
    (folder / "set.json").write_text(json.dumps({"labels": names, "sky": PLANET_LABELS.sky}))
    return {"label_set": str(folder / "set.json")}


def change_weights(folder: Path) -> dict[str, str]:
    (folder / "weights.h5").write_bytes(b"others")
    return {}


CHANGES = {
    "media type": (lambda folder: {"media_type": "tif"}, {"exploration", "forest", "vgg16"}),
    "seed": (lambda folder: {"seed": 1}, {"exploration", "forest", "vgg16"}),
    "scenes": (change_scenes, {"exploration", "forest", "vgg16"}),
    "chip": (change_chip, {"exploration", "forest", "vgg16"}),
    "label": (change_label, {"exploration", "forest", "vgg16"}),
    "label set": (change_label_set, {"exploration", "forest", "vgg16"}),
    "epochs": (lambda folder: {"epochs": 3}, {"vgg16"}),
    "image size": (lambda folder: {"image_size": 32}, {"vgg16"}),
    "weights": (change_weights, {"vgg16"}),
    "pixel cache": (lambda folder: {"pixel_cache": "none"}, set()),
    "nothing": (lambda folder: {}, set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_part_is_made_again_if_anything_that_decides_it_changed(tmp_path, made, name):
    tags = draw_labelled_jpgs(tmp_path / "chips", CHIPS)
    draw_labelled_tifs(tmp_path / "chips", CHIPS)
    write_labels(tmp_path / "labels.csv", tags)
    (tmp_path / "weights.h5").write_bytes(b"weights")
    options = StudyOptions(
        chips=str(tmp_path / "chips"),
        labels=str(tmp_path / "labels.csv"),
        output=str(tmp_path / "study"),
        weights=str(tmp_path / "weights.h5"),
    )
    assert run_parts(options, made) == {"exploration", "forest", "vgg16"}
    assert run_parts(options, made) == set()
    change, expected = CHANGES[name]
    changed = replace(options, **change(tmp_path))
    assert run_parts(changed, made) == expected
    assert run_parts(changed, made) == set()


def test_other_code_that_decodes_makes_every_part_again(options, made, monkeypatch):
    run_parts(options, made)
    monkeypatch.setattr(material_of_studies, "decoder_digest", lambda: "other")
    assert run_parts(options, made) == {"exploration", "forest", "vgg16"}


def test_a_part_that_was_stopped_while_it_was_made_again_is_not_kept(options, made, monkeypatch):
    run_parts(options, made)

    def stopped(_):
        raise KeyboardInterrupt

    changed, folder = replace(options, seed=1), Path(options.output)
    material = gather_material(changed)
    with monkeypatch.context() as patch:
        patch.setattr(exploration, "explore", stopped)
        patch.setattr(forest_model, "train_forest", stopped)
        for make in (explore_or_keep, grow_or_keep):
            with pytest.raises(KeyboardInterrupt):
                make(changed, material, folder)
    assert run_parts(options, made) == {"exploration", "forest"}  # its files may be half of each


def test_the_best_model_replaces_only_an_artifact(options, tmp_path):
    (tmp_path / "study/best").mkdir(parents=True)
    (tmp_path / "study/best/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"--output .*/best holds other files"):
        run_study(options)
    assert (tmp_path / "study/best/notes.txt").read_text() == "mine"


@pytest.fixture
def unreachable(monkeypatch) -> None:
    """Keras' downloads fail, and none is there."""

    def fail(*_, **__):
        raise Exception("URL fetch failure on https://example: timed out")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", fail)
    monkeypatch.setenv("KERAS_HOME", "/nonexistent")


@pytest.mark.usefixtures("unreachable")
def test_nothing_is_trained_if_the_weights_of_one_network_cannot_be_fetched(options, trained):
    asked = replace(options, models="mean_colour,mobilenetv3large")
    with pytest.raises(UsageError, match="cannot fetch ImageNet weights of mobilenetv3large"):
        run_study(asked)
    assert trained == []
    assert not (Path(options.output) / "exploration").exists()


@pytest.mark.usefixtures("unreachable")
def test_weights_of_a_finished_network_are_not_fetched_again(options, trained):
    name, material, folder = "mobilenetv3large", gather_material(options), Path(options.output)
    asked = {name: network_options(MODELS[name], options, material, folder)}
    with pytest.raises(UsageError, match=name):
        load_missing_weights(asked, material, folder)
    assert ask(options, name)[1] is False
    load_missing_weights(asked, material, folder)
    assert trained == [name]
