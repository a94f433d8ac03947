"""Figures as tables for people: what `python -m train` and `python -m train evaluate` print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.blocks.document import Cell, TableBlock, cell_text
from pipelines.blocks.text_table import render_table
from schemas.decisions import Threshold
from train.judging.intervals import FEWEST_POSITIVES

_OVERALL = {"macro": "mean over labels", "micro": "all decisions", "sample": "mean over chips"}
_TOO_FEW = "too few"
_RATES = {"precision": "P", "recall": "R", "f1": "F1"}


def format_figures(figures: Mapping[str, Any]) -> str:
    """Figures of `train.judging.measuring.measure`: one line per label, then the figures over all.

    P, R, F1 and the number of predicted chips are those at the label's threshold.
    """
    notes = [f"  {line}" for line in average_lines(figures)]
    return "\n".join([render_table(label_table(figures)), *overall_notes(figures), *notes])


def label_table(figures: Mapping[str, Any]) -> TableBlock:
    """The figures of each label, see `format_figures`."""
    head = ["label", "positives", "threshold", "predicted", *_RATES.values(), "F1, 95 %"]
    head += [*(f"{name} at 0.5" for name in _RATES.values()), "AP", "best F1"]
    rows = [_label_row(figures, name) for name in figures["labels"]]
    return TableBlock(head, rows, numbers={1, 2, 3})


def overall_notes(figures: Mapping[str, Any]) -> list[str]:
    """What "too few" means if the table says it, and the figures that need no thresholds."""
    few = any(row["positives"] < FEWEST_POSITIVES for row in figures["labels"].values())
    note = [f"{_TOO_FEW}: no interval below {FEWEST_POSITIVES} positives"] if few else []
    ends = figures["intervals"]
    precision = figure_text(figures["mean_average_precision"])
    overall = (
        f"{figures['chips']} chips: mAP {precision} "
        f"({interval_text(ends['mean_average_precision'])}), "
        f"mean best F1 {figure_text(figures['mean_best_f1'])}, "
        f"calibration error {figure_text(figures['calibration']['expected_error'])}"
    )
    return [*note, overall]


def average_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """F1 and F2 over all labels, a line for each mean."""
    ends = figures["intervals"]
    for average, meaning in _OVERALL.items():
        for beta in (1, 2):
            key = f"{average}_f{beta}"
            at = [
                f"{with_interval(figures[where][key], ends[where][key])} {text}"
                for where, text in (("at_threshold", "at the thresholds"), ("at_half", "at 0.5"))
            ]
            yield f"{average} F{beta} ({meaning}): {', '.join(at)}"
    if fitted := figures.get("cross_fitted"):
        found = ", ".join(f"{a} F1 {figure_text(fitted[f'{a}_f1'])}" for a in _OVERALL)
        yield f"at thresholds that were chosen on other chips of this part: {found}"


def _label_row(figures: Mapping[str, Any], name: str) -> list[Cell]:
    row, ends = figures["labels"][name], figures["intervals"]["labels"][name]
    chosen, half = row["at_threshold"], row["at_half"]
    return [
        name,
        str(row["positives"]),
        threshold_text(row["threshold"]),
        str(chosen["predicted"]),
        *(chosen[rate] for rate in _RATES),
        interval_text(ends["at_threshold"]["f1"], row["positives"]),
        *(half[rate] for rate in _RATES),
        row["average_precision"],
        row["best"]["f1"],
    ]


def threshold_text(threshold: Threshold) -> str:
    """A threshold with four decimals, or "never"."""
    return "never" if threshold is None else f"{threshold:.4f}"


def figure_text(value: float | None) -> str:
    """A figure with three decimals; a dash for one that is not defined."""
    return str(cell_text(value))


def interval_text(ends: Sequence[float] | None, positives: int = FEWEST_POSITIVES) -> str:
    """The ends of an interval; without one "too few" (positives), or else a dash."""
    if ends is None:
        return _TOO_FEW if positives < FEWEST_POSITIVES else "-"
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def with_interval(value: float | None, ends: Sequence[float] | None) -> str:
    """A figure, and its interval in brackets."""
    return f"{figure_text(value)} ({interval_text(ends)})" if ends else figure_text(value)
