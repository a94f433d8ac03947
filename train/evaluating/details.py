"""Everything about an evaluation but its figures: computed, drawn and written to a folder."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.blocks.html import render_html
from pipelines.errors import UsageError
from pipelines.storage.store import head_object, is_remote, join_uri, write_bytes
from train.evaluating._page import build_page
from train.evaluating._tables import (
    write_confusions,
    write_curves,
    write_predictions,
    write_suspects,
)
from train.evaluating.evaluated import Evaluated
from train.judging.co_confusion import CoConfusion, count_confusions
from train.judging.precision_recall import Curve, precision_recall
from train.judging.suspects import find_suspects
from train.pictures import Panel, draw_heat_map, draw_lines

PREDICTIONS_FILE = "predictions.parquet"
SUSPECTS_FILE = "suspects.csv"
CONFUSIONS_FILE = "co_confusion.csv"
CURVES_FILE = "precision_recall.csv"
PAGE_FILE = "evaluation.html"


def resolve_details(flag: str, place: str) -> None:
    """Check that the results may be written to a folder.

    Raises:
        UsageError: it is a file, or a folder with files that are not of an evaluation.
    """
    if is_remote(place):
        return
    folder = Path(place)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{flag}: {place} is a file, and results would be written there")
    if folder.is_dir() and any(folder.iterdir()) and head_object(str(folder / PAGE_FILE)) is None:
        raise UsageError(f"{flag}: {place} has files that are not of an evaluation")


def write_details(place: str, found: Evaluated, figures: Mapping[str, Any], title: str) -> str:
    """Write all files to a folder, local or remote. Returns the address of the page.

    Args:
        figures: of these chips, from `train.judging.measuring.measure`.

    Raises:
        StorageError: a file cannot be written.
    """
    counts = count_confusions(found.truth, found.chosen)
    suspects = find_suspects(found.scores, found.truth)
    curves = {
        label: precision_recall(found.truth[:, i], found.scores[:, i])
        for i, label in enumerate(found.labels)
    }
    with tempfile.TemporaryDirectory(prefix="forest-chips-evaluation-") as temporary:
        folder = Path(temporary)
        write_predictions(folder / PREDICTIONS_FILE, found)
        write_suspects(folder / SUSPECTS_FILE, found, suspects)
        write_confusions(folder / CONFUSIONS_FILE, found.labels, counts)
        write_curves(folder / CURVES_FILE, curves)
        pictures = {name: folder / f"{name}.png" for name in ("co_confusion", "precision_recall")}
        _draw_confusions(pictures["co_confusion"], found, counts)
        _draw_curves(pictures["precision_recall"], found, curves)
        page = render_html(build_page(found, figures, counts, suspects, pictures, title))
        (folder / PAGE_FILE).write_text(page, encoding="utf-8")
        for path in sorted(folder.iterdir()):
            write_bytes(join_uri(place, path.name), path.read_bytes())
    return join_uri(place, PAGE_FILE)


def _draw_confusions(path: Path, found: Evaluated, counts: CoConfusion) -> None:
    names = found.labels
    title = "Given wrongly (row) where another label is missed (column)"
    draw_heat_map(path, counts.other_missed, names, names, title, logarithmic=True)


def _draw_curves(path: Path, found: Evaluated, curves: dict[str, Curve | None]) -> None:
    panels = []
    for i, (label, curve) in enumerate(curves.items()):
        if curve is None:
            continue
        lines = {"every threshold": (curve.recall.tolist(), curve.precision.tolist())}
        chosen, held = found.chosen[:, i], found.truth[:, i] == 1
        if chosen.any():
            hits = float((chosen & held).sum())
            lines["as decided"] = ([hits / float(held.sum())], [hits / float(chosen.sum())])
        panels.append(Panel(label, "recall", lines, "precision", y_range=(0, 1.05)))
    if panels:
        draw_lines(path, panels, columns=3)
