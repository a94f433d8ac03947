"""How good a model is: figures by label and over all, on any labelled chips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from schemas.labels import LabelSet
from train.examples import Truth
from train.pixel_rows import PixelSource

Scores = npt.NDArray[np.float32]

SCORING_BATCH = 256
HALF = 0.5


def predict_scores(model: Any, pixels: PixelSource) -> Scores:
    """Scores `float32 [n, labels]` of `uint8 [n, S, S, bands]`.

    Through one compiled function: `model.predict`, called again and again, leaks memory
    (tensorflow#46661).
    """
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *pixels.shape[1:]), tf.uint8)]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def score(batch: Any) -> Any:
        return model(tf.cast(batch, tf.float32), training=False)

    starts = range(0, len(pixels), SCORING_BATCH)
    batches = [score(pixels[start : start + SCORING_BATCH]).numpy() for start in starts]
    return np.concatenate(batches).astype(np.float32, copy=False)


def measure(
    scores: Scores, truth: Truth, label_set: LabelSet, thresholds: Sequence[float]
) -> dict[str, Any]:
    """Figures as plain data for JSON; a figure that is not defined is None.

    By label: positives, threshold, average precision, and precision, recall and F1 at the
    threshold and at 0.5. Precision is undefined where nothing was predicted; recall, F1 and
    average precision where there is no positive. Over all: the number of chips, mAP and
    macro-F1 (means over the labels that have positives), micro-F1 (all decisions pooled).

    Args:
        scores: `[n, labels]` in [0, 1].
        truth: `[n, labels]`, 1 where the label holds.
        thresholds: one for each label; it holds where score >= threshold.
    """
    exact = scores.astype(np.float64)
    stored = exact >= np.asarray(thresholds)
    half = exact >= HALF
    by_label = {
        name: {
            "positives": int(truth[:, i].sum()),
            "threshold": float(thresholds[i]),
            "average_precision": _average_precision(truth[:, i], exact[:, i]),
            "at_threshold": _decisions(truth[:, i], stored[:, i]),
            "at_half": _decisions(truth[:, i], half[:, i]),
        }
        for i, name in enumerate(label_set.names)
    }
    return {
        "chips": len(truth),
        "mean_average_precision": _mean(row["average_precision"] for row in by_label.values()),
        "at_threshold": _overall(truth, stored, by_label, "at_threshold"),
        "at_half": _overall(truth, half, by_label, "at_half"),
        "labels": by_label,
    }


def format_figures(figures: Mapping[str, Any]) -> str:
    """Figures as a table for people: a line a label, then the figures over all."""
    width = max(len(name) for name in figures["labels"])
    head = f"{'':{width}}  {'':>9}  {'at its threshold':^29}  {'at 0.5':^20}  {'':>6}"
    names = f"{'label':{width}}  {'positives':>9}  {'threshold':>9} {_HEAD}  {_HEAD}  {'AP':>6}"
    lines = [
        f"{name:{width}}  {row['positives']:>9}  {row['threshold']:>9.4f} "
        f"{_three(row['at_threshold'])}  {_three(row['at_half'])}  "
        f"{_figure(row['average_precision'])}"
        for name, row in figures["labels"].items()
    ]
    return "\n".join([head, names, *lines, format_summary(figures)])


def format_summary(figures: Mapping[str, Any]) -> str:
    """The figures over all in a line."""
    stored, half = figures["at_threshold"], figures["at_half"]
    return (
        f"{figures['chips']} chips: mAP {_figure(figures['mean_average_precision'], 0)}; "
        f"macro F1 {_figure(stored['macro_f1'], 0)}, micro F1 {_figure(stored['micro_f1'], 0)} "
        f"at the thresholds; {_figure(half['macro_f1'], 0)}, {_figure(half['micro_f1'], 0)} at 0.5"
    )


_HEAD = f"{'P':>6} {'R':>6} {'F1':>6}"


def _decisions(truth: Truth, chosen: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, chosen, average="binary", zero_division=np.nan
    )
    has_positives = bool(truth.any())
    return {
        "precision": _number(precision),
        "recall": _number(recall),
        "f1": _number(f1) if has_positives else None,
    }


def _average_precision(truth: Truth, scores: npt.NDArray[np.float64]) -> float | None:
    return float(average_precision_score(truth, scores)) if truth.any() else None


def _overall(
    truth: Truth,
    chosen: npt.NDArray[np.bool_],
    by_label: Mapping[str, Mapping[str, Any]],
    where: str,
) -> dict[str, float | None]:
    micro = f1_score(truth.ravel(), chosen.ravel(), zero_division=np.nan)
    return {
        "macro_f1": _mean(row[where]["f1"] for row in by_label.values()),
        "micro_f1": _number(micro),
    }


def _mean(values: Iterator[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _figure(value: float | None, width: int = 6) -> str:
    return f"{'-' if value is None else f'{value:.3f}':>{width}}"


def _three(row: Mapping[str, float | None]) -> str:
    return " ".join(_figure(row[key]) for key in ("precision", "recall", "f1"))
