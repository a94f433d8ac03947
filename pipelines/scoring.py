"""Batches of pixels to batches of scores: the model in a DoFn, one a process."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.utils.shared import Shared

from pipelines import progress
from pipelines.classifier import Classifier, DeviceOutOfMemory, open_artifact
from pipelines.elements import REJECTED, ChipBatch, ScoredBatch
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
    """Score a batch; chips that have no finite scores are rejected, with the reason."""
    scores, fits = score_in_halves(batch.pixels, classifier)
    finite = np.isfinite(scores).all(axis=1)
    rejected = [
        batch.rejected,
        _reject(batch.chips, ~fits, QuarantineReason.OUT_OF_MEMORY),
        _reject(batch.chips, fits & ~finite, QuarantineReason.NON_FINITE_SCORE),
    ]
    good = fits & finite
    chips = batch.chips if good.all() else batch.chips.filter(good)
    return ScoredBatch(
        unit=batch.unit,
        last=batch.last,
        chips=chips,
        scores=scores[good],
        rejected=pa.concat_tables(rejected),
        precision=classifier.precision,
    )


def score_in_halves(
    pixels: npt.NDArray[np.uint8], classifier: Classifier
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Score chips, half of them at a time where the device has no memory for all, and so on.

    Returns:
        Scores `float32 [n, labels]`, NaN where there are none, and `bool [n]`: whether the device
        had memory at least for the chip alone.
    """
    try:
        return classifier.score(pixels), np.ones(len(pixels), np.bool_)
    except DeviceOutOfMemory:
        if len(pixels) == 1:
            return np.full((1, classifier.labels), np.nan, np.float32), np.zeros(1, np.bool_)
    middle = len(pixels) // 2
    halves = [score_in_halves(half, classifier) for half in (pixels[:middle], pixels[middle:])]
    return np.concatenate([h[0] for h in halves]), np.concatenate([h[1] for h in halves])


def _reject(chips: pa.Table, which: npt.NDArray[np.bool_], reason: QuarantineReason) -> pa.Table:
    if not which.any():
        return REJECTED.empty_table()
    found = chips.filter(which)
    count = found.num_rows
    return reject_rows(found, [reason.value] * count, [reason.description] * count)
