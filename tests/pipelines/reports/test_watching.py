"""A night is judged before it is published, logged in one line, and held on request."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from beam_jobs.publish import main as publish_command
from beam_jobs.query import ask
from beam_jobs.running.summary import report_outcome
from beam_jobs.withdraw import main as withdraw_command
from pipelines.commands import exit_code
from pipelines.drift.checks import DriftLimits
from pipelines.errors import StorageError
from pipelines.publishing.publishing import publish_run
from pipelines.reports import nights
from pipelines.reports.nights import nights_before, published_night, staged_night
from pipelines.runs import attempts, committing
from pipelines.runs.counting import count_run
from pipelines.runs.records import read_record, read_summary
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import stage_unit
from pipelines.tables import delta_tables
from schemas.labels import PLANET_LABELS
from schemas.tables import REPLAY
from tests.support.nights import HOLD, night, planned, three_nights
from tests.support.staged_runs import empty_tables, labelled, make_plan


@pytest.fixture
def output(tmp_path) -> str:
    return empty_tables(tmp_path)


def verdict_lines(caplog) -> list[dict]:
    """The logged lines that alarms match."""
    events = [record for record in caplog.records if getattr(record, "event", "") == "run_judged"]
    return [{"level": each.levelname, **each.event_fields} for each in events]


def test_a_night_like_those_before_is_good_and_its_row_has_the_findings(output, caplog):
    caplog.set_level(logging.INFO)
    three_nights(output)
    night(output, "today")
    record = read_record(output, "today")
    assert (record["status"], record["verdict"], record["reason"]) == ("published", "good", None)
    findings = json.loads(record["findings"])
    assert {each["check"] for each in findings} == {"psi", "quarantine", "volume"}
    assert {each.get("label") for each in findings} >= set(PLANET_LABELS.names)
    assert not any(each["bad"] for each in findings)
    assert verdict_lines(caplog)[-1]["level"] == "INFO"


def test_a_night_with_other_scores_is_published_as_bad_with_one_warning_and_exit_code_3(
    output, caplog, capsys
):
    three_nights(output)
    plan = night(output, "today", highest=0.4)
    record = read_record(output, "today")
    assert (record["status"], record["verdict"]) == ("published", "bad")
    (line,) = verdict_lines(caplog)
    assert (line["level"], line["verdict"], line["status"]) == ("WARNING", "bad", "published")
    assert line["run_id"] == "today"
    assert line["findings"][0].startswith("psi of ")
    text = next(r.getMessage() for r in caplog.records if getattr(r, "event", "") == "run_judged")
    assert text.startswith('run_judged verdict="bad" run_id="today" status="published" findings=[')
    assert report_outcome(plan) == 3
    assert "  verdict     bad; psi of " in capsys.readouterr().out


def test_the_first_nights_are_not_judged_and_end_with_exit_code_0(output, capsys):
    for number in range(2):
        plan = night(output, f"n{number}")
        assert report_outcome(plan) == 0
        assert read_record(output, f"n{number}")["verdict"] is None
        expected = f"drift check skipped: needs 2 earlier runs of this model, found {number}"
        assert f"  verdict     {expected}\n" in capsys.readouterr().out


def test_a_night_without_chips_is_not_judged(output):
    three_nights(output)
    plan = night(output, "today", scored=0)
    assert read_summary(plan).verdict.texts == ["drift check skipped: there was nothing to score"]
    assert report_outcome(plan) == 0


def test_only_nights_of_the_same_model_and_kind_with_chips_to_score_are_compared(output):
    night(output, "a")
    night(output, "other", model_digest="another")
    night(output, "replay", kind=REPLAY)
    night(output, "nothing", scored=0)
    night(output, "gone")
    assert exit_code(withdraw_command, ["--output", output, "--run_id", "gone"]) == 0
    night(output, "b")
    found = nights_before(output, "today", "m", 9)
    assert [each.run_id for each in found] == ["b", "a"]
    assert [each.run_id for each in nights_before(output, "b", "m", 9)] == ["a"]
    assert [each.run_id for each in nights_before(output, "today", "m", 1)] == ["b"]
    long_ago = datetime.now(UTC) - timedelta(days=1)
    assert nights_before(output, "today", "m", 9, long_ago) == []


def test_a_run_over_hand_picked_chips_is_not_judged(output, caplog):
    three_nights(output)
    plan = night(output, "replay", highest=0.4, kind=REPLAY)
    assert (read_record(output, "replay")["verdict"], report_outcome(plan)) == (None, 0)


def test_a_staged_night_has_the_numbers_of_the_same_night_published(output):
    plan = planned(output, "today", 50, 7)
    units = [stage_unit([labelled(0, 0, 50, 7, True, 0.8)], plan.staging)]
    staged = staged_night(plan, count_run(plan, units), units)
    publish_run(plan, units)
    published = published_night(
        delta_tables.open_table(output, "chip_scores"), read_record(output, "today")
    )
    assert {name: counts.tolist() for name, counts in staged.scores.items()} == {
        name: counts.tolist() for name, counts in published.scores.items()
    }
    assert list(staged.scores) == list(PLANET_LABELS.names)
    assert staged.labels == published.labels
    assert (staged.scored, staged.quarantined) == (published.scored, published.quarantined)


def test_nights_before_can_be_read_from_an_object_store(object_store_uri):
    empty_tables(object_store_uri)
    three_nights(object_store_uri)
    night(object_store_uri, "today", highest=0.4)
    assert read_record(object_store_uri, "today")["verdict"] == "bad"


def test_only_the_runs_that_are_compared_with_are_read(output, monkeypatch):
    for number in range(5):
        night(output, f"n{number}")
    asked, open_dataset = [], delta_tables.open_dataset

    def watched(table, run_ids=None):
        if "chip_scores" in table.table_uri:
            asked.append(run_ids)
        return open_dataset(table, run_ids)

    monkeypatch.setattr(delta_tables, "open_dataset", watched)
    nights_before(output, "today", "m", 2)
    assert asked == [["n4"], ["n3"]]


def test_a_bad_night_is_held_on_request(output, caplog, capsys):
    three_nights(output)
    plan = night(output, "today", highest=0.4, drift=HOLD)
    assert ask(output, "SELECT count(*) AS n FROM chip_scores")["n"].to_pylist() == [300]
    shown = ask(output, "SELECT status, verdict, reason, published_at FROM runs "
                        "WHERE run_id = 'today'").to_pylist()  # fmt: skip
    (row,) = shown
    assert (row["status"], row["verdict"], row["published_at"]) == ("held", "bad", None)
    assert row["reason"].startswith("psi of ")
    (line,) = verdict_lines(caplog)
    assert (line["level"], line["status"]) == ("ERROR", "held")
    assert report_outcome(plan) == 3
    assert capsys.readouterr().out.startswith("run today of 2026-11-22 is held, and nothing was")


def test_a_good_night_is_not_held(output):
    three_nights(output)
    night(output, "today", drift=HOLD)
    assert read_record(output, "today")["status"] == "published"


def test_a_retried_last_step_holds_a_held_run_again(output):
    three_nights(output)
    plan = night(output, "today", highest=0.4, drift=HOLD)
    publish_run(plan, [])
    assert attempts.find_attempt(output, "today") == (1, plan)
    assert read_record(output, "today")["status"] == "held"
    runs = delta_tables.open_table(output, "runs")
    assert delta_tables.open_dataset(runs, ["today"]).count_rows() == 1


def test_a_last_step_that_died_between_the_row_and_the_file_holds_the_run_again(
    output, monkeypatch
):
    three_nights(output)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(attempts, "write_reason", die)
        with pytest.raises(KeyboardInterrupt):
            night(output, "today", highest=0.4, drift=HOLD)
    (_, plan) = attempts.find_attempt(output, "today")
    publish_run(plan, [])
    assert attempts.read_reason(plan, attempts.HOLD_FILE).startswith("psi of ")
    assert read_record(output, "today")["status"] == "held"


def test_a_held_run_is_published_by_the_publish_command(output, capsys):
    three_nights(output)
    night(output, "today", highest=0.4, drift=HOLD)
    capsys.readouterr()
    assert exit_code(publish_command, ["--output", output, "--run_id", "today"]) == 0
    assert "published: 100 scored" in capsys.readouterr().out
    assert ask(output, "SELECT count(*) AS n FROM chip_scores")["n"].to_pylist() == [400]
    record = read_record(output, "today")
    assert (record["status"], record["verdict"], record["reason"]) == ("published", "bad", None)
    assert exit_code(publish_command, ["--output", output, "--run_id", "today"]) == 0


def test_a_dead_run_that_the_publish_command_finds_bad_ends_with_exit_code_3(output, monkeypatch):
    three_nights(output)
    plan = planned(output, "today")
    stage_unit([labelled(0, 0, 100, 0, True, 0.4)], plan.staging)
    assert exit_code(publish_command, ["--output", output, "--run_id", "today"]) == 3
    assert read_record(output, "today")["status"] == "published"


def test_a_replacement_that_is_held_leaves_the_published_run_and_its_row(output, capsys):
    three_nights(output)
    night(output, "today")
    before = read_record(output, "today")
    again = {"attempt": 2, "options": {"rescore": True}, "drift": HOLD}
    plan = night(output, "today", highest=0.4, **again)
    assert read_record(output, "today") == before
    assert report_outcome(plan) == 3
    assert exit_code(publish_command, ["--output", output, "--run_id", "today"]) == 0
    assert read_record(output, "today")["verdict"] == "bad"


def test_a_night_published_by_a_publisher_that_died_before_its_row_is_not_held_any_more(
    output, monkeypatch
):
    three_nights(output)
    commit = committing.commit_rows

    def die_at_runs(plan, name, *more):
        if name == "runs":
            raise KeyboardInterrupt
        commit(plan, name, *more)

    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_rows", die_at_runs)
        with pytest.raises(KeyboardInterrupt):
            night(output, "today", highest=0.4)
    plan = replace(planned(output, "today"), drift=HOLD)
    publish_run(plan, [])
    assert read_record(output, "today")["status"] == "published"


def test_if_tables_cannot_be_read_the_night_has_no_verdict_but_is_published(
    output, monkeypatch, caplog
):
    three_nights(output)

    def fail(*_):
        raise StorageError("the disk is ill")

    monkeypatch.setattr(nights, "published_night", fail)
    night(output, "today", highest=0.4, drift=HOLD)
    record = read_record(output, "today")
    assert (record["status"], record["verdict"]) == ("published", None)
    assert "the disk is ill" in record["findings"]
    assert "run today cannot be judged" in caplog.text


def test_a_plan_stores_its_limits_and_an_older_plan_has_the_default_ones():
    plan = make_plan("/o", drift=DriftLimits(psi=0.5, hold=True))
    assert RunPlan.from_json(plan.to_json()) == plan
    older = json.loads(plan.to_json())
    del older["drift"]
    assert RunPlan.from_json(json.dumps(older)).drift == DriftLimits()
