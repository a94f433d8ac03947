"""How good a fitted network is: calibrate it if asked, choose its thresholds, measure it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.decisions import SkyRule, choose_labels
from schemas.labels import LabelSet
from train.data.examples import Examples, Truth
from train.data.label_files import Part
from train.judging.calibration import (
    fit_temperatures,
    fold_temperatures,
    logits_of,
    measure_calibration,
)
from train.judging.figure_table import format_figures
from train.judging.measuring import Scores, measure, measure_overall, predict_scores
from train.judging.promise import describe_promises, promise_lines
from train.judging.thresholds import ThresholdOptions, choose_thresholds, cross_fitted_thresholds


@dataclass(frozen=True)
class JudgingOptions(ThresholdOptions):
    """How scores become labels, and how thresholds are chosen.

    Attributes:
        sky_rule: how sky labels are chosen.
        calibrate: whether each label gets a temperature first.
    """

    sky_rule: SkyRule = "threshold"
    calibrate: bool = False


def judge(
    model: Any, parts: Mapping[Part, Examples], label_set: LabelSet, options: JudgingOptions
) -> tuple[dict[str, Any], dict[str, float]]:
    """Calibrate the model if asked, choose thresholds on the validation part, measure the
    validation and the test part, and print the figures.

    Calibrating changes the model's last weights. Figures are those of `measuring.measure`
    by part. Those of validation also have `cross_fitted`: the overall figures at thresholds
    chosen on other chips of it. Those of a calibrated model have `before_calibration`.

    Returns:
        Fields of `ModelArtifact`: thresholds, sky_rule, unproven_thresholds, promises and figures.
        And the temperatures by label, empty if the model is not calibrated.

    Raises:
        ValueError: the model is to be calibrated, and its last layer is not a dense layer with a
            sigmoid.
    """
    judged: dict[Part, Examples] = {
        part: e for part, e in parts.items() if part != "train" and e.names
    }
    before, temperatures = _calibrate(model, judged, label_set) if options.calibrate else ({}, {})
    scored = {part: predict_scores(model, e.pixels) for part, e in judged.items()}
    validation = (scored["validation"], judged["validation"].truth)
    thresholds, unproven = choose_thresholds(*validation, label_set.names, options)
    figures: dict[Part, dict[str, Any]] = {
        part: measure(scores, judged[part].truth, label_set, thresholds, options.sky_rule)
        | ({"before_calibration": before[part]} if part in before else {})
        for part, scores in scored.items()
    }
    figures["validation"]["cross_fitted"] = _cross_fit(*validation, label_set, options)
    promises = describe_promises(*validation, label_set.names, thresholds, options.promises)
    _report(figures, unproven, promises)
    description = {
        "thresholds": thresholds,
        "sky_rule": options.sky_rule,
        "unproven_thresholds": unproven,
        "promises": promises,
        "figures": figures,
    }
    return description, temperatures


def _calibrate(
    model: Any, judged: Mapping[Part, Examples], label_set: LabelSet
) -> tuple[dict[Part, dict[str, Any]], dict[str, float]]:
    """Fit temperatures on validation and fold them into the model.

    Returns:
        How well calibrated each part was before, and the temperatures by label.
    """
    with logits_of(model):
        logits = {part: predict_scores(model, e.pixels) for part, e in judged.items()}
    temperatures = fit_temperatures(logits["validation"], judged["validation"].truth)
    fold_temperatures(model, temperatures)
    before = {
        part: measure_calibration(1 / (1 + np.exp(-values.astype(np.float64))), judged[part].truth)
        for part, values in logits.items()
    }
    return before, dict(zip(label_set.names, temperatures.tolist(), strict=True))


def _cross_fit(
    scores: Scores, truth: Truth, label_set: LabelSet, options: JudgingOptions
) -> dict[str, float | None]:
    thresholds = cross_fitted_thresholds(scores, truth, label_set.names, options)
    return measure_overall(truth, choose_labels(scores, thresholds, label_set, options.sky_rule))


def _report(
    figures: Mapping[Part, Mapping[str, Any]],
    unproven: Sequence[str],
    promises: Mapping[str, Mapping[str, Any]],
) -> None:
    for part, found in figures.items():
        print(f"\n{part.capitalize()}\n{format_figures(found)}", flush=True)
    if unproven:
        print(
            f"Thresholds not proven, because validation has no positive chip: {', '.join(unproven)}"
        )
    for line in promise_lines(promises):
        print(line, flush=True)
