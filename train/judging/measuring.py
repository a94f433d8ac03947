"""Figures of a model on labelled chips, by label and overall."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.decisions import SkyRule, Threshold, choose_labels
from schemas.labels import LabelSet
from train.data.examples import Truth
from train.data.pixel_rows import PixelSource
from train.judging.calibration import measure_calibration
from train.judging.intervals import bootstrap, f_beta
from train.judging.thresholds import best_threshold

Scores = npt.NDArray[np.float32]
Chosen = npt.NDArray[np.bool_]

SCORING_BATCH = 256
HALF = 0.5


def predict_scores(model: Any, pixels: PixelSource) -> Scores:
    """Scores `float32 [n, labels]` of `uint8 [n, S, S, bands]`."""
    return compile_scorer(model)(pixels)


def compile_scorer(model: Any) -> Callable[[PixelSource], Scores]:
    """A function like `predict_scores` for repeated use, with the weights at the time of the call.

    It is compiled once: `model.predict` in a loop leaks memory (tensorflow#46661). TensorFlow
    counts calls of a `tf.function`, not of a concrete one, when it warns about retracing.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec(model.input_shape, tf.uint8)]

    def score(batch: Any) -> Any:
        return model(tf.cast(batch, tf.float32), training=False)

    compiled = tf.function(score, input_signature=signature).get_concrete_function()

    def score_all(pixels: PixelSource) -> Scores:
        starts = range(0, len(pixels), SCORING_BATCH)
        batches = [compiled(pixels[start : start + SCORING_BATCH]).numpy() for start in starts]
        return np.concatenate(batches).astype(np.float32, copy=False)

    return score_all


def measure(
    scores: Scores,
    truth: Truth,
    label_set: LabelSet,
    thresholds: Sequence[Threshold],
    sky_rule: SkyRule = "threshold",
) -> dict[str, Any]:
    """Figures as plain data for JSON; a figure that is not defined is None.

    `chips`; `mean_average_precision`, the mean over the labels that have positives;
    `mean_best_f1`, the mean of each label's `best` F1 over the same; under `at_threshold` (the
    labels as the artifact chooses them) and `at_half` (score >= 0.5 for every label) `macro_f1`
    (the mean over the labels that have positives), `micro_f1` (all decisions pooled) and
    `sample_f1` (the mean over chips with a true or predicted label), and the same of F2.

    Under `labels`, for each: `positives`, `threshold`, `average_precision`; `best`, the
    `threshold` with the highest F1 on these same chips, and that `f1`, the upper bound for any
    threshold; under `at_threshold` and `at_half` `predicted`, `precision`, `recall`,
    `f1` and `f2`. Precision is undefined if nothing was predicted; recall, F1, F2 and average
    precision if there is no positive.

    `intervals` is the result of `train.judging.intervals.bootstrap`, `calibration` that of
    `train.judging.calibration.measure_calibration`.

    Args:
        scores: `[n, labels]` in [0, 1].
        truth: `[n, labels]`, 1 where a chip has the label.
        thresholds: one for each label, which is chosen if score >= threshold; None: never.
        sky_rule: how sky labels are chosen; see `schemas.decisions.choose_labels`.
    """
    exact = scores.astype(np.float64)
    decisions = {
        "at_threshold": choose_labels(scores, thresholds, label_set, sky_rule),
        "at_half": exact >= HALF,
    }
    by_label: dict[str, dict[str, Any]] = {
        name: {
            "positives": int(truth[:, i].sum()),
            "threshold": thresholds[i],
            "average_precision": average_precision(truth[:, i], exact[:, i]),
            "best": _best(truth[:, i], exact[:, i]),
            **{w: _decisions(truth[:, i], chosen[:, i]) for w, chosen in decisions.items()},
        }
        for i, name in enumerate(label_set.names)
    }
    return {
        "chips": len(truth),
        "mean_average_precision": _mean(row["average_precision"] for row in by_label.values()),
        "mean_best_f1": _mean(row["best"]["f1"] for row in by_label.values()),
        **{where: measure_overall(truth, chosen) for where, chosen in decisions.items()},
        "labels": by_label,
        "intervals": bootstrap(exact, truth, decisions, label_set.names),
        "calibration": measure_calibration(exact, truth),
    }


def measure_overall(truth: Truth, chosen: Chosen) -> dict[str, float | None]:
    """Macro, micro and sample F1 and F2 of labels chosen, `bool [n, labels]`; see `measure`."""
    by_label, by_chip = _count(truth, chosen, axis=0), _count(truth, chosen, axis=1)
    seen = truth.any(axis=0)
    figures: dict[str, float | None] = {}
    for beta in (1, 2):
        of_labels, of_chips = f_beta(*by_label, beta=beta), f_beta(*by_chip, beta=beta)
        figures[f"macro_f{beta}"] = _mean(of_labels[seen])
        figures[f"micro_f{beta}"] = _number(f_beta(*_count(truth, chosen), beta=beta))
        figures[f"sample_f{beta}"] = _mean(of_chips[np.isfinite(of_chips)])
    return figures


def _best(truth: Truth, scores: npt.NDArray[np.float64]) -> dict[str, float | None]:
    if not truth.any():
        return {"threshold": None, "f1": None}
    threshold = best_threshold(scores, truth)
    return {
        "threshold": threshold,
        "f1": _number(f_beta(*_count(truth, scores >= threshold), beta=1)),
    }


def _decisions(truth: Truth, chosen: Chosen) -> dict[str, float | int | None]:
    hits, predicted, positives = counts = _count(truth, chosen)
    return {
        "predicted": int(predicted),
        "precision": _number(hits / predicted) if predicted else None,
        "recall": _number(hits / positives) if positives else None,
        "f1": _number(f_beta(*counts, beta=1)) if positives else None,
        "f2": _number(f_beta(*counts, beta=2)) if positives else None,
    }


def _count(truth: Truth, chosen: Chosen, axis: int | None = None) -> tuple[Any, Any, Any]:
    """True positives, predicted positives, positives: in total, by label or by chip."""
    held = truth == 1
    hits, predicted, positives = (p.sum(axis=axis) for p in (held & chosen, chosen, held))
    return hits, predicted, positives


def average_precision(truth: Truth, scores: npt.NDArray[np.floating]) -> float | None:
    """Of one label: mean precision over all thresholds; None without a positive."""
    from sklearn.metrics import average_precision_score  # a second to import

    return float(average_precision_score(truth, scores)) if truth.any() else None


def _mean(values: Iterable[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
