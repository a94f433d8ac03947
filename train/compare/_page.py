"""A comparison as blocks of a page."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.blocks.document import (
    Block,
    Cell,
    Code,
    Document,
    Grid,
    Heading,
    Note,
    Paragraph,
    Strong,
    TableBlock,
    Text,
    Tiles,
)
from train.chip_pictures import picture_chips
from train.compare._comparison import Comparison
from train.judging.comparing import Difference, disagreements

SHOWN_CHIPS = 36
"""Pictures of chips on which the artifacts disagree."""

LABEL_CAPTIONS = {
    "AP": "Average precision of each label",
    "F1": "F1 of each label, at the artifacts' own thresholds",
}

_DIGEST_LETTERS = 12


def build_page(found: Comparison, order: Sequence[int]) -> Document:
    """The page.

    Args:
        order: rows of the chips on which the artifacts disagree, most first.
    """
    first, *others = found.artifacts
    blocks: list[Block] = [
        Paragraph(f"Measured on {len(found.names):,} chips and {len(found.labels)} labels."),
        *([Note("Please note", list(found.caveats()))] if list(found.caveats()) else []),
        _artifact_table(found),
        Paragraph(
            "A difference is a figure minus that of the first artifact. Its 95 % interval says how "
            "much it would move with other chips like these; all artifacts are measured under the "
            "same 1,000 random weights of the chips. Differences whose interval does not contain 0 "
            "are in bold. Of many labels, one in twenty is expected to be bold by chance."
        ),
    ]
    for name in others:
        blocks += [
            Heading(f"{name} compared with {first}"),
            *difference_tables(found.differences[name], first, name),
        ]
    blocks += [Heading("Chips on which they disagree"), *_disagreements(found, order)]
    return Document(f"Comparison of {', '.join(found.artifacts)}", blocks)


def difference_tables(
    differences: Sequence[Difference], first: str, second: str
) -> Iterator[TableBlock]:
    """The figures of two artifacts: over all labels, then each figure of the labels."""
    overall = [each for each in differences if each.label is None]
    yield _table(overall, first, second, "Over all labels; F1 at the artifacts' own thresholds")
    for figure, caption in LABEL_CAPTIONS.items():
        of_labels = [each for each in differences if each.label and each.figure == figure]
        yield _table(of_labels, first, second, caption)


def _table(rows: Sequence[Difference], first: str, second: str, caption: str) -> TableBlock:
    names = [each.label or each.figure for each in rows]
    head = ["label" if rows[0].label else "figure", "positives", first, second]
    return TableBlock(
        [*head, "difference", "95 %"],
        [
            [name, each.positives, *each.values, *_difference_cells(each)]
            for name, each in zip(names, rows, strict=True)
        ],
        caption=caption,
        strong=[i for i, each in enumerate(rows) if each.is_clear],
        numbers={2, 3, 4, 5},
    )


def _difference_cells(each: Difference) -> list[Cell]:
    if each.difference is None:
        return [None, None]
    text = _signed(each.difference)
    ends = "too few" if each.interval is None else " to ".join(map(_signed, each.interval))
    return [text, ends]


def _signed(value: float) -> str:
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text


def _artifact_table(found: Comparison) -> TableBlock:
    rows: list[list[Cell]] = []
    for name, each in found.artifacts.items():
        artifact = each.description
        rows.append(
            [
                name,
                artifact.network,
                artifact.preprocessing.image_size,
                len(artifact.label_set.names),
                Code(artifact.model_digest[:_DIGEST_LETTERS]),
                Code(each.address),
            ]
        )
    head = ["artifact", "network", "side in pixels", "labels", "model_digest", "address"]
    return TableBlock(head, rows)


def _disagreements(found: Comparison, order: Sequence[int]) -> Iterator[Block]:
    apart, _ = disagreements(found.judged)
    yield Tiles(
        [
            ("chips with a disagreement", len(order)),
            ("decisions that differ", int(apart.sum())),
            ("of all decisions", f"{apart.mean():.2%}"),
        ]
    )
    if not order:
        yield Paragraph("All artifacts decide alike.")
        return
    shown = order[:SHOWN_CHIPS]
    yield Paragraph(
        f"The {len(shown)} chips with the most labels on which they disagree; all are in "
        "disagreements.csv. After each label is who gives it; labels that the chip has are in bold."
    )
    captions = {found.names[i]: _caption(found, i, apart[i]) for i in shown}
    first = next(iter(found.artifacts.values())).description
    yield Grid(picture_chips(found.uris, captions, first.preprocessing))


def _caption(found: Comparison, row: int, apart: npt.NDArray[np.bool_]) -> Text:
    parts: list[str | Code | Strong] = [found.names[row]]
    for i in np.flatnonzero(apart):
        label, held = found.labels[i], found.truth[row, i] == 1
        givers = [name for name, each in found.judged.items() if each.chosen[row, i]]
        parts += [" | ", Strong(label) if held else label, f": {', '.join(givers)}"]
    return parts
