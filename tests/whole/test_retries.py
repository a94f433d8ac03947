"""What is done twice, as in a retried bundle, counts once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_jobs.query import ask
from pipelines import batch_scoring
from pipelines.batch_scoring import ScoreArchive
from pipelines.runs.run_plan import RunPlan
from pipelines.scoring import scoring
from pipelines.tables import delta_tables
from tests.support.quick_scoring import QuickClassifier, scoring_here
from tests.support.samples import make_artifact, write_chips


class Wavering(QuickClassifier):
    """A model that scores a chip a little higher each time, so that scoring twice is visible."""

    def __init__(self) -> None:
        self.calls = 0

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """`float32 [n, labels]`."""
        self.calls += 1
        return super().score(pixels) * 0 + np.float32(self.calls / 100)


def test_units_scored_twice_are_published_once_with_the_rows_staged_first(tmp_path, monkeypatch):
    write_chips(tmp_path / "chips", 10)[3].write_bytes(b"")
    make_artifact(tmp_path / "model")
    model: Any = Wavering()

    def score_twice(plan: RunPlan, units: Sequence[int], *args: Any, **named: Any) -> ScoreArchive:
        return ScoreArchive(plan, [*units, *reversed(units)], *args, **named)

    with scoring_here() as score, monkeypatch.context() as patch:
        patch.setattr(scoring.SharedModel, "_load", lambda self: model)
        patch.setattr(batch_scoring, "ScoreArchive", score_twice)
        flags: dict[str, Path] = {"chips": tmp_path / "chips", "artifact": tmp_path / "model"}
        assert score(**flags, output=tmp_path / "out") == 0
    assert model.calls == 6
    output = str(tmp_path / "out")
    both = "SELECT chip_id FROM chip_scores UNION ALL SELECT chip_id FROM quarantine"
    found = ask(output, f"{both} ORDER BY 1")["chip_id"].to_pylist()
    assert found == [f"chip_{number:05d}" for number in range(10)]
    (run,) = ask(output, "SELECT listed, skipped, scored, quarantined FROM runs").to_pylist()
    assert run == {"listed": 10, "skipped": 0, "scored": 9, "quarantined": 1}
    # A unit's rows come from one scoring of it.
    a_unit = "SELECT DISTINCT score_clear FROM chip_scores WHERE chip_id BETWEEN"
    assert ask(output, f"{a_unit} 'chip_00000' AND 'chip_00003'").num_rows == 1
    assert ask(output, f"{a_unit} 'chip_00004' AND 'chip_00007'").num_rows == 1


def test_a_refusal_is_written_to_runs_only_once_by_last_step_and_launcher(
    quick_score, artifact, tmp_path
):
    write_chips(tmp_path / "chips", 10)[3].write_bytes(b"")
    flags = {"chips": tmp_path / "chips", "artifact": artifact, "output": tmp_path / "out"}
    for attempt in (1, 2):  # a refused run that is started again is a new attempt, with its row
        assert quick_score(**flags, run_id="night", max_quarantine_ratio=0) == 1
        runs = delta_tables.open_table(str(tmp_path / "out"), "runs")
        assert runs is not None
        assert runs.version() == attempt
        (run,) = ask(str(tmp_path / "out"), "SELECT status, reason FROM runs").to_pylist()
        assert run["status"] == "failed"
        assert run["reason"].startswith("run night: 1 of 10 chips were quarantined")
