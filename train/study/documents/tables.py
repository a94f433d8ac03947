"""The tables of the report, from the comparison's plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.blocks.document import Cell, TableBlock
from train.study.comparing.comparison import FEWEST_POSITIVES, figure, label_row, mean_of
from train.study.models.plan import FOREST

Rows = list[list[Cell]]


def means_table(comparison: Mapping[str, Any]) -> TableBlock:
    """The means of every model; the best by validation is highlighted."""
    part, models = comparison["part"], comparison["models"]
    columns = {
        "model": "title",
        "labels": "labels",
        "best F1, validation": "validation_best_f1",
        f"best F1, {part}": "best_f1",
        "F1": "f1",
        "F1, 95 %": "f1_interval",
        "F1 at 0.5": "f1_at_half",
        "micro F1": "frequent_micro_f1",
        "micro F1 at 0.5": "frequent_micro_f1_at_half",
        "F2": "sample_f2",
        "mAP": "mean_average_precision",
    }
    shown = [row | {"f1_interval": format_interval(row["f1_interval"])} for row in models]
    return TableBlock(
        list(columns),
        [[row[key] for key in columns.values()] for row in shown],
        f"From the fourth column on {part}. F1 is the mean over labels at the thresholds in use, "
        "best F1 the highest at any thresholds there. Micro F1 pools the decisions on labels "
        f"with at least {FEWEST_POSITIVES} chips there; F2 is the mean over chips, and counts "
        "recall twice; mAP needs no threshold. The best network by validation is highlighted.",
        strong=frozenset(i for i, row in enumerate(models) if row["name"] == comparison["best"]),
    )


def threshold_tables(comparison: Mapping[str, Any], titles: Mapping[str, str]) -> list[TableBlock]:
    """Thresholds, best F1 on validation, and F1 on the judged part: a column for each network.

    Args:
        titles: of the networks by name, in the order of their columns.
    """
    part, rows = comparison["part"], comparison["thresholds"]
    kinds = {
        "best_threshold": "The best threshold of each label on validation",
        "best_f1": "F1 on validation at the best threshold",
        "threshold": "The threshold in use",
        "f1": f"F1 on {part} at the threshold in use",
    }
    return [_by_network(rows, titles, key, caption) for key, caption in kinds.items()]


def versus_table(compared: Mapping[str, Any]) -> TableBlock:
    """VGG16 and the baseline CNN label by label: common ones, their mean, rare ones, theirs."""
    rows: Rows = []
    strong = set()
    for kind in ("common", "rare", "all"):
        held = [row for row in compared["rows"] if kind == ("rare" if row["is_rare"] else "common")]
        rows += [
            _versus_row(kind, row, row["label"], row["training_positives"], row["positives"])
            for row in held
        ]
        means = compared[kind]
        if means["labels"] or kind == "all":
            strong.add(len(rows))
            rows.append(_versus_row(kind, means, f"mean of {means['labels']}", None, None))
    part = compared["part"]
    head = ["kind", "label", "training chips", f"{part} chips", "VGG16", "CNN", "difference"]
    caption = f"F1 on {part}; means over labels for which both models have an F1"
    return TableBlock(head, rows, caption, strong=frozenset(strong))


def published_tables(published: Mapping[str, Any]) -> list[TableBlock]:
    """Means as published and here, and the same label by label if that is known."""
    means: Rows = [
        [row["title"], row["published"], row["best_here"], row["here"]]
        for row in published["means"]
    ]
    head = ["model", "published", "here, best", "here, in use"]
    tables = [TableBlock(head, means, "Mean F1 over the labels")]
    if forest := published["forest"]:
        kinds = {"trees": "trees", "max_depth": "greatest depth", "sample_f1": "F1 over chips"}
        cells: Rows = [
            [said, forest["published"][key], forest["here"][key]] for key, said in kinds.items()
        ]
        head = ["random forest", "published", "here"]
        tables.append(TableBlock(head, cells, "The random forest"))
    titles = {row["name"]: row["title"] for row in published["means"]}
    if rows := published["labels"]:
        source = published["source"]
        caption = f"F1 of each label: published ({source}), and here at the threshold in use"
        tables.append(_side_by_side(rows, titles, ("published", "here"), caption))
        networks = {name: title for name, title in titles.items() if name != FOREST}
        keys = ("published_threshold", "best_threshold")
        caption = f"Best threshold of each label: published ({source}), and here on validation"
        tables.append(_side_by_side(rows, networks, keys, caption))
    return tables


def label_table(model: Mapping[str, Any], part: str) -> TableBlock:
    """A model's figures for each label on a part."""
    rows: Rows = []
    for label in model["labels"]:
        row = label_row(model, part, label)
        chosen = row.get("at_threshold", {})
        ends = figure(model, part, "intervals", "labels", label, "at_threshold", "f1")
        cells: list[Cell] = [label, row.get("positives"), row.get("threshold")]
        cells += [chosen.get(rate) for rate in ("precision", "recall", "f1")]
        cells += [format_interval(ends), row.get("best", {}).get("f1")]
        rows.append([*cells, row.get("average_precision")])
    means = {i: mean_of([row[i] for row in rows]) for i in (3, 4, 5, 7, 8)}  # type: ignore[misc]
    rows.append(["mean", *(means.get(i) for i in range(1, 9))])
    head = ["label", f"{part} chips", "threshold", "precision", "recall", "F1", "F1, 95 %"]
    caption = (
        f"{model['title']} on {part}. Best F1 is the highest at any threshold on these chips; AP "
        "is average precision."
    )
    return TableBlock([*head, "best F1", "AP"], rows, caption, strong=frozenset({len(rows) - 1}))


def format_interval(ends: Sequence[float] | None) -> str | None:
    """The two ends of an interval."""
    return None if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def _side_by_side(
    rows: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    keys: tuple[str, str],
    caption: str,
) -> TableBlock:
    """Two values of each model for each label, the published one first."""
    head = [f"{title}, {where}" for title in titles.values() for where in ("published", "here")]
    cells: Rows = [[r["label"], *(r[key].get(n) for n in titles for key in keys)] for r in rows]
    return TableBlock(["label", *head], cells, caption)


def _by_network(
    rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str], key: str, caption: str
) -> TableBlock:
    cells: Rows = [
        [row["label"], *(row["networks"].get(name, {}).get(key) for name in titles)] for row in rows
    ]
    strong = frozenset[int]()
    if key in ("best_f1", "f1"):
        strong = frozenset({len(cells)})
        columns = zip(*(row[1:] for row in cells), strict=True)
        cells.append(["mean", *map(mean_of, columns)])
    return TableBlock(["label", *titles.values()], cells, caption, strong=strong)


def _versus_row(kind: str, row: Mapping[str, Any], *cells: Cell) -> list[Cell]:
    first, second = row["first_f1"], row["second_f1"]
    difference = None if first is None or second is None else first - second
    return [kind, *cells, first, second, difference]
