"""The scoring command with a model that takes no time to load, for tests that start it often."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from beam_jobs import score_chips
from pipelines.commands import exit_code
from pipelines.runs import run_plan
from pipelines.runs.run_plan import RunPlan
from pipelines.scoring import scoring
from schemas.labels import PLANET_LABELS
from tests.support.forked import Forked, fork

_PATIENCE_SECONDS = 120


class QuickClassifier:
    """Replaces the real `Classifier`: each score is the chip's mean colour."""

    labels = len(PLANET_LABELS.names)
    precision = "float32"
    engine = "tensorflow"
    calls_in_flight = 1
    batch_size = 4

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """`float32 [n, labels]`."""
        means = pixels.mean(axis=(1, 2, 3), dtype=np.float32)[:, None] / 255
        return np.repeat(means, self.labels, axis=1)


def start(
    flags: Mapping[str, object],
    log: Path,
    meet: Path | None = None,
    starts: int = 1,
    prepare: Callable[[], None] | None = None,
    switches: Sequence[str] = (),
) -> Forked:
    """Start the scoring command with four chips per unit.

    Args:
        flags: name, without dashes, to value.
        log: a file for its output.
        meet: a folder in which commands wait for each other before they store their plans.
        starts: how many commands wait for each other there.
        prepare: called in the new process, before the command.
        switches: flags without a value, dashes and all.
    """
    arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    arguments.extend(switches)
    return fork(score_chips.main, arguments, log, prepare=partial(_prepare, meet, starts, prepare))


@contextmanager
def scoring_here() -> Iterator[Callable[..., int]]:
    """The same command in this process; called with flags, it returns the exit code."""
    load: Any = QuickClassifier

    def score(**flags: object) -> int:
        arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        return exit_code(score_chips.main, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring.SharedModel, "_load", lambda self: load())
        patch.setattr(run_plan, "UNIT_CHIPS", 4)
        yield score


def _prepare(meet: Path | None, starts: int, prepare: Callable[[], None] | None) -> None:
    _make_quick()
    if meet:
        _make_meeting(meet, starts)
    if prepare:
        prepare()


def _make_quick() -> None:
    load: Any = QuickClassifier
    scoring.SharedModel._load = lambda self: load()  # type: ignore[method-assign]
    run_plan.UNIT_CHIPS = 4


def _make_meeting(folder: Path, starts: int) -> None:
    store_plan = run_plan.store_plan

    def store_plan_together(plan: RunPlan, manifest: pa.Table) -> RunPlan:
        (folder / str(os.getpid())).touch()
        end = time.monotonic() + _PATIENCE_SECONDS
        while len(list(folder.iterdir())) < starts and time.monotonic() < end:
            time.sleep(0.01)
        return store_plan(plan, manifest)

    folder.mkdir(parents=True, exist_ok=True)
    run_plan.store_plan = store_plan_together
