"""The commands, called in this process with a stand-in for the model and for Beam.

A night takes 0.2 s of CPU instead of 1 s. Everything from the plan to the report is the real thing;
the units are scored one after the other instead of by a graph.
"""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import apache_beam as beam
import pytest
import time_machine

from beam_jobs import (
    maintain,
    publish,
    relabel_chips,
    replay_quarantine,
    score_chips,
    update_alerts,
    withdraw,
)
from beam_jobs.engine import launch
from beam_jobs.running import starting
from pipelines.batch_scoring import ScoreArchive
from pipelines.commands import CommandLine, exit_code
from pipelines.publishing import publishing
from pipelines.reading.reading_ahead import ReadAhead
from pipelines.reading.transforms import UnitAddress, read_unit
from pipelines.runs import run_plan
from pipelines.runs.staging import stage_unit
from pipelines.scoring.labelling import label_batch
from pipelines.scoring.scoring import score_batch
from pipelines.storage import _connections, store
from pipelines.tables import commits
from tests.support.quick_scoring import QuickClassifier

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "score": score_chips.main,
    "publish": publish.main,
    "withdraw": withdraw.main,
    "relabel": relabel_chips.main,
    "replay": replay_quarantine.main,
    "maintain": maintain.main,
    "alerts": update_alerts.main,
}
UNIT_CHIPS = 2
_WAIT_S = 0.01


class Outcome(tuple[int, str]):
    """Exit code and everything that was printed."""

    @property
    def code(self) -> int:
        return self[0]


def call(command: str, *flags: object, at: float | None = None) -> Outcome:
    """Call a command in this process.

    Args:
        command: one of COMMANDS.
        flags: its arguments.
        at: the time that its clock shows, in seconds since 1970.
    """
    said = io.StringIO()
    clock = contextlib.nullcontext() if at is None else time_machine.travel(at)
    with clock, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = exit_code(COMMANDS[command], [str(flag) for flag in flags])
    return Outcome((code, said.getvalue()))


@contextlib.contextmanager
def without_reports() -> Iterator[None]:
    """Within it, runs write no report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "try_report", lambda plan, before: None)
        yield


@contextlib.contextmanager
def stand_ins(env: dict[str, str]) -> Iterator[None]:
    """Within it, this process is a client of the bottle, and scores with the stand-ins."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setattr(launch, "run_graph", _score_here)
        patch.setattr(starting, "_check_model", lambda start: None)
        patch.setattr(launch, "check_beam_args", lambda beam_args, our_flags: None)
        patch.setattr(CommandLine, "parser", cache(CommandLine.parser))
        patch.setattr(run_plan, "UNIT_CHIPS", UNIT_CHIPS)
        patch.setattr(commits, "_LONGEST_WAIT_S", _WAIT_S)
        for name in ("FIRST_WAIT_S", "LONGEST_WAIT_S"):
            patch.setattr(_connections, name, _WAIT_S)
        store.forget_stores()
        yield
    store.forget_stores()


def _score_here(graph: beam.PTransform, *_: Any) -> dict[str, int]:
    """Does what the graph of a run does."""
    assert isinstance(graph, ScoreArchive)
    plan, model, staged = graph.plan, QuickClassifier(), []
    for number in graph.units:
        ahead = ReadAhead(graph.artifact.preprocessing, model.batch_size)
        unit = read_unit(UnitAddress(number, plan.manifest))
        batches = [
            label_batch(score_batch(batch, model), graph.artifact)  # type: ignore[arg-type]
            for batch in (*ahead.read(unit), *ahead.drain())
        ]
        staged.append(stage_unit(batches, plan.staging, graph.started_at).to_json())
    publishing._publish(plan.to_json(), staged, graph.settings)
    return {}
