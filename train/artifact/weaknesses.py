"""The weaknesses of a model, as sentences made from its figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.artifact import ModelArtifact
from train.judging.figure_table import figure_text, interval_text

FEW_POSITIVES = 10
"""With fewer positives, the figures of a label say little: one more chip moves F1 by a tenth."""

FEW_CHIPS = 200
"""With fewer chips, the figures of a part are rough: micro F1 to about 0.05."""

LOW_F1 = 0.5
POOR_CALIBRATION = 0.05


def judged_part(figures: Mapping[str, Any]) -> str:
    """The part by which a model is judged: test, or validation if there is no test part."""
    return "test" if "test" in figures else "validation"


def find_weaknesses(artifact: ModelArtifact) -> list[str]:
    """Sentences; an empty list if the figures show no weakness."""
    part = judged_part(artifact.figures)
    figures = artifact.figures[part]
    return [
        *_of_parts(artifact, part),
        *_of_labels(artifact, part, figures["labels"]),
        *_of_thresholds(artifact),
        *_of_scores(part, figures),
        *_of_training(artifact.training),
    ]


def _with_counts(counts: Mapping[str, int]) -> str:
    """Labels with their counts, fewest first."""
    ordered = sorted(counts.items(), key=lambda pair: pair[1])
    return ", ".join(f"{name} ({count})" for name, count in ordered)


def _of_parts(artifact: ModelArtifact, part: str) -> Iterator[str]:
    if part == "validation":
        yield (
            "There is no test part. The best epoch and the thresholds were chosen on the "
            "same validation chips as these figures, so the figures are too optimistic."
        )
    if (chips := artifact.figures[part]["chips"]) < FEW_CHIPS:
        ends = artifact.figures[part]["intervals"]["at_threshold"]["micro_f1"]
        text = f"The {part} part has only {chips} chips, so all figures are rough"
        yield (
            f"{text}: micro F1 may be anything from {interval_text(ends)}." if ends else f"{text}."
        )


def _of_labels(artifact: ModelArtifact, part: str, rows: Mapping[str, Any]) -> Iterator[str]:
    learned = artifact.training["positives"]["train"]
    scarce = {name: count for name, count in learned.items() if count < FEW_POSITIVES}
    if scarce:
        yield f"Trained on fewer than {FEW_POSITIVES} chips: {_with_counts(scarce)}."
    few = {name: row["positives"] for name, row in rows.items() if row["positives"] < FEW_POSITIVES}
    if few:
        yield (
            f"Fewer than {FEW_POSITIVES} {part} chips, too few to prove anything: "
            f"{_with_counts(few)}."
        )
    f1 = {
        name: row["at_threshold"]["f1"]
        for name, row in rows.items()
        if name not in few and row["threshold"] is not None
    }
    poor = [
        f"{name} ({figure_text(value)})"
        for name, value in f1.items()
        if value is not None and value < LOW_F1
    ]
    if poor:
        yield f"F1 under {LOW_F1:g} on {part}: {', '.join(poor)}."


def _of_thresholds(artifact: ModelArtifact) -> Iterator[str]:
    if artifact.unproven_thresholds:
        names = ", ".join(artifact.unproven_thresholds)
        yield f"No validation chip proves the threshold of {names}."
    if names := ", ".join(artifact.set_by_hand):
        yield (
            f"Set by hand, so not measured at the threshold: {names}. Figures at the thresholds "
            "over all labels are not known either."
        )
    if artifact.never:
        yield f"Never reported, because the threshold is null: {', '.join(artifact.never)}."
    validation = artifact.figures["validation"]
    fitted, half = validation["cross_fitted"]["micro_f1"], validation["at_half"]["micro_f1"]
    if fitted is not None and half is not None and fitted < half:
        yield (
            "On chips that were not used to choose them, the thresholds do worse than 0.5 for "
            f"every label: micro F1 {figure_text(fitted)}, not {figure_text(half)}, by "
            "cross-fitting on validation."
        )


def _of_scores(part: str, figures: Mapping[str, Any]) -> Iterator[str]:
    if (error := figures["calibration"]["expected_error"]) > POOR_CALIBRATION:
        yield (
            f"Scores are not probabilities: on {part} they are off by {figure_text(error)} on "
            "average (expected calibration error)."
        )


def _of_training(training: Mapping[str, Any]) -> Iterator[str]:
    if training["best_epoch"] == training["epochs"]:
        yield (
            f"The last of {training['epochs']} epochs was the best: more epochs might give a "
            "better model."
        )
    rejected = sum(training["set_aside"]["rejected"].values())
    if rejected:
        yield f"{rejected} chips could not be used and were left out."
