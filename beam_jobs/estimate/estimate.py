"""What a run would take, printed before it is run: `score_chips --estimate`. Writes nothing.

The chips are listed and chosen as for a run, a sample of them is read, decoded and scored on this
machine, and hours and cost are computed for each worker type of a price table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from beam_jobs.options.prices import WorkerType
from pipelines.blocks.text_table import align
from pipelines.imaging.other_files import ignored_text
from pipelines.planning.selection import Selection
from pipelines.runs.run_plan import unit_rows
from pipelines.scenes.block_reader import MOST_RANGE_BYTES
from pipelines.scoring.trial import ChipsToDo, Trial, take_sample
from pipelines.storage.request_rate import seconds_for
from pipelines.wording import count_of

_WRITES_A_UNIT = 5
"""Scores and quarantine, each staged and copied, and the unit's record."""

_WINDOWS_TOGETHER = 128
"""Windows that follow each other share blocks: single ones would cost far more than in a run."""


@dataclass(frozen=True)
class Duration:
    """What a run would take with one worker type.

    Attributes:
        worker_type, workers: which, and how many.
        chips_per_second: of all workers together.
        hours: from start to end, at least `ramp_hours`.
        cost: of all workers, in the price table's currency; None without a price.
    """

    worker_type: str
    workers: int
    chips_per_second: float
    hours: float
    cost: float | None


@dataclass(frozen=True)
class Estimate:
    """What a run would do and take.

    Attributes:
        listed, skipped, to_score, left_over: chips, as in `runs`.
        size_bytes: bytes that would be read.
        reads, writes: requests to read chips, and to stage and publish.
        ramp_hours: the least time for the reads while their rate doubles every 20 minutes; 0.0 on
            stores that ask for no ramp.
        sampled, sample_quarantined: chips of the sample, and the quarantined ones by reason.
        chips_per_second: of this machine, once the model is loaded.
        start_seconds: how long the model takes to load here.
        precision, engine: what the model computed in.
        durations: one for each worker type.
        ignored: files that are no chips because their names are hidden.
    """

    listed: int
    skipped: int
    to_score: int
    left_over: int
    size_bytes: int
    reads: int
    writes: int
    ramp_hours: float
    sampled: int
    sample_quarantined: Mapping[str, int]
    chips_per_second: float
    start_seconds: float
    precision: str
    engine: str
    durations: tuple[Duration, ...]
    ignored: int = 0


def estimate_run(
    chosen: Selection,
    prices: Sequence[WorkerType],
    sample_chips: int,
    reads_per_second: float,
    score: Callable[[ChipsToDo], Trial],
) -> Estimate:
    """Score a sample and compute the rest from it.

    Args:
        chosen: the chips that a run would score.
        prices: the worker types to compare.
        sample_chips: chips in the sample, at most.
        reads_per_second: of all workers together on a `gs://` bucket at first.
        score: scores a sample on this machine.
    """
    together = _WINDOWS_TOGETHER if chosen.scene_chips else 1
    to_do = take_sample(chosen.chips, chosen.to_score, sample_chips, together)
    trial, ramp_s = score(to_do), _ramp_seconds(to_do, reads_per_second)
    return Estimate(
        listed=chosen.listed,
        skipped=chosen.skipped,
        to_score=chosen.to_score,
        left_over=chosen.left_over,
        size_bytes=to_do.size_bytes,
        reads=_reads(chosen, to_do),
        writes=_WRITES_A_UNIT * len(unit_rows(chosen.to_score, None, chosen.scene_chips)),
        ramp_hours=ramp_s / 3600,
        sampled=to_do.sample.num_rows,
        sample_quarantined=trial.reasons,
        chips_per_second=trial.chips_per_s,
        start_seconds=trial.start_s,
        precision=trial.precision,
        engine=trial.engine,
        durations=tuple(_duration(worker, to_do, trial, ramp_s) for worker in prices),
    )


def _reads(chosen: Selection, to_do: ChipsToDo) -> int:
    """Requests to read the chips: one each, or ranges of scenes."""
    if not chosen.scene_chips:
        return chosen.to_score
    return len(chosen.scene_chips) + -(-to_do.size_bytes // MOST_RANGE_BYTES)


def _ramp_seconds(to_do: ChipsToDo, reads_per_second: float) -> float:
    """The minimum time for the reads: Google Cloud Storage asks for a slow start, other stores do
    not."""
    if not to_do.chips or not to_do.sample["chip_uri"][0].as_py().startswith("gs://"):
        return 0.0
    return seconds_for(to_do.chips, reads_per_second)


def _duration(worker: WorkerType, to_do: ChipsToDo, trial: Trial, ramp_s: float) -> Duration:
    rate = worker.rate(trial.chips_per_s)
    scoring_s = to_do.chips / rate if to_do.chips else 0.0
    hours = (trial.start_s + max(scoring_s, ramp_s)) / 3600
    price = worker.price_per_hour
    cost = None if price is None else hours * worker.workers * price
    return Duration(worker.name, worker.workers, rate, hours, cost)


def estimate_text(estimate: Estimate, format: str) -> str:
    """An estimate as text for people or as JSON, without a line end."""
    if format == "json":
        return json.dumps(asdict(estimate), indent=2)
    quarantined = sum(estimate.sample_quarantined.values())
    reasons = ", ".join(f"{name} {n}" for name, n in estimate.sample_quarantined.items())
    left_over = f", {estimate.left_over:,} left to the next run" if estimate.left_over else ""
    lines = [
        f"estimate, nothing was written: {count_of(estimate.to_score, 'chip')} to score of "
        f"{estimate.listed:,} listed, {estimate.skipped:,} done before{left_over}",
        f"  to read     {estimate.size_bytes / 1e9:,.2f} GB",
        f"  requests    {estimate.reads:,} reads, {estimate.writes:,} writes{_ramp(estimate)}",
        f"  sample      {count_of(estimate.sampled, 'chip')}, {quarantined} would be quarantined"
        + (f" ({reasons})" if reasons else ""),
        f"  this machine {estimate.chips_per_second:,.1f} chips/s in {estimate.precision} on "
        f"{estimate.engine}, after {estimate.start_seconds:.1f} s to load the model",
    ]
    if estimate.ignored:
        lines.insert(1, f"  {ignored_text(estimate.ignored)}")
    return "\n".join([*lines, *_table(estimate.durations)])


def _ramp(estimate: Estimate) -> str:
    if not estimate.ramp_hours:
        return ""
    return f"; gs:// asks to spread the reads over at least {estimate.ramp_hours:,.2f} h"


def _table(durations: Sequence[Duration]) -> list[str]:
    head = ("worker type", "workers", "chips/s", "hours", "cost")
    rows = [
        (
            each.worker_type,
            str(each.workers),
            f"{each.chips_per_second:,.0f}",
            f"{each.hours:,.2f}",
            "no price" if each.cost is None else f"{each.cost:,.2f}",
        )
        for each in durations
    ]
    aligned = align(head, rows, [False, *[True] * (len(head) - 1)])
    return [f"  {line}" for line in aligned.splitlines()]
