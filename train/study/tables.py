"""The tables of the report, made of the comparison's plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.study.comparison import label_row, mean_of
from train.study.document import Cell, Table

Rows = list[list[Cell]]


def means_table(comparison: Mapping[str, Any]) -> Table:
    """The means of every model; the best by validation stands out."""
    part, models = comparison["part"], comparison["models"]
    rows: Rows = [
        [
            row["title"],
            row["labels"],
            row["parameters"],
            row["validation_f1"],
            row["f1"],
            row["f1_at_half"],
            row["micro_f1"],
            row["mean_average_precision"],
        ]
        for row in models
    ]
    head = ["model", "labels", "parameters", "best F1, validation", f"F1, {part}"]
    return Table(
        [*head, "F1 at 0.5", "micro F1", "mAP"],
        rows,
        f"Means over the labels; the last three on {part}. Micro F1 pools all decisions, so that "
        "frequent labels weigh more; mAP needs no threshold. The best network by validation "
        "stands out.",
        strong=frozenset(i for i, row in enumerate(models) if row["name"] == comparison["best"]),
    )


def threshold_tables(comparison: Mapping[str, Any], titles: Mapping[str, str]) -> list[Table]:
    """Thresholds, best F1 on validation, and F1 on the judged part: a column for each network.

    Args:
        titles: of the networks by name, in the order of their columns.
    """
    part, rows = comparison["part"], comparison["thresholds"]
    kinds = {
        "best_threshold": "The threshold with the best F1 on validation",
        "validation_f1": "Best F1 on validation, at that threshold",
        "threshold": "The threshold that is kept",
        "f1": f"F1 on {part}, at the threshold that is kept",
    }
    return [_by_network(rows, titles, key, caption) for key, caption in kinds.items()]


def versus_table(compared: Mapping[str, Any]) -> Table:
    """VGG16 and the baseline CNN label by label: common ones, their mean, rare ones, theirs."""
    rows: Rows = []
    strong = set()
    for kind in ("common", "rare"):
        held = [row for row in compared["rows"] if row["is_rare"] == (kind == "rare")]
        rows += [_versus_row(kind, row) for row in held]
        means = compared[kind]
        if means["labels"]:
            strong.add(len(rows))
            rows.append(_mean_row(kind, means))
    strong.add(len(rows))
    rows.append(_mean_row("all", compared["all"]))
    part = compared["part"]
    head = ["kind", "label", "training chips", f"{part} chips", "VGG16", "CNN", "difference"]
    caption = f"F1 on {part}; means over labels of which both models have an F1"
    return Table(head, rows, caption, strong=frozenset(strong))


def published_tables(published: Mapping[str, Any]) -> list[Table]:
    """Means as published and here, and the same label by label where they were given."""
    means: Rows = [[r["title"], r["published"], r["here"]] for r in published["means"]]
    tables = [Table(["model", "published", "here"], means, "Mean F1 over the labels")]
    if rows := published["labels"]:
        titles = {row["name"]: row["title"] for row in published["means"]}
        head = ["label"]
        for title in titles.values():
            head += [f"{title}, published", f"{title}, here"]
        cells: Rows = [
            [row["label"], *(row[where].get(n) for n in titles for where in ("published", "here"))]
            for row in rows
        ]
        tables.append(Table(head, cells, f"F1 of each label; published: {published['source']}"))
    return tables


def label_table(model: Mapping[str, Any], part: str) -> Table:
    """A model's figures for each label on a part."""
    rows: Rows = []
    for label in model["labels"]:
        row = label_row(model, part, label)
        chosen = row.get("at_threshold", {})
        rows.append(
            [
                label,
                row.get("positives"),
                row.get("threshold"),
                chosen.get("precision"),
                chosen.get("recall"),
                chosen.get("f1"),
                row.get("average_precision"),
            ]
        )
    means = [mean_of([row[i] for row in rows]) for i in range(3, 7)]  # type: ignore[misc]
    rows.append(["mean", None, None, *means])
    head = ["label", f"{part} chips", "threshold", "precision", "recall", "F1", "AP"]
    caption = f"{model['title']} on {part}; AP is average precision"
    return Table(head, rows, caption, strong=frozenset({len(rows) - 1}))


def _by_network(
    rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str], key: str, caption: str
) -> Table:
    cells: Rows = [
        [row["label"], *(row["networks"].get(name, {}).get(key) for name in titles)] for row in rows
    ]
    strong = frozenset[int]()
    if key in ("validation_f1", "f1"):
        columns = zip(*(row[1:] for row in cells), strict=True)
        means = [mean_of(column) for column in columns]
        strong = frozenset({len(cells)})
        cells.append(["mean", *means])
    return Table(["label", *titles.values()], cells, caption, strong=strong)


def _versus_row(kind: str, row: Mapping[str, Any]) -> list[Cell]:
    first, second = row["first_f1"], row["second_f1"]
    difference = None if first is None or second is None else first - second
    counts = [row["training_positives"], row["positives"]]
    return [kind, row["label"], *counts, first, second, difference]


def _mean_row(kind: str, means: Mapping[str, Any]) -> list[Cell]:
    first, second = means["first_f1"], means["second_f1"]
    difference = None if first is None or second is None else first - second
    said = f"mean of {means['labels']}"
    return [kind, said, None, None, first, second, difference]
