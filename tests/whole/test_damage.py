"""A file of the tables that is missing or damaged costs its own run: each command names both, or
goes on without the file with --skip_damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beam_jobs import (
    brief,
    maintain,
    query,
    relabel_chips,
    report,
    score_chips,
    update_alerts,
    withdraw,
)
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.tables.damage import without_damage
from pipelines.tables.live_files import leave_out_none
from schemas.labels import PLANET_LABELS
from tests.support.published_runs import at, publish, quarantined_row, scored
from tests.support.samples import make_artifact, write_chips

MISSING = " of run one is missing; score run one again with --rescore, or withdraw it; or go on "
PLACE = {"lon_min": 10.0, "lat_min": 20.0, "lon_max": 10.1, "lat_max": 20.1}


def run(command: Any, *arguments: object) -> int:
    """A command's exit code, in a process that has not left out files before."""
    leave_out_none()
    texts = [str(argument) for argument in arguments]
    return exit_code(command.main, texts)


@pytest.fixture
def output(tmp_path) -> Path:
    """Three runs, and the alerts of two of them; a file of the first run is lost."""
    tables = tmp_path / "tables"
    publish(str(tables), "one", [scored("a", "road"), scored("b")], published_at=at(1))
    two = [scored("c"), scored("d", **PLACE)], [quarantined_row("e", "empty")]
    publish(str(tables), "two", *two, "2026-07-02", published_at=at(2))
    assert run(update_alerts, "--output", tables) == 0
    publish(str(tables), "three", [scored("f")], night="2026-07-03", published_at=at(3))
    (path,) = tables.glob("chip_scores/*/run_id=one/*.parquet")
    path.unlink()
    return tables


KEEP = ["--check", "--keep_days=9"]

COMMANDS: dict[str, tuple[Any, ...]] = {
    "query": (query, "FROM latest_chip_scores"),
    "question": (query, "--question", "land_use_by_month"),
    "report": (report, "--run_id", "one"),
    "update_alerts": (update_alerts, "--labels", "road"),
    "brief": (brief, "--to", "{to}/brief.html"),
    "relabel": (relabel_chips, "--thresholds", "{to}/thresholds.json", "--run_id", "again"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_names_a_lost_file_and_its_run_or_goes_on_without_it(
    output, name, tmp_path, capsys, caplog
):
    thresholds = dict.fromkeys(PLANET_LABELS.names, 0.5)
    (tmp_path / "thresholds.json").write_text(json.dumps(thresholds))
    command, *arguments = COMMANDS[name]
    asked = [each.format(to=tmp_path) for each in arguments]
    capsys.readouterr()
    assert run(command, "--output", output, *asked) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: chip_scores/run_date=2026-07-01/run_id=one/unit-1.parquet")
    assert error.endswith(f"{MISSING}without it with --skip_damaged")
    assert run(command, "--output", output, *asked, "--skip_damaged") == 0
    events = [r for r in caplog.records if getattr(r, "event", "") == "damage_skipped"]
    assert [(r.levelname, r.event_fields["damaged_run"]) for r in events] == [("WARNING", "one")]


def test_maintain_lists_lost_files_and_leaves_their_runs_alone(output, capsys):
    capsys.readouterr()
    assert run(maintain, "--output", output, "--check") == 1
    lost, total = capsys.readouterr().out.splitlines()
    assert lost.startswith(
        "chip_scores/run_date=2026-07-01/run_id=one/unit-1.parquet of run one is "
    )
    assert lost.endswith("missing: score run one again with --rescore, or withdraw it")
    assert total == "sizes of all files checked: 1 damaged file"
    (path,) = output.glob("quarantine/*/run_id=two/*.parquet")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert run(maintain, "--output", output, "--check") == 1
    assert capsys.readouterr().out.count("\n") == 2
    assert run(maintain, "--output", output, "--check", "--deep") == 1
    assert "of run two is damaged (" in capsys.readouterr().out
    assert run(maintain, "--output", output, "--skip_damaged") == 0
    assert run(withdraw, "--output", output, "--run_id", "one") == 0
    assert run(withdraw, "--output", output, "--run_id", "two") == 0
    capsys.readouterr()
    assert run(maintain, "--output", output, "--check", "--deep") == 0
    assert capsys.readouterr().out == "sizes and contents of all files checked: 0 damaged files\n"


@pytest.mark.parametrize(
    "more", [["--deep"], ["--check", "--preview"], ["--check", "--keep_days=9"]]
)
def test_flags_of_maintain_that_do_not_go_together_are_refused(output, more):
    assert run(maintain, "--output", output, *more) == 2


# --- Nights after the damage ----------------------------------------------------------------------


def test_a_night_scores_lost_chips_again_and_is_bad_until_the_run_is_scored_again(
    tmp_path, quick_score, capsys
):
    make_artifact(tmp_path / "model")
    output, chips = tmp_path / "tables", tmp_path / "chips"
    flags = ["--chips", chips, "--artifact", tmp_path / "model", "--output", output]
    write_chips(chips, 10)[3].write_bytes(b"")
    assert run(score_chips, *flags, "--run_id", "first") == 0
    write_chips(chips / "new", 2)
    assert run(score_chips, *flags, "--run_id", "second") == 0
    path = sorted(output.glob("chip_scores/*/run_id=first/*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-3])  # three of the nine chips
    write_chips(chips / "newer", 1)

    assert run(score_chips, *flags, "--run_id", "third") == 1
    assert " of run first has " in capsys.readouterr().err
    assert run(score_chips, *flags, "--run_id", "third", "--skip_damaged", *HOLD) == 3
    said = capsys.readouterr().out
    assert "up to 3 chips are scored again, since damaged files of the tables are skipped" in said
    assert "13 chips listed, 4 to score" in said
    note = "1 damaged file of the tables skipped, up to 3 chips scored again"
    assert f"  verdict     bad; damage: {note}\n" in said
    assert whole(output) == [12, 12, 1]

    assert run(score_chips, *flags, "--run_id", "fourth", "--skip_damaged") == 3
    assert "bad; damage: 1 damaged file of the tables skipped\n" in capsys.readouterr().out
    assert run(score_chips, *flags, "--run_id", "first", "--rescore") == 0
    assert run(score_chips, *flags, "--run_id", "fifth") == 0
    assert run(maintain, "--output", output, "--check", "--deep") == 0
    assert whole(output) == [12, 12, 1]
    verdicts = ask(str(output), "SELECT run_id, verdict FROM runs WHERE verdict IS NOT NULL")
    assert sorted(map(tuple, map(dict.values, verdicts.to_pylist()))) == [
        ("fourth", "bad"),
        ("third", "bad"),
    ]


HOLD = ["--hold_on_drift"]  # damage is no drift


def whole(output: Path) -> list[int]:
    """Chips in the view, of these different ones, and quarantined ones, damaged files skipped."""
    sql = """SELECT count(*), count(DISTINCT chip_uri),
        (SELECT count(DISTINCT chip_uri) FROM open_quarantine) FROM latest_chip_scores"""
    found = without_damage(str(output), True, lambda: ask(str(output), sql))
    return list(found.to_pylist()[0].values())
