"""From scores to rows: the artifact's rule chooses labels, columns stay columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.elements import LabelledBatch, ScoredBatch
from schemas.artifact import ModelArtifact
from schemas.chip_columns import BBOX, NO_DATA_SHARE
from schemas.dating import DATING_NAMES
from schemas.decisions import choose_labels, likeliest_sky
from schemas.labels import LabelSet
from schemas.render import file_schema
from schemas.scene_columns import SCENE_BANDS
from schemas.tables import QUARANTINE, chip_scores


@dataclass(eq=False)
class LabelChips(beam.PTransform):
    """Scores to rows in the CHIP_SCORES and QUARANTINE file schemas.

    Attributes:
        artifact: has labels, thresholds and digests.
    """

    artifact: ModelArtifact

    def expand(self, batches: beam.PCollection[ScoredBatch]) -> beam.PCollection[LabelledBatch]:
        """One function, which labels a batch with the current time."""
        return batches | beam.Map(label_batch, self.artifact).with_output_types(LabelledBatch)


def label_batch(
    batch: ScoredBatch, artifact: ModelArtifact, now: datetime | None = None
) -> LabelledBatch:
    """The rows of a batch, in the file schemas of CHIP_SCORES and QUARANTINE; `bbox` is made when
    they are staged.

    Args:
        now: when it was scored; by default the current time.
    """
    now = now or datetime.now(UTC)
    return LabelledBatch(
        unit=batch.unit,
        last=batch.last,
        rows=_score_rows(batch, artifact, now),
        quarantine=_quarantine_rows(batch.rejected, artifact, now),
        precision=batch.precision,
        engine=batch.engine,
        spent=batch.spent,
    )


def name_labels(chosen: npt.NDArray[np.bool_], names: Sequence[str]) -> pa.ListArray:
    """For each row of `bool [n, labels]` the names of the labels that are true."""
    offsets = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))]).astype(np.int32)
    labels = pa.array(names, pa.string()).take(pa.array(np.nonzero(chosen)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), labels)


def name_sky(scores: npt.NDArray[np.float32], label_set: LabelSet) -> pa.Array:
    """For each row of `[n, labels]` the sky label with the highest score; null without sky
    labels."""
    if not label_set.sky:
        return pa.nulls(len(scores), pa.string())
    likeliest = pa.array(likeliest_sky(scores, label_set))
    return pa.array(label_set.sky, pa.string()).take(likeliest)


def _score_rows(batch: ScoredBatch, artifact: ModelArtifact, now: datetime) -> pa.Table:
    label_set, scores = artifact.label_set, batch.scores
    columns = {name: batch.chips[name] for name in batch.chips.column_names}
    columns |= dict(zip(label_set.score_columns, np.ascontiguousarray(scores.T), strict=True))
    chosen = choose_labels(scores, artifact.thresholds, label_set, artifact.sky_rule)
    columns["labels"] = name_labels(chosen, label_set.names)
    columns["sky_label"] = name_sky(scores, label_set)
    constants = {
        "media_type": artifact.preprocessing.media_type,
        "model_digest": artifact.model_digest,
        "thresholds_digest": artifact.thresholds_digest,
        "scored_at": now,
    }
    schema = file_schema(chip_scores(label_set))
    given = (*DATING_NAMES, NO_DATA_SHARE.name, SCENE_BANDS.name)
    unknown = {name: pa.nulls(len(scores), schema.field(name).type) for name in given}
    return _table(unknown | columns, constants, len(scores), schema)


def _quarantine_rows(rejected: pa.Table, artifact: ModelArtifact, now: datetime) -> pa.Table:
    columns = {name: rejected[name] for name in rejected.column_names}
    constants = {"model_digest": artifact.model_digest, "quarantined_at": now}
    return _table(columns, constants, rejected.num_rows, file_schema(QUARANTINE))


def _table(
    columns: dict[str, Any], constants: dict[str, Any], rows: int, schema: pa.Schema
) -> pa.Table:
    repeated = {
        name: pa.repeat(pa.scalar(value, schema.field(name).type), rows)
        for name, value in constants.items()
    }
    arrays = {BBOX.name: pa.nulls(rows, schema.field(BBOX.name).type)} | columns | repeated
    return pa.table([arrays[name] for name in schema.names], schema=schema)
