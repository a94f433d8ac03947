"""This project, as its users run it: the real command, in a process of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.harness.chips import ChipPool
from benchmarks.harness.measure import CommandFailed, Run, Slope, run_measured, slope_between
from benchmarks.harness.own_process import ROOT


def score_folder(chips: Path, artifact: Path, work: Path, *flags: str) -> Run:
    """Score a folder into new tables, and remove them.

    Args:
        flags: more flags of the command.

    Raises:
        CommandFailed: it failed, or did not score every chip.
    """
    output = work / "ours" / "tables"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "beam_jobs.score_chips", "--chips", str(chips)]
    command += ["--artifact", str(artifact), "--output", str(output), *flags]
    run = run_measured(command, ROOT, work / "logs" / f"ours_{artifact.name}.log")
    shutil.rmtree(output, ignore_errors=True)
    expected = f"{len(list(chips.iterdir()))} scored, 0 quarantined"
    if expected not in run.output:
        raise CommandFailed(f"{' '.join(command)} did not say '{expected}':\n{run.output}")
    return run


def score_at_sizes(
    pool: ChipPool, artifact: Path, sizes: tuple[int, int], work: Path, *flags: str
) -> Slope:
    """The slope between runs over archives of two sizes; see `score_folder`.

    Raises:
        CommandFailed: a run failed.
        ValueError: the sizes are too close to each other.
    """
    runs = [(size, score_folder(pool.folder(size), artifact, work, *flags)) for size in sizes]
    return slope_between(*runs)
