"""Calibration: scores that mean what they say, by a temperature for each label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]

BINS = 15
"""Bins of equal width of the calibration error, as in Guo et al. 2017."""

OWN_RARER = 20
"""Positives or negatives of a label, whichever are fewer, at which its own temperature and the one
of all labels weigh the same."""

POOLED_RARER = 50
"""Their sum over the labels at which the temperature of all labels and 1 weigh the same."""

_LOWEST, _HIGHEST = 0.05, 20.0
_FEWEST_DRAWN = 10  # decisions in a bin, for its share to be worth a point
_EDGE = 1e-7  # Keras' own: how near to 0 and 1 a score may lie in a logarithm


def fit_temperatures(logits: Floats, truth: Integers) -> npt.NDArray[np.float64]:
    """A temperature for each label, by which its logits are to be divided.

    That with the least negative log likelihood (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", section 4.2, of each label by itself), between 0.05 and 20. Of a few chips it
    learns their luck: so its logarithm is drawn towards that of the temperature of all labels
    together, which itself is drawn towards 1, with weights as in
    `thresholds.shrunk_thresholds`: n / (n + 20) and n / (n + 50), n the positives or the
    negatives, whichever are fewer. Both numbers were chosen by trial on chips that had no part in
    the fit; docs/training.md has the figures.

    Args:
        logits: `[n, labels]`, finite: what the sigmoid is taken of.
        truth: `[n, labels]`, 1 where the label holds.

    Returns:
        `float64 [labels]`; over 1 for a label whose scores are too sure of themselves.
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
    """The model with the sigmoid taken off its last layer, for as long as the context lasts.

    Raises:
        ValueError: its last layer is no dense one with sigmoid.
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
    sigmoid(logit / temperature): the model itself is calibrated, and nothing else need know.

    Raises:
        ValueError: its last layer is no dense one with sigmoid.
    """
    layer = _score_layer(model)
    layer.set_weights([np.divide(weights, temperatures) for weights in layer.get_weights()])


def measure_calibration(scores: Floats, truth: Integers) -> dict[str, Any]:
    """How well scores mean what they say, as plain data for JSON; of all decisions together.

    Returns:
        `expected_error`: the expected calibration error in [0, 1]: the scores are put in 15 bins
        of equal width; in each, the mean score is held against the share that holds, and the
        differences are weighted by the decisions in the bin (Naeini et al. 2015; Guo et al. 2017,
        with the score of each label in the place of the confidence). `log_loss`: mean binary
        cross-entropy in nats. `bins`: mean score, share that holds and decisions of each bin that
        has any.
    """
    values, held = np.asarray(scores, np.float64).ravel(), np.asarray(truth).ravel()
    numbers = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(numbers, minlength=BINS)
    filled = np.flatnonzero(counts)
    means, shares = (np.bincount(numbers, w, BINS)[filled] / counts[filled] for w in (values, held))
    inside = np.clip(values, _EDGE, 1 - _EDGE)
    return {
        "expected_error": float(np.abs(means - shares) @ counts[filled] / counts.sum()),
        "log_loss": float(-np.log(np.where(held == 1, inside, 1 - inside)).mean()),
        "bins": [
            {"score": float(mean), "share": float(share), "decisions": int(count)}
            for mean, share, count in zip(means, shares, counts[filled], strict=True)
        ],
    }


def draw_reliability(path: Path, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw, a panel a part, how often what the scores say holds; before calibration too.

    Args:
        figures: by part, what `measuring.measure` gives, with `before_calibration` where
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
        lines["as it should be"] = ([0.0, 1.0], [0.0, 1.0])
        title = f"{part.capitalize()}: calibration error {errors}"
        names = ("mean score of a bin", "share of its decisions that hold")
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
        ValueError: it is no dense one with sigmoid, and dividing its weights would be no
            calibration.
    """
    import keras

    layer = model.layers[-1]
    activation = getattr(layer, "activation", None)
    if not isinstance(layer, keras.layers.Dense) or activation is not keras.activations.sigmoid:
        raise ValueError(f"the last layer of {model.name} is no dense one with sigmoid")
    return layer
