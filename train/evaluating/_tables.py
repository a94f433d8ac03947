"""The tables of an evaluation: predictions as Parquet, the others as csv."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.store import file_stem
from schemas.render import file_schema
from train.evaluating.evaluated import Evaluated
from train.evaluating.prediction_table import label_column, predictions_table
from train.judging.co_confusion import CoConfusion
from train.judging.precision_recall import Curve
from train.judging.suspects import Suspects, label_quality, pool_quality
from train.results import write_table

SUSPECT_COLUMNS = (
    *("rank", "image_name", "chip_uri", "label", "given"),
    *("score", "quality", "likely", "trained_on"),
)


def write_predictions(path: Path, found: Evaluated) -> None:
    """Write `predictions.parquet`, a row for each chip; see `train.evaluating.prediction_table`."""
    uris = [found.uris[name] for name in found.names]
    rows = len(uris)
    columns: dict[str, Any] = {
        "chip_uri": uris,
        "chip_id": [file_stem(uri) for uri in uris],
        "image_name": found.names,
        "trained_on": found.trained,
        "truth": _label_lists(found, found.truth == 1),
        "labels": _label_lists(found, found.chosen),
        "label_quality": pool_quality(label_quality(found.scores, found.truth)),
        "model_digest": [found.artifact.model_digest] * rows,
        "thresholds_digest": [found.artifact.thresholds_digest] * rows,
    }
    for i, label in enumerate(found.labels):
        column = label_column(label)
        columns[f"truth_{column}"] = found.truth[:, i] == 1
        columns[f"score_{column}"] = found.scores[:, i]
        columns[f"decided_{column}"] = found.chosen[:, i]
    schema = file_schema(predictions_table(found.artifact.label_set))
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    pq.write_table(pa.table(arrays, schema=schema), path, compression="zstd")


def write_suspects(path: Path, found: Evaluated, suspects: Suspects) -> None:
    """Write `suspects.csv`, a row for each label of a chip that is probably wrong, the most
    suspicious first."""
    write_table(path, SUSPECT_COLUMNS, _suspect_rows(found, suspects))


def write_confusions(path: Path, labels: tuple[str, ...], counts: CoConfusion) -> None:
    """Write `co_confusion.csv`, a row for each pair of labels that was confused at least once."""
    header = ("chosen_wrongly", "chips", "other", "other_true", "other_missed")
    rows = (
        (label, int(counts.wrong[i]), other, int(true), int(counts.other_missed[i, j]))
        for i, label in enumerate(labels)
        for j, (other, true) in enumerate(zip(labels, counts.other_true[i], strict=True))
        if true
    )
    write_table(path, header, rows)


def write_curves(path: Path, curves: Mapping[str, Curve | None]) -> None:
    """Write `precision_recall.csv`, a row for each label and point of its curve."""
    rows = (
        (label, *map(float, point))
        for label, curve in curves.items()
        if curve is not None
        for point in zip(curve.thresholds, curve.precision, curve.recall, strict=True)
    )
    write_table(path, ("label", "threshold", "precision", "recall"), rows)


def _label_lists(found: Evaluated, held: npt.NDArray[np.bool_]) -> list[list[str]]:
    return [[found.labels[i] for i in np.flatnonzero(row)] for row in held]


def _suspect_rows(found: Evaluated, suspects: Suspects) -> Iterator[tuple[Any, ...]]:
    entries = zip(suspects.rows, suspects.columns, suspects.quality, suspects.likely, strict=True)
    for rank, (row, column, quality, likely) in enumerate(entries, 1):
        name = found.names[row]
        yield (
            *(rank, name, found.uris[name], found.labels[column]),
            int(found.truth[row, column]),
            float(found.scores[row, column]),
            float(quality),
            int(likely),
            int(found.trained[row]),
        )
