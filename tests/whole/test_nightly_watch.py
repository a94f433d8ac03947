"""The scoring command over four nights: exit codes, and why a bad night is held."""

import numpy as np
import pytest

from beam_jobs import score_chips
from beam_jobs.publish import main as publish_command
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.runs.records import read_record
from pipelines.scoring import scoring
from tests.support.quick_scoring import QuickClassifier
from tests.support.samples import jpg_bytes


@pytest.fixture
def score(artifact, tmp_path, monkeypatch, capsys):
    """Runs one night over the archive; returns exit code and output."""
    monkeypatch.setattr(scoring.SharedModel, "_load", lambda self: QuickClassifier())

    def run(run_id: str, *flags: str) -> tuple[int, str]:
        places = ["--chips", tmp_path / "chips", "--artifact", artifact, "--output", tmp_path / "o"]
        arguments = [str(each) for each in (*places, "--run_id", run_id, *flags)]
        code = exit_code(score_chips.main, arguments)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def add_chips(folder, night: str, colours) -> None:
    """40 chips of a night, each of one colour."""
    folder.mkdir(exist_ok=True)
    for number, value in enumerate(colours):
        data = jpg_bytes((int(value),) * 3, side=64)
        (folder / f"{night}-{number}.jpg").write_bytes(data)


def test_a_night_of_dark_pictures_is_held_until_an_operator_publishes_it(score, tmp_path):
    rng = np.random.default_rng(0)
    for night in ("n1", "n2"):
        add_chips(tmp_path / "chips", night, rng.integers(20, 250, 40))
        assert score(night, "--hold_on_drift")[0] == 0
    add_chips(tmp_path / "chips", "n3", rng.integers(20, 250, 40))
    code, printed = score("n3", "--hold_on_drift")
    assert code == 0
    assert "  verdict     good; volume check skipped" in printed

    add_chips(tmp_path / "chips", "dark", [5] * 40)
    code, printed = score("dark", "--hold_on_drift")
    assert code == 3
    assert "is held, and nothing was published: psi of " in printed
    again, printed = score("dark")
    assert (again, "is held" in printed) == (3, True)
    output = str(tmp_path / "o")
    assert ask(output, "SELECT count(*) AS n FROM chip_scores")["n"].to_pylist() == [120]
    assert read_record(output, "dark")["status"] == "held"

    assert exit_code(publish_command, ["--output", output, "--run_id", "dark"]) == 0
    assert ask(output, "SELECT count(*) AS n FROM chip_scores")["n"].to_pylist() == [160]
    code, printed = score("dark")
    assert (code, "is published already" in printed) == (3, True)
    assert score("nothing-new")[0] == 0
    code, printed = score("stopped", "--drift_empty")
    assert (code, "  verdict     bad; volume 0 (limit 0.25)" in printed) == (3, True)
    code, printed = score("stopped-again", "--drift_empty", "--hold_on_drift")
    assert (code, "is held, and nothing was published: volume 0" in printed) == (3, True)
    assert sorted(path.stem for path in (tmp_path / "o" / "reports").iterdir()) == [
        "dark", "n1", "n2", "n3", "nothing-new", "stopped", "stopped-again"
    ]  # fmt: skip


def test_limits_can_be_set_and_the_comparison_turned_off(score, tmp_path):
    rng = np.random.default_rng(0)
    for night in ("n1", "n2"):
        add_chips(tmp_path / "chips", night, rng.integers(20, 250, 40))
        assert score(night)[0] == 0
    add_chips(tmp_path / "chips", "dark", [5] * 40)
    assert score("off", "--drift_nights", "0", "--hold_on_drift")[0] == 0
    add_chips(tmp_path / "chips", "dark2", [5] * 40)
    assert score("wide", "--drift_psi", "1000")[0] == 0
    for wrong in (["--drift_psi", "0"], ["--drift_volume", "0.5"], ["--drift_nights", "-1"]):
        assert score("wrong", *wrong)[0] == 2
