"""Runs made by hand up to the point of publication: a plan, and staged units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.elements import REJECTED, LabelledBatch, ScoredBatch
from pipelines.runs import committing
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import StagedUnit, stage_unit
from pipelines.scoring.labelling import label_batch
from pipelines.tables import evolution
from schemas.artifact import ModelArtifact
from schemas.chip_columns import CHIP_NAMES
from schemas.labels import PLANET_LABELS
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST, COMMIT_ORDER
from tests.support.samples import JPG

_ARTIFACT = ModelArtifact("n", PLANET_LABELS, (0.5,) * 17, JPG, model_digest="m")


def labelled(
    unit: int, first: int, scored: int, rejected: int, last: bool, highest: float = 1.0
) -> LabelledBatch:
    """A batch of a unit, chips numbered from `first`; each has scores from 0 up to the highest."""
    rows = [{"chip_uri": f"/{n}.jpg", "chip_id": str(n)} for n in range(first, first + scored)]
    chips = pa.Table.from_pylist(rows, file_schema(CHIP_MANIFEST)).select(CHIP_NAMES)
    bad = [
        {"chip_uri": f"/bad{n}.jpg", "chip_id": f"bad{n}", "reason": "empty", "message": "none"}
        for n in range(first, first + rejected)
    ]
    scores = np.tile(np.linspace(0, highest, 17, dtype=np.float32), (scored, 1))
    batch = ScoredBatch(unit, last, chips, scores, pa.Table.from_pylist(bad, REJECTED), "float32")
    return label_batch(batch, _ARTIFACT, datetime.now(UTC))


CHIPS = pa.Table.from_pylist(
    [{"chip_uri": f"/{n}.jpg", "chip_id": str(n), "etag": "1"} for n in range(8)],
    file_schema(CHIP_MANIFEST),
)
"""The manifest of the plan that `make_plan` returns."""


def make_plan(output: str, run_id: str = "r1", **changes: Any) -> RunPlan:
    """A plan of two units with 5 and 3 chips, 2 of 10 listed chips skipped."""
    plan = RunPlan(
        run_id=run_id,
        run_date="2026-11-22",
        output=output,
        artifact="/a",
        model_digest="m",
        thresholds_digest="t",
        listed=10,
        skipped=2,
        unit_rows=(5, 3),
        max_quarantine_ratio=0.5,
        attempt=1,
        options={"chips": "/c"},
        versions={"numpy": "2"},
        started_at=1_000_000_000.0,
        planned_at=1_000_000_002.0,
    )
    return replace(plan, **changes)


def stage(plan: RunPlan) -> list[StagedUnit]:
    """Stage both units: 4 scored and 1 quarantined, 3 scored."""
    return [
        stage_unit([labelled(0, 0, 4, 1, True)], plan.staging),
        stage_unit([labelled(1, 4, 3, 0, True)], plan.staging),
    ]


def dying_at(table: str) -> Callable[..., None]:
    """A `commit_rows` that makes the publisher die before it commits to a table."""
    commit = committing.commit_rows

    def dying_commit(plan: RunPlan, name: str, *more: Any) -> None:
        if name == table:
            raise KeyboardInterrupt
        commit(plan, name, *more)

    return dying_commit


def empty_tables(folder: Path | str) -> str:
    """Create the tables of a run below an OUTPUT; returns its address."""
    for table in COMMIT_ORDER:
        evolution.ensure_table(str(folder), table.for_labels(PLANET_LABELS))
    return str(folder)
