"""Plans of several nights: chips left over, tried again, or described by a sidecar."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from beam_jobs import score_chips
from beam_jobs.engine import launch
from pipelines.commands import exit_code
from pipelines.scoring import scoring
from pipelines.tables import delta_tables
from pipelines.tars import index_cache
from tests.support.quick_scoring import QuickClassifier
from tests.support.samples import jpg_bytes, make_artifact, write_chips
from tests.support.tars import tar_bytes


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> list[Path]:
    folders = [tmp_path_factory.mktemp("artifact") for _ in range(2)]
    for seed, folder in enumerate(folders):
        make_artifact(folder, seed=seed)
    return folders


@pytest.fixture
def score(artifacts, tmp_path, capsys, monkeypatch):
    """Runs the command in this process; returns exit code, output and error."""
    monkeypatch.setattr(scoring.SharedModel, "_load", lambda self: QuickClassifier())

    def run(run_id: str, *flags: object, artifact: Path = artifacts[0]):
        arguments = ["--chips", tmp_path / "chips", "--output", tmp_path / "out"]
        arguments += ["--artifact", artifact, "--run_id", run_id, *flags]
        code = exit_code(score_chips.main, [str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def rows(tmp_path: Path, name: str) -> list[dict]:
    table = delta_tables.open_table(str(tmp_path / "out"), name)
    assert table is not None
    return delta_tables.open_dataset(table).to_table().to_pylist()


def counts(tmp_path: Path, run_id: str) -> list[int]:
    """Listed, skipped, left over, scored, quarantined."""
    (record,) = [row for row in rows(tmp_path, "runs") if row["run_id"] == run_id]
    return [record[n] for n in ("listed", "skipped", "left_over", "scored", "quarantined")]


def chips_of(tmp_path: Path, run_id: str) -> list[str]:
    found = [row["chip_id"] for row in rows(tmp_path, "chip_scores") if row["run_id"] == run_id]
    return sorted(found)


def test_a_new_model_scores_an_old_archive_starting_with_the_newest_chips(
    score, artifacts, tmp_path
):
    paths = write_chips(tmp_path / "chips", 10)
    for age, path in enumerate(paths):
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    assert score("before")[0] == 0

    names = [path.stem for path in paths]
    expected = {"n1": [10, 0, 6, 4, 0], "n2": [10, 4, 2, 4, 0], "n3": [10, 8, 0, 2, 0]}
    for night, run_counts in expected.items():
        code, out, _ = score(night, "--max_chips", 4, artifact=artifacts[1])
        assert code == 0
        assert counts(tmp_path, night) == run_counts
        assert ("6 left to the next run" in out) == (night == "n1")
        assert chips_of(tmp_path, night) == names[run_counts[1] :][:4]
    assert score("n4", "--max_chips", 4, artifact=artifacts[1])[0] == 0
    assert counts(tmp_path, "n4") == [10, 10, 0, 0, 0]


def test_chips_that_keep_failing_do_not_keep_the_nights_from_being_published(score, tmp_path):
    write_chips(tmp_path / "chips", 5)
    (tmp_path / "chips" / "lost.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "chips" / "empty.jpg").write_bytes(b"")
    flags = ("--max_quarantine_ratio", 0.3)
    assert score("n1", *flags)[0] == 0
    assert counts(tmp_path, "n1") == [7, 0, 0, 5, 2]

    assert score("n2", *flags)[0] == 0
    assert counts(tmp_path, "n2") == [7, 6, 0, 0, 1]

    (tmp_path / "nowhere").write_bytes(jpg_bytes())
    assert score("n3", *flags)[0] == 0
    assert counts(tmp_path, "n3") == [7, 6, 0, 1, 0]
    assert chips_of(tmp_path, "n3") == ["lost"]


def test_new_failures_count_in_addition_to_old_ones(score, tmp_path):
    chips = tmp_path / "chips"
    write_chips(chips, 9)
    (chips / "lost.jpg").symlink_to(tmp_path / "nowhere")
    assert score("n1")[0] == 0
    (chips / "lost too.jpg").symlink_to(tmp_path / "nowhere")
    code, _, error = score("n2")
    assert code == 1
    assert "2 of 2 chips were quarantined (unreadable 2, 1 of them as in earlier runs" in error
    for i in range(4):
        (chips / f"new {i}.jpg").write_bytes(jpg_bytes())
    assert score("n3")[0] == 0
    assert counts(tmp_path, "n3") == [15, 9, 0, 4, 2]


def test_a_sidecar_adds_columns_and_belongs_to_the_run(score, tmp_path):
    write_chips(tmp_path / "chips", 2)
    (tmp_path / "s.csv").write_text("chip_id,scene_id\nchip_00001,s1\n")
    assert score("n1", "--sidecar", tmp_path / "s.csv", "--plan_only")[0] == 0
    code, _, error = score("n1")
    assert (code, "begun with sidecar" in error) == (2, True)
    assert score("n1", "--sidecar", tmp_path / "s.csv")[0] == 0
    found = {row["chip_id"]: row["scene_id"] for row in rows(tmp_path, "chip_scores")}
    assert found == {"chip_00000": None, "chip_00001": "s1"}
    (tmp_path / "s.csv").write_text("chip_id,scene_id\nother,s1\n")
    code, _, error = score("n2", "--sidecar", tmp_path / "s.csv")
    assert (code, "names no chip that is listed" in error) == (2, True)


def test_a_plan_scores_nothing_and_can_be_resumed_or_used_as_a_manifest(score, tmp_path):
    write_chips(tmp_path / "chips", 5)
    code, out, _ = score("n1", "--plan_only")
    assert (code, "5 chips listed, 5 to score" in out) == (0, True)
    manifest = re.search("manifest    (.*)", out)[1]
    chips = pq.read_table(manifest)
    assert rows(tmp_path, "chip_scores") == rows(tmp_path, "runs") == []

    (tmp_path / "chips" / "late.jpg").write_bytes(jpg_bytes())
    assert score("n1", "--plan_only")[1] == out  # the plan is kept
    again = re.search("manifest    (.*)", score("n2", "--plan_only")[1])[1]
    assert pq.read_table(again).num_rows == 6
    assert chips.equals(pq.read_table(manifest))

    assert score("n3", "--chips", manifest)[0] == 0
    assert counts(tmp_path, "n3") == [5, 0, 0, 5, 0]
    assert chips_of(tmp_path, "n3") == chips["chip_id"].to_pylist()
    assert score("n4", "--chips", manifest, "--plan_only")[0] == 0
    assert counts(tmp_path, "n3") == [5, 0, 0, 5, 0]
    assert score("n4", "--chips", manifest)[0] == 0
    assert counts(tmp_path, "n4") == [5, 5, 0, 0, 0]


def test_chips_in_tars_are_scored_once_and_again_when_their_tar_is_replaced(score, tmp_path):
    write_chips(tmp_path / "chips", 2)
    members = [(f"deep/{i}.jpg", jpg_bytes((9 * i, 9, 9))) for i in range(4)]
    shard = tmp_path / "chips" / "s.tar"
    shard.write_bytes(tar_bytes([*members, ("empty.jpg", b"")]))
    assert score("n1", "--batch_size", 2, "--max_quarantine_ratio", 0.5)[0] == 0
    assert counts(tmp_path, "n1") == [7, 0, 0, 6, 1]
    uris = {row["chip_uri"] for row in rows(tmp_path, "chip_scores")}
    assert {f"{shard}#deep/{i}.jpg" for i in range(4)} < uris

    assert score("n2")[0] == 0
    assert counts(tmp_path, "n2") == [7, 7, 0, 0, 0]

    shard.write_bytes(tar_bytes(members[:3]))
    os.utime(shard, (1, 1))
    assert score("n3")[0] == 0
    assert counts(tmp_path, "n3") == [5, 2, 0, 3, 0]

    manifest = re.search("manifest    (.*)", score("n4", "--rescore", "--plan_only")[1])[1]
    assert score("n5", "--chips", manifest, "--rescore")[0] == 0
    assert counts(tmp_path, "n5") == [5, 0, 0, 5, 0]

    shard.write_bytes(tar_bytes(members)[:900])
    assert score("n6", "--max_quarantine_ratio", 1)[0] == 0
    assert counts(tmp_path, "n6") == [3, 2, 0, 0, 1]
    assert score("n7")[0] == 0
    assert counts(tmp_path, "n7") == [3, 3, 0, 0, 0]


def test_a_run_is_not_resumed_with_another_number_of_chips(score, tmp_path, monkeypatch):
    write_chips(tmp_path / "chips", 3)
    with monkeypatch.context() as patch:
        patch.setattr(launch, "run_graph", _die)
        assert score("night", "--max_chips", 2)[0] != 0
    code, _, error = score("night", "--max_chips", 3)
    assert (code, "begun with max_chips 2, not 3" in error) == (2, True)


def _die(*_args: object) -> None:
    raise KeyboardInterrupt


def test_a_tar_is_read_when_it_is_planned_first_and_an_estimate_writes_nothing(
    score, tmp_path, monkeypatch
):
    opened = []
    members_of = index_cache.members_of
    monkeypatch.setattr(
        index_cache, "members_of", lambda uri: opened.append(uri) or members_of(uri)
    )
    shard = tmp_path / "chips" / "s.tar"
    shard.parent.mkdir()
    shard.write_bytes(tar_bytes([(f"{i}.jpg", jpg_bytes()) for i in range(3)]))
    assert score("n0", "--estimate")[0] == 0
    assert not (tmp_path / "out").exists()
    opened.clear()
    assert score("n1", "--plan_only")[0] == 0
    assert score("n2")[0] == 0
    assert score("n3", "--rescore")[0] == 0
    assert opened == [str(shard)]
    assert counts(tmp_path, "n3") == [3, 0, 0, 3, 0]
