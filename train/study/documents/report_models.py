"""The report's part on the models: what each is, how it was trained, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.blocks.document import Block, Heading, Note, Paragraph
from train.study.documents.charts import show_curves, show_pictures
from train.study.documents.tables import label_table

_CURVES_CAPTION = (
    "during training. Where validation moves away from training, it begins to overfit."
)


def model_blocks(study: Mapping[str, Any], folder: Path) -> list[Block]:
    """A section for each model."""
    if not study["models"]:
        return []
    blocks: list[Block] = [Heading("The models, one by one")]
    for name, model in study["models"].items():
        blocks += [Heading(model["title"], 3), Paragraph(model["idea"])]
        blocks.append(Paragraph(_describe_training(model)))
        blocks += show_curves(folder, name, f"{model['title']} {_CURVES_CAPTION}")
        blocks += show_pictures(folder, model.get("pictures", []), ".")
        blocks.append(label_table(model, study["comparison"]["part"]))
        if model["unproven_thresholds"]:
            labels = ", ".join(model["unproven_thresholds"])
            blocks.append(Note(f"No validation chip proves the thresholds of {labels}."))
    return blocks


def _describe_training(model: Mapping[str, Any]) -> str:
    if not model["network"]:
        return _describe_forest(model)
    options, side = model["options"], model["image_size"]
    repeated = options["imbalance"]["upsample"]
    return (
        f"Input {side}x{side} pixels, {len(model['bands'])} bands; {model['parameters']:,} "
        f"parameters, from {model['weights']}. Trained on {model['chips']['train']:,} chips in "
        f"{model['epochs']} epochs of at most {options['epochs']}, {options['batch_size']} chips a "
        f"step, rate {options['learning_rate']:g}, in {model['seconds']:,.0f} s; the weights are "
        f"those of epoch {model['best_epoch']}."
        + (f" Chips of {', '.join(repeated)} are repeated." if repeated else "")
    )


def _describe_forest(model: Mapping[str, Any]) -> str:
    chips = ", ".join(f"{count:,} to {part}" for part, count in model["chips"].items())
    return (
        f"Of the grid, {model['trees']} trees of depth {model['max_depth']} have the best F1 "
        f"averaged over chips: {model['grid_sample_f1']:.3f}, the mean of {model['folds']} folds "
        f"of the training part, and {model['sample_f1']:.3f} on the chips that it was tested on. "
        f"Chips: {chips}; {model['seconds']:,.0f} s. A label is reported where half of the trees "
        "vote for it. Without --split, these parts are used only for the forest, as in the "
        "published study."
    )
