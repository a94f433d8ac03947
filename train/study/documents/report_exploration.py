"""The report's part on the exploration: what the chips are and what they look like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.blocks.document import Block, Bullets, Heading, Paragraph, TableBlock
from train.study.documents.charts import show_pictures


def exploration_blocks(study: Mapping[str, Any], folder: Path) -> list[Block]:
    """What was found before any model; empty if nothing was explored."""
    found = study["exploration"]
    if not found:
        return []
    return [
        Heading("What the chips look like"),
        Paragraph(
            "Before any model: which labels there are, which occur together, and what the chips of "
            "a label look like on average. All labelled rows are counted here, whatever part they "
            "are in."
        ),
        Bullets(_describe(found)),
        *_kinds(found["chips"]),
        *show_pictures(folder, found["pictures"], "."),
    ]


def _describe(found: Mapping[str, Any]) -> list[str]:
    chips = found["chips"]
    damaged = chips["damaged"]
    reasons = ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in damaged.items())
    return [
        f"{found['rows']:,} labelled rows, {found['mean_labels_a_chip']:.2f} labels a chip, "
        f"{found['label_sets']:,} different sets of labels",
        f"{chips['decoded']:,} chips can be read, {chips['labelled']:,} of them have labels",
        f"Damaged: {sum(damaged.values()):,}" + (f" ({reasons})" if damaged else ""),
    ]


def _kinds(chips: Mapping[str, Any]) -> list[Block]:
    rows = [[k["mode"], k["width_px"], k["height_px"], k["chips"]] for k in chips["kinds"]]
    head = ["mode", "width, pixels", "height, pixels", "chips"]
    return [TableBlock(head, rows, "Kinds of chips, the most frequent first")] if rows else []
