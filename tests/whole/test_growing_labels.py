"""One OUTPUT, several label sets: a label is added, an earlier model comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from beam_jobs import maintain, query, relabel_chips, report, score_chips
from pipelines.commands import exit_code
from pipelines.storage import store
from schemas.artifact import ModelArtifact
from schemas.labels import LabelSet
from tests.support.samples import jpg_bytes, make_artifact

SKY = ("clear", "cloudy")
BEFORE = LabelSet((*SKY, "road", "water"), SKY)
AFTER = LabelSet(("mine", "road", *SKY, "water"), SKY)
NARROW = LabelSet((*SKY, "road"), SKY)
OTHERS = LabelSet(("gold", "silver"))
SETS = {"before": BEFORE, "after": AFTER, "narrow": NARROW, "others": OTHERS}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for n, (name, label_set) in enumerate(SETS.items()):
        make_artifact(folder / name, label_set=label_set, seed=n)
    return {name: folder / name for name in SETS}


class Nights:
    """An OUTPUT, and an archive that has some new chips in each night."""

    def __init__(self, folder: Path, models: dict[str, Path]) -> None:
        self.output, self._folder, self._models = str(folder / "out"), folder, models
        self._chips = 0
        (folder / "chips").mkdir()

    def run(self, command: Callable[[Sequence[str]], int], *flags: str) -> int:
        return exit_code(command, ["--output", self.output, *flags])

    def score(self, run_id: str, model: str, new_chips: int = 4, *flags: str) -> int:
        self._chips += new_chips
        for n in range(self._chips - new_chips, self._chips):
            picture = jpg_bytes((n * 37 % 200 + 40, n * 91 % 200 + 40, n * 53 % 200 + 40))
            Path(self._folder, "chips", f"{n}.jpg").write_bytes(picture)
        places = ("--chips", str(self._folder / "chips"), "--artifact", str(self._models[model]))
        night = ("--run_id", run_id, "--run_date", f"2026-07-{run_id.removeprefix('n'):0>2}")
        return self.run(score_chips.main, *places, *night, *flags)

    def relabel(self, thresholds: dict | Path, run_id: str, *flags: str) -> int:
        file = thresholds if isinstance(thresholds, Path) else self._folder / f"{run_id}.json"
        if isinstance(thresholds, dict):
            file.write_text(json.dumps(thresholds))
        given = ("--thresholds", str(file), "--run_id", run_id)
        return self.run(relabel_chips.main, *given, *flags)

    def rows(self, sql: str) -> list[tuple]:
        return [tuple(row.values()) for row in query.ask(self.output, sql).to_pylist()]

    def known(self) -> dict[str, list[int]]:
        """Run to its rows with a score of: clear, road, water, mine."""
        labels = ("clear", "road", "water", "mine")
        counts = ", ".join(f"count(score_{label})" for label in labels)
        found = self.rows(f"SELECT run_id, {counts} FROM chip_scores GROUP BY 1 ORDER BY 1")
        return {run_id: list(numbers) for run_id, *numbers in found}


@pytest.fixture
def nights(tmp_path: Path, models: dict[str, Path]) -> Nights:
    """A night by a model of four labels, then one by a model with one more."""
    nights = Nights(tmp_path, models)
    assert nights.score("n1", "before") == 0
    assert nights.score("n2", "after", 4, "--threats", "mine,road") == 0
    return nights


def test_a_label_is_added_and_older_rows_have_null(nights: Nights) -> None:
    """The second model scores the first night's chips, too."""
    assert nights.known() == {"n1": [4, 4, 4, 0], "n2": [8, 8, 8, 8]}
    names = query.ask(nights.output, "FROM chip_scores").column_names
    scores = [name for name in names if name.startswith("score_")]
    assert sorted(scores) == [f"score_{label}" for label in sorted(AFTER.names)]
    trust = "SELECT run_id, string_agg(label, ' ' ORDER BY label) FROM models GROUP BY 1 ORDER BY 1"
    assert nights.rows(trust) == [
        ("n1", "clear cloudy road water"),
        ("n2", "clear cloudy mine road water"),
    ]


def test_an_earlier_model_comes_back_and_skips_what_it_has_scored(nights: Nights) -> None:
    assert nights.score("n3", "before", 2) == 0
    assert nights.known()["n3"] == [6, 6, 6, 0]  # not the four of n1
    assert nights.rows("SELECT skipped FROM runs WHERE run_id = 'n3'") == [(4,)]
    assert nights.score("n4", "narrow", 0) == 0
    assert nights.known()["n4"] == [10, 10, 0, 0]
    assert nights.score("n5", "after", 1, "--rescore") == 0
    assert nights.known()["n5"] == [11, 11, 11, 11]


def test_a_wholly_different_set_is_refused_before_any_work(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nights.score("n3", "others") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "and the artifact has other labels: gold, silver: use another OUTPUT" in error
    assert set(nights.known()) == {"n1", "n2"}
    assert nights.rows("SELECT count(*) FROM runs") == [(2,)]


def test_every_question_is_about_the_labels_of_each_row(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nights.score("n3", "before", 2) == 0
    capsys.readouterr()
    assert nights.rows("FROM threats ORDER BY 1") == [("mine",), ("road",)]
    for question in ("alerts_last_night", "newly_appeared", "never_observed"):
        assert nights.run(query.main, "--question", question, "--unproven") == 0
    answer, _ = query.ask_question(nights.output, "alerts_last_night", unproven=True)
    expected = nights.rows(
        "SELECT chip_uri, 'road' FROM chip_scores WHERE run_id = 'n3' AND score_road >= 0.5 "
        "AND sky_label <> 'cloudy' ORDER BY 1"
    )
    found = answer.select(["chip_uri", "threat"]).to_pylist()
    assert sorted(tuple(row.values()) for row in found) == expected
    answer, _ = query.ask_question(nights.output, "newly_appeared", unproven=True)
    assert "mine" not in answer["threat"].to_pylist()


def test_a_report_has_the_labels_of_its_own_model(nights: Nights) -> None:
    assert nights.score("n3", "before", 2) == 0
    for run_id, has_mine in (("n1", False), ("n2", True), ("n3", False)):
        assert nights.run(report.main, "--run_id", run_id, "--unproven") == 0
        page = store.read_bytes(f"{nights.output}/reports/{run_id}.html").decode()
        assert (">mine<" in page) == has_mine
        assert ">water<" in page


def test_a_model_is_compared_with_its_own_nights(tmp_path: Path, models: dict[str, Path]) -> None:
    """Scores of a label that is not the model's are null, and are no scores."""
    nights = Nights(tmp_path, models)
    for n, model in enumerate(("before", "before", "after", "before"), 1):
        assert nights.score(f"n{n}", model, 40) in (0, 3)
    (found,) = nights.rows("SELECT findings FROM runs WHERE run_id = 'n4'")
    compared = {f["label"]: f for f in json.loads(found[0]) if f["check"] == "psi"}
    assert set(compared) == {"clear", "cloudy", "road", "water"}
    (found,) = nights.rows("SELECT findings FROM runs WHERE run_id = 'n3'")
    assert "needs 2 earlier runs of this model, found 0" in found[0]


def test_each_model_is_relabelled_by_its_own_artifact(
    nights: Nights, models: dict[str, Path]
) -> None:
    assert nights.score("n3", "before", 2) == 0
    for name in ("before", "after"):
        artifact = ModelArtifact.from_dict(json.loads((models[name] / "artifact.json").read_text()))
        every = dict.fromkeys(artifact.label_set.names, 0.0)
        digest = ("--model_digest", artifact.model_digest)
        assert nights.relabel(every, f"every-{name}", *digest) == 0
        assert nights.relabel(models[name] / "artifact.json", f"as-{name}") == 0
    assert nights.known()["as-before"] == [6, 6, 6, 0]  # of the four new ones of n2, and two
    assert nights.known()["as-after"] == [4, 4, 4, 4]
    again = nights.rows(
        "SELECT a.labels = b.labels, a.thresholds_digest = b.thresholds_digest FROM chip_scores a "
        "JOIN chip_scores b USING (chip_uri, scored_at) WHERE a.run_id LIKE 'as-%' "
        "AND b.run_id NOT LIKE 'every-%'"
    )
    assert set(again) == {(True, True)}


def test_a_label_that_the_thresholds_do_not_name_stays_if_the_model_has_it(
    nights: Nights, models: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    digests = {
        name: ModelArtifact.from_dict(json.loads((path / "artifact.json").read_text())).model_digest
        for name, path in models.items()
    }
    low = dict.fromkeys(BEFORE.names, 0.0)
    mine = "SELECT chip_uri, list_contains(labels, 'mine') AS mine FROM chip_scores"
    before = nights.rows(f"{mine} WHERE run_id = 'n2' ORDER BY ALL")
    assert nights.relabel(low, "n4", "--model_digest", digests["after"]) == 0
    assert "other labels keep those of their rows: mine" in capsys.readouterr().out
    assert nights.rows(f"{mine} WHERE run_id = 'n4' ORDER BY ALL") == before
    others = "len(labels) - list_contains(labels, 'mine')::INT"
    every = nights.rows(f"SELECT DISTINCT {others} FROM chip_scores WHERE run_id = 'n4'")
    assert every == [(4,)]
    assert nights.score("n3", "before", 2) == 0
    assert nights.relabel(low, "n7", "--model_digest", digests["before"]) == 0
    every = nights.rows("SELECT DISTINCT len(labels) FROM chip_scores WHERE run_id = 'n7'")
    assert every == [(4,)]
    low["mine"] = 0.0  # this model has no such scores, and so no such label
    assert nights.relabel(low, "n8", "--model_digest", digests["before"]) == 0
    every = nights.rows("SELECT DISTINCT len(labels) FROM chip_scores WHERE run_id = 'n8'")
    assert every == [(4,)]


def test_compaction_keeps_scores_and_nulls(nights: Nights) -> None:
    assert nights.score("n3", "narrow", 2) == 0
    before = nights.rows("FROM chip_scores ORDER BY ALL")
    assert nights.run(maintain.main, "--vacuum_hours", "0") == 0
    assert nights.rows("FROM chip_scores ORDER BY ALL") == before
