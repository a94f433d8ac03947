"""How far a run is and what it costs: Beam's metrics for every engine, a number for this process.

The names of the metrics stand here and nowhere else; `METRICS` says what each of them is. The
in-process engine blocks until all is done, and others answer late; who runs locally reads
`chips_done` meanwhile. A retried bundle counts again in all of them: what is published is counted
from the staged units (`runs`), where it counts once.
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
    """Name of the counter of chips that were given up for a reason."""
    return f"{CHIPS_QUARANTINED}_{reason}"


COUNTERS: Mapping[str, str] = {
    CHIPS_SCORED: "chips with scores",
    CHIPS_QUARANTINED: "chips given up, for whatever reason",
    **{
        quarantined_for(reason): f"chips given up: {reason.description}"
        for reason in QuarantineReason
    },
    BYTES_READ: "bytes fetched from storage",
}
"""Name of each counter, and what it counts."""

DISTRIBUTIONS: Mapping[str, str] = {
    BATCH_CHIPS: "chips a batch, as the model got them",
    READ_MS: "milliseconds a batch took to fetch, all reading threads together",
    DECODE_MS: "milliseconds a batch took to decode, all reading threads together",
    WAIT_MS: "milliseconds the model waited for a batch: near 0 where the model is the limit",
    SCORE_MS: "milliseconds of the model a batch",
    STAGE_MS: "milliseconds a unit took to be written to staging",
}
"""Name of each distribution, and what it measures."""

_counters = {name: Metrics.counter(NAMESPACE, name) for name in COUNTERS}
_distributions = {name: Metrics.distribution(NAMESPACE, name) for name in DISTRIBUTIONS}
_done = 0


def count_batch(batch: ScoredBatch) -> None:
    """Count chips that left the model or were given up, and what they cost; called from a DoFn."""
    global _done
    scored, given_up = batch.chips.num_rows, batch.rejected.num_rows
    _done += scored + given_up
    _counters[CHIPS_SCORED].inc(scored)
    _counters[BYTES_READ].inc(batch.spent.bytes_read)
    if given_up:
        _counters[CHIPS_QUARANTINED].inc(given_up)
        for reason, count in Counter(batch.rejected["reason"].to_pylist()).items():
            _counters[quarantined_for(reason)].inc(count)
    _distributions[BATCH_CHIPS].update(scored)
    _distributions[READ_MS].update(round(batch.spent.read_ms))
    _distributions[DECODE_MS].update(round(batch.spent.decode_ms))
    _distributions[WAIT_MS].update(round(batch.spent.wait_ms))
    _distributions[SCORE_MS].update(round(batch.spent.score_ms))


def count_unit(stage_ms: float) -> None:
    """Count a staged unit; called from a DoFn."""
    _distributions[STAGE_MS].update(round(stage_ms))


def chips_done() -> int:
    """Chips counted in this process since it began; a retried bundle counts again."""
    return _done
