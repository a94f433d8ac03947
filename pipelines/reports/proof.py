"""How far a night's labels can be trusted: columns of the table of labels, and what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines.blocks import document as doc
from pipelines.reports.facts import ReportFacts
from pipelines.wording import count_of
from schemas.trust import PROVEN_POSITIVES

TRUST_HEAD = ("Proven", "Precision, 95 %")
"""Heads of the columns of `trust_cells`."""


def trust_cells(facts: ReportFacts, label: str) -> list[doc.Cell]:
    """Whether a label is proven, and the model's precision with its interval; empty if unknown. A
    label that is never reported is not proven, whatever earlier releases wrote."""
    row = facts.trust.get(label)
    if facts.is_never(label):
        return ["no", None]
    if row is None or row["proven"] is None:
        return [None, None]
    judged = count_of(row["positives"], "chip")
    return [f"{'yes' if row['proven'] else 'no'}, by {judged}", _precision(row)]


def left_out(facts: ReportFacts) -> Iterator[doc.Block]:
    """Which labels the report leaves out, and why; nothing if there are none."""
    names = [label for label in facts.night.scores if label in facts.left_out]
    if names:
        yield doc.Paragraph(
            [
                f"Left out, because they are not proven (fewer than {PROVEN_POSITIVES} chips with "
                f"the label in validation and test): {', '.join(_found(facts, names))}. To show "
                "them: ",
                doc.Code("python -m beam_jobs.report --unproven"),
            ]
        )
    elif not facts.trust:
        yield doc.Paragraph("Nothing is known of how far these labels can be trusted.")


def _found(facts: ReportFacts, names: Iterable[str]) -> Iterator[str]:
    """Each label with its chips in this run, and with those that it was judged on."""
    for name in names:
        chips = count_of(facts.night.labels.get(name, 0), "chip")
        yield f"{name} ({chips} here, judged on {facts.trust[name]['positives']:,})"


def _precision(row: Mapping[str, Any]) -> str | None:
    value, low, high = (row[f"precision{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return None
    return f"{value:.2f}" if low is None else f"{value:.2f} ({low:.2f} to {high:.2f})"
