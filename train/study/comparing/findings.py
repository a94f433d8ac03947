"""What was found, in plain words: sentences made only from the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.study.comparing.comparison import (
    FEWEST_POSITIVES,
    figure,
    label_f1,
    label_row,
    mean_f1s,
)
from train.study.models.plan import CNN, FOREST, TUNED, VGG16

WELL_FOUND, HARDLY_FOUND = 0.8, 0.5
"""From this F1 up a label is well found; below the second it is hardly found."""

_ALIKE = 0.005
_LADDER = (FOREST, CNN, VGG16, TUNED)
_ON = {"test": "test chips, which no model has seen", "validation": "validation chips"}


def describe_findings(study: Mapping[str, Any]) -> list[str]:
    """The findings of a whole study, the most important first."""
    models, comparison = study["models"], study["comparison"]
    best = comparison["best"]
    part = comparison["part"]
    found = [describe_ladder(models, part)]
    if best:
        found = [describe_best(models[best], part), describe_example(models[best], part), *found]
        found += describe_labels(models[best], part)
    if comparison["vgg16_vs_cnn"]:
        found.append(describe_lead("VGG16", "the baseline CNN", comparison["vgg16_vs_cnn"]))
    if best:
        found.append(describe_thresholds(models[best], part))
    return [text for text in found if text]


def describe_best(model: Mapping[str, Any], part: str) -> str:
    """How good the best model is."""
    f1 = figure(model, part, "at_threshold", "macro_f1")
    if f1 is None:
        return f"{model['title']} is the best network by validation."
    return (
        f"{model['title']} is the best network by validation. On {figure(model, part, 'chips'):,} "
        f"{_ON[part]}, its mean F1 over the labels that occur there is {f1:.3f}"
        f"{_within(model, part)}."
    )


def describe_example(model: Mapping[str, Any], part: str) -> str:
    """What the figures of the median label mean, in chips."""
    rows = {label: label_row(model, part, label) for label in model["labels"]}
    scores = {
        label: row["at_threshold"]["f1"]
        for label, row in rows.items()
        if row.get("positives", 0) >= FEWEST_POSITIVES and row["at_threshold"]["precision"]
    }
    if not scores:
        return ""
    label = sorted(scores, key=lambda name: scores[name])[len(scores) // 2]
    chosen = rows[label]["at_threshold"]
    return (
        f"For example {label}: of 100 chips that it reports, {100 * chosen['precision']:.0f} carry "
        f"the label, and of 100 that carry it, it reports {100 * chosen['recall']:.0f} "
        f"(F1 {chosen['f1']:.2f})."
    )


def describe_ladder(models: Mapping[str, Mapping[str, Any]], part: str) -> str:
    """The mean F1 of the study's main models, from colours only to shapes learned elsewhere."""
    steps = [models[name] for name in _LADDER if name in models]
    means = [(model["title"], figure(model, part, "at_threshold", "macro_f1")) for model in steps]
    said = [f"{title} {mean:.3f}" for title, mean in means if mean is not None]
    return f"Mean F1, step by step: {', '.join(said)}." if len(said) > 1 else ""


def _within(model: Mapping[str, Any], part: str) -> str:
    ends = figure(model, part, "intervals", "at_threshold", "macro_f1")
    return f" (with other chips like these, {ends[0]:.2f} to {ends[1]:.2f})" if ends else ""


def describe_labels(model: Mapping[str, Any], part: str) -> list[str]:
    """Which labels are well found, which hardly, and which cannot be judged."""
    rows = {label: label_row(model, part, label) for label in model["labels"]}
    judged = [n for n, row in rows.items() if row.get("positives", 0) >= FEWEST_POSITIVES]
    scores = {label: label_f1(model, part, label) or 0.0 for label in judged}
    ordered = sorted(scores, key=lambda label: -scores[label])
    well = [label for label in ordered if scores[label] >= WELL_FOUND]
    hardly = [label for label in ordered if scores[label] < HARDLY_FOUND]
    between = [label for label in ordered if label not in (*well, *hardly)]
    few = [label for label in rows if label not in judged]
    return [
        f"{said}: {_named(labels, scores)}."
        for said, labels in (
            (f"Well found (F1 of {WELL_FOUND} and more)", well),
            ("Found with some errors", between),
            (f"Hardly found (F1 below {HARDLY_FOUND})", hardly),
            (f"Cannot be judged, with fewer than {FEWEST_POSITIVES} chips there", few),
        )
        if labels
    ]


def describe_lead(first: str, second: str, compared: Mapping[str, Any]) -> str:
    """Which of two models is ahead, over all labels, common ones and rare ones."""
    kinds = {"all": "all labels", "common": "common ones", "rare": "rare ones"}
    parts = [
        f"over {said} {_lead(compared[kind])}"
        for kind, said in kinds.items()
        if compared[kind]["labels"]
    ]
    return f"{first} compared with {second}, by mean F1: {'; '.join(parts)}." if parts else ""


def describe_thresholds(model: Mapping[str, Any], part: str) -> str:
    """What a threshold for each label gains."""
    tuned, half = (figure(model, part, at, "macro_f1") for at in ("at_threshold", "at_half"))
    if tuned is None or half is None:
        return ""
    verb = "gains nothing" if abs(tuned - half) < _ALIKE else "gains" if tuned > half else "loses"
    return (
        f"With a threshold for each label, chosen on validation, {model['title']} {verb} compared "
        f"with 0.5 for all: {tuned:.3f}, not {half:.3f}."
    )


def describe_variants(models: Mapping[str, Mapping[str, Any]], part: str) -> list[str]:
    """Each variant of the baseline CNN compared with it, over the labels of both."""
    if CNN not in models:
        return []
    variants = [n for n, m in models.items() if n.startswith(f"{CNN}_") and m["figures"]]
    return [_variant(models[CNN], models[name], part) for name in variants]


def _variant(baseline: Mapping[str, Any], variant: Mapping[str, Any], part: str) -> str:
    means = mean_f1s(
        [
            {"first_f1": label_f1(variant, part, name), "second_f1": label_f1(baseline, part, name)}
            for name in variant["labels"]
            if name in baseline["labels"]
        ]
    )
    if not means["labels"]:
        return f"{variant['title']}: no label in common with the baseline that occurs there."
    return f"{variant['title']}: {_lead(means)}."


def _lead(means: Mapping[str, Any]) -> str:
    first, second = means["first_f1"], means["second_f1"]
    by = abs(first - second)
    place = "level" if by < _ALIKE else f"{'ahead' if first > second else 'behind'} by {by:.3f}"
    labels = f"{means['labels']} label{'s' * (means['labels'] != 1)}"
    return f"{place} ({first:.3f} and {second:.3f}) over {labels}"


def _named(labels: Sequence[str], scores: Mapping[str, float]) -> str:
    return ", ".join(f"{n} ({scores[n]:.2f})" if n in scores else n for n in labels)
