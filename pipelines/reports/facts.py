"""The facts of a night's report, gathered in one pass over the run's rows."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.drift.checks import Night
from pipelines.reports.nights import add_up, as_night, count_rows, score_labels
from pipelines.runs.run_rows import RunRows
from schemas.artifact import MediaType
from schemas.scene_columns import SCENE_BANDS

RAREST_LABELS = 6
"""Labels for which chips are shown."""

_CHIPS_A_LABEL = 4
_CHIPS_A_REASON = 5


_SHOWN = ("chip_uri", "media_type", SCENE_BANDS.name)


class Example(NamedTuple):
    """A chip that carries a label; examples compare by score and address."""

    score: float
    chip_uri: str
    media_type: MediaType
    scene_bands: str | None = None


class Rejected(NamedTuple):
    """A quarantined chip."""

    chip_uri: str
    message: str


@dataclass(frozen=True)
class ReportFacts:
    """Everything in a run's report, except the pictures.

    Attributes:
        record: the run's row in `runs`.
        night: the run in numbers.
        before: the nights that it is compared with, newest first.
        rare: the chips with the highest scores for each of the rarest labels, rarest first.
        rejected: some of the quarantined chips of each reason.
        trust: what `models` says about each label; no labels if it says nothing.
        left_out: the labels that are not proven, unless the report shows them or says that they are
            never reported.
    """

    record: Mapping[str, Any]
    night: Night
    before: Sequence[Night]
    rare: Mapping[str, Sequence[Example]]
    rejected: Mapping[str, Sequence[Rejected]]
    trust: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: Collection[str] = ()

    def is_never(self, label: str) -> bool:
        """Whether a label is never reported: its threshold is null, and no chip carries it."""
        row = self.trust.get(label)
        return row is not None and row["threshold"] is None and not self.night.labels.get(label)


def gather_facts(
    record: dict[str, Any],
    rows: RunRows,
    before: Sequence[Night],
    trust: Iterable[Mapping[str, Any]] = (),
    unproven: bool = False,
) -> ReportFacts:
    """Read a run's rows once, and keep numbers and a few examples.

    Args:
        trust: what `models` says about the run's labels.
        unproven: whether the report shows labels that are not proven.

    Raises:
        StorageError: the rows cannot be read.
    """
    names = score_labels(rows.columns)
    known = {row["label"]: row for row in trust}
    hidden = [name for name in known if known[name]["proven"] is False and not unproven]
    best: dict[str, list[Example]] = {label: [] for label in names.values()}
    counts = []
    shown = [name for name in _SHOWN if name in rows.columns.names]  # some runs are older
    for batch in rows.scores([*names, "labels", *shown]) if names else []:
        counts.append(count_rows(batch))
        for column, label in names.items():
            found = [*best[label], *_highest(batch, column, label)]
            best[label] = heapq.nlargest(_CHIPS_A_LABEL, found)
    night = as_night(record, add_up(counts))
    rejected = _some_of_each_reason(rows.quarantine(["reason", "chip_uri", "message"]))
    rare = _rarest(night, {label: best[label] for label in best if label not in hidden})
    facts = ReportFacts(record, night, before, rare, rejected, known)
    return replace(facts, left_out=[name for name in hidden if not facts.is_never(name)])


def _highest(batch: pa.RecordBatch, column: str, label: str) -> list[Example]:
    """The chips with the highest scores among those that carry a label."""
    labels = batch.column("labels")
    carry = pc.equal(pc.list_flatten(labels), label)
    rows = pc.filter(pc.list_parent_indices(labels), carry).to_numpy()
    scores = batch.column(column).to_numpy(zero_copy_only=False)[rows]
    first = rows[np.argsort(-scores, kind="stable")[:_CHIPS_A_LABEL]]
    shown = [name for name in _SHOWN if name in batch.schema.names]
    chosen = batch.select([column, *shown]).take(pa.array(first, pa.int64()))
    return [Example(*row.values()) for row in chosen.to_pylist()]


def _rarest(night: Night, best: Mapping[str, list[Example]]) -> dict[str, list[Example]]:
    carried = [label for label in best if night.labels.get(label)]
    carried.sort(key=lambda label: night.labels[label])
    return {label: best[label] for label in carried[:RAREST_LABELS]}


def _some_of_each_reason(batches: Iterable[pa.RecordBatch]) -> dict[str, list[Rejected]]:
    found: dict[str, list[Rejected]] = {}
    for batch in batches:
        for reason in pc.unique(batch.column("reason")).to_pylist():
            some = found.setdefault(reason, [])
            missing = _CHIPS_A_REASON - len(some)
            rows = batch.filter(pc.equal(batch.column("reason"), reason)).slice(0, missing)
            some += [Rejected(row["chip_uri"], row["message"]) for row in rows.to_pylist()]
    return found
