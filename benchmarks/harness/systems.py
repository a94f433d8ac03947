"""Runs the peers: their scripts, in their environments, over archives of two sizes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness.artifacts import BLACK_FILE
from benchmarks.harness.chips import ChipPool
from benchmarks.harness.environments import PeerMissing, make_environment
from benchmarks.harness.measure import CommandFailed, Run, Slope, run_measured, slope_between
from schemas.artifact_files import MODEL_FILE

SCRIPTS = {
    "stock_beam": "stock_beam.py",
    "ray": "ray_data.py",
    "daft": "daft_udf.py",
    "spark": "spark_udf.py",
    "tf_data": "tf_data.py",
}
LIKELY_CHIPS_PER_S = {
    "stock_beam": 700,
    "ray": 350,
    "daft": 1500,
    "spark": 200,
    "tf_data": 2500,
}
"""With a model that costs nothing, on two cores; archive sizes are chosen from these."""

_FOLDER = Path(__file__).parents[1] / "peers"
_CLOSE = 1e-4
_WARM_UP_CHIPS = 64


class Peer:
    """A peer, ready to run.

    Args:
        name: one of `SCRIPTS`.
        work: folder for what is made.
        environments: folder of the peers' environments.

    Raises:
        PeerMissing: it cannot run here; with the reason.
    """

    def __init__(self, name: str, work: Path, environments: Path) -> None:
        if name == "spark" and shutil.which("java") is None:
            raise PeerMissing("Spark needs Java, which is not on PATH")
        self.name = name
        self._work = work
        self._output = work / "peers" / name
        self._python = make_environment(name, environments)

    def warm_up(self, pool: ChipPool, artifact: Path) -> None:
        """Score a few chips, so that files are cached.

        Raises:
            CommandFailed: that failed already.
        """
        self._score(pool.folder(_WARM_UP_CHIPS), artifact, _WARM_UP_CHIPS)

    def score_at_sizes(self, pool: ChipPool, artifact: Path, sizes: tuple[int, int]) -> Slope:
        """The slope between runs over archives of two sizes; leaves the larger one's output.

        Raises:
            CommandFailed: a run failed or did not score every chip.
            ValueError: the sizes are too close to each other.
        """
        runs = [(size, self._score(pool.folder(size), artifact, size)) for size in sizes]
        return slope_between(*runs)

    def black_share(self, artifact: Path) -> float:
        """Share of the chips in the last output that have the scores of an all black picture."""
        black = json.loads((artifact / BLACK_FILE).read_text())
        found = np.abs(self._scores() - np.array(black)).max(axis=1) < _CLOSE
        return float(found.mean())

    def _score(self, chips: Path, artifact: Path, count: int) -> Run:
        shutil.rmtree(self._output, ignore_errors=True)
        self._output.mkdir(parents=True)
        script, model = _FOLDER / SCRIPTS[self.name], artifact / MODEL_FILE
        command = [str(self._python), str(script), str(chips), str(model), str(self._output)]
        log = self._work / "logs" / f"{self.name}_{artifact.name}.log"
        run = run_measured(command, self._work, log)
        scored = len(self._scores())
        if scored != count:
            raise CommandFailed(f"{self.name} scored {scored} of {count} chips")
        return run

    def _scores(self) -> np.ndarray:
        tables = [pq.read_table(path) for path in sorted(self._output.rglob("*.parquet"))]
        return np.array([row for table in tables for row in table["scores"].to_pylist()])
