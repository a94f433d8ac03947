"""Calibration: a temperature for each label makes its scores behave like probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from train.judging._arrays import EDGE, Floats, Integers

CALIBRATION_BINS = 15
"""Bins of equal width of the calibration error, as in Guo et al. 2017."""

OWN_RARER = 20
"""At this many positives or negatives of a label (whichever are fewer), its own temperature and
that of all labels have the same weight."""

POOLED_RARER = 50
"""At this sum over all labels, the temperature of all labels and 1 have the same weight."""

_LOWEST, _HIGHEST = 0.05, 20.0
_FEWEST_DRAWN = 10  # a bin with fewer decisions is not drawn


def fit_temperatures(logits: Floats, truth: Integers) -> npt.NDArray[np.float64]:
    """Fit a temperature for each label; its logits must be divided by it.

    It minimises the negative log likelihood (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", section 4.2, for each label separately), between 0.05 and 20. On few chips that
    would overfit, so its logarithm is shrunk towards that of the temperature of all labels
    together, which itself is shrunk towards 1, with weights as in
    `thresholds.shrunk_thresholds`: n / (n + 20) and n / (n + 50), n the positives or the
    negatives, whichever are fewer. Both numbers were chosen by trial on chips that had no part in
    the fit; docs/training.md has the figures.

    Args:
        logits: `[n, labels]`, finite: the input of the sigmoid.
        truth: `[n, labels]`, 1 where a chip has the label.

    Returns:
        `float64 [labels]`; over 1 for a label whose scores are overconfident.
    """
    values = np.asarray(logits, np.float64)
    positives = truth.sum(axis=0)
    rarer = np.minimum(positives, len(truth) - positives)
    total = int(rarer.sum())
    common = total / (total + POOLED_RARER) * _fit(values.ravel(), truth.ravel()) if total else 0.0
    logarithms = np.full(len(rarer), common)
    for i in np.flatnonzero(rarer):
        own = _fit(values[:, i], truth[:, i])
        logarithms[i] += rarer[i] / (rarer[i] + OWN_RARER) * (own - common)
    temperatures: npt.NDArray[np.float64] = np.exp(logarithms)
    return temperatures


@contextmanager
def logits_of(model: Any) -> Iterator[Any]:
    """Remove the sigmoid from the model's last layer, inside the context.

    Raises:
        ValueError: its last layer is not a dense layer with a sigmoid.
    """
    import keras

    layer = _score_layer(model)
    layer.activation = keras.activations.linear  # seen by whatever is traced from now on
    try:
        yield model
    finally:
        layer.activation = keras.activations.sigmoid


def fold_temperatures(model: Any, temperatures: npt.NDArray[np.float64]) -> None:
    """Divide the last layer's weights by the temperatures, so that its scores become
    sigmoid(logit / temperature): the saved model is calibrated, and its users change nothing.

    Raises:
        ValueError: its last layer is not a dense layer with a sigmoid.
    """
    layer = _score_layer(model)
    layer.set_weights([np.divide(weights, temperatures) for weights in layer.get_weights()])


def measure_calibration(scores: Floats, truth: Integers) -> dict[str, Any]:
    """How well scores match observed frequencies, over all decisions, as plain data for JSON.

    Returns:
        `expected_error`: the expected calibration error in [0, 1]: the scores are put in 15 bins
        of equal width; in each, the mean score is compared with the share that is true, and the
        differences are weighted by the decisions in the bin (Naeini et al. 2015; Guo et al. 2017,
        with the score of each label as the confidence). `log_loss`: mean binary
        cross-entropy in nats. `bins`: mean score, share that is true and number of decisions of
        each bin that is not empty.
    """
    values, held = np.asarray(scores, np.float64).ravel(), np.asarray(truth).ravel()
    numbers = np.minimum((values * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    counts = np.bincount(numbers, minlength=CALIBRATION_BINS)
    filled = np.flatnonzero(counts)
    means, shares = (
        np.bincount(numbers, w, CALIBRATION_BINS)[filled] / counts[filled] for w in (values, held)
    )
    inside = np.clip(values, EDGE, 1 - EDGE)
    return {
        "expected_error": float(np.abs(means - shares) @ counts[filled] / counts.sum()),
        "log_loss": float(-np.log(np.where(held == 1, inside, 1 - inside)).mean()),
        "bins": [
            {"score": float(mean), "share": float(share), "decisions": int(count)}
            for mean, share, count in zip(means, shares, counts[filled], strict=True)
        ],
    }


def draw_reliability(path: Path, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw a reliability diagram, one panel per part, also before calibration.

    Args:
        figures: by part, what `measuring.measure` returns, with `before_calibration` where
            the model was calibrated.
    """
    from train.pictures import Panel, draw_lines

    panels = []
    for part, found in figures.items():
        measured = {
            name: found[key]
            for name, key in (("before", "before_calibration"), ("as scored", "calibration"))
            if key in found
        }
        errors = ", ".join(f"{m['expected_error']:.3f} {name}" for name, m in measured.items())
        lines = {name: _points(m["bins"]) for name, m in measured.items()}
        lines["ideal"] = ([0.0, 1.0], [0.0, 1.0])
        title = f"{part.capitalize()}: calibration error {errors}"
        names = ("mean score of a bin", "share of its decisions that are true")
        panels.append(Panel(title, names[0], lines, names[1], y_range=(0, 1)))
    draw_lines(path, panels)


def _points(bins: Sequence[Mapping[str, float]]) -> tuple[list[float], list[float | None]]:
    shown = [b for b in bins if b["decisions"] >= _FEWEST_DRAWN]
    return [b["score"] for b in shown], [b["share"] for b in shown]


def _fit(logits: npt.NDArray[np.float64], truth: Integers) -> float:
    """The logarithm of the temperature with the least negative log likelihood."""
    from scipy.optimize import minimize_scalar

    signed = np.where(truth == 1, -logits, logits)
    found = minimize_scalar(
        lambda logarithm: np.logaddexp(0, signed * np.exp(-logarithm)).mean(),
        bounds=(np.log(_LOWEST), np.log(_HIGHEST)),
        method="bounded",
    )
    return float(found.x)


def _score_layer(model: Any) -> Any:
    """The last layer.

    Raises:
        ValueError: it is not a dense layer with a sigmoid, so dividing its weights would not
            calibrate it.
    """
    import keras

    layer = model.layers[-1]
    activation = getattr(layer, "activation", None)
    if not isinstance(layer, keras.layers.Dense) or activation is not keras.activations.sigmoid:
        raise ValueError(f"the last layer of {model.name} is not a dense layer with a sigmoid")
    return layer
