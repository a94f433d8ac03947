"""Every command on what an earlier release left in an OUTPUT (tests/releases)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from beam_jobs import (
    maintain,
    publish,
    query,
    relabel_chips,
    replay_quarantine,
    report,
    score_chips,
    withdraw,
)
from pipelines.commands import exit_code
from pipelines.planning.done import chips_done
from pipelines.storage import store
from schemas.tables import OF_RUNS
from tests.support.footprints import check_geoparquet
from tests.support.object_stores import S3Server
from tests.support.releases import Release, local_release, put_chip, remote_release

PUBLISHED = {"gone": 0, "one": 32, "two": 4, "relabelled": 36, "four": 1, "five": 1}
PUBLISHED |= {"replayed": 1, "six": 12}
"""Runs to rows of chip_scores."""

OTHERS = {"three": "withdrawn", "bad": "failed", "died": "failed", "held": "held"}
"""Runs to their status."""

Command = Callable[[Sequence[str]], int]


@pytest.fixture(params=[local_release, remote_release])
def release(
    request: pytest.FixtureRequest, tmp_path: Path, s3_uri: str, s3_server: S3Server
) -> Release:
    put: Callable[[Path, S3Server], Release] = request.param
    return put(tmp_path / "release", s3_server)


@pytest.fixture
def local(tmp_path: Path, s3_uri: str, s3_server: S3Server) -> Release:
    return local_release(tmp_path / "release", s3_server)


def run(release: Release, command: Command, *flags: str) -> int:
    return exit_code(command, ["--output", release.output, *flags])


def score(release: Release, name: str, *flags: str) -> int:
    """Score a folder of chips with the release's model."""
    places = ("--chips", release.chips(name), "--artifact", release.artifact)
    return run(release, score_chips.main, *places, *flags)


def rows(release: Release, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in query.ask(release.output, sql).to_pylist()]


def scored(release: Release) -> dict[str, int]:
    return dict(rows(release, "SELECT run_id, count(*) FROM chip_scores GROUP BY 1"))


def status(release: Release) -> dict[str, str]:
    return dict(rows(release, "SELECT run_id, status FROM runs"))


def objects(release: Release) -> set[tuple[str, str]]:
    found = pa.concat_tables(store.list_objects(release.output))
    return set(zip(found["uri"].to_pylist(), found["etag"].to_pylist(), strict=True))


def scores_of(release: Release, run_id: str, *without: str) -> list[str]:
    """Rows of a run as text, without some of their columns and those that are new, in order."""
    left_out = ", ".join(("run_id", "geometry", "bbox", *without))
    sql = f"SELECT * EXCLUDE ({left_out}) FROM chip_scores WHERE run_id = '{run_id}'"
    return sorted(map(str, rows(release, sql)))


# --------------------------------------------------------------------------- reading


def test_every_published_row_of_the_release_is_there(release: Release) -> None:
    assert scored(release) == {name: n for name, n in PUBLISHED.items() if n}
    assert status(release) == dict.fromkeys(PUBLISHED, "published") | OTHERS


def test_reading_needs_no_write(
    release: Release, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every table, view and question, and an estimate, before anything has been written by this
    release; this release's columns are null."""
    before = objects(release)
    counts = {name: rows(release, f"SELECT count(*) FROM {name}")[0][0] for name in query.VIEWS}
    assert counts == {
        "label_trust": 0,
        "last_night": 1,
        "latest_chip_scores": 50,
        "looks": 31,
        "newest_verdicts": 0,
        "observations": 51,
        "open_quarantine": 3,
        "threats": 5,
    }
    for table in OF_RUNS:
        assert query.ask(release.output, f"FROM {table.name}").column_names[-1] == "run_id"
    assert rows(release, "SELECT DISTINCT modified_at, observed_at_source FROM chip_scores") == [
        (None, None)
    ]
    about_places = {"never_observed", "newly_appeared"}  # need update_places, which writes
    for question in query.QUESTIONS:
        assert run(release, query.main, "--question", question) == 2 * (question in about_places)
    assert run(release, query.main, "--list_questions") == 0
    assert capsys.readouterr().out.count("cannot be asked here: its pictures have positions") == 2
    assert score(release, "held", "--estimate") == 0
    assert run(release, maintain.main, "--keep_days", "1", "--preview") == 0
    assert "cannot be asked" not in capsys.readouterr().out
    assert objects(release) == before


# --------------------------------------------------------------------------- changing


def test_old_scores_are_relabelled(release: Release) -> None:
    """By the artifact's own thresholds: the labels are again those of the scoring."""
    thresholds = ("--thresholds", f"{release.artifact}/artifact.json")
    assert run(release, relabel_chips.main, *thresholds, "--run_id", "back") == 0
    assert scored(release)["back"] == 51
    newest = ("one", "two", "four", "five", "replayed", "six")
    sources = [row for name in newest for row in scores_of(release, name)]
    assert scores_of(release, "back") == sorted(sources)
    placed = "SELECT count(geometry), count(bbox), count(lon_min) FROM chip_scores WHERE run_id = "
    assert rows(release, f"{placed}'back'") == [(20, 20, 20)]
    assert rows(release, f"{placed}'one'") == [(0, 0, 20)]
    assert len(rows(release, "FROM label_trust")) == 17


def test_a_night_is_scored_scored_again_and_withdrawn(local: Release) -> None:
    for n in range(3):
        put_chip(f"chips/new/0{n}.jpg", f"chips/six/0{n}.jpg")
    assert score(local, "six", "--run_id", "again") == 0
    assert score(local, "new", "--run_id", "new") == 0
    assert score(local, "six", "--run_id", "six", "--rescore") == 0
    assert scored(local) == {k: n for k, n in PUBLISHED.items() if n} | {"new": 3}
    assert rows(local, "SELECT listed, skipped FROM runs WHERE run_id = 'again'") == [(12, 12)]
    times = "SELECT run_id, count(modified_at) FROM chip_scores GROUP BY 1 HAVING max(modified_at)"
    assert dict(rows(local, f"{times} IS NOT NULL")) == {"new": 3, "six": 12}
    new = scores_of(local, "six", "modified_at", "scored_at", "run_date", "chip_uri", "etag")
    assert len(new) == 12
    for name in ("new", "one", "six"):
        code = run(local, withdraw.main, "--run_id", name)
        assert code == (2 if name == "one" else 0)  # its scores were relabelled
    assert run(local, withdraw.main, "--run_id", "relabelled") == 0
    assert run(local, withdraw.main, "--run_id", "one") == 0
    assert scored(local) == {"two": 4, "four": 1, "five": 1, "replayed": 1}
    withdrawn = {name for name, found in status(local).items() if found == "withdrawn"}
    assert withdrawn == {"one", "new", "six", "three", "relabelled"}


def test_quarantined_chips_are_replayed(local: Release) -> None:
    put_chip("chips/one/empty.jpg", like="chips/six/03.jpg")
    model = ("--artifact", local.artifact, "--max_quarantine_ratio", "1")
    assert run(local, replay_quarantine.main, *model, "--new_run_id", "re") == 0
    assert scored(local)["re"] == 1
    found = "SELECT reason, count(*) FROM open_quarantine GROUP BY 1"
    assert dict(rows(local, found)) == {"not_an_image": 1, "unreadable": 1}


def test_a_held_run_is_reported_and_published(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(release, report.main, "--run_id", "held") == 0
    held = store.read_bytes(f"{release.output}/reports/held.html").decode()
    assert "nothing is published" in held
    limit = ("--max_quarantine_ratio", "1")
    assert score(release, "held", "--run_id", "held", "--hold_on_drift", *limit) == 3
    assert run(release, publish.main, "--run_id", "held") == 0
    assert scored(release)["held"] == 16
    record = "SELECT status, verdict, scored, quarantined, held_at < published_at FROM runs"
    assert rows(release, f"{record} WHERE run_id = 'held'") == [("published", "bad", 16, 16, True)]
    assert rows(release, "SELECT count(*) FROM quarantine WHERE run_id = 'held'") == [(16,)]


def test_planned_and_dead_runs_are_resumed(release: Release) -> None:
    """One of the two units of `died` is staged, without this release's columns."""
    for name in ("planned", "died"):
        assert score(release, name, "--run_id", name) == 0
    assert (scored(release)["planned"], scored(release)["died"]) == (2, 12)
    known = "SELECT count(*), count(modified_at) FROM chip_scores WHERE run_id = 'died'"
    assert rows(release, known)[0][0] == 12
    assert {status(release)[name] for name in ("planned", "died")} == {"published"}
    before = scores_of(release, "died")
    assert run(release, maintain.main, "--vacuum_hours", "0") == 0
    assert scores_of(release, "died") == before


def test_a_failed_run_is_published_with_another_limit(local: Release) -> None:
    assert run(local, publish.main, "--run_id", "bad", "--max_quarantine_ratio", "1") == 0
    assert status(local)["bad"] == "published"


def test_every_run_has_a_report(local: Release) -> None:
    for name in (*PUBLISHED, *OTHERS):
        assert run(local, report.main, "--run_id", name) == 0
    page = store.read_bytes(f"{local.output}/reports/one.html").decode()
    assert "Nothing is known of how far these labels can be trusted" in page


def test_tables_are_compacted_and_old_nights_removed(release: Release) -> None:
    model = json.loads(Path(release.artifact, "artifact.json").read_text())["model_digest"]

    def done() -> set[tuple]:
        chips = chips_done(release.output, model).read_all()
        return {tuple(row.values()) for row in chips.to_pylist()}

    before, chips = {n: scores_of(release, n) for n in PUBLISHED}, done()
    assert run(release, maintain.main, "--vacuum_hours", "0") == 0
    assert {n: scores_of(release, n) for n in PUBLISHED} == before
    assert done() == chips
    for name in ("chip_scores", "quarantine"):
        lacking = f"SELECT count(*) FROM {name} WHERE (geometry IS NULL) <> (lon_min IS NULL)"
        assert rows(release, lacking) == [(0,)]
        if release.output.startswith("/"):
            assert check_geoparquet(release.output, name) > 0
    assert run(release, maintain.main, "--keep_days", "1", "--vacuum_hours", "0") == 0
    assert scored(release) == {}
    assert done() == chips
    assert status(release) == dict.fromkeys(PUBLISHED, "published") | OTHERS
