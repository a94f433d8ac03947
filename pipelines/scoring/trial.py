"""A sample of chips read, decoded and scored on this machine, to estimate what a run takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.elements import ScoredBatch, Unit
from pipelines.reading.reading_ahead import ReadAhead
from pipelines.scoring.classifier import Classifier
from pipelines.scoring.scoring import ScoreAhead
from schemas.artifact import ModelArtifact
from schemas.precision import Engine, Precision
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST


@dataclass(frozen=True)
class ChipsToDo:
    """A run's chips, before any is read.

    Attributes:
        chips: number of chips.
        size_bytes: size of all objects; unknown sizes count as the mean of the others.
        sample: some of them, spread evenly, in the CHIP_MANIFEST schema.
    """

    chips: int
    size_bytes: int
    sample: pa.Table


@dataclass(frozen=True)
class Trial:
    """The result of scoring a sample.

    Attributes:
        chips_per_s: read, decoded and scored, after the start; 0.0 without chips.
        start_s: seconds until the model was loaded and had scored a first batch.
        scored: chips with scores.
        reasons: quarantined chips by reason.
        precision, engine: of the computation.
    """

    chips_per_s: float
    start_s: float
    scored: int
    reasons: dict[str, int]
    precision: str
    engine: str = ""


def take_sample(
    chips: Iterable[pa.RecordBatch], count: int, size: int, together: int = 1
) -> ChipsToDo:
    """Read a run's chips once, and select some that are spread evenly.

    Args:
        count: number of chips.
        size: most chips to select.
        together: how many of them follow each other: windows share the blocks of their scene.
    """
    size = min(size, count)
    groups = -(-size // together)
    starts = np.arange(groups) * count // max(1, groups)
    wanted = np.unique(np.minimum(starts[:, None] + np.arange(together), count - 1))[:size]
    seen = known_bytes = known = 0
    kept = []
    for batch in chips:
        first, last = np.searchsorted(wanted, [seen, seen + batch.num_rows])
        kept.append(batch.take(pa.array(wanted[first:last] - seen)))
        seen += batch.num_rows
        known += batch.num_rows - batch["size_bytes"].null_count
        sizes = batch["size_bytes"].cast(pa.float64())  # those of sparse files overflow an int64
        known_bytes += int(pc.sum(sizes).as_py() or 0)
    sample = pa.Table.from_batches(kept, file_schema(CHIP_MANIFEST))
    return ChipsToDo(seen, known_bytes * seen // max(1, known), sample)


def score_sample(
    folder: Path,
    artifact: ModelArtifact,
    precision: Precision,
    batch_size: int | None,
    to_do: ChipsToDo,
    engine: Engine = "auto",
) -> Trial:
    """Score a sample as a worker would: same reading ahead, decoding and model.

    Raises:
        UsageError: this machine does not support the precision.
        StoreDown: the store does not answer.
    """
    began = time.perf_counter()
    model = Classifier(folder, artifact, precision, batch_size, to_do.chips, engine)
    batch = max(1, min(model.batch_size, to_do.sample.num_rows))
    model.score(np.zeros((batch, *artifact.preprocessing.input_shape), np.uint8))
    started = time.perf_counter()
    scored, reasons = 0, Counter[str]()
    for result in _results(model, artifact, batch, to_do.sample):
        scored += result.chips.num_rows
        reasons.update(result.rejected["reason"].to_pylist())
    seconds = time.perf_counter() - started
    rate = to_do.sample.num_rows / seconds
    used = (model.precision, model.engine)
    return Trial(rate, started - began, scored, dict(reasons.most_common()), *used)


def _results(
    model: Classifier, artifact: ModelArtifact, batch: int, sample: pa.Table
) -> Iterator[ScoredBatch]:
    if not sample.num_rows:
        return
    reading, scoring = ReadAhead(artifact.preprocessing, batch), ScoreAhead(model)
    for chips in chain(reading.read(Unit(0, sample)), reading.drain()):
        yield from scoring.score(chips)
    yield from scoring.drain()
