"""Batches of pixels to batches of scores: the model in a DoFn, one per process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from pipelines import metrics
from pipelines.artifacts.opening import open_artifact
from pipelines.elements import REJECTED, ChipBatch, ScoredBatch, Spent
from pipelines.quiet_tensorflow import quiet_tensorflow
from pipelines.reading.batches import reject_rows
from pipelines.run_log import event
from pipelines.scoring.classifier import Classifier
from pipelines.scoring.devices import DeviceOutOfMemory, has_gpu
from pipelines.scoring.engines import choose_engine, files_of
from pipelines.storage.worker_settings import WorkerSettings
from schemas.artifact import ModelArtifact, check_equal
from schemas.precision import Engine, Precision
from schemas.tables import QuarantineReason


@dataclass(eq=False)
class SharedModel:
    """The model of a worker process, loaded by the first DoFn that needs it and shared by all.

    Attributes:
        artifact_uri: address of the model artifact, fetched and checked on the worker.
        model_digest: the digest of the plan; another one is refused.
        precision: of the computation; the worker decides what `auto` means.
        batch_size: chips per call; None to let the worker choose.
        chips: chips of the whole run.
        settings: applied first; Beam sets up the scoring step before the reading step.
        engine: what computes; the worker decides what `auto` means.
        description_digest: of the artifact whose signature was checked; another one is refused.
            "" if none was.
    """

    artifact_uri: str
    model_digest: str
    precision: Precision
    batch_size: int | None
    chips: int
    settings: WorkerSettings | None = None
    engine: Engine = "auto"
    description_digest: str = ""
    _shared: Shared = field(default_factory=Shared)

    def classifier(self) -> Classifier:
        """The model; loaded and tuned to the device by the first call in this process."""
        found: Classifier = self._shared.acquire(self._load)
        return found

    def ask_batch_size(self) -> int:
        """Chips per call on this machine, the same for reading and scoring."""
        return self.batch_size or self.classifier().batch_size

    def _load(self) -> Classifier:
        if self.settings:
            self.settings.apply()
        quiet_tensorflow()
        began = perf_counter()
        folder, artifact = open_artifact(self.artifact_uri, self.model_digest, self._files)
        if self.description_digest:
            found = artifact.description_digest
            check_equal("digest of the signed artifact.json", self.description_digest, found)
        asked = (self.precision, self.batch_size, self.chips, self.engine)
        model = Classifier(folder, artifact, *asked)
        event(
            "model_loaded",
            model_digest=self.model_digest,
            process=os.getpid(),
            seconds=perf_counter() - began,
            engine=model.engine,
            precision=model.precision,
        )
        return model

    def _files(self, artifact: ModelArtifact) -> Sequence[str]:
        engine = choose_engine(artifact, self.engine, self.precision, has_gpu)
        return files_of(engine, self.precision)


@dataclass(eq=False)
class ScoreChips(beam.PTransform):
    """Chips to scores.

    Attributes:
        model: the model of the worker.
    """

    model: SharedModel

    def expand(self, batches: beam.PCollection[ChipBatch]) -> beam.PCollection[ScoredBatch]:
        """One DoFn."""
        fn = ScoreChipsFn(self.model.classifier)
        return batches | beam.ParDo(fn).with_output_types(ScoredBatch)


@dataclass(eq=False)
class ScoreChipsFn(beam.DoFn):
    """Scores batches with the classifier that all DoFns of a process share.

    Attributes:
        get_classifier: returns it; called on the worker.
    """

    get_classifier: Callable[[], Classifier]

    def setup(self) -> None:
        """Get the model, which is loaded once in a process."""
        self._classifier = self.get_classifier()

    def start_bundle(self) -> None:
        """Forget what a failed bundle may have left."""
        self._ahead = ScoreAhead(self._classifier)

    def process(self, batch: ChipBatch) -> Iterator[ScoredBatch]:
        """Yield the batches that are ready, in order; some may still be scored."""
        yield from map(metrics.count_batch, self._ahead.score(batch))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yield the remaining batches, in the global window that all elements have."""
        window = GlobalWindow()
        for scored in map(metrics.count_batch, self._ahead.drain()):
            yield WindowedValue(scored, window.max_timestamp(), [window])


class ScoreAhead:
    """Scores batches in order, as many at a time as is fastest: one if it uses all cores from
    beginning to end, several on a GPU, so that chips are copied there while others are computed."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._under_way: deque[tuple[ChipBatch, Future[_Timed]]] = deque()

    def score(self, batch: ChipBatch) -> Iterator[ScoredBatch]:
        """Start a batch, and yield those that are ready."""
        calls = self._classifier.calls_in_flight
        if calls == 1:
            yield score_batch(batch, self._classifier)
            return
        scoring = _pool(calls).submit(_timed, self._classifier, batch.pixels)
        self._under_way.append((batch, scoring))
        if len(self._under_way) > calls:
            yield self._finish_first()

    def drain(self) -> Iterator[ScoredBatch]:
        """Yield the batches that are still being scored."""
        while self._under_way:
            yield self._finish_first()

    def _finish_first(self) -> ScoredBatch:
        batch, scoring = self._under_way.popleft()
        try:
            scores, score_ms = scoring.result()
        except DeviceOutOfMemory:
            wait([other for _, other in self._under_way])  # halves have the device alone
            return score_batch(batch, self._classifier)
        fits = np.ones(len(scores), np.bool_)
        return _scored(batch, scores, fits, self._classifier, score_ms)


_Timed = tuple[npt.NDArray[np.float32], float]


def _timed(classifier: Classifier, pixels: npt.NDArray[np.uint8]) -> _Timed:
    began = perf_counter()
    return classifier.score(pixels), 1000 * (perf_counter() - began)


@cache
def _pool(calls: int) -> ThreadPoolExecutor:
    """The threads of this process that wait for its model, shared by all its DoFns."""
    return ThreadPoolExecutor(calls, "score")


def score_batch(batch: ChipBatch, classifier: Classifier) -> ScoredBatch:
    """Score a batch; chips without finite scores are rejected, with the reason."""
    began = perf_counter()
    scores, fits = score_in_halves(batch.pixels, classifier)
    score_ms = 1000 * (perf_counter() - began)
    return _scored(batch, scores, fits, classifier, score_ms)


def score_in_halves(
    pixels: npt.NDArray[np.uint8], classifier: Classifier
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Score chips; if the device has no memory for all of them, half at a time, and so on.

    Returns:
        Scores `float32 [n, labels]`, NaN if missing, and `bool [n]`: whether the device had memory
        for the chip alone.
    """
    try:
        return classifier.score(pixels), np.ones(len(pixels), np.bool_)
    except DeviceOutOfMemory:
        if len(pixels) == 1:
            return np.full((1, classifier.labels), np.nan, np.float32), np.zeros(1, np.bool_)
    middle = len(pixels) // 2
    halves = [score_in_halves(half, classifier) for half in (pixels[:middle], pixels[middle:])]
    return np.concatenate([h[0] for h in halves]), np.concatenate([h[1] for h in halves])


def _scored(
    batch: ChipBatch,
    scores: npt.NDArray[np.float32],
    fits: npt.NDArray[np.bool_],
    classifier: Classifier,
    score_ms: float,
) -> ScoredBatch:
    finite = np.isfinite(scores).all(axis=1)
    rejected = [
        batch.rejected,
        _reject(batch.chips, ~fits, QuarantineReason.OUT_OF_MEMORY),
        _reject(batch.chips, fits & ~finite, QuarantineReason.NON_FINITE_SCORE),
    ]
    good = fits & finite
    return ScoredBatch(
        unit=batch.unit,
        last=batch.last,
        chips=batch.chips if good.all() else batch.chips.filter(good),
        scores=scores[good],
        rejected=pa.concat_tables(rejected),
        precision=classifier.precision,
        engine=classifier.engine,
        spent=batch.spent + Spent(score_ms=score_ms),
    )


def _reject(chips: pa.Table, which: npt.NDArray[np.bool_], reason: QuarantineReason) -> pa.Table:
    if not which.any():
        return REJECTED.empty_table()
    found = chips.filter(which)
    count = found.num_rows
    return reject_rows(found, [reason.value] * count, [reason.description] * count)
