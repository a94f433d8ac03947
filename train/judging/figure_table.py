"""Figures as tables for people: what `python -m train` and `python -m train evaluate` print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_OVERALL = {"macro": "mean over labels", "micro": "all decisions", "sample": "mean over chips"}
_HEAD = f"{'P':>6} {'R':>6} {'F1':>6}"


def format_figures(figures: Mapping[str, Any]) -> str:
    """Figures of `train.judging.measuring.measure`: a line a label, then the figures over all."""
    width = max(len("label"), *(len(name) for name in figures["labels"]))
    over = f"{'':{width}}  {'':>9}  {'at its threshold':^54}  {'at 0.5':^20}"
    names = (
        f"{'label':{width}}  {'positives':>9}  {'threshold':>9} {'predicted':>9} {_HEAD} "
        f"{'F1, 95 %':^14}  {_HEAD}  {'AP':>6} {'best F1':>8}"
    )
    rows = [_label_line(figures, name, width) for name in figures["labels"]]
    return "\n".join([over, names, *rows, *_overall_lines(figures)])


def _label_line(figures: Mapping[str, Any], name: str, width: int) -> str:
    row, ends = figures["labels"][name], figures["intervals"]["labels"][name]
    chosen, f1_ends = row["at_threshold"], interval_text(ends["at_threshold"]["f1"])
    return (
        f"{name:{width}}  {row['positives']:>9}  {row['threshold']:>9.4f} "
        f"{chosen['predicted']:>9} {_three(chosen)} {f1_ends:^14}  "
        f"{_three(row['at_half'])}  {figure_text(row['average_precision']):>6} "
        f"{figure_text(row['best']['f1']):>8}"
    )


def _overall_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    ends = figures["intervals"]
    precision = figure_text(figures["mean_average_precision"])
    yield (
        f"{figures['chips']} chips: mAP {precision} "
        f"({interval_text(ends['mean_average_precision'])}), "
        f"mean best F1 {figure_text(figures['mean_best_f1'])}, "
        f"calibration error {figure_text(figures['calibration']['expected_error'])}"
    )
    for average, meaning in _OVERALL.items():
        for beta in (1, 2):
            key = f"{average}_f{beta}"
            at = [
                f"{figure_text(figures[where][key])} ({interval_text(ends[where][key])}) {text}"
                for where, text in (("at_threshold", "at the thresholds"), ("at_half", "at 0.5"))
            ]
            yield f"  {average} F{beta} ({meaning}): {', '.join(at)}"
    if fitted := figures.get("cross_fitted"):
        found = ", ".join(f"{a} F1 {figure_text(fitted[f'{a}_f1'])}" for a in _OVERALL)
        yield f"  at thresholds that other chips of this part chose: {found}"


def figure_text(value: float | None) -> str:
    """A figure with three decimals; a dash for one that is not defined."""
    return "-" if value is None else f"{value:.3f}"


def interval_text(ends: Sequence[float] | None) -> str:
    """The ends of an interval."""
    return "-" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def _three(row: Mapping[str, float | None]) -> str:
    return " ".join(f"{figure_text(row[key]):>6}" for key in ("precision", "recall", "f1"))
