"""New thresholds on stored scores change the labels and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_jobs import relabel_chips
from beam_jobs import withdraw as withdraw_command
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.maintenance import relabel_planning, relabelling
from pipelines.planning.done import chips_done
from pipelines.runs import committing, staging
from schemas.artifact import ModelArtifact, thresholds_digest
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.tables import chip_scores
from tests.support.published_runs import at, commit_rows, publish, quarantined_row, scored
from tests.support.relabelling import HALF, HALF_DIGEST, LOW, Relabel
from tests.support.samples import JPG
from tests.support.trusted import trust

pytest_plugins = ["tests.support.object_stores"]


@pytest.fixture
def relabel(tmp_path, capsys):
    """Runs the command in this process; returns exit code, output and error."""
    return Relabel(tmp_path, capsys)


# ------------------------------------------------------------------------- what becomes of rows


def test_the_newest_labels_show_and_earlier_ones_stay(relabel):
    publish(relabel.output, "one", [scored("a"), scored("b", "water")], published_at=at(1))
    code, out, err = relabel(LOW, "--run_id", "new")
    assert (code, err) == (0, "")
    assert out == (
        "run new: 2 rows by model model-1 to relabel; 0 by other models stay as they are\n"
        f"run new of {relabel.rows('SELECT max(run_date) FROM runs')[0][0]} published: "
        "2 rows relabelled\n"
    )
    expected = {"a1": "clear road", "b1": "clear road water"}
    assert relabel.labels() == relabel.labels("observations") == expected
    earlier = "(SELECT * FROM chip_scores WHERE run_id = 'one')"
    assert relabel.labels(earlier) == {"a1": "clear", "b1": "clear water"}
    digests = relabel.rows("SELECT DISTINCT run_id, thresholds_digest FROM chip_scores ORDER BY 1")
    assert digests == [("new", thresholds_digest(LOW)), ("one", "thresholds-1")]


def test_the_row_in_runs_describes_the_relabelling(relabel):
    publish(relabel.output, "one", [scored("a"), scored("b")], published_at=at(1))
    relabel(LOW, "--run_id", "new")
    (record,) = ask(relabel.output, "FROM runs WHERE run_id = 'new'").to_pylist()
    assert (record["kind"], record["status"]) == ("relabel", "published")
    counts = ("listed", "skipped", "scored", "quarantined")
    assert [record[name] for name in counts] == [2, 0, 2, 0]
    assert record["model_digest"] == "model-1"
    assert record["thresholds_digest"] == thresholds_digest(LOW)
    options = json.loads(record["options"])
    assert options["thresholds"] == LOW
    assert options["relabelled_runs"] == ["one"]
    assert json.loads(record["versions"])["numpy"]


@st.composite
def _nights(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some runs over three chips of two pictures, by two models, some without a row in `runs`."""
    chips = st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["1", "2", None]),
        st.sampled_from(["road", "water", "haze"]),
    )
    return draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "chips": st.lists(chips, max_size=3, unique_by=lambda chip: chip[0]),
                    "model": st.sampled_from(["model-1", "model-2"]),
                    "night": st.integers(1, 3),
                    "published": st.none() | st.integers(1, 9),
                }
            ),
            min_size=1,
            max_size=4,
        )
    )


def _publish_nights(output: str, nights: list[dict[str, Any]]) -> None:
    for number, night in enumerate(nights, 1):
        rows = [
            scored(
                *(uri, label),
                etag=etag,
                model_digest=night["model"],
                scored_at=at(number, 3),
                thresholds_digest=HALF_DIGEST,
            )
            for uri, etag, label in night["chips"]
        ]
        published_at = at(night["published"], 5) if night["published"] else None
        publish(output, f"run-{number}", rows, [], f"2026-07-0{night['night']}", published_at)


_EVERY_COLUMN = "SELECT * EXCLUDE (run_id) FROM {} ORDER BY chip_uri, etag"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(nights=_nights())
def test_relabelling_with_the_same_thresholds_changes_nothing_but_the_run(tmp_path_factory, nights):
    relabel = Relabel(tmp_path_factory.mktemp("relabel"))
    _publish_nights(relabel.output, nights)
    views = ("latest_chip_scores", "observations")
    before = [ask(relabel.output, _EVERY_COLUMN.format(view)) for view in views]
    code, _, _ = relabel(HALF, "--run_id", "new")
    after = [ask(relabel.output, _EVERY_COLUMN.format(view)) for view in views]
    assert after == before
    if not before[1].num_rows:
        assert code == 2
        return
    assert code == 0
    model = relabel.rows("SELECT model_digest FROM runs WHERE run_id = 'new'")[0][0]
    relabelled = relabel.rows("SELECT DISTINCT run_id = 'new', model_digest FROM observations")
    assert set(relabelled) <= {(True, model), (False, "model-1"), (False, "model-2")}
    assert (False, model) not in relabelled


@pytest.mark.parametrize("again", [LOW, {"road": LOW["road"]}])
def test_the_same_thresholds_a_second_time_publish_nothing(relabel, again):
    publish(relabel.output, "one", [scored("a"), scored("b", "water")], published_at=at(1))
    assert relabel(LOW)[0] == 0
    said = "nothing to change: 2 rows by model model-1 with these thresholds already\n"
    assert relabel(again) == (0, said, "")
    assert relabel.rows("SELECT count(*) FROM runs WHERE kind = 'relabel'") == [(1,)]
    assert relabel.rows("SELECT count(*) FROM chip_scores") == [(4,)]
    assert not any(Path(relabel.output, "_staging").glob("*"))
    publish(relabel.output, "two", [scored("c")], published_at=at(2))
    code, out, _ = relabel(LOW)
    assert code == 0
    assert out.endswith("3 rows relabelled\n")


def test_a_relabelled_row_never_hides_newer_scores_of_the_chip(relabel):
    """Of another picture, or by another model; scored before or after the relabelling."""
    old = [scored("picture"), scored("model"), scored("later")]
    publish(relabel.output, "one", old, published_at=at(1))
    new = [
        scored("picture", "water", etag="2", scored_at=at(2)),
        scored("model", "water", model_digest="model-2", scored_at=at(2)),
    ]
    publish(relabel.output, "two", new, published_at=at(3))
    assert relabel(LOW, "--run_id", "new", "--model_digest", "model-1")[0] == 0
    assert relabel.labels() == {
        "picture2": "clear road water",
        "model1": "clear water",
        "later1": "clear road",
    }
    assert relabel.labels("observations")["picture1"] == "clear road"
    publish(relabel.output, "three", [scored("later", "haze", scored_at=at(9, month=12))],
            published_at=at(9, month=12))  # fmt: skip
    assert relabel.labels()["later1"] == "clear haze"


def test_rows_keep_their_night_and_one_night_can_be_chosen(relabel):
    for day in (1, 2):
        chips = [scored(f"chip-{day}", scored_at=at(day))]
        publish(relabel.output, f"run-{day}", chips, [], f"2026-07-0{day}", at(day, 5))
    assert relabel(LOW, "--run_id", "new", "--run_date", "2026-07-01")[0] == 0
    assert relabel.labels() == {"chip-11": "clear road", "chip-21": "clear"}
    assert relabel.rows("SELECT run_date FROM runs WHERE run_id = 'new'") == relabel.rows(
        "SELECT DATE '2026-07-01'"
    )
    assert relabel(LOW, "--run_id", "all")[0] == 0
    nights = relabel.rows(
        "SELECT run_id, run_date::VARCHAR, chip_uri FROM chip_scores ORDER BY 1, 2"
    )
    assert nights[:3] == [
        ("all", "2026-07-01", "chip-1"),
        ("all", "2026-07-02", "chip-2"),
        ("new", "2026-07-01", "chip-1"),
    ]
    alerts = "SELECT chip_uri, threat FROM alerts"
    assert relabel.rows(f"WITH alerts AS ({_alerts()}) {alerts}") == [("chip-2", "road")]
    code, _, err = relabel(LOW, "--run_date", "2026-07-03")
    assert (code, err) == (2, "error: there are no current scores of 2026-07-03 to relabel\n")


def _alerts() -> str:
    from beam_jobs.query import QUESTIONS

    return QUESTIONS["alerts_last_night"]


def test_files_of_many_row_groups_and_units_of_many_files_give_each_row_once(relabel, monkeypatch):
    monkeypatch.setattr(relabel_planning, "UNIT_ROWS", 10)
    monkeypatch.setattr(relabelling, "_BATCH_ROWS", 3)
    chips = [scored(f"chip-{n:02}", *["water"] * (n % 2)) for n in range(25)]
    publish(relabel.output, "one", chips, published_at=at(1))
    (file,) = Path(relabel.output, "chip_scores").rglob("*.parquet")
    pq.write_table(pq.read_table(file, partitioning=None), file, row_group_size=4)
    publish(relabel.output, "two", [scored("chip-03"), scored("new")], published_at=at(2))
    publish(relabel.output, "three", [scored("chip-04")], published_at=at(2))
    assert relabel(LOW, "--run_id", "new")[0] == 0
    labels = relabel.labels("(FROM chip_scores WHERE run_id = 'new')")
    water = {f"chip-{n:02}1" for n in range(1, 25, 2)} - {"chip-031"}
    assert {chip for chip, text in labels.items() if "water" in text} == water
    assert set(labels) == {f"chip-{n:02}1" for n in range(25)} | {"new1"}
    assert len(list(Path(relabel.output, "chip_scores").rglob("run_id=new/*.parquet"))) == 2


# --------------------------------------------------------------------------------- the thresholds


def _artifact(**changes: Any) -> dict[str, Any]:
    values = tuple(LOW.values())
    artifact = ModelArtifact("n", PLANET_LABELS, values, JPG, "model-1", **changes)
    return artifact.to_dict()


def test_the_new_thresholds_are_in_models_with_what_is_known_of_the_labels(relabel):
    publish(relabel.output, "one", [scored("a")], published_at=at(1))
    trust(relabel.output, {"road": 12, "water": 3})
    assert relabel(LOW, "--run_id", "new")[0] == 0
    new = "FROM models WHERE run_id = 'new'"
    assert relabel.rows(f"SELECT count(*), any_value(thresholds_digest) {new}") == [
        (17, thresholds_digest(LOW))
    ]
    known = relabel.rows(f"SELECT label, threshold, positives, proven {new} AND positives > 0")
    assert sorted(known) == [("road", LOW["road"], 12, True), ("water", LOW["water"], 3, False)]


def test_an_artifacts_own_figures_are_in_models(relabel):
    publish(relabel.output, "one", [scored("a")], published_at=at(1))
    road = {"positives": 20, "at_threshold": {"predicted": 8, "precision": 0.5, "recall": 0.2}}
    artifact = _artifact(figures={"test": {"labels": {"road": road}}})
    assert relabel(artifact, "--run_id", "new")[0] == 0
    figures = "SELECT precision, recall, proven FROM models WHERE label = 'road'"
    assert relabel.rows(figures) == [(0.5, 0.2, True)]


def test_from_an_artifact_thresholds_sky_rule_and_model_are_used(relabel):
    hazy = scored("a", score_clear=0.6, score_haze=0.7)
    publish(relabel.output, "one", [hazy, scored("b", model_digest="model-2", scored_at=at(3))])
    artifact = _artifact(sky_rule="argmax")
    assert relabel(artifact, "--run_id", "new")[0] == 0
    assert relabel.labels() == {"a1": "haze road", "b1": "clear"}
    digests = relabel.rows("SELECT thresholds_digest FROM runs WHERE run_id = 'new'")
    assert digests == [(artifact["thresholds_digest"],)]
    other = {**artifact, "model_digest": "model-3"}
    code, _, err = relabel(other)
    assert code == 2
    assert err == (
        "error: no models 'model-3' have current scores, there are: model-2, model-1; choose one "
        "by --model_digest\n"
    )
    assert relabel(other, "--model_digest", "model-2")[0] == 0
    assert relabel.labels()["b1"] == "clear road"


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({**HALF, "roads": 0.5}, "labels that the tables do not have: roads"),
        (
            {**HALF, "road": 1.5},
            "threshold of 'road' must be a number in [0, 1], or null, not 1.5",
        ),
        ({**HALF, "road": -1}, "must be a number in [0, 1], or null, not -1"),
        ({**HALF, "road": "0.5"}, "must be a number in [0, 1], or null, not '0.5'"),
        ({**HALF, "road": True}, "must be a number in [0, 1], or null, not True"),
        (json.dumps(HALF).replace("0.5", "NaN", 1), "NaN is not a number in [0, 1]"),
        (json.dumps(HALF).replace("{", '{"road": 0.5, ', 1), "named twice: road"),
        ("road: 0.5", "Expecting value"),
        ("[0.5]", "it must be a JSON object, label: number or null"),
        ("[" * 100_000, "recursion"),
        ({**_artifact(), "thresholds_digest": "x"}, "thresholds_digest differs"),
    ],
)
def test_invalid_thresholds_are_a_usage_error_in_one_line(relabel, thresholds, message):
    publish(relabel.output, "one", [scored("a")], published_at=at(1))
    before = sorted(Path(relabel.output).rglob("*"))
    code, out, err = relabel(thresholds)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: --thresholds '{relabel.file}': ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(Path(relabel.output).rglob("*")) == before


def test_an_artifact_without_a_label_of_the_scores_is_of_another_model(relabel):
    publish(relabel.output, "one", [scored("a")], published_at=at(1))
    names = tuple(name for name in PLANET_LABELS.names if name != "road")
    artifact = ModelArtifact("n", LabelSet(names), (0.5,) * 16, JPG, "model-1")
    code, _, err = relabel(artifact.to_dict())
    assert code == 2
    assert "thresholds do not fit the tables (labels without one: road)" in err


def test_a_missing_file_missing_tables_and_an_unknown_model_are_usage_errors(relabel):
    assert "holds no table chip_scores: nothing to relabel" in relabel(HALF)[2]
    publish(relabel.output, "one", [scored("a")], published_at=at(1))
    assert (
        "no models 'x' have current scores, there are: model-1"
        in relabel(HALF, "--model_digest", "x")[2]
    )
    relabel.file = relabel.file.parent
    with pytest.raises(IsADirectoryError):
        relabel(HALF)
    missing = ["--output", relabel.output, "--thresholds", str(relabel.file / "none")]
    assert exit_code(relabel_chips.main, missing) == 2


# ----------------------------------------------------------------------- other runs, and accidents


@pytest.mark.parametrize("dies", ["staging", "chip_scores", "runs"])
def test_a_relabelling_that_died_is_resumed_by_its_run_id(relabel, monkeypatch, dies):
    monkeypatch.setattr(relabel_planning, "UNIT_ROWS", 1)
    publish(relabel.output, "one", [scored("a")], night="2026-07-01", published_at=at(1))
    publish(relabel.output, "two", [scored("b")], night="2026-07-02", published_at=at(2))
    stage_scores, staged = staging.stage_scores, []

    def stage_or_die(number, *args):
        if number == 1 and dies == "staging":
            raise KeyboardInterrupt
        staged.append(number)
        return stage_scores(number, *args)

    def commit_or_die(plan, name, *more):
        if name == dies:
            raise KeyboardInterrupt
        commit(plan, name, *more)

    commit = committing.commit_rows
    with monkeypatch.context() as patch:
        patch.setattr(staging, "stage_scores", stage_or_die)
        patch.setattr(committing, "commit_rows", commit_or_die)
        assert relabel(LOW, "--run_id", "new")[0] == 130
    assert relabel.labels() == {"a1": "clear", "b1": "clear"}
    assert len(relabel.rows("FROM chip_scores")) == (4 if dies == "runs" else 2)

    code, _, err = relabel(HALF, "--run_id", "new")
    if dies == "runs":
        assert code == 0
    else:
        assert code == 2
        assert "run new was begun with thresholds_digest" in err
    assert relabel(LOW, "--run_id", "new")[0] == 0
    assert relabel.labels() == {"a1": "clear road", "b1": "clear road"}
    assert relabel.rows("SELECT status FROM runs WHERE run_id = 'new'") == [("published",)]
    assert staged == ([0] if dies == "staging" else [0, 1])
    assert relabel(LOW, "--run_id", "new")[1] == "run new is published already\n"
    assert len(relabel.rows("FROM chip_scores")) == 4
    assert not Path(relabel.output, "_staging", "new.1").exists()


def test_withdrawing_a_relabelling_shows_the_earlier_labels(relabel, capsys):
    publish(
        relabel.output, "one", [scored("a")], [quarantined_row("x", "empty")], published_at=at(1)
    )
    relabel(LOW, "--run_id", "new")
    done = chips_done(relabel.output, "model-1").read_all()
    assert withdraw(relabel.output, "one") == 2
    error_output = capsys.readouterr().err
    assert error_output == (
        "error: the scores of run one were relabelled by run new: withdraw that first, and relabel "
        "again when run one is withdrawn\n"
    )
    assert withdraw(relabel.output, "new") == 0
    assert relabel.labels() == {"a1": "clear"}
    assert {tuple(chip.values()) for chip in done.to_pylist()} == {
        tuple(chip.values())
        for chip in chips_done(relabel.output, "model-1").read_all().to_pylist()
    }
    assert withdraw(relabel.output, "one") == 0
    assert relabel.labels() == {}
    assert chips_done(relabel.output, "model-1").read_all().num_rows == 0


def withdraw(output: str, run_id: str) -> int:
    return exit_code(withdraw_command.main, ["--output", output, "--run_id", run_id])


@pytest.mark.parametrize("meanwhile", ["withdrawn", "replaced", "another night"])
def test_changes_to_the_source_runs_meanwhile_are_not_undone(relabel, monkeypatch, meanwhile):
    publish(relabel.output, "one", [scored("a")], published_at=at(1))

    def stage_after_others(plan, thresholds):
        if meanwhile == "withdrawn":
            assert withdraw(relabel.output, "one") == 0
        elif meanwhile == "replaced":
            newer = [scored("a", "water", scored_at=at(3))]
            commit_rows(relabel.output, chip_scores(PLANET_LABELS), "one", newer, replace=True)
        else:
            newer = [scored("a", "water", etag="2", scored_at=at(3))]
            publish(relabel.output, "two", newer, published_at=at(4))
        stage_relabelled(plan, thresholds)

    stage_relabelled = relabelling.stage_relabelled
    with monkeypatch.context() as patch:
        patch.setattr(relabel_chips, "stage_relabelled", stage_after_others)
        code, _, err = relabel(LOW, "--run_id", "new")
    if meanwhile == "another night":
        assert code == 0
        assert relabel.labels() == {"a2": "clear water"}
        return
    assert code == 1
    assert "run one, whose rows it has relabelled, was replaced or withdrawn meanwhile" in err
    assert "new" not in {run for (run,) in relabel.rows("SELECT run_id FROM chip_scores")}
    if meanwhile == "replaced":
        assert relabel(LOW, "--run_id", "new")[0] == 0
        assert relabel.labels() == {"a1": "clear road water"}


def test_two_relabellings_at_once_are_published_one_after_the_other(relabel, monkeypatch):
    publish(relabel.output, "one", [scored("a")], published_at=at(1))
    stage_relabelled = relabelling.stage_relabelled

    def stage_after_another(plan, thresholds):
        stage_relabelled(plan, thresholds)
        monkeypatch.setattr(relabel_chips, "stage_relabelled", stage_relabelled)
        assert relabel({**HALF, "water": 0.1}, "--run_id", "faster")[0] == 0

    monkeypatch.setattr(relabel_chips, "stage_relabelled", stage_after_another)
    assert relabel(LOW, "--run_id", "slower")[0] == 0
    assert relabel.labels() == {"a1": "clear road"}
    assert len(relabel.rows("FROM chip_scores")) == 3


def test_tables_in_object_stores_can_be_relabelled_too(object_store_uri, tmp_path):
    relabel = Relabel(tmp_path, output=f"{object_store_uri}/tables")
    publish(relabel.output, "one", [scored("a")], published_at=at(1))
    assert relabel(LOW, "--run_id", "new")[0] == 0
    assert relabel.labels() == {"a1": "clear road"}


def test_tensorflow_is_not_imported(tmp_path):
    output = str(tmp_path / "out")
    publish(output, "one", [scored("a")], published_at=at(1))
    (tmp_path / "t.json").write_text(json.dumps(LOW))
    code = (
        "import sys; from beam_jobs.relabel_chips import main; "
        f"main(['--output', {output!r}, '--thresholds', {str(tmp_path / 't.json')!r}]); "
        "print(sorted({'tensorflow', 'keras'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
