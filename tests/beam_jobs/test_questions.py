"""The built-in questions on any label set: what they answer, leave out, and cannot be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beam_jobs import query
from pipelines.commands import exit_code
from pipelines.places.updating import update_places
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.tables import RUNS
from tests.support.published_runs import at, commit_rows, publish, run_row, scored
from tests.support.trusted import trust

ODD = LabelSet(("gold mine", "it's burnt", "SELECT", "forêt", 'a, "b"', "x.y\\z"))
"""Names with spaces, quotes, upper case, a reserved word, letters of other languages."""

THREATS = ("alerts_last_night", "newly_appeared")


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path)


def asked(
    capsys: pytest.CaptureFixture[str], output: str, question: str, *more: str
) -> tuple[list[dict[str, Any]], str]:
    """The rows of an answer, and what is on standard error."""
    arguments = ["--output", output, "--question", question, "--format", "json", *more]
    assert exit_code(query.main, arguments) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def refused(capsys: pytest.CaptureFixture[str], output: str, question: str, *more: str) -> str:
    """The one line about a question that cannot be asked."""
    assert exit_code(query.main, ["--output", output, "--question", question, *more]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def two_looks(output: str, label_set: LabelSet, *labels: str) -> None:
    """One chip, seen without and then with some labels, each with its own score."""
    scores = {label_set.score_columns[n]: n / 16 for n in range(len(label_set.names))}
    publish(output, "run-1", [scored("a", sky=None, label_set=label_set)], label_set=label_set)
    later = scored("a", *labels, sky=None, label_set=label_set, etag="2", scored_at=at(2), **scores)
    publish(output, "run-2", [later], night="2026-07-02", label_set=label_set)
    commit_rows(output, RUNS, "run-1", [run_row(at(1))])
    commit_rows(output, RUNS, "run-2", [run_row(at(2))], night="2026-07-02")


# --------------------------------------------------------------------------- other label sets


@pytest.mark.parametrize("question", THREATS)
@pytest.mark.parametrize("label", ODD.names)
def test_a_threat_of_any_name_is_found_with_its_own_score(
    output: str, capsys: pytest.CaptureFixture[str], question: str, label: str
) -> None:
    two_looks(output, ODD, *ODD.names)
    answer, _ = asked(capsys, output, question, "--threats", label)
    assert [(row["threat"], row["score"]) for row in answer] == [
        (label, ODD.names.index(label) / 16)
    ]


def test_several_threats_are_named_with_commas(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_looks(output, ODD, *ODD.names)
    answer, _ = asked(capsys, output, THREATS[0], "--threats", '"a, ""b""", forêt,gold mine,forêt')
    assert [row["threat"] for row in answer] == ['a, "b"', "forêt", "gold mine"]


def test_the_threats_of_the_newest_run_that_names_some_are_used(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_looks(output, ODD, *ODD.names)
    named = {1: None, 2: ["forêt"], 3: ["SELECT", "x.y\\z"], 4: None, 5: []}
    for day, threats in named.items():
        row = run_row(at(day), threats=threats)
        commit_rows(output, RUNS, f"set-{day}", [row], night=f"2026-07-0{day}")
        publish(output, f"set-{day}", [], night="2026-07-01", label_set=ODD)
    assert query.ask(output, "FROM threats ORDER BY 1").to_pylist() == [
        {"label": "SELECT"},
        {"label": "x.y\\z"},
    ]
    answer, _ = asked(capsys, output, "newly_appeared")
    assert [row["threat"] for row in answer] == ["x.y\\z", "SELECT"]
    answer, _ = asked(capsys, output, "newly_appeared", "--threats", "gold mine")
    assert [row["threat"] for row in answer] == ["gold mine"]


def test_the_threats_of_a_withdrawn_run_are_forgotten(output: str) -> None:
    two_looks(output, ODD)
    row = run_row(at(3), threats=["forêt"], status="withdrawn")
    commit_rows(output, RUNS, "back", [row])
    assert query.ask(output, "FROM threats").num_rows == 0


def test_those_of_planets_threats_that_the_label_set_has_are_the_default(output: str) -> None:
    two_looks(output, LabelSet(("road", "roof", "slash_burn")))
    assert query.ask(output, "FROM threats ORDER BY 1").to_pylist() == [
        {"label": "road"},
        {"label": "slash_burn"},
    ]


def test_a_question_that_cannot_be_asked_says_so(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_looks(output, ODD, *ODD.names)
    for question in THREATS:
        line = refused(capsys, output, question)
        assert f"--question {question} cannot be asked" in line
        assert "--threats" in line
        assert "gold mine" in line
    assert "agriculture" in refused(capsys, output, "land_use_by_month")
    assert "cloudy" in refused(capsys, output, "never_observed")
    assert asked(capsys, output, "quarantine_last_night") == ([], "")


@pytest.mark.parametrize("question", ["never_observed", "newly_appeared"])
def test_a_question_about_places_is_refused_until_there_are_some(
    output: str, capsys: pytest.CaptureFixture[str], question: str
) -> None:
    box = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.99, "lat_max": -2.99}
    publish(output, "run-1", [scored("a", **box), scored("b")], published_at=at(1))
    assert "run beam_jobs.update_places first" in refused(capsys, output, question)
    assert query.main(["--output", output, "--list_questions"]) == 0
    assert f"{question}: cannot be asked here: its pictures" in capsys.readouterr().out
    update_places(output)
    assert asked(capsys, output, question) == ([], "")
    assert query.main(["--output", output, "--list_questions"]) == 0
    assert "cannot be asked" not in capsys.readouterr().out


def test_pictures_without_places_and_with_a_wrong_date_are_counted(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    box = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.99, "lat_max": -2.99}
    late = {name: edge + 1 for name, edge in box.items()}
    publish(output, "run-1", [scored("a", **box)], published_at=at(1))
    update_places(output)
    wrong = scored("w", observed_at=at(9), scored_at=at(2))
    publish(output, "run-2", [scored("b", **late), scored("c", **late), wrong])
    publish(output, "run-3", [scored("b", **late), {**wrong, "scored_at": at(3)}])
    for question in ("never_observed", "newly_appeared"):
        notes = asked(capsys, output, question)[1].splitlines()
        assert notes == [
            "left out: 2 pictures without places yet; beam_jobs.update_places finds them",
            "left out: 1 picture with a wrong date, after the first scoring",
        ]
    assert asked(capsys, output, "alerts_last_night")[1] == ""


def test_questions_are_listed_with_those_that_an_output_cannot_answer(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_looks(output, ODD, *ODD.names)
    assert query.main(["--output", output, "--list_questions"]) == 0
    listed = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    refusals = {name for name, text in listed.items() if text.startswith("cannot be asked")}
    assert listed.keys() == query.QUESTIONS.keys()
    assert refusals == query.QUESTIONS.keys() - {"quarantine_last_night"}
    assert query.main(["--output", output, "--list_questions", "--threats", "forêt"]) == 0
    assert "alerts_last_night: Which chips" in capsys.readouterr().out


def test_a_threat_that_is_not_a_label_is_refused_with_the_nearest(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_looks(output, ODD, *ODD.names)
    line = refused(capsys, output, THREATS[0], "--threats", "forêt,Gold mine")
    assert "'Gold mine' is not a label; did you mean 'gold mine'?" in line
    assert "is not a label" in refused(capsys, output, THREATS[0], "--threats", "forêt,")


def test_a_cloudy_label_outside_a_sky_group_hides_nothing(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_looks(output, LabelSet(("cloudy", "forest")), "cloudy")
    assert "no sky label 'cloudy'" in refused(capsys, output, "never_observed")


def test_shares_are_of_the_pictures_that_were_scored_for_the_label(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The label set has grown: the first night's model did not know `habitation`."""
    before, after = LabelSet(("agriculture", "x")), LabelSet(("agriculture", "habitation", "x"))
    first = [scored("a", "agriculture", sky=None, label_set=before)]
    publish(output, "run-1", first, label_set=before)
    second = [
        scored("b", "habitation", sky=None, label_set=after),
        scored("c", sky=None, label_set=after),
    ]
    publish(output, "run-2", second, label_set=after)
    (july,), _ = asked(capsys, output, "land_use_by_month")
    assert (july["share_agriculture"], july["share_habitation"]) == (0.3333, 0.5)
    assert july["share_cultivation"] is None


def test_what_the_model_before_did_not_know_has_not_appeared(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = LabelSet(("road", "x")), LabelSet(("road", "slash_burn", "x"))
    publish(output, "run-1", [scored("a", sky=None, label_set=before)], label_set=before)
    later = scored("a", *after.names, sky=None, label_set=after, etag="2", scored_at=at(2))
    publish(output, "run-2", [later], label_set=after)
    answer, _ = asked(capsys, output, "newly_appeared")
    assert [row["threat"] for row in answer] == ["road"]


# --------------------------------------------------------------------------- proven labels


@pytest.mark.parametrize("question", THREATS)
def test_labels_that_are_not_proven_are_left_out_and_counted(
    output: str, capsys: pytest.CaptureFixture[str], question: str
) -> None:
    two_looks(output, PLANET_LABELS, "road", "slash_burn", "artisinal_mine")
    trust(output, {"road": 10, "slash_burn": 9, "artisinal_mine": None})
    answer, notes = asked(capsys, output, question)
    proven = {row["threat"]: row["proven"] for row in answer}
    assert proven == {"road": True, "artisinal_mine": None}
    lines = notes.splitlines()
    assert lines[0].startswith("left out: 1 row about labels that are not proven")
    assert lines[0].endswith("(slash_burn 1); --unproven shows them")
    assert lines[1].startswith("proven is NULL where nothing is known of a label")
    answer, notes = asked(capsys, output, question, "--unproven")
    proven = {row["threat"]: row["proven"] for row in answer}
    assert proven == {"road": True, "artisinal_mine": None, "slash_burn": False}
    assert "left out" not in notes


def test_a_label_is_proven_by_the_model_that_scored_the_chip(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [scored("a", "road"), scored("b", "road", model_digest="model-2")]
    publish(output, "run-1", both, published_at=at(1))
    trust(output, {"road": 3})
    trust(output, {"road": 30}, "model-2")
    answer, _ = asked(capsys, output, "alerts_last_night")
    assert [row["chip_uri"] for row in answer] == ["b"]


def test_shares_of_labels_that_are_not_proven_are_left_out(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(output, "run-1", [scored("a", "agriculture", "habitation")])
    trust(output, {"agriculture": 40, "habitation": 1, "cultivation": 0})
    (july,), notes = asked(capsys, output, "land_use_by_month")
    assert (july["share_agriculture"], july["share_habitation"]) == (1.0, None)
    assert july["not_proven"] == "cultivation, habitation"
    assert "(cultivation, habitation); --unproven shows them" in notes
    (july,), notes = asked(capsys, output, "land_use_by_month", "--unproven")
    assert (july["share_habitation"], july["not_proven"]) == (1.0, "cultivation, habitation")
    assert notes == ""


def test_a_select_sees_every_label_so_unproven_is_refused(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(query.main, ["--output", output, "--unproven", "FROM models"]) == 2
    assert "--unproven goes with --question" in capsys.readouterr().err
