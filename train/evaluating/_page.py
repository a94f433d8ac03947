"""The page of an evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.blocks.document import (
    Block,
    Bullets,
    Cell,
    Code,
    Document,
    Grid,
    Heading,
    Note,
    Paragraph,
    Picture,
    Strong,
    TableBlock,
    Text,
)
from train.chip_pictures import picture_chips
from train.evaluating.evaluated import Evaluated
from train.judging.co_confusion import CoConfusion
from train.judging.figure_table import average_lines, label_table, overall_notes
from train.judging.measuring import HALF
from train.judging.suspects import Suspects

SHOWN_CHIPS = 48
"""Chips with suspected labels that are shown."""

_SHOWN_PAIRS = 20


def build_page(
    found: Evaluated,
    figures: Mapping[str, Any],
    counts: CoConfusion,
    suspects: Suspects,
    pictures: Mapping[str, Path],
    title: str,
) -> Document:
    """The page.

    Args:
        figures: of `train.judging.measuring.measure`.
        pictures: png files by name, `precision_recall` and `co_confusion`.
    """
    return Document(
        title,
        [
            Paragraph(f"{len(found.names):,} chips, {len(found.labels)} labels."),
            Heading("Measures"),
            *_measure_blocks(found, figures),
            Heading("Suspected label errors"),
            *_suspect_blocks(found, suspects),
            Heading("Which labels are confused"),
            *_confusion_blocks(found, counts, pictures["co_confusion"]),
            Heading("Precision and recall"),
            *_curve_blocks(pictures["precision_recall"]),
        ],
    )


def _measure_blocks(found: Evaluated, figures: Mapping[str, Any]) -> Iterator[Block]:
    if found.trained_note:
        yield Note(found.trained_note)
    yield Bullets([*overall_notes(figures), *average_lines(figures)])
    yield label_table(figures)


def _curve_blocks(picture: Path) -> Iterator[Block]:
    if not picture.exists():
        yield Paragraph("No chip has a label.")
        return
    yield Paragraph(
        "Each point is a threshold; what the artifact decides is marked. All points are in "
        "precision_recall.csv."
    )
    yield Picture(picture, "Precision over recall of each label that a chip has")


def _suspect_blocks(found: Evaluated, suspects: Suspects) -> Iterator[Block]:
    yield Paragraph(
        "Labels that the model believes in least, given what the csv says, the most suspicious "
        "first (confident learning: Northcutt et al. 2021, Thyagarajan et al. 2022). A suspect is "
        "one label of one chip; look at it before you change it: rare labels that the model has "
        "not learned are here, too."
    )
    if found.trained.any():
        yield Note(
            "If the model learned errors of its training chips by heart, they are missed here; "
            "docs/training.md says how to score every chip by a model that has not seen it."
        )
    count = int(suspects.errors.sum())
    yield Paragraph(
        f"Confident learning counts {count:,} likely errors among {found.truth.size:,} labels of "
        f"chips. The first {len(suspects.rows):,} suspects are in suspects.csv."
    )
    rows: list[list[Cell]] = [
        [label, int(held.sum()), int(errors)]
        for label, held, errors in zip(found.labels, found.truth.T, suspects.errors, strict=True)
    ]
    rows.sort(key=lambda row: -int(str(row[2])))
    yield TableBlock(["label", "chips with it", "likely errors"], rows)
    shown: dict[int, list[int]] = {}
    entries = zip(suspects.rows.tolist(), suspects.columns.tolist(), suspects.likely, strict=True)
    for (row, column, likely), quality in zip(entries, suspects.quality, strict=True):
        if quality >= HALF:  # the model agrees with the csv, here and in all that follow
            break
        if len(shown) < SHOWN_CHIPS if row not in shown else likely:
            shown.setdefault(row, []).append(column)
    if not shown:
        yield Paragraph("No score is on the other side of 0.5 than the csv: no chip is shown.")
        return
    yield Paragraph(
        f"The first {len(shown)} chips with a score on the other side of 0.5 than the csv. Below "
        "each are its suspected labels: + for one that the csv lacks, - for one that it has, with "
        "the model's score."
    )
    captions = {
        found.names[row]: _caption(found, row, columns[:3]) for row, columns in shown.items()
    }
    yield Grid(picture_chips(found.uris, captions, found.artifact.preprocessing))


def _caption(found: Evaluated, row: int, columns: Sequence[int]) -> Text:
    parts: list[str | Code | Strong] = [found.names[row]]
    for i in columns:
        sign = "-" if found.truth[row, i] else "+"
        parts += [" | ", Strong(f"{sign} {found.labels[i]}"), f" {found.scores[row, i]:.3f}"]
    return parts


def _confusion_blocks(found: Evaluated, counts: CoConfusion, picture: Path) -> Iterator[Block]:
    pairs = np.argsort(-counts.other_missed, axis=None, kind="stable")[:_SHOWN_PAIRS]
    rows: list[list[Cell]] = []
    for i, j in zip(*np.unravel_index(pairs, counts.other_missed.shape), strict=True):
        if counts.other_missed[i, j]:
            both = int(counts.other_true[i, j]), int(counts.other_missed[i, j])
            rows.append([found.labels[i], int(counts.wrong[i]), found.labels[j], *both])
    if not rows:
        yield Paragraph("No chip is given a wrong label where another one is missed.")
        return
    head = ["given wrongly", "chips", "other label", "that have it", "of these, missed"]
    yield TableBlock(
        head, rows, caption="The label that is given instead of another, most frequent first"
    )
    yield Picture(
        picture,
        "Chips that are wrongly given the row's label, and have the column's label without being "
        "given it. All pairs are in co_confusion.csv.",
    )
