"""A promised precision from training to SQL: labels that cannot promise it are never reported."""

import json
from pathlib import Path

import pytest

from beam_jobs import query, score_chips
from pipelines.commands import exit_code
from schemas.artifact import ModelArtifact
from schemas.artifact_files import read_artifact
from tests.support.drawn_chips import draw_labelled_jpgs, write_labels
from train.__main__ import main

CHIPS = 300
LABELS = ["clear", "cloudy", "primary", "water", "bare_ground", "road"]
PROMISED = {"bare_ground": 0.9, "primary": 0.9, "water": 0.9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chips, labels, and an artifact with thresholds that promise a precision."""
    here = tmp_path_factory.mktemp("promised")
    tags = draw_labelled_jpgs(here / "chips", CHIPS)
    for i in range(0, CHIPS, 4):  # a label that is chance
        tags[f"c{i}"] += " road"
    write_labels(here / "labels.csv", tags)
    (here / "set.json").write_text(json.dumps({"labels": LABELS, "sky": LABELS[:2]}))
    return here


def train(folder: Path, *flags: str) -> int:
    places = {"chips": "chips", "labels": "labels.csv", "artifact": "model"}
    places["label_set"] = "set.json"
    common = [f"--{flag}={folder / name}" for flag, name in places.items()]
    common += ["--network=mean_colour", "--epochs=25", "--learning_rate=0.1", "--batch_size=32"]
    common += ["--validation_share=0.4", "--test_share=0.2", "--convert=none"]
    return main([*common, "--pixel_cache=none", *flags])


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    """What the training prints; without it there is no artifact."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *texts, **_: lines.append(" ".join(map(str, texts))))
        assert train(folder, "--promise=precision=0.9", "--promise=road=0.8") == 0
    return "\n".join(lines)


@pytest.fixture
def artifact(folder: Path, printed: str) -> ModelArtifact:
    return read_artifact(folder / "model")


def test_a_label_that_cannot_promise_it_has_a_null_threshold_and_is_listed(artifact, printed):
    assert artifact.never == ("road",)
    assert artifact.by_label["clear"] is not None
    found = artifact.promises
    assert found.keys() == {*PROMISED, "road"}
    assert found["road"] == {
        "precision": 0.8,
        "confidence": 0.95,
        "kept": False,
        "chosen": 0,
        "correct": 0,
    }
    for label in PROMISED:
        row = artifact.figures["validation"]["labels"][label]["at_threshold"]
        assert found[label]["kept"]
        assert found[label]["chosen"] == row["predicted"] >= 36
        assert found[label]["correct"] == round(row["precision"] * row["predicted"])
        assert artifact.figures["test"]["labels"][label]["at_threshold"]["precision"] >= 0.9
    assert "so the label is never reported: road 0.8" in printed
    assert "never" in next(line for line in printed.splitlines() if line.startswith("road"))


def test_the_card_and_the_item_show_it(folder, artifact):
    card = (folder / "model" / "model_card.md").read_text()
    assert "so the label is never reported: road 0.8." in card
    assert "| road | never |" in card
    assert "- Never reported, because the threshold is null: road." in card
    item = json.loads((folder / "model" / "mlm_item.json").read_text())
    assert item["properties"]["mlm:hyperparameters"]["thresholds"]["road"] is None


def test_evaluation_of_such_an_artifact_never_finds_the_label(folder, artifact, tmp_path):
    places = {"artifact": "model", "chips": "chips", "labels": "labels.csv"}
    asked = [f"--{flag}={folder / name}" for flag, name in places.items()]
    assert main(["evaluate", *asked, f"--output={tmp_path / 'figures.json'}"]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["labels"]["road"]["threshold"] is None
    assert figures["labels"]["road"]["at_threshold"]["predicted"] == 0
    assert figures["labels"]["water"]["at_threshold"]["predicted"] >= 90


def test_scoring_never_gives_the_label_and_tables_and_sql_say_why(
    folder, artifact, tmp_path, capsys
):
    output = str(tmp_path / "out")
    flags = {"chips": folder / "chips", "artifact": folder / "model", "output": output}
    asked = [f"--{flag}={value}" for flag, value in flags.items()]
    assert exit_code(score_chips.main, [*asked, "--threats=road,water", "--run_id=r"]) == 0
    assert "never reported, because the threshold is null: road" in capsys.readouterr().err

    def rows(sql: str) -> list[tuple]:
        return [tuple(row.values()) for row in query.ask(output, sql).to_pylist()]

    by_label = dict(rows("SELECT l, count(*) FROM chip_scores, unnest(labels) AS t(l) GROUP BY 1"))
    assert "road" not in by_label
    assert by_label["water"] >= 90
    assert rows("SELECT max(score_road) > 0 FROM chip_scores") == [(True,)]
    never = "SELECT label, precision, recall FROM models WHERE threshold IS NULL"
    assert rows(never) == [("road", None, 0.0)]
    # The labels of every row follow from scores and thresholds, in SQL too.
    by_sql = """
        SELECT count(*) FROM (
          UNPIVOT (FROM chip_scores) ON COLUMNS('score_(.*)') INTO NAME column_name VALUE score
        ) AS scores
        JOIN models
          ON models.model_digest = scores.model_digest
         AND models.thresholds_digest = scores.thresholds_digest
         AND 'score_' || label = column_name
        WHERE list_contains(labels, label) <> coalesce(score >= threshold, false)
    """
    assert rows(by_sql) == [(0,)]
    assert rows("SELECT DISTINCT thresholds_digest FROM runs") == [(artifact.thresholds_digest,)]
    for question in query.QUESTIONS:
        assert exit_code(query.main, ["--output", output, "--question", question]) in (0, 2)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--promise=precision=0.99", "no label has the validation chips that its promise needs"),
        ("--promise=river=0.9", "there is no label 'river', only"),
        ("--promise=water=1", "must be under 1"),
    ],
)
def test_a_promise_that_cannot_be_made_is_refused_before_training(folder, capsys, flag, message):
    assert train(folder, flag) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
