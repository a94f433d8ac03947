"""A thresholds file with some labels changes these, and leaves all others as each row has them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from beam_jobs.query import ask
from pipelines.runs import committing
from schemas.artifact import thresholds_digest
from schemas.decisions import SkyRule, Threshold
from schemas.labels import PLANET_LABELS, score_column
from schemas.tables import MODELS
from tests.support.published_runs import NIGHT, at, commit_rows, publish, scored
from tests.support.relabelling import HALF, LOW, Relabel

HIGH = {**HALF, "water": 0.7, "cloudy": None}
Thresholds = Mapping[str, Threshold]


@pytest.fixture
def relabel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Relabel:
    return Relabel(tmp_path, capsys)


def know(output: str, *used: Thresholds, sky_rule: SkyRule = "threshold", **more: Any) -> None:
    """Write the thresholds of model-1 into `models`, as the runs that used them do."""
    rows = [
        {"model_digest": "model-1", "thresholds_digest": thresholds_digest(thresholds, sky_rule)}
        | {"label": label, "threshold": threshold, "precision": 0.75, "positives": 20}
        | more
        for thresholds in used
        for label, threshold in thresholds.items()
    ]
    commit_rows(output, MODELS, "models", rows, NIGHT)


def labelled(uri: str, thresholds: Thresholds, scores: Mapping[str, float], **more: Any) -> dict:
    """A row with these scores, 0 for others, and the labels that follow from the thresholds."""
    columns = {score_column(name): scores.get(name, 0.0) for name in PLANET_LABELS.names}
    more = {"thresholds_digest": thresholds_digest(thresholds)} | more
    return scored(uri, **columns, **more) | {"labels": chosen(thresholds, scores)}


def chosen(thresholds: Thresholds, scores: Mapping[str, float]) -> list[str]:
    """The oracle: one label after the other."""
    cuts = {name: 2 if cut is None else cut for name, cut in thresholds.items()}
    return [n for n in PLANET_LABELS.names if scores.get(n, 0.0) >= cuts[n]]


def rows_of(relabel: Relabel, run_id: str = "new") -> dict[str, tuple[list[str], str]]:
    sql = f"SELECT chip_uri, labels, thresholds_digest FROM chip_scores WHERE run_id = '{run_id}'"
    return {uri: (labels, digest) for uri, labels, digest in relabel.rows(sql)}


def test_each_row_keeps_the_thresholds_of_its_other_labels(relabel):
    scores = {"road": 0.3, "water": 0.6, "cloudy": 0.9}
    a, b = labelled("a", HALF, scores), labelled("b", HIGH, scores, scored_at=at(1, 3))
    other = labelled("c", LOW, scores, model_digest="model-2", scored_at=datetime(2020, 1, 1))
    publish(relabel.output, "one", [a, b, other, labelled("d", HIGH, {})], published_at=at(1))
    know(relabel.output, HALF, HIGH)
    code, out, _ = relabel({"road": 0.2}, "--run_id", "new")
    assert code == 0
    assert "changed are the thresholds of road; other labels keep those of their rows (2 d" in out
    digests = [thresholds_digest({**before, "road": 0.2}) for before in (HALF, HIGH)]
    assert rows_of(relabel) == {
        "a": (["cloudy", "road", "water"], digests[0]),
        "b": (["road"], digests[1]),
        "d": ([], digests[1]),
    }
    (record,) = ask(relabel.output, "FROM runs WHERE run_id = 'new'").to_pylist()
    assert record["thresholds_digest"] == digests[1]  # of the most rows
    joined = """
        SELECT count(*), count(DISTINCT thresholds_digest), min(threshold), count(threshold)
        FROM chip_scores JOIN models USING (model_digest, thresholds_digest)
        WHERE chip_scores.run_id = 'new'
    """
    assert relabel.rows(joined) == [(3 * 17, 2, 0.2, 3 * 17 - 2)]
    figures = "SELECT label, precision, positives FROM models WHERE run_id = 'new' ORDER BY ALL"
    known = {(label, precision) for label, precision, _ in relabel.rows(figures)}
    assert known == {(n, None if n == "road" else 0.75) for n in PLANET_LABELS.names}


def test_a_null_in_the_file_means_never_and_can_be_taken_back(relabel):
    publish(relabel.output, "one", [labelled("a", HALF, {"road": 1.0})], published_at=at(1))
    know(relabel.output, HALF)
    assert relabel({"road": None}, "--run_id", "never")[0] == 0
    assert rows_of(relabel, "never") == {"a": ([], thresholds_digest({**HALF, "road": None}))}
    assert relabel.rows("SELECT label FROM models WHERE threshold IS NULL") == [("road",)]
    assert relabel({"road": 0.5}, "--run_id", "back")[0] == 0
    assert rows_of(relabel, "back") == {"a": (["road"], thresholds_digest(HALF))}
    assert relabel.rows("SELECT count(*) FROM models WHERE run_id = 'back'") == [(0,)]


def test_a_file_with_every_label_may_hold_nulls_and_needs_no_table_of_models(relabel):
    publish(relabel.output, "one", [scored("a", "road")], published_at=at(1))
    full = {**HALF, "road": None}
    assert relabel(full, "--run_id", "new")[0] == 0
    assert rows_of(relabel) == {"a": (["clear"], thresholds_digest(full))}
    never = "SELECT label FROM models WHERE threshold IS NULL AND run_id = 'new'"
    assert relabel.rows(never) == [("road",)]


CUTS = st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
LABELS = st.sampled_from(["road", "water", "haze", "blow_down"])
SETS = st.dictionaries(LABELS, CUTS).map(lambda some: {**HALF, **some})
CHIPS = st.tuples(st.integers(0, 2), st.dictionaries(LABELS, st.sampled_from([0.1, 0.3, 0.6, 0.9])))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sets=st.tuples(SETS, SETS, SETS),
    chips=st.lists(CHIPS, min_size=1, max_size=6),
    changed=st.dictionaries(LABELS, CUTS, min_size=1),
)
@example(sets=(HALF, HALF, HALF), chips=[(0, {})], changed={"road": 0.5})
def test_labels_and_digests_are_those_of_scoring_with_the_thresholds_of_each_row(
    tmp_path_factory, sets, chips, changed
):
    relabel = Relabel(tmp_path_factory.mktemp("kept"))
    rows = [labelled(str(n), sets[k], scores) for n, (k, scores) in enumerate(chips)]
    publish(relabel.output, "one", rows, published_at=at(1))
    know(relabel.output, *{thresholds_digest(each): each for each in sets}.values())
    assert relabel(changed, "--run_id", "new")[0] == 0
    after = [{**each, **changed} for each in sets]
    expected = {
        str(n): (chosen(after[k], scores), thresholds_digest(after[k]))
        for n, (k, scores) in enumerate(chips)
    }
    if all(after[k] == sets[k] for k, _ in chips):  # nothing would change, so nothing is published
        expected = {}
    assert rows_of(relabel) == expected
    known: dict[str, dict] = {}
    for digest, label, cut in relabel.rows(
        "SELECT thresholds_digest, label, threshold FROM models"
    ):
        known.setdefault(digest, {})[label] = cut
    for digest, thresholds in known.items():
        assert thresholds_digest(thresholds) == digest
    assert {digest for _, digest in expected.values()} <= known.keys()


@pytest.mark.parametrize(
    ("thresholds", "used", "sky_rule", "message"),
    [
        ({"road": 0.2}, [], "threshold", "the other thresholds of 1 row with thresholds_digest"),
        ({"road": 0.2}, [LOW], "threshold", "give a threshold for every label"),
        ({"road": 0.2}, [HALF], "argmax", "give the artifact.json that `train set_thresholds`"),
        ({"roads": 0.2}, [HALF], "threshold", "labels that the tables do not have: roads"),
        ({}, [HALF], "threshold", "it names no label"),
        (
            {"road": "never"},
            [HALF],
            "threshold",
            "must be a number in [0, 1], or null, not 'never'",
        ),
    ],
)
def test_what_cannot_be_kept_is_a_usage_error_and_nothing_is_written(
    relabel, thresholds, used, sky_rule, message
):
    row = labelled("a", HALF, {}, thresholds_digest=thresholds_digest(HALF, sky_rule))
    publish(relabel.output, "one", [row], published_at=at(1))
    if used:
        know(relabel.output, *used, sky_rule=sky_rule)
    before = sorted(Path(relabel.output).rglob("*"))
    code, out, err = relabel(thresholds)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(Path(relabel.output).rglob("*")) == before


def test_a_label_that_the_model_does_not_have_cannot_be_changed_alone(relabel):
    publish(relabel.output, "one", [labelled("a", HALF, {})], published_at=at(1))
    few = {label: cut for label, cut in HALF.items() if label != "road"}
    row = labelled("b", HALF, {}, thresholds_digest=thresholds_digest(few), scored_at=at(1, 5))
    row |= {score_column("road"): None, "model_digest": "model-3"}
    publish(relabel.output, "two", [row], published_at=at(2))
    know(relabel.output, few, model_digest="model-3")
    message = "error: --thresholds has labels that the model does not have: road\n"
    assert relabel({"road": 0.1}) == (2, "", message)


def test_a_relabelling_of_some_labels_that_died_resumes_with_the_same_file_alone(
    relabel, monkeypatch
):
    publish(relabel.output, "one", [labelled("a", HALF, {"road": 0.3})], published_at=at(1))
    know(relabel.output, HALF)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_rows", die)
        assert relabel({"road": 0.2}, "--run_id", "new")[0] == 130
    code, _, err = relabel({"road": 0.1}, "--run_id", "new")
    assert code == 2
    assert "run new was begun with thresholds_digest" in err
    assert relabel({"road": 0.2}, "--run_id", "new")[0] == 0
    assert rows_of(relabel) == {"a": (["road"], thresholds_digest({**HALF, "road": 0.2}))}
