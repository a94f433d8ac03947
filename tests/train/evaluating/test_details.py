"""What an evaluation writes next to its figures."""

import csv
import json
import re
import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas.artifact import ModelArtifact
from schemas.artifact_files import read_artifact
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.render import label_columns
from tests.support.drawn_chips import draw_labelled_jpgs, write_labels
from tests.support.samples import make_artifact
from train.__main__ import main
from train.evaluating.details import write_details
from train.evaluating.evaluated import Evaluated
from train.judging.measuring import measure

LABELS = LabelSet(("clear", "primary", "water", "bare-ground"))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """30 jpgs with labels, evaluated by a model with random weights."""
    folder = tmp_path_factory.mktemp("details")
    tags = draw_labelled_jpgs(folder / "chips", 30)
    tags = {name: held.replace("bare_ground", "bare-ground") for name, held in tags.items()}
    write_labels(folder / "labels.csv", tags)
    make_artifact(folder / "model", label_set=LABELS, thresholds=(0.3, 0.5, 0.6, 0.5), seed=3)
    assert evaluate(folder) == 0
    return folder


def evaluate(place: Path, *flags: str) -> int:
    given = ["--artifact", str(place / "model"), "--chips", str(place / "chips")]
    given += ["--labels", str(place / "labels.csv"), "--pixel_cache", "none"]
    return main(["evaluate", *given, *flags])


def evaluated(truth: np.ndarray, scores: np.ndarray, artifact: ModelArtifact) -> Evaluated:
    names = tuple(f"c{i}" for i in range(len(truth)))
    return Evaluated(
        names=names,
        uris={name: f"/none/{name}.jpg" for name in names},
        truth=truth,
        scores=scores,
        chosen=scores >= 0.5,
        trained=np.zeros(len(truth), np.bool_),
        artifact=artifact,
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_predictions_have_truth_score_and_decision_of_each_label(place):
    table = pq.read_table(place / "model.evaluation/predictions.parquet")
    assert table.num_rows == 30
    assert label_columns(table.schema) == dict(zip(LABELS.names, LABELS.score_columns, strict=True))
    assert all(field.metadata[b"description"] for field in table.schema)
    thresholds = dict(zip(LABELS.names, (0.3, 0.5, 0.6, 0.5), strict=True))
    for row in table.to_pylist():
        number = int(row["chip_id"].removeprefix("c"))
        held = {"clear", ("primary", "water", "bare-ground")[number % 3]}
        assert set(row["truth"]) == held
        assert row["chip_uri"] == str(place / f"chips/c{number}.jpg")
        assert row["image_name"] == f"c{number}"
        assert not row["trained_on"]
        for label, threshold in thresholds.items():
            column = label.replace("-", "_")
            assert row[f"truth_{column}"] == (label in held)
            assert row[f"decided_{column}"] == (row[f"score_{column}"] >= threshold)
            assert row[f"decided_{column}"] == (label in row["labels"])
    digests = set(table["model_digest"].to_pylist())
    assert digests == {read_artifact(place / "model").model_digest}


def test_the_predictions_are_what_the_figures_are_of(place):
    figures = json.loads((place / "model.evaluation.json").read_text(encoding="utf-8"))
    table = pq.read_table(place / "model.evaluation/predictions.parquet").to_pydict()
    for label in LABELS.names:
        column = label.replace("-", "_")
        truth = np.array(table[f"truth_{column}"])
        decided = np.array(table[f"decided_{column}"])
        found = figures["labels"][label]
        assert found["positives"] == truth.sum()
        assert found["at_threshold"]["predicted"] == decided.sum()
        if decided.any():
            assert found["at_threshold"]["precision"] == pytest.approx(truth[decided].mean())


def test_suspects_are_pairs_of_chip_and_label_in_the_order_of_their_quality(place):
    suspects = rows_of(place / "model.evaluation/suspects.csv")
    table = pq.read_table(place / "model.evaluation/predictions.parquet").to_pylist()
    by_name = {row["image_name"]: row for row in table}
    assert [int(row["rank"]) for row in suspects] == list(range(1, 30 * 4 + 1))
    qualities = [float(row["quality"]) for row in suspects]
    assert qualities == sorted(qualities)
    for row in suspects:
        column = row["label"].replace("-", "_")
        chip = by_name[row["image_name"]]
        assert int(row["given"]) == chip[f"truth_{column}"]
        score = chip[f"score_{column}"]
        assert float(row["score"]) == pytest.approx(score, abs=1e-6)
        wanted = score if chip[f"truth_{column}"] else 1 - score
        assert float(row["quality"]) == pytest.approx(wanted, abs=1e-6)


def test_confusions_and_curves_are_tables_and_pictures_on_a_page_that_asks_for_nothing(place):
    folder = place / "model.evaluation"
    table = pq.read_table(folder / "predictions.parquet").to_pylist()
    rows = rows_of(folder / "co_confusion.csv")
    assert rows
    for row in rows:
        wrong, other = row["chosen_wrongly"], row["other"]
        chips = [c for c in table if wrong in c["labels"] and wrong not in c["truth"]]
        assert int(row["chips"]) == len(chips)
        true = [chip for chip in chips if other in chip["truth"]]
        assert int(row["other_true"]) == len(true)
        assert int(row["other_missed"]) == sum(other not in chip["labels"] for chip in true)
    curves = rows_of(folder / "precision_recall.csv")
    assert {row["label"] for row in curves} == set(LABELS.names)
    page = (folder / "evaluation.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 2
    suspects = rows_of(folder / "suspects.csv")
    doubted = {row["image_name"] for row in suspects if float(row["quality"]) < 0.5}
    assert page.count("data:image/jpeg") == len(doubted) > 0
    assert "http" not in page.replace("http-equiv", "")


def test_other_files_are_never_written_between(place, tmp_path, capsys):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/mine.txt").write_text("keep me", encoding="utf-8")
    assert evaluate(place, "--output", str(tmp_path / "figures.json")) == 2
    said = f"error: --output: {tmp_path}/figures has files that are not of an evaluation\n"
    assert capsys.readouterr().err == said
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "figures.json").exists()
    assert evaluate(place, "--output", str(tmp_path / "other.json")) == 0
    assert evaluate(place, "--output", str(tmp_path / "other.json")) == 0


def test_the_page_has_the_measures_that_were_printed(place, tmp_path, capsys):
    assert evaluate(place, "--output", str(tmp_path / "figures.json")) == 0
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    page = (tmp_path / "figures/evaluation.html").read_text(encoding="utf-8")
    lines = [line.strip() for line in printed.splitlines() if "mAP" in line or " F1 (" in line]
    assert len(lines) == 4
    assert lines[0].startswith(f"30 chips: mAP {figures['mean_average_precision']:.3f}")
    assert all(line in page for line in lines)
    for label, row in figures["labels"].items():
        assert re.search(rf">{label}<.*>{row['average_precision']:.3f}<", page), label
    assert "was trained on" not in printed + page


def test_console_and_page_say_that_chips_were_trained_on(place, tmp_path, capsys):
    labels = (place / "labels.csv").read_text(encoding="utf-8").replace("bare-ground", "road")
    (tmp_path / "labels.csv").write_text(labels, encoding="utf-8")
    given = ["--chips", str(place / "chips"), "--labels", str(tmp_path / "labels.csv")]
    trained = ["--artifact", str(tmp_path / "model"), "--network", "mean_colour", "--epochs", "1"]
    assert main([*given, *trained, "--convert", "none", "--pixel_cache", "none"]) == 0
    split = rows_of(tmp_path / "model/split.csv")
    count = sum(row["split"] == "train" for row in split)
    assert 0 < count < 30
    capsys.readouterr()
    asked = ["evaluate", *given, "--artifact", str(tmp_path / "model"), "--pixel_cache", "none"]
    assert main(asked) == 0
    said = f"The model was trained on chips with the names of {count} of these 30: "
    assert said in capsys.readouterr().out
    page = (tmp_path / "model.evaluation/evaluation.html").read_text(encoding="utf-8")
    assert said in page


def test_no_chip_is_shown_where_the_model_agrees_with_the_csv(tmp_path):
    truth = np.eye(17, dtype=np.uint8)
    scores = (0.6 * truth + 0.2).astype(np.float32)
    found = evaluated(truth, scores, make_artifact(tmp_path / "model"))
    figures = measure(scores, truth, PLANET_LABELS, [0.5] * 17)
    write_details(str(tmp_path / "out"), found, figures, "Agreed")
    page = (tmp_path / "out/evaluation.html").read_text(encoding="utf-8")
    assert "no picture: " not in page
    assert "No score is on the other side of 0.5 than the csv: no chip is shown." in page


def test_forty_thousand_chips_are_described_in_bounded_time_and_memory(tmp_path):
    chips, labels = 40_479, len(PLANET_LABELS.names)
    generator = np.random.default_rng(0)
    truth = (generator.random((chips, labels)) < 0.15).astype(np.uint8)
    scores = (0.4 * truth + 0.6 * generator.random(truth.shape)).astype(np.float32)
    found = evaluated(truth, scores, make_artifact(tmp_path / "model"))
    figures = measure(scores, truth, PLANET_LABELS, [0.5] * labels)
    began, before = time.process_time(), getrusage(RUSAGE_SELF).ru_maxrss
    write_details(str(tmp_path / "out"), found, figures, "Many")
    assert time.process_time() - began < 30
    assert (getrusage(RUSAGE_SELF).ru_maxrss - before) * 1024 < 300e6
    assert pq.read_metadata(tmp_path / "out/predictions.parquet").num_rows == chips
    assert len(rows_of(tmp_path / "out/suspects.csv")) == 10_000
    page = (tmp_path / "out/evaluation.html").read_text(encoding="utf-8")
    assert page.count("no picture: ") == 48
