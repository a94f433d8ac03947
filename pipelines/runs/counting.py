"""Counts of a run's chips from its staged units, checked against its plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import pyarrow.compute as pc

from pipelines.elements import NOTHING_SPENT, Spent
from pipelines.errors import RunFailed, StorageError
from pipelines.runs.repeated_failures import failed_again
from pipelines.runs.run_plan import UNITS_FOLDER, RunPlan
from pipelines.runs.run_rows import staged_rows
from pipelines.runs.staging import StagedUnit
from pipelines.storage import store
from schemas.tables import QuarantineReason

NOTHING_PUBLISHED = "; nothing was published"


@dataclass(frozen=True)
class RunCounts:
    """How many of a run's chips were skipped, scored and quarantined. With those that the plan left
    over, these are all that were listed.

    Attributes:
        reasons: quarantined chips by reason.
        no_data_windows: windows of scenes that were not scored for want of data: they have rows in
            quarantine, and count apart. None if the run scored chips.
        precision, engine: what the workers used.
        spent: bytes and time that the chips took.
        score_seconds: see `_score_seconds`.
    """

    listed: int
    skipped: int
    scored: int
    quarantined: int
    reasons: dict[str, int]
    precision: str
    spent: Spent
    score_seconds: float | None = None
    engine: str = ""
    no_data_windows: int | None = None

    @property
    def rejected(self) -> int:
        """Chips with rows in quarantine."""
        return self.quarantined + (self.no_data_windows or 0)

    @property
    def no_data(self) -> int:
        """Of these, chips in which there is nothing to see."""
        return self.reasons.get(QuarantineReason.NO_DATA, 0) + (self.no_data_windows or 0)


def count_run(plan: RunPlan, units: list[StagedUnit]) -> RunCounts:
    """Count a run's chips from its staged units, and check the sum against the plan.

    Raises:
        RunFailed: a unit is missing or has other rows than planned, or chips are not conserved.
    """
    expected = dict(enumerate(plan.unit_rows))
    found = {unit.number: unit.scored + unit.quarantined for unit in units}
    if found != expected:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise RunFailed(
            f"run {plan.run_id}: {len(wrong)} of {len(expected)} units are not staged whole "
            f"(first: unit {wrong[0]}, planned {expected.get(wrong[0], 0)} chips, "
            f"staged {found.get(wrong[0], 0)}){NOTHING_PUBLISHED}"
        )
    scored = sum(unit.scored for unit in units)
    rejected = sum(unit.quarantined for unit in units)
    reasons = sum((Counter(unit.reasons) for unit in units), Counter[str]())
    no_data = reasons.pop(QuarantineReason.NO_DATA, 0) if plan.scores_windows else None
    quarantined = rejected - (no_data or 0)
    if plan.listed != plan.skipped + plan.left_over + scored + rejected:
        raise RunFailed(
            f"run {plan.run_id}: {plan.listed} listed is not {plan.skipped} skipped + "
            f"{plan.left_over} left over + {scored} scored + {quarantined} quarantined"
            f"{'' if no_data is None else f' + {no_data} no data'}{NOTHING_PUBLISHED}"
        )
    return RunCounts(
        listed=plan.listed,
        skipped=plan.skipped,
        scored=scored,
        quarantined=quarantined,
        reasons=dict(reasons.most_common()),
        precision=", ".join(sorted({unit.precision for unit in units})),
        spent=sum((unit.spent for unit in units), NOTHING_SPENT),
        score_seconds=_score_seconds(units),
        engine=", ".join(sorted({unit.engine for unit in units} - {""})),
        no_data_windows=no_data,
    )


def _score_seconds(units: Iterable[StagedUnit]) -> float | None:
    """Seconds from each start of the engine to the last unit that it staged, together: without the
    pauses of a run that was planned only, resumed or held. None if a unit does not say."""
    last: dict[float, float] = {}
    for unit in units:
        last[unit.started_at] = max(unit.staged_at, last.get(unit.started_at, 0.0))
    if not last or not all(last):
        return None
    return sum(max(0.0, end - start) for start, end in last.items())


def check_quarantine(plan: RunPlan, counts: RunCounts, units: Iterable[StagedUnit]) -> None:
    """Refuse a run with too many quarantined chips: something is wrong with archive or store.

    Chips without data do not count, as they are no fault, and neither do those that fail again as
    they did in a published run: they would keep every night from being published.

    Raises:
        RunFailed: over the plan's max_quarantine_ratio; says where the staged rows are.
    """
    faulty, chips = counts.rejected - counts.no_data, plan.to_score - counts.no_data
    if _share(faulty, chips) <= plan.max_quarantine_ratio:
        return
    units = list(units)
    again = failed_again(plan, units)
    if _share(faulty - again, chips - again) <= plan.max_quarantine_ratio:
        return
    reasons = ", ".join(f"{reason} {n}" for reason, n in counts.reasons.items())
    repeated = f", {again} of them as in earlier runs, not counted" if again else ""
    repeated += "; those without data are not counted" if counts.no_data else ""
    repeated += _example(units, max(counts.reasons, key=lambda name: counts.reasons[name]))
    staged = store.join_uri(plan.staging, UNITS_FOLDER, "*.quarantine.parquet")
    raise RunFailed(
        f"run {plan.run_id}: {counts.quarantined} of {plan.to_score} chips were quarantined "
        f"({reasons}{repeated}), over --max_quarantine_ratio {plan.max_quarantine_ratio}; nothing "
        f"was published; their rows: {staged}"
    )


def _example(units: list[StagedUnit], reason: str) -> str:
    """What is wrong with the first chip that has this reason; "" if that cannot be read."""
    with suppress(StorageError):
        for rows in staged_rows(units).quarantine(["reason", "message"]):
            found = rows.filter(pc.field("reason") == reason)["message"]
            if len(found):
                return f"; the first of {reason}: {found[0].as_py()}"
    return ""


def _share(quarantined: int, chips: int) -> float:
    """Compared as a quotient, like the ratio: 0.29 * 100 is a little less than 29."""
    return quarantined / max(1, chips)
