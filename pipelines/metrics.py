"""How far a run is and what it costs: Beam's metrics for every engine, a number for this process.

Metric names are defined only here; COUNTERS and DISTRIBUTIONS describe each. The in-process engine
blocks until everything is done, and other engines report late; a local run reads `chips_counted`
meanwhile. A retried bundle counts twice in all of them: what is published is counted from the
staged units (`runs`), where it counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from apache_beam.metrics import Metrics

from pipelines.elements import ScoredBatch
from schemas.tables import QuarantineReason

NAMESPACE = "forest_chips"
CHIPS_SCORED = "chips_scored"
CHIPS_QUARANTINED = "chips_quarantined"
BYTES_READ = "bytes_read"
BATCH_CHIPS = "batch_chips"
READ_MS = "read_ms"
DECODE_MS = "decode_ms"
WAIT_MS = "wait_ms"
SCORE_MS = "score_ms"
STAGE_MS = "stage_ms"


def quarantined_for(reason: str) -> str:
    """Name of the counter of chips that were quarantined for a reason."""
    return f"{CHIPS_QUARANTINED}_{reason}"


COUNTERS: Mapping[str, str] = {
    CHIPS_SCORED: "chips with scores",
    CHIPS_QUARANTINED: "chips quarantined, for any reason",
    **{
        quarantined_for(reason): f"chips quarantined: {reason.description}"
        for reason in QuarantineReason
    },
    BYTES_READ: "bytes fetched from storage",
}
"""Name of each counter, and what it counts."""

DISTRIBUTIONS: Mapping[str, str] = {
    BATCH_CHIPS: "chips in a batch, as the model received them",
    READ_MS: "milliseconds to fetch a batch, all reading threads together",
    DECODE_MS: "milliseconds to decode a batch, all reading threads together",
    WAIT_MS: "milliseconds the model waited for a batch: near 0 if the model is the bottleneck",
    SCORE_MS: "milliseconds that the model took for a batch",
    STAGE_MS: "milliseconds to write a unit to staging",
}
"""Name of each distribution, and what it measures."""

_counters = {name: Metrics.counter(NAMESPACE, name) for name in COUNTERS}
_distributions = {name: Metrics.distribution(NAMESPACE, name) for name in DISTRIBUTIONS}
_done = 0


def count_batch(batch: ScoredBatch) -> ScoredBatch:
    """The same batch; counts its chips and what they cost. Called from a DoFn."""
    global _done
    scored, quarantined = batch.chips.num_rows, batch.rejected.num_rows
    _done += scored + quarantined
    _counters[CHIPS_SCORED].inc(scored)
    _counters[BYTES_READ].inc(batch.spent.bytes_read)
    if quarantined:
        _counters[CHIPS_QUARANTINED].inc(quarantined)
        for reason, count in Counter(batch.rejected["reason"].to_pylist()).items():
            _counters[quarantined_for(reason)].inc(count)
    _distributions[BATCH_CHIPS].update(scored)
    for name in (READ_MS, DECODE_MS, WAIT_MS, SCORE_MS):  # named as in `Spent`
        _distributions[name].update(round(getattr(batch.spent, name)))
    return batch


def count_unit(stage_ms: float) -> None:
    """Count a staged unit; called from a DoFn."""
    _distributions[STAGE_MS].update(round(stage_ms))


def chips_counted() -> int:
    """Chips counted in this process since it started; a retried bundle counts again."""
    return _done
