"""How far the run is: Beam's counters for every engine, a plain number for this process.

The names of the counters stand here and nowhere else. The in-process engine blocks until all is
done, and others answer late; who runs locally reads `chips_done` meanwhile.
"""

from __future__ import annotations

from apache_beam.metrics import Metrics

NAMESPACE = "forest_chips"
CHIPS_SCORED = "chips_scored"
CHIPS_QUARANTINED = "chips_quarantined"

_scored = Metrics.counter(NAMESPACE, CHIPS_SCORED)
_quarantined = Metrics.counter(NAMESPACE, CHIPS_QUARANTINED)
_done = 0


def count(scored: int, quarantined: int) -> None:
    """Count chips that left the model or were given up; called from a DoFn."""
    global _done
    _scored.inc(scored)
    _quarantined.inc(quarantined)
    _done += scored + quarantined


def chips_done() -> int:
    """Chips counted in this process since it began; a retried bundle counts again."""
    return _done
