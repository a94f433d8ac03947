"""Try quarantined chips again.

python -m beam_jobs.replay_quarantine --output URI --artifact URI [--reason R] [--run_date D]

Takes the chips of which nothing is known (the view `open_quarantine`), all or a selection of them,
as they lie in the store now, and scores them in a run of its own. --reason, --run_date and
--run_id choose among the chips' last quarantine rows; --new_run_date and --new_run_id name the
new run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import pyarrow as pa

from beam_jobs.command import CommandParser
from beam_jobs.engine.engine_log import calm_tensorflow
from beam_jobs.options.run_options import (
    RunOptions,
    add_run_flags,
    checked_run_id,
    parse_run_date,
    run_fields,
)
from beam_jobs.query import ask
from beam_jobs.running.scoring_run import end_run, score
from beam_jobs.running.starting import plan_run, resume_run, start_run
from pipelines.commands import run_command
from pipelines.planning.done import chips_scored
from pipelines.planning.manifests import look_up_versions
from pipelines.planning.selection import Selection, select_chips
from schemas.artifact import ModelArtifact
from schemas.render import file_schema
from schemas.tables import CHIP_COLUMNS, QUARANTINE, REPLAY, QuarantineReason


@dataclass(frozen=True)
class ReplayOptions(RunOptions):
    """What a replay was asked to do.

    Attributes:
        reasons: only chips that were given up for one of these; empty for all.
        of_run_date, of_run_id: only chips that this night, this run gave up last; "" for all.
    """

    reasons: tuple[str, ...]
    of_run_date: str
    of_run_id: str

    kind: ClassVar[str] = REPLAY
    run_id_flag: ClassVar[str] = "--new_run_id"

    def recorded(self) -> dict[str, Any]:
        """The options as the run's record keeps them."""
        chosen = {"reason": sorted(self.reasons), "run_date": self.of_run_date}
        return {"replayed": {**chosen, "run_id": self.of_run_id}, **super().recorded()}


def main(argv: Sequence[str]) -> int:
    """Run the replay; returns the exit code.

    Raises:
        UsageError: a flag, the artifact or the output is wrong; nothing was done.
        RunFailed: nothing was published.
    """
    options = _parse(argv, datetime.now(UTC))
    flags = list(_parser()._option_string_actions)
    start = start_run(options, flags)
    if start.is_over:
        return end_run(start)
    plan = resume_run(start) or plan_run(start, _select(options, start.artifact))
    return score(start, plan)


def _parse(argv: Sequence[str], now: datetime) -> ReplayOptions:
    given, beam_args = _parser().parse_known_args(argv)
    of_run_date = parse_run_date(given.of_run_date, now) if given.of_run_date else ""
    if given.run_date is None and of_run_date:
        given.run_date = of_run_date  # what is known of a night belongs to that night
    return ReplayOptions(
        reasons=tuple(given.reason),
        of_run_date=of_run_date,
        of_run_id=checked_run_id(given.of_run_id) if given.of_run_id else "",
        **run_fields(given, beam_args, now),
    )


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m beam_jobs.replay_quarantine",
        description=f"{__doc__}\nEvery flag but these is Beam's own.",
    )
    reasons = [reason.value for reason in QuarantineReason]
    add = parser.add_argument
    reason = "only chips given up for this reason; may be repeated"
    add("--reason", choices=reasons, action="append", default=[], help=reason)
    night = "only chips that this night gave up last; also the new run's night"
    add("--run_date", dest="of_run_date", metavar="DATE", help=night)
    run = "only chips that this run gave up last"
    add("--run_id", dest="of_run_id", default="", metavar="ID", help=run)
    add_run_flags(parser, naming="new_")
    # What failed before will often fail again, and that is no reason to withhold the rest.
    parser.set_defaults(max_quarantine_ratio=1.0)
    return parser


def _select(options: ReplayOptions, artifact: ModelArtifact) -> Selection:
    """The chips as they lie in the store now, but those that this model has scored like that."""
    chips = look_up_versions(ask(options.output, _sql(options)).cast(_CHIPS))
    return select_chips(chips, chips_scored(options.output, artifact.model_digest))


def _sql(options: ReplayOptions) -> str:
    """What is asked of the tables; all values in it were checked."""
    reasons = ", ".join(f"'{reason}'" for reason in options.reasons)
    conditions = {
        f"reason IN ({reasons})": options.reasons,
        f"run_date = '{options.of_run_date}'": options.of_run_date,
        f"run_id = '{options.of_run_id}'": options.of_run_id,
    }
    asked = [condition for condition, value in conditions.items() if value] or ["true"]
    return f"SELECT {', '.join(_CHIPS.names)} FROM open_quarantine WHERE {' AND '.join(asked)}"


_CHIPS = pa.schema([file_schema(QUARANTINE).field(column.name) for column in CHIP_COLUMNS])


if __name__ == "__main__":
    calm_tensorflow()
    run_command(main)
