"""The comparison as a command: what it writes, what it says, and what it refuses."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from schemas.labels import LabelSet
from tests.support.drawn_chips import draw_labelled_jpgs, draw_labelled_tifs, write_labels
from tests.support.samples import TIF, make_artifact
from train.__main__ import main

OLD = LabelSet(("clear", "primary", "water", "bare_ground"))
NEW = LabelSet(("clear", "haze", "bare_ground", "water", "primary"))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """24 jpgs, their labels, and two models with labels of their own."""
    folder = tmp_path_factory.mktemp("compare")
    tags = draw_labelled_jpgs(folder / "chips", 24)
    write_labels(folder / "labels.csv", tags)
    make_artifact(folder / "old", label_set=OLD, seed=1)
    make_artifact(folder / "new", label_set=NEW, seed=2)
    return folder


def compare(place: Path, output: Path, *flags: str, artifacts: tuple[str, ...] = ("old", "new")):
    chips = ["--chips", str(place / "chips"), "--labels", str(place / "labels.csv")]
    named = ["--artifacts", *(str(place / name) for name in artifacts)]
    cache = ["--pixel_cache", "none"]
    return main(["compare", *named, *chips, "--output", str(output), *cache, *flags])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_artifacts_with_different_labels_are_compared_by_those_in_common(place, tmp_path, capsys):
    assert compare(place, tmp_path) == 0
    said = capsys.readouterr().out
    known = "Compared are the 4 labels that all know. new knows 1 more: haze."
    assert known in said
    rows = rows_of(tmp_path / "differences.csv")
    assert {row["label"] for row in rows} == {"", *OLD.names}
    assert {(row["artifact"], row["compared_with"]) for row in rows} == {("new", "old")}
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert known in page
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["labels"] == list(OLD.names)
    assert summary["chips"] == 24


def test_the_figures_and_decisions_are_those_of_evaluating_each_artifact(place, tmp_path):
    make_artifact(place / "other", label_set=OLD, seed=3)
    assert compare(place, tmp_path / "both", artifacts=("old", "other")) == 0
    chips = ["--chips", str(place / "chips"), "--labels", str(place / "labels.csv")]
    figures = {}
    for name in ("old", "other"):
        output = tmp_path / f"{name}.json"
        flags = ["--artifact", str(place / name), "--output", str(output), "--pixel_cache", "none"]
        assert main(["evaluate", *flags, *chips]) == 0
        figures[name] = json.loads(output.read_text(encoding="utf-8"))
    for row in rows_of(tmp_path / "both/differences.csv"):
        if row["figure"] == "mAP":
            wanted = [figures[n]["mean_average_precision"] for n in ("other", "old")]
        elif row["figure"] == "AP":
            wanted = [figures[n]["labels"][row["label"]]["average_precision"] for n in figures]
            wanted.reverse()
        else:
            continue
        assert [float(row["value"]), float(row["other_value"])] == pytest.approx(wanted, abs=1e-6)
        assert float(row["difference"]) == pytest.approx(wanted[0] - wanted[1], abs=2e-6)
    disagreed = rows_of(tmp_path / "both/disagreements.csv")
    assert disagreed
    for row in disagreed:
        assert row["decided old"] != row["decided other"]
        for name in ("old", "other"):
            assert (float(row[f"score {name}"]) >= 0.5) == (row[f"decided {name}"] == "1")
        number = int(row["image_name"].removeprefix("c"))
        held = {"clear", ("primary", "water", "bare_ground")[number % 3]}
        assert (row["label"] in held) == (row["truth"] == "1")
        assert row["chip_uri"].endswith(f"/c{number}.jpg")


def test_only_chips_that_all_artifacts_can_decode_are_compared(place, tmp_path, capsys):
    chips = tmp_path / "chips"
    shutil.copytree(place / "chips", chips)
    (chips / "c3.jpg").write_bytes(b"\xff\xd8\xff cut off")
    assert compare(place, tmp_path / "out", "--chips", str(chips)) == 0
    assert "1 chips are left out, because not all can decode them" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    assert (summary["chips"], summary["undecoded"]) == (23, 1)


def test_a_model_for_tifs_and_one_for_jpgs_are_compared_by_the_names_of_chips(place, tmp_path):
    chips = tmp_path / "chips"
    shutil.copytree(place / "chips", chips)
    draw_labelled_tifs(chips, 10)
    make_artifact(place / "tif", TIF, OLD)
    assert compare(place, tmp_path / "out", "--chips", str(chips), artifacts=("old", "tif")) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    assert summary["chips"] == 10


def test_the_part_of_a_split_that_is_asked_for_is_compared(place, tmp_path):
    lines = [f"c{i},{'val' if i % 2 else 'train'}" for i in range(24)]
    split = tmp_path / "split.csv"
    split.write_text("\n".join(["image_name,split", *lines]), encoding="utf-8")
    flags = ("--split", str(split), "--part", "validation")
    assert compare(place, tmp_path / "out", *flags) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    assert summary["chips"] == 12


def test_it_is_said_how_many_chips_a_model_was_trained_on(place, tmp_path, capsys):
    common = ["--chips", str(place / "chips"), "--labels", str(place / "labels.csv")]
    common += ["--network", "mean_colour", "--epochs", "1", "--convert", "none"]
    common += ["--pixel_cache", "none"]
    for seed in ("0", "1"):
        artifact = str(tmp_path / f"model{seed}")
        assert main([*common, "--artifact", artifact, "--seed", seed]) == 0
    trained = tuple(str(tmp_path / f"model{seed}") for seed in ("0", "1"))
    assert compare(place, tmp_path / "out", artifacts=trained) == 0
    assert "model0 was trained on chips with the names of 19 of these 24" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("artifacts", "said"),
    [
        (("old",), "--artifacts: give two artifacts or more"),
        (("old", "old"), "--artifacts names an artifact twice"),
        (("old", "none"), "artifact.json is missing"),
        (
            ("old", "alien"),
            "--artifacts have no label in common: clear, primary, water, bare_ground; dog",
        ),
        (("old", "tifs"), "the artifacts take jpg and tif, and no chip is there as all of them"),
    ],
)
def test_artifacts_that_cannot_be_compared_end_with_2_and_one_line(
    place, tmp_path, capsys, artifacts, said
):
    if "alien" in artifacts:
        make_artifact(place / "alien", label_set=LabelSet(("dog", "cat")))
    if "tifs" in artifacts:
        make_artifact(place / "tifs", TIF, OLD)
        draw_labelled_tifs(place / "chips/only", 1)
        (place / "chips/only/c0.tif").rename(place / "chips/only/c99.tif")
        write_labels(
            place / "labels.csv", draw_labelled_jpgs(place / "chips", 24) | {"c99": "clear"}
        )
    assert compare(place, tmp_path / "out", artifacts=artifacts) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_identical_decisions_are_said_to_be_alike(place, tmp_path):
    shutil.copytree(place / "old", place / "again")
    assert compare(place, tmp_path, artifacts=("old", "again")) == 0
    assert "All artifacts decide alike." in (tmp_path / "comparison.html").read_text("utf-8")
    assert rows_of(tmp_path / "disagreements.csv") == []
    differences = {row["difference"] for row in rows_of(tmp_path / "differences.csv")}
    assert differences <= {"0.000000", ""}
    assert np.all(
        [
            float(row["low"]) <= 0 <= float(row["high"])
            for row in rows_of(tmp_path / "differences.csv")
            if row["low"]
        ]
    )
