"""The pictures of the comparison; each is drawn only from the study's figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.blocks.document import Picture
from train.artifact.file_names import CURVES_FILE
from train.pictures import draw_bars

FOLDER = "comparison"
"""The pictures' folder in the study's."""

MEANS, COMMON, RARE, PUBLISHED = (
    "mean_f1.png",
    "vgg16_vs_cnn_common.png",
    "vgg16_vs_cnn_rare.png",
    "published.png",
)
"""Files of the pictures; one whose figures are missing is not drawn."""

_F1_RANGE = (0, 1.1)  # with room for the number at the end of a bar


def draw_charts(folder: Path, study: Mapping[str, Any]) -> None:
    """Draw every picture that has figures into the study's folder; remove older ones."""
    folder = folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in (MEANS, COMMON, RARE, PUBLISHED):
        (folder / name).unlink(missing_ok=True)
    comparison = study["comparison"]
    if comparison["models"]:
        _draw_means(folder / MEANS, comparison)
    if compared := comparison["vgg16_vs_cnn"]:
        for name, kind in ((COMMON, "common"), (RARE, "rare")):
            _draw_versus(folder / name, compared, kind)
    if study["published"]:
        _draw_published(folder / PUBLISHED, study)


def _draw_means(path: Path, comparison: Mapping[str, Any]) -> None:
    rows, part = comparison["models"], comparison["part"]
    used = f"{part}, thresholds in use"
    draw_bars(
        path,
        [row["title"] for row in rows],
        {
            f"{part}, best thresholds": [row["best_f1"] for row in rows],
            used: [row["f1"] for row in rows],
        },
        "Mean F1 of every model over its labels",
        "mean F1; whiskers: 95 % interval for other chips like these",
        value_format="{:.3f}",
        x_range=_F1_RANGE,
        intervals={used: [row["f1_interval"] for row in rows]},
    )


def _draw_versus(path: Path, compared: Mapping[str, Any], kind: str) -> None:
    rows = [row for row in compared["rows"] if row["is_rare"] == (kind == "rare")]
    if not rows:
        return
    rows.sort(key=lambda row: -row["training_positives"])
    draw_bars(
        path,
        [f"{row['label']} ({row['positives']:,})" for row in rows],
        {
            "VGG16": [row["first_f1"] for row in rows],
            "baseline CNN": [row["second_f1"] for row in rows],
        },
        f"VGG16 and the baseline CNN: {kind} labels",
        f"F1 on {compared['part']}; in brackets the chips there that carry the label",
        value_format="{:.2f}",
        x_range=_F1_RANGE,
    )


def _draw_published(path: Path, study: Mapping[str, Any]) -> None:
    rows = study["published"]["means"]
    if not rows:
        return
    draw_bars(
        path,
        [row["title"] for row in rows],
        {
            "published": [row["published"] for row in rows],
            "here, best thresholds": [row["best_here"] for row in rows],
            "here, thresholds in use": [row["here"] for row in rows],
        },
        "Mean F1: published and here",
        "mean F1 over the labels",
        value_format="{:.3f}",
        x_range=_F1_RANGE,
    )


def show_chart(folder: Path, name: str, caption: str = "") -> list[Picture]:
    """A chart in the study's folder; empty if it was not drawn."""
    return _if_drawn(folder / FOLDER / name, caption)


def show_pictures(
    folder: Path, pictures: Iterable[Mapping[str, str]], end: str = ""
) -> list[Picture]:
    """Pictures of a summary (`train.results.describe_picture`), with the end of each caption."""
    return [Picture(folder / picture["file"], picture["caption"] + end) for picture in pictures]


def show_curves(folder: Path, model: str, caption: str) -> list[Picture]:
    """The training curves of a network; empty for other models."""
    return _if_drawn(folder / "models" / model / CURVES_FILE, caption)


def _if_drawn(path: Path, caption: str) -> list[Picture]:
    return [Picture(path, caption)] if path.exists() else []
