"""Quarantined chips are tried again, in their current version in the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beam_jobs import replay_quarantine, score_chips
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.runs import run_plan, staging
from pipelines.scoring import scoring
from tests.support.published_runs import at, publish, quarantined_row, scored
from tests.support.quick_scoring import QuickClassifier
from tests.support.samples import jpg_bytes, make_artifact

GOOD, EMPTY, TEXT = jpg_bytes(), b"", b"no picture"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        name: (make_artifact(folder / name, seed=seed), folder / name)[1]
        for seed, name in enumerate(("model", "newer"))
    }


class Jobs:
    """The commands in this process, two chips per unit; each returns code, output and error."""

    def __init__(self, folder: Path, artifacts: dict[str, Path], capsys) -> None:
        self.chips, self.output = folder / "chips", str(folder / "out")
        self._artifacts, self._capsys = artifacts, capsys
        self.chips.mkdir()

    def put(self, **chips: bytes) -> None:
        for name, data in chips.items():
            (self.chips / f"{name}.jpg").write_bytes(data)

    def score(self, run_id: str, night: str = "2026-11-20", model: str = "model"):
        flags = {"chips": self.chips, "run_id": run_id, "run_date": night}
        return self._run(score_chips, model, {**flags, "max_quarantine_ratio": 1})

    def replay(self, name: str = "again", model: str = "model", **flags: str):
        return self._run(replay_quarantine, model, {"new_run_id": name, **flags})

    def _run(self, command, model: str, flags: dict):
        flags = {"artifact": self._artifacts[model], "output": self.output, **flags}
        arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        return exit_code(command.main, arguments), *self._capsys.readouterr()

    def rows(self, sql: str) -> list[tuple]:
        return [tuple(row.values()) for row in ask(self.output, sql).to_pylist()]

    def today(self) -> str:
        return str(self.rows("SELECT run_date FROM runs WHERE run_id = 'again'")[0][0])

    def unknown(self) -> dict[str, tuple]:
        """Chips without scores: reason, run and night."""
        found = self.rows("SELECT chip_id, reason, run_id, run_date::VARCHAR FROM open_quarantine")
        assert len({row[0] for row in found}) == len(found)
        return {row[0]: row[1:] for row in found}


@pytest.fixture
def jobs(tmp_path, artifacts, capsys, monkeypatch) -> Jobs:
    monkeypatch.setattr(run_plan, "UNIT_CHIPS", 2)
    monkeypatch.setattr(scoring.SharedModel, "_load", lambda self: QuickClassifier())
    return Jobs(tmp_path, artifacts, capsys)


def test_repaired_chips_are_scored_and_the_others_quarantined_again(jobs):
    jobs.put(good=GOOD, mended=EMPTY, empty=EMPTY, text=TEXT, gone=EMPTY)
    assert jobs.score("night")[0] == 0
    jobs.put(mended=GOOD)
    (jobs.chips / "gone.jpg").unlink()

    code, out, err = jobs.replay()
    assert (code, err) == (0, "")
    assert out.startswith("run again: 4 chips listed, 4 to score\n")
    assert jobs.unknown() == {
        "empty": ("empty", "again", jobs.today()),
        "text": ("not_an_image", "again", jobs.today()),
        "gone": ("unreadable", "again", jobs.today()),
    }
    assert jobs.rows("SELECT count(*) FROM quarantine") == [(7,)]
    assert jobs.rows("SELECT chip_id FROM latest_chip_scores ORDER BY 1") == [
        ("good",),
        ("mended",),
    ]
    (record,) = ask(jobs.output, "FROM runs WHERE run_id = 'again'").to_pylist()
    counts = ("kind", "listed", "skipped", "scored", "quarantined")
    assert [record[name] for name in counts] == ["replay", 4, 0, 1, 3]
    replayed = json.loads(record["options"])["replayed"]
    assert replayed == {"reason": [], "run_date": "", "run_id": ""}
    etags = jobs.rows("SELECT etag FROM chip_scores WHERE chip_id = 'mended'")
    assert etags != jobs.rows("SELECT etag FROM quarantine WHERE chip_id = 'mended'")
    assert jobs.rows("SELECT etag FROM quarantine WHERE chip_id = 'gone' ORDER BY 1")[0] != (None,)

    assert "0 scored, 0 quarantined, 4 skipped" in jobs.score("next")[1]


def test_chips_are_selected_by_their_last_reason_night_and_run(jobs):
    jobs.put(a=EMPTY, b=TEXT, c=EMPTY)
    jobs.score("one", "2026-11-20")
    jobs.put(c=TEXT, d=TEXT)
    jobs.score("two", "2026-11-21")
    assert {chip: row[1] for chip, row in jobs.unknown().items()} == {
        "a": "one", "b": "one", "c": "two", "d": "two"
    }  # fmt: skip
    jobs.put(a=GOOD, b=GOOD, c=GOOD, d=GOOD)
    assert jobs.replay("r1", reason="empty")[0] == 0
    assert set(jobs.unknown()) == {"b", "c", "d"}
    assert jobs.replay("r2", run_date="2026-11-20", run_id="two")[0] == 0
    assert set(jobs.unknown()) == {"b", "c", "d"}
    assert jobs.replay("r3", run_date="2026-11-20")[0] == 0
    assert set(jobs.unknown()) == {"c", "d"}
    assert jobs.rows("SELECT run_date::VARCHAR FROM runs WHERE run_id = 'r3'") == [("2026-11-20",)]
    assert jobs.replay("r4", run_id="two", new_run_date="2026-11-23")[0] == 0
    assert jobs.unknown() == {}
    assert jobs.rows("SELECT run_date::VARCHAR, scored FROM runs WHERE run_id = 'r4'") == [
        ("2026-11-23", 2)
    ]
    code, out, _ = jobs.replay("r5")
    assert code == 0
    assert "0 scored, 0 quarantined, 0 skipped" in out


def test_a_chip_that_was_scored_since_is_not_tried_again(jobs):
    jobs.put(a=EMPTY, b=EMPTY)
    jobs.score("one")
    jobs.put(a=GOOD)
    jobs.score("two")
    assert set(jobs.unknown()) == {"b"}
    assert "1 chip listed" in jobs.replay()[1]


def test_a_chip_that_another_model_quarantined_is_not_scored_twice_by_this_one(jobs, monkeypatch):
    jobs.put(a=GOOD)
    jobs.score("one")
    nothing = lambda self, pixels: QuickClassifier().score(pixels) * float("nan")  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(scoring.SharedModel, "_load", lambda self: _Failing(nothing))
        jobs.score("two", model="newer")
    assert jobs.unknown()["a"][0] == "non_finite_score"
    assert "0 scored, 0 quarantined, 1 skipped" in jobs.replay("old")[1]
    assert "1 scored, 0 quarantined, 0 skipped" in jobs.replay("new", model="newer")[1]
    assert jobs.unknown() == {}


class _Failing(QuickClassifier):
    def __init__(self, score) -> None:
        self.score = lambda pixels: score(self, pixels)  # type: ignore[method-assign]


def test_a_dead_replay_resumes_with_its_first_options(jobs, monkeypatch):
    jobs.put(a=EMPTY, b=EMPTY, c=EMPTY)
    jobs.score("night")
    jobs.put(a=GOOD, b=GOOD, c=GOOD)
    stage_unit = staging.stage_unit

    def stage_or_die(batches, folder, *started):
        if batches[0].unit == 1:
            raise RuntimeError("the power went")
        return stage_unit(batches, folder, *started)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "stage_unit", stage_or_die)
        with pytest.raises(RuntimeError, match="the power went"):
            jobs.replay(reason="empty")
    assert set(jobs.unknown()) == {"a", "b", "c"}
    code, _, err = jobs.replay(reason="truncated")
    assert code == 2
    assert "was begun with replayed" in err
    assert "choose another --new_run_id" in err
    code, out, _ = jobs.replay(reason="empty")
    assert code == 0
    assert "1 of 2 units staged before" in out
    assert jobs.unknown() == {}
    assert jobs.replay(reason="empty")[1] == "run again is published already\n"


@pytest.mark.parametrize("flags", [{"reason": "bad_luck"}, {"run_date": "Monday"}, {"run_id": "'"}])
def test_an_invalid_selection_is_a_usage_error(jobs, flags):
    jobs.put(a=EMPTY)
    jobs.score("night")
    try:
        code, _, err = jobs.replay(**flags)
    except SystemExit as error:  # argparse's own
        code, err = error.code, "\n"
    assert code == 2
    assert err.count("\n") == 1


def test_open_quarantine_is_the_newest_state_of_each_chip(tmp_path):
    output = str(tmp_path)
    first = [
        quarantined_row("twice", "unreadable"),
        quarantined_row("scored", "empty"),
        quarantined_row("late", "empty"),
    ]
    publish(output, "one", [scored("known", scored_at=at(1))], first)
    again = [quarantined_row("twice", "empty", quarantined_at=at(2)),
             quarantined_row("known", "empty", etag="2", quarantined_at=at(2))]  # fmt: skip
    publish(output, "two", [scored("scored", etag="2", scored_at=at(2))], again)
    unknown = ask(output, "SELECT chip_uri, reason, run_id FROM open_quarantine ORDER BY 1")
    assert [tuple(row.values()) for row in unknown.to_pylist()] == [
        ("known", "empty", "two"),
        ("late", "empty", "one"),
        ("twice", "empty", "two"),
    ]
