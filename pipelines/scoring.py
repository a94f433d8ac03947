"""Batches of pixels to batches of scores: the model in a DoFn, one a process."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.utils.shared import Shared

from pipelines import progress
from pipelines.classifier import Classifier, open_artifact
from pipelines.elements import ChipBatch, ScoredBatch
from pipelines.reading import reject_rows
from schemas.precision import Precision
from schemas.tables import QuarantineReason


class ScoreChips(beam.PTransform):
    """Chips to scores.

    Args:
        artifact_uri: address of the model artifact, fetched and checked on the worker.
        model_digest: the digest that the run was planned with; another is refused.
        precision: what the model computes in, `auto` resolved on the worker.
    """

    def __init__(self, artifact_uri: str, model_digest: str, precision: Precision) -> None:
        super().__init__()
        self._fn = ScoreChipsFn(artifact_uri, model_digest, precision)

    def expand(self, batches: beam.PCollection[ChipBatch]) -> beam.PCollection[ScoredBatch]:
        """One DoFn."""
        return batches | beam.ParDo(self._fn).with_output_types(ScoredBatch)


class ScoreChipsFn(beam.DoFn):
    """Holds the classifier, which all DoFns of a process share."""

    def __init__(self, artifact_uri: str, model_digest: str, precision: Precision) -> None:
        self._artifact_uri = artifact_uri
        self._model_digest = model_digest
        self._precision = precision
        self._shared = Shared()

    def setup(self) -> None:
        """Load the model, or take the one that this process has loaded."""
        self._classifier = self._shared.acquire(self._load)

    def process(self, batch: ChipBatch) -> Iterator[ScoredBatch]:
        """Score one batch."""
        scored = score_batch(batch, self._classifier)
        progress.count(scored.chips.num_rows, scored.rejected.num_rows)
        yield scored

    def _load(self) -> Classifier:
        folder, artifact = open_artifact(self._artifact_uri, self._model_digest)
        return Classifier(folder, artifact, self._precision)


def score_batch(batch: ChipBatch, classifier: Classifier) -> ScoredBatch:
    """Score a batch; chips whose scores are not all finite are rejected."""
    scores = classifier.score(batch.pixels)
    finite = np.isfinite(scores).all(axis=1)
    chips, rejected = batch.chips, batch.rejected
    if not finite.all():
        rejected = pa.concat_tables([rejected, _reject_non_finite(chips.filter(~finite))])
        chips, scores = chips.filter(finite), scores[finite]
    return ScoredBatch(batch.unit, batch.last, chips, scores, rejected, classifier.precision)


def _reject_non_finite(chips: pa.Table) -> pa.Table:
    reason = QuarantineReason.NON_FINITE_SCORE
    return reject_rows(
        chips, [reason.value] * chips.num_rows, [reason.description] * chips.num_rows
    )
