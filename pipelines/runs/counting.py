"""What became of a run's chips: counted from what was staged, held against what was planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.elements import NOTHING_SPENT, Spent
from pipelines.errors import RunFailed
from pipelines.runs.repeated_failures import failed_again
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import UNITS_FOLDER, StagedUnit
from pipelines.storage import store


@dataclass(frozen=True)
class RunCounts:
    """What became of a run's chips; with those that the plan left over, these are all listed.

    Attributes:
        reasons: quarantined chips by reason.
        precision: what the workers computed in.
        spent: what the chips have cost.
    """

    listed: int
    skipped: int
    scored: int
    quarantined: int
    reasons: dict[str, int]
    precision: str
    spent: Spent


def count_run(plan: RunPlan, units: list[StagedUnit]) -> RunCounts:
    """Count a run's chips from what was staged and hold the sum against what was planned.

    Raises:
        RunFailed: a unit is missing or has other rows than planned, or chips are not conserved.
    """
    expected = dict(enumerate(plan.unit_rows))
    found = {unit.number: unit.scored + unit.quarantined for unit in units}
    if found != expected:
        odd = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise RunFailed(
            f"run {plan.run_id}: {len(odd)} of {len(expected)} units are not staged whole "
            f"(first: unit {odd[0]}, planned {expected.get(odd[0], 0)} chips, "
            f"staged {found.get(odd[0], 0)}); nothing was published"
        )
    scored = sum(unit.scored for unit in units)
    quarantined = sum(unit.quarantined for unit in units)
    if plan.listed != plan.skipped + plan.left_over + scored + quarantined:
        raise RunFailed(
            f"run {plan.run_id}: {plan.listed} listed is not {plan.skipped} skipped + "
            f"{plan.left_over} left over + {scored} scored + {quarantined} quarantined; "
            "nothing was published"
        )
    return RunCounts(
        listed=plan.listed,
        skipped=plan.skipped,
        scored=scored,
        quarantined=quarantined,
        reasons=_sum(unit.reasons for unit in units),
        precision=", ".join(sorted({unit.precision for unit in units})),
        spent=sum((unit.spent for unit in units), NOTHING_SPENT),
    )


def check_quarantine(plan: RunPlan, counts: RunCounts, units: Iterable[StagedUnit]) -> None:
    """Hold back a run of which too much was given up: the archive or the store is ill.

    Chips that fail again as they did in a published run are left out of the share: it speaks of
    tonight, and what failed then must not keep every night from being published.

    Raises:
        RunFailed: over the plan's max_quarantine_ratio; says where the staged rows can be read.
    """
    if _share(counts.quarantined, plan.to_score) <= plan.max_quarantine_ratio:
        return
    again = failed_again(plan, units)
    if _share(counts.quarantined - again, plan.to_score - again) <= plan.max_quarantine_ratio:
        return
    reasons = ", ".join(f"{reason} {n}" for reason, n in counts.reasons.items())
    beside = f", {again} of them as in earlier runs, which does not count" if again else ""
    staged = store.join_uri(plan.staging, UNITS_FOLDER, "*.quarantine.parquet")
    raise RunFailed(
        f"run {plan.run_id}: {counts.quarantined} of {plan.to_score} chips were quarantined "
        f"({reasons}{beside}), over --max_quarantine_ratio {plan.max_quarantine_ratio}; nothing "
        f"was published; their rows: {staged}"
    )


def _share(quarantined: int, chips: int) -> float:
    """A quotient, as the ratio itself is one: 0.29 * 100 is a little less than 29."""
    return quarantined / max(1, chips)


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())
