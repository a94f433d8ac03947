"""Chips that an earlier release could not read are counted until this release has tried them."""

import shlex

import pytest

from beam_jobs import replay_quarantine
from beam_jobs.running import starting
from pipelines.commands import exit_code
from pipelines.imaging.decoding import READING_NAME
from pipelines.planning.second_chances import count_second_chances, replay_command
from schemas.artifact_files import read_artifact
from tests.support.samples import jpg_bytes, write_chips

JPG = jpg_bytes()


@pytest.fixture
def night(quick_score, artifact, tmp_path, monkeypatch):
    """Scores the archive, as an earlier release or as this one; returns the exit code."""
    write_chips(tmp_path / "chips", 4)
    places = {"chips": tmp_path / "chips", "artifact": artifact, "output": tmp_path / "out"}

    def run(earlier: bool = False) -> int:
        with monkeypatch.context() as patch:
            if earlier:
                patch.setattr(starting, "installed_versions", lambda: {"forest-chips": "0.1.0"})
            return quick_score(**places, max_quarantine_ratio=1)

    return run


def test_the_next_night_names_the_command_that_tries_them_again(night, artifact, tmp_path, capsys):
    output, digest = str(tmp_path / "out"), read_artifact(artifact).model_digest
    bad = {"cut.jpg": JPG[: len(JPG) // 2], "text.jpg": b"no image", "empty.jpg": b""}
    for name, data in bad.items():
        (tmp_path / "chips" / name).write_bytes(data)
    assert night(earlier=True) == 0
    assert "an earlier release" not in capsys.readouterr().out
    assert count_second_chances(output, digest) == {"truncated": 1, "not_an_image": 1}
    assert count_second_chances(output, "other") == {}

    assert night() == 0
    printed = capsys.readouterr().out
    assert "2 skipped chips that an earlier release could not read" in printed
    command = replay_command(output, str(artifact), ["truncated", "not_an_image"])
    assert command in printed

    assert exit_code(replay_quarantine.main, shlex.split(command)[3:]) == 0
    assert "listed, 2 to score" in capsys.readouterr().out
    assert count_second_chances(output, digest) == {}
    assert night() == 0
    assert "an earlier release" not in capsys.readouterr().out


def test_chips_of_this_release_have_had_their_chance(night, artifact, tmp_path):
    (tmp_path / "chips" / "text.jpg").write_bytes(b"no image")
    assert night() == 0
    digest = read_artifact(artifact).model_digest
    assert count_second_chances(str(tmp_path / "out"), digest) == {}
    assert count_second_chances(str(tmp_path / "nothing"), digest) == {}


def test_the_command_can_be_copied_whatever_the_addresses_are():
    command = replay_command("/a b/o'ut", "gs://b/$x", ["truncated"])
    assert shlex.split(command)[3:7] == ["--output", "/a b/o'ut", "--artifact", "gs://b/$x"]


def test_a_runs_record_says_which_files_it_could_read():
    assert int(starting.installed_versions()[READING_NAME]) >= 2
