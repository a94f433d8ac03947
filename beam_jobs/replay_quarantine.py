"""Try quarantined chips again.

Takes chips without scores (the view `open_quarantine`), all or a selection of them, in their
current version in the store, and scores them in a new run. --reason, --run_date and --run_id choose
among the last quarantine rows of the chips; --new_run_date and --new_run_id name the new run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pyarrow as pa

from beam_jobs.options.run_names import NEW_RUN_ID, checked_run_id, parse_run_date
from beam_jobs.options.run_options import RunOptions, parse_run_options
from beam_jobs.query import ask
from beam_jobs.running.scoring_run import end_run, score
from beam_jobs.running.starting import plan_run, resume_run, start_run
from pipelines.commands import CommandLine, run_command
from pipelines.flags import common_flag, flag, not_empty, ratio
from pipelines.planning.done import chips_scored
from pipelines.planning.manifests import look_up_versions
from pipelines.planning.selection import Selection, select_chips
from pipelines.quiet_tensorflow import quiet_tensorflow
from pipelines.runs.run_plan import MAX_NO_DATA
from schemas.artifact import ModelArtifact
from schemas.chip_columns import CHIP_NAMES
from schemas.render import file_schema
from schemas.scene_columns import SCENE_BANDS
from schemas.tables import QUARANTINE, REPLAY, QuarantineReason

_REASONS = tuple(reason.value for reason in QuarantineReason)


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(RunOptions):
    """The options of the command; `of_run_date` and `of_run_id` choose chips."""

    kind: ClassVar[str] = REPLAY
    run_id_flag: ClassVar[str] = "--new_run_id"

    reason: tuple[str, ...] = common_flag(
        "Only chips that were quarantined for this reason; may be given several times.",
        choices=_REASONS,
        repeated=True,
        default=(),
    )
    of_run_date: str = common_flag(
        "Only chips that this night quarantined last; also the night of the new run.",
        name="run_date",
        metavar="DATE",
        default="",
    )
    of_run_id: str = common_flag(
        "Only chips that this run quarantined last.", name="run_id", metavar="ID", default=""
    )
    run_date: str = flag(
        "The night of the new run: today, yesterday or YYYY-MM-DD (UTC). Default: --run_date, "
        "or today.",
        not_empty,
        name="new_run_date",
        metavar="DATE",
        default="",
    )
    run_id: str = NEW_RUN_ID(not_empty, name="new_run_id")
    max_quarantine_ratio: float = flag(
        "Publish nothing if a larger share of the chips is quarantined.", ratio, default=1.0
    )

    max_no_data: float | None = flag(
        f"Windows of scenes with a larger share of no data are not scored. Default: {MAX_NO_DATA}.",
        ratio,
        must_match=True,
        default=None,
    )

    def recorded(self) -> dict[str, Any]:
        """The options as the run's record stores them."""
        chosen = {"reason": sorted(self.reason), "run_date": self.of_run_date}
        most = {} if self.max_no_data is None else {"max_no_data": self.max_no_data}
        return {"replayed": {**chosen, "run_id": self.of_run_id}, **most, **super().recorded()}


LINE = CommandLine(
    "beam_jobs.replay_quarantine",
    ReplayOptions,
    f"{__doc__}\nAll other flags are Beam's own (--runner, --project, --temp_location ...).",
)


def main(argv: Sequence[str]) -> int:
    """Run the replay; returns the exit code.

    Raises:
        UsageError: a flag, the artifact or the output is wrong; nothing was done.
        RunFailed: nothing was published.
    """
    options = _parse(argv, datetime.now(UTC))
    start = start_run(options, LINE.flag_names())
    if start.is_over:
        return end_run(start)
    plan = resume_run(start)
    if plan is None:
        chosen = options.reading(options.output, lambda: _select(options, start.artifact))
        plan = plan_run(start, chosen)
    return score(start, plan)


def _parse(argv: Sequence[str], now: datetime) -> ReplayOptions:
    given = parse_run_options(LINE, argv, now)
    of_run_date = parse_run_date(given.of_run_date, now) if given.of_run_date else ""
    if of_run_date and not given.run_date_given:  # rows about a night belong to that night
        given = replace(given, run_date=of_run_date, run_date_given=True)
    of_run_id = checked_run_id(given.of_run_id) if given.of_run_id else ""
    return replace(given, of_run_date=of_run_date, of_run_id=of_run_id)


def _select(options: ReplayOptions, artifact: ModelArtifact) -> Selection:
    """The chips in their current version in the store, without those that this model has scored."""
    chips = look_up_versions(ask(options.output, _sql(options)).cast(_CHIPS))
    return select_chips(chips, chips_scored(options.output, artifact.model_digest))


def _sql(options: ReplayOptions) -> str:
    """The query for the quarantined rows; all values in it have been checked. Scenes that could not
    be read are left out: every run of theirs reads them again, and plans their windows."""
    reasons = ", ".join(f"'{reason}'" for reason in options.reason)
    conditions = {
        f"reason IN ({reasons})": options.reason,
        f"run_date = '{options.of_run_date}'": options.of_run_date,
        f"run_id = '{options.of_run_id}'": options.of_run_id,
    }
    asked = [condition for condition, value in conditions.items() if value] or ["true"]
    return (
        f"SELECT {', '.join(_CHIPS.names)} FROM open_quarantine WHERE {' AND '.join(asked)} "
        f"AND NOT (run_id IN (SELECT run_id FROM runs WHERE {_CUTS}) AND NOT {_IS_WINDOW})"
    )


_CHIPS = pa.schema(
    [file_schema(QUARANTINE).field(name) for name in (*CHIP_NAMES, SCENE_BANDS.name)]
)
_CUTS = "json_extract(options, '$.cut_px') IS NOT NULL"
_IS_WINDOW = r"regexp_matches(chip_uri, '#-?\d+,-?\d+,\d+,\d+\z')"


if __name__ == "__main__":
    quiet_tensorflow()
    run_command(main)
