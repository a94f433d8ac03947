"""A run that skips chips says so if their newest labels are not those of its artifact."""

import shlex

import pytest

from beam_jobs import relabel_chips, score_chips
from pipelines.commands import exit_code
from tests.support.samples import make_artifact, write_chips


@pytest.mark.usefixtures("quick_score")
def test_skipped_chips_with_other_thresholds_or_scores_of_another_model_are_named_with_what_to_do(
    tmp_path, capsys
):
    write_chips(tmp_path / "chips", 3)
    for name, seed, threshold in (("first", 0, 0.5), ("hand", 0, 0.25), ("second", 1, 0.5)):
        make_artifact(tmp_path / name, thresholds=[threshold] * 17, seed=seed)

    def night(name, *flags):
        places = {"chips": "chips", "output": "out", "artifact": name}
        given = [f"--{flag}={tmp_path / place}" for flag, place in places.items()]
        assert exit_code(score_chips.main, [*given, *flags]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if line.startswith("3 skipped chips: ")]

    assert night("first") == []
    assert night("first") == []
    (line,) = night("hand")
    assert "their labels are by other thresholds" in line
    assert exit_code(relabel_chips.main, shlex.split(line.partition("python -m ")[2])[1:]) == 0
    assert night("hand") == []
    assert night("second") == []
    (line,) = night("hand")
    assert "the newest scores in OUTPUT are of another model" in line
    assert night("hand", "--rescore") == []
    assert night("hand") == []
