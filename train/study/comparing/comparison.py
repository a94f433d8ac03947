"""The models side by side: their means, their labels, and the best of them.

All figures come from the models' own evaluation (`judging.measuring`); nothing is measured again
here. A model is a mapping as `train.study.models.models` describes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.data.label_files import Part
from train.study.models.plan import CNN, VGG16

Model = Mapping[str, Any]

RARE_IN_STUDY = 0.01
"""A label is rare if a smaller share of the training chips carries it."""

FEWEST_POSITIVES = 5
"""A label is also rare if fewer training chips carry it. With fewer in the judged part, one chip
moves its F1 by more than a tenth, so the F1 says little."""


def compared_part(models: Mapping[str, Model]) -> Part:
    """The part that figures are reported on: test, or validation if there is no test part."""
    parts = {part for model in models.values() for part in model["figures"]}
    return "test" if "test" in parts else "validation"


def compare_models(models: Mapping[str, Model]) -> list[dict[str, Any]]:
    """A row for each model, in their order: its means on validation and on the judged part."""
    part = compared_part(models)
    return [
        {
            "name": name,
            "title": model["title"],
            "labels": len(model["labels"]),
            "parameters": model.get("parameters"),
            "seconds": model.get("seconds"),
            "validation_best_f1": figure(model, "validation", "mean_best_f1"),
            "best_f1": figure(model, part, "mean_best_f1"),
            "f1": figure(model, part, "at_threshold", "macro_f1"),
            "f1_interval": figure(model, part, "intervals", "at_threshold", "macro_f1"),
            "f1_at_half": figure(model, part, "at_half", "macro_f1"),
            "frequent_micro_f1": frequent_micro_f1(model, part),
            "frequent_micro_f1_at_half": frequent_micro_f1(model, part, "at_half"),
            "sample_f2": figure(model, part, "at_threshold", "sample_f2"),
            "mean_average_precision": figure(model, part, "mean_average_precision"),
            "chips": figure(model, part, "chips"),
        }
        for name, model in models.items()
    ]


def compare_thresholds(models: Mapping[str, Model]) -> list[dict[str, Any]]:
    """A row for each label: threshold and F1 of every network that scores it."""
    part = compared_part(models)
    networks = {name: model for name, model in models.items() if model["network"]}
    labels = dict.fromkeys(label for model in networks.values() for label in model["labels"])
    return [
        {
            "label": label,
            "networks": {
                name: _threshold_row(model, part, label)
                for name, model in networks.items()
                if label in model["labels"]
            },
        }
        for label in labels
    ]


def compare_labels(
    first: Model, second: Model, part: str, training: Mapping[str, int], chips: int
) -> dict[str, Any]:
    """Two models label by label, and their means over common and over rare labels.

    Args:
        training: training chips that carry each label.
        chips: training chips in all.
    """
    rows = [
        {
            "label": label,
            "training_positives": training[label],
            "positives": label_row(first, part, label).get("positives", 0),
            "is_rare": is_rare(training[label], chips),
            "first_f1": label_f1(first, part, label),
            "second_f1": label_f1(second, part, label),
        }
        for label in first["labels"]
        if label in second["labels"]
    ]
    return {
        "part": part,
        "rows": rows,
        "all": mean_f1s(rows),
        "common": mean_f1s([row for row in rows if not row["is_rare"]]),
        "rare": mean_f1s([row for row in rows if row["is_rare"]]),
    }


def compare_vgg16(
    models: Mapping[str, Model], training: Mapping[str, int], chips: int
) -> dict[str, Any] | None:
    """VGG16 compared with the baseline CNN; None if either is missing."""
    if CNN not in models or VGG16 not in models:
        return None
    part = compared_part({name: models[name] for name in (CNN, VGG16)})
    return compare_labels(models[VGG16], models[CNN], part, training, chips)


def choose_best(models: Mapping[str, Model]) -> str | None:
    """The network with the highest mean best F1 on validation, among those with the most labels.

    The test part is not used: a model chosen by it could not be reported on it.
    """
    networks = {n: m for n, m in models.items() if m["network"]}
    most = max((len(model["labels"]) for model in networks.values()), default=0)
    full = {n: m for n, m in networks.items() if len(m["labels"]) == most}
    scores = {n: figure(m, "validation", "mean_best_f1") for n, m in full.items()}
    known = {name: score for name, score in scores.items() if score is not None}
    return max(known, key=lambda name: known[name], default=None)


def is_rare(positives: int, chips: int) -> bool:
    """Whether a label counts as rare.

    Args:
        positives: training chips that carry it.
        chips: training chips in all.
    """
    return positives < max(FEWEST_POSITIVES, RARE_IN_STUDY * chips)


def figure(model: Model, part: str, *keys: str) -> Any:
    """What the keys lead to in a model's figures on a part; None if it was not measured."""
    found: Any = model["figures"].get(part)
    for key in keys:
        found = None if found is None else found.get(key)
    return found


def label_f1(model: Model, part: str, label: str) -> float | None:
    """F1 of a label at its threshold."""
    f1: float | None = figure(model, part, "labels", label, "at_threshold", "f1")
    return f1


def label_row(model: Model, part: str, label: str) -> Mapping[str, Any]:
    """A model's figures for a label on a part; empty if there are none."""
    return figure(model, part, "labels", label) or {}


def best_threshold(model: Model, label: str) -> float | None:
    """The threshold with the highest F1 of a label on validation."""
    found: float | None = figure(model, "validation", "labels", label, "best", "threshold")
    return found


def frequent_micro_f1(model: Model, part: str, where: str = "at_threshold") -> float | None:
    """F1 of all decisions on the labels that at least `FEWEST_POSITIVES` chips of a part carry."""
    rows = (figure(model, part, "labels") or {}).values()
    frequent = [row for row in rows if row["positives"] >= FEWEST_POSITIVES]
    hits = sum(round(row[where]["recall"] * row["positives"]) for row in frequent)
    decided = sum(row[where]["predicted"] + row["positives"] for row in frequent)
    return 2 * hits / decided if decided else None


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are defined."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def mean_f1s(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of the rows' `first_f1` and `second_f1` over the labels that have both."""
    both = [r for r in rows if r["first_f1"] is not None and r["second_f1"] is not None]
    return {
        "labels": len(both),
        "first_f1": mean_of([row["first_f1"] for row in both]),
        "second_f1": mean_of([row["second_f1"] for row in both]),
    }


def _threshold_row(model: Model, part: str, label: str) -> dict[str, float | None]:
    return {
        "best_threshold": best_threshold(model, label),
        "best_f1": figure(model, "validation", "labels", label, "best", "f1"),
        "threshold": figure(model, "validation", "labels", label, "threshold"),
        "f1": label_f1(model, part, label),
    }
