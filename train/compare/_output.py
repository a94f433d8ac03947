"""What a comparison writes: a page, two csv files and a summary."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.blocks.html import render_html
from pipelines.blocks.text_table import render_table
from pipelines.storage.store import write_bytes
from train.compare._comparison import Comparison
from train.compare._page import build_page, difference_tables
from train.judging.comparing import disagreements, order_by_disagreement
from train.results import write_summary, write_table

PAGE_FILE = "comparison.html"
DIFFERENCES_FILE = "differences.csv"
DISAGREEMENTS_FILE = "disagreements.csv"


def write_comparison(folder: Path, found: Comparison) -> dict[str, Any]:
    """Print the figures and write all files into a folder. Returns the summary."""
    order = order_by_disagreement(found.judged)
    print(f"\n{len(found.names):,} chips, {len(found.labels)} labels", flush=True)
    print("\n".join(f"  {caveat}" for caveat in found.caveats()))
    first = next(iter(found.artifacts))
    for name, differences in found.differences.items():
        for table in difference_tables(differences, first, name):
            print(f"\n{table.caption}\n{render_table(table)}", flush=True)
    print(f"\n{len(order):,} chips on which they disagree")
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / DIFFERENCES_FILE, _DIFFERENCE_COLUMNS, _difference_rows(found))
    said = [f"{kind} {name}" for name in found.artifacts for kind in ("score", "decided")]
    header = ("rank", "image_name", "chip_uri", "label", "truth", *said)
    write_table(folder / DISAGREEMENTS_FILE, header, _disagreement_rows(found, order))
    page = render_html(build_page(found, order))
    write_bytes(str(folder / PAGE_FILE), page.encode())
    summary = _summary(found, len(order))
    write_summary(folder, summary)
    print(f"Comparison: {folder / PAGE_FILE}", flush=True)
    return summary


_DIFFERENCE_COLUMNS = (
    *("artifact", "compared_with", "figure", "label", "positives"),
    *("value", "other_value", "difference", "low", "high"),
)


def _difference_rows(found: Comparison) -> Iterator[tuple[Any, ...]]:
    first = next(iter(found.artifacts))
    for name, differences in found.differences.items():
        for each in differences:
            values = (each.values[1], each.values[0], each.difference)
            ends = each.interval or (None, None)
            yield (name, first, each.figure, each.label, each.positives, *values, *ends)


def _disagreement_rows(found: Comparison, order: list[int]) -> Iterator[tuple[Any, ...]]:
    apart, _ = disagreements(found.judged)
    for rank, row in enumerate(order, 1):
        name = found.names[row]
        for i in apart[row].nonzero()[0]:
            said = [
                value
                for each in found.judged.values()
                for value in (float(each.scores[row, i]), int(each.chosen[row, i]))
            ]
            truth = int(found.truth[row, i])
            yield (rank, name, found.uris[name], found.labels[i], truth, *said)


def _summary(found: Comparison, disagreed: int) -> dict[str, Any]:
    return {
        "chips": len(found.names),
        "labels": list(found.labels),
        "artifacts": {
            name: {
                "address": each.address,
                "model_digest": each.description.model_digest,
                "thresholds_digest": each.description.thresholds_digest,
                "trained_on": found.trained[name],
            }
            for name, each in found.artifacts.items()
        },
        "undecoded": found.undecoded,
        "disagreements": disagreed,
        "notes": list(found.caveats()),
        "pictures": [],
    }
