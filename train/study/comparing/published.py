"""The published study's figures (Thisted 2020), next to ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from pipelines.errors import UsageError
from schemas.labels import PLANET_LABELS, LabelSet
from train.addresses import read_file
from train.data.splits import STUDY_NETWORKS
from train.study.comparing.comparison import best_threshold, figure, label_f1
from train.study.models.plan import CNN, FOREST, VGG16

SOURCE = "Thisted 2020"

PUBLISHED_MEANS: Mapping[str, float] = {FOREST: 0.22, CNN: 0.475, VGG16: 0.577}
"""Mean F1 over the 17 labels, for the networks at each label's best threshold (Thisted 2020)."""

PUBLISHED_FOREST = {"trees": 200, "max_depth": 10, "sample_f1": 0.704}
"""The published study's forest and its sample-averaged F1 (Thisted 2020)."""

_COLUMNS = {FOREST: "forest_f1", CNN: "cnn_f1", VGG16: "vgg16_f1"}
_THRESHOLDS = {CNN: "cnn_threshold", VGG16: "vgg16_threshold"}


def read_published(uri: str) -> dict[str, dict[str, Any]]:
    """Read published figures by label: F1 of each model, thresholds of the networks.

    The csv has the columns `label,forest_f1,cnn_threshold,cnn_f1,vgg16_threshold,vgg16_f1`;
    others are ignored.

    Raises:
        UsageError: a column is missing, there are no rows, or a value is not a number in [0, 1].
        StorageError: it cannot be read.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_file("--published", uri).decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--published {uri} is not csv in UTF-8: {error}") from error
    needed = {"label", *_COLUMNS.values(), *_THRESHOLDS.values()}
    if not rows or not needed <= set(rows[0]):
        raise UsageError(
            f"--published {uri} needs rows with the columns {', '.join(sorted(needed))}"
        )
    return {
        row["label"]: {
            "f1": {model: _fraction(uri, row, column) for model, column in _COLUMNS.items()},
            "threshold": {m: _fraction(uri, row, column) for m, column in _THRESHOLDS.items()},
        }
        for row in rows
    }


def _fraction(uri: str, row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(
            f"--published {uri}: {column} of {row['label']!r} must be a number from 0 to 1, "
            f"not {row[column]!r}"
        )
    return value


def compare_with_published(
    models: Mapping[str, Mapping[str, Any]],
    part: str,
    label_set: LabelSet,
    chips: Mapping[str, int],
    by_label: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, Any] | None:
    """Published figures and ours, as plain data; None if the labels are not the study's.

    Args:
        chips: chips of each part here.
        by_label: what `read_published` returned, if there is a csv.
    """
    if set(label_set.names) != set(PLANET_LABELS.names):
        return None
    shown = {name: models[name] for name in PUBLISHED_MEANS if name in models}
    networks = {name: model for name, model in shown.items() if model["network"]}
    return {
        "source": SOURCE,
        "statement": _statement(chips, part),
        "means": [
            {
                "name": name,
                "title": model["title"],
                "published": PUBLISHED_MEANS[name],
                "best_here": figure(model, part, "mean_best_f1") if model["network"] else None,
                "here": figure(model, part, "at_threshold", "macro_f1"),
            }
            for name, model in shown.items()
        ],
        "forest": _forest(shown.get(FOREST)),
        "labels": [
            {
                "label": label,
                "published": dict(by_label[label]["f1"]),
                "here": {name: label_f1(model, part, label) for name, model in shown.items()},
                "published_threshold": dict(by_label[label]["threshold"]),
                "best_threshold": {n: best_threshold(networks[n], label) for n in networks},
            }
            for label in label_set.names
            if by_label and label in by_label
        ],
    }


def _forest(model: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if model is None:
        return None
    here = {key: model[key] for key in PUBLISHED_FOREST}
    return {"published": dict(PUBLISHED_FOREST), "here": here}


def _statement(chips: Mapping[str, int], part: str) -> str:
    theirs = _counted(STUDY_NETWORKS)
    smaller = sum(chips.values()) < sum(STUDY_NETWORKS.values())
    head = (
        f"These are different and far fewer chips than the published study's: {_counted(chips)} "
        f"here, {theirs} there. The figures cannot be compared directly."
        if smaller
        else f"The published study had {theirs}; here it is {_counted(chips)}, drawn again, so "
        "the parts do not hold the same chips."
    )
    parts = (
        f'Ours are on the {part} part: "best" at the thresholds that are best for these same '
        'chips, as in the study, and "in use" at those that were chosen on validation.'
    )
    return f"{head} {parts}"


def _counted(chips: Mapping[Any, int]) -> str:
    return ", ".join(f"{count:,} {part}" for part, count in chips.items() if count)
