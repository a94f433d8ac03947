"""The forest's tables and pictures, and what its summary says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.labels import LabelSet
from train.data.examples import Examples
from train.data.label_files import Part
from train.forest.forest import ForestFit
from train.judging.measuring import Scores
from train.pictures import draw_bars, draw_heat_map
from train.results import describe_picture, write_summary, write_table

MODEL = "random_forest"


def write_forest(
    folder: Path,
    fit: ForestFit,
    label_set: LabelSet,
    examples: Mapping[Part, Examples],
    scores: Scores,
    figures: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> dict[str, Any]:
    """Write tables, pictures and `summary.json`; returns the last.

    Args:
        scores: `[n, labels]` of the test chips.
        figures: of the test chips, see `train.judging.measuring.measure`.
        summary: the other fields of `summary.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    grid = _grid_rows(fit)
    columns = ("max_depth", "trees", "sample_f1", "deviation")
    write_table(folder / "forest_grid.csv", columns, grid)
    _write_labels(folder, label_set, examples["train"], figures)
    rows = zip(examples["test"].names, scores.tolist(), strict=True)
    header = ("image_name", *label_set.names)
    write_table(folder / "forest_scores.csv", header, [(name, *row) for name, row in rows])
    written = {
        "model": MODEL,
        **summary,
        "folds": fit.folds,
        "grid": [dict(zip(columns, row, strict=True)) for row in grid],
        "best": {
            "max_depth": fit.max_depth,
            "trees": fit.trees,
            "sample_f1": float(fit.means[fit.best]),
        },
        "figures": {"test": figures},
        "pictures": _draw(folder, fit, figures),
    }
    write_summary(folder, written)
    return written


def _grid_rows(fit: ForestFit) -> list[tuple[int, int, float, float]]:
    return [
        (depth, trees, float(fit.means[row, column]), float(fit.deviations[row, column]))
        for row, depth in enumerate(fit.grid.max_depths)
        for column, trees in enumerate(fit.grid.trees)
    ]


def _write_labels(
    folder: Path, label_set: LabelSet, train: Examples, figures: Mapping[str, Any]
) -> None:
    learned = dict(zip(label_set.names, train.truth.sum(axis=0).tolist(), strict=True))
    header = ("label", "training_positives", "test_positives", "average_precision")
    measures = ("predicted", "precision", "recall", "f1")
    rows = []
    for name, row in figures["labels"].items():
        found = (row["at_half"][measure] for measure in measures)
        rows.append((name, learned[name], row["positives"], row["average_precision"], *found))
    write_table(folder / "forest_labels.csv", header + measures, rows)


def _draw(folder: Path, fit: ForestFit, figures: Mapping[str, Any]) -> list[dict[str, str]]:
    title = f"Sample-averaged F1, mean of {fit.folds} folds"
    draw_heat_map(
        folder / "forest_grid.png",
        fit.means,
        [str(depth) for depth in fit.grid.max_depths],
        [str(trees) for trees in fit.grid.trees],
        title,
        x_name="trees",
        y_name="greatest depth",
        value_format="{:.4f}",
        marked=fit.best,
    )
    labels = figures["labels"]
    series = {
        name: [row["at_half"][measure] for row in labels.values()]
        for name, measure in {"F1": "f1", "precision": "precision", "recall": "recall"}.items()
    }
    tested = f"The random forest on {figures['chips']:,} test chips"
    file = folder / "forest_labels.png"
    draw_bars(file, list(labels), series, tested, "at score 0.5", "{:.3f}")
    said = "The random forest, label by label, on test"
    return [
        describe_picture("forest_grid.png", "forest_grid", f"{title}; the best is framed"),
        describe_picture("forest_labels.png", "forest_labels", said),
    ]
