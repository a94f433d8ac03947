"""How far each label of a model can be trusted: its figures, as rows of the table `models`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from schemas.decisions import Threshold
from schemas.table import Column

if TYPE_CHECKING:
    from schemas.artifact import ModelArtifact

PROVEN_POSITIVES = 10
"""A label that can be reported is proven if validation and test together have this many chips with
it."""

INTERVAL_POSITIVES = 5
"""With fewer positive chips, a figure has no interval."""

JUDGED_PARTS = ("test", "validation")
"""Parts of the labelled chips that figures may be of, the best first."""

_SHARE = "share in [0, 1]"
_Z = 1.959963984540054  # 95 % of a normal distribution are within this many deviations


def _figure(name: str, description: str) -> tuple[Column, Column, Column]:
    interval = f"end of the 95 % interval of {name}; null below {INTERVAL_POSITIVES} positives."
    return (
        Column(name, "float64", f"{description}; null if not known.", _SHARE),
        Column(f"{name}_low", "float64", f"Lower {interval}", _SHARE),
        Column(f"{name}_high", "float64", f"Upper {interval}", _SHARE),
    )


TRUST_COLUMNS = (
    Column("label", "string", "The label.", required=True),
    Column(
        "threshold",
        "float64",
        "A chip has the label if its score is at or over it (unless the sky rule is argmax); null: "
        "never.",
        "probability in [0, 1]",
    ),
    Column(
        "positives",
        "int64",
        "Chips with the label in validation and test together; null if not known.",
        "chips",
    ),
    Column(
        "measured_on",
        "string",
        "What the figures were measured on: test, or validation if there is no test part; null if "
        "there are no figures.",
    ),
    *_figure("precision", "Share of the chips given the label that have it"),
    *_figure("recall", "Share of the chips with the label that are given it"),
    *_figure("average_precision", "Mean precision over all thresholds"),
    Column(
        "proven",
        "bool",
        f"Whether positives is at least {PROVEN_POSITIVES} and the threshold is not null; null if "
        "positives are not known.",
    ),
)
"""The columns of `models` next to the digests and the run."""


def trust_rows(artifact: ModelArtifact) -> list[dict[str, Any]]:
    """The rows of an artifact's labels, in label order, as plain data for JSON. Figures that the
    artifact lacks, or that make no sense, are None."""
    return [
        _row(artifact.figures, name, threshold)
        for name, threshold in zip(artifact.label_set.names, artifact.thresholds, strict=True)
    ]


def wilson_interval(share: float, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share of trials, by Wilson's score (1927)."""
    middle = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    spread = math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    half = _Z * spread / (1 + _Z**2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def relabelled_rows(
    known: Sequence[Mapping[str, Any]], thresholds: Mapping[str, Threshold]
) -> list[dict[str, Any]]:
    """The rows of a model's labels at other thresholds: what was measured at the old ones is None.

    Args:
        known: rows of the same model at any thresholds.
    """
    by_label = {row["label"]: row for row in known}
    kept = ["positives", "measured_on"]
    kept += ["average_precision", "average_precision_low", "average_precision_high"]
    nothing = dict.fromkeys(column.name for column in TRUST_COLUMNS)
    rows = []
    for label, threshold in thresholds.items():
        found = {name: by_label.get(label, {}).get(name) for name in kept}
        proven = _proven(found["positives"], threshold)
        own = {"label": label, "threshold": threshold, "proven": proven}
        rows.append(nothing | found | own)
    return rows


def _row(figures: Mapping[str, Any], label: str, threshold: Threshold) -> dict[str, Any]:
    part = next((part for part in JUDGED_PARTS if _of(figures, part, "labels", label)), None)
    chosen = _of(figures, part, "labels", label, "at_threshold") or {}
    counted = [_count(_of(figures, p, "labels", label, "positives")) for p in JUDGED_PARTS]
    found = [count for count in counted if count is not None]
    positives = sum(found) if found else None
    here = _count(_of(figures, part, "labels", label, "positives"))
    predicted = _count(_of(chosen, "predicted"))
    return {
        "label": label,
        "threshold": threshold,
        "positives": positives,
        "measured_on": part,
        **_with_ends("precision", _share(_of(chosen, "precision")), predicted, here),
        **_with_ends("recall", _share(_of(chosen, "recall")), here, here),
        **_average_precision(figures, part, label, here),
        "proven": _proven(positives, threshold),
    }


def _proven(positives: int | None, threshold: Threshold) -> bool | None:
    """Whether a label is proven: one that is never reported is not."""
    if positives is None:
        return None
    return threshold is not None and positives >= PROVEN_POSITIVES


def _average_precision(
    figures: Mapping[str, Any], part: str | None, label: str, positives: int | None
) -> dict[str, float | None]:
    value = _share(_of(figures, part, "labels", label, "average_precision"))
    ends = _of(figures, part, "intervals", "labels", label, "average_precision")
    low, high = ends if isinstance(ends, list | tuple) and len(ends) == 2 else (None, None)
    return _named("average_precision", value, (_share(low), _share(high)), positives)


def _with_ends(
    name: str, value: float | None, trials: int | None, positives: int | None
) -> dict[str, float | None]:
    """A share of trials with its interval."""
    if value is None or not trials:
        return _named(name, value, (None, None), positives)
    return _named(name, value, wilson_interval(value, trials), positives)


def _named(
    name: str,
    value: float | None,
    ends: tuple[float | None, float | None],
    positives: int | None,
) -> dict[str, float | None]:
    few = positives is None or positives < INTERVAL_POSITIVES or None in (value, *ends)
    low, high = (None, None) if few else ends
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _of(data: Any, *keys: str | None) -> Any:
    """A value in nested mappings; None if a key is missing."""
    for key in keys:
        if not isinstance(data, Mapping) or key is None:
            return None
        data = data.get(key)
    return data


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62
    return value if is_count else None


def _share(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None
