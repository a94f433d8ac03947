"""The labels of chips and their label set, from a csv or from one folder per class."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipelines.errors import UsageError
from pipelines.storage.store import absolute_uri
from schemas.labels import PLANET_LABELS, LabelSet
from train.data.dataset import list_training_chips, rows_of_folders
from train.data.label_files import LabelRow, check_rows, read_labels
from train.data.label_sets import choose_label_set, read_label_set

_WIDTH = 110
_GLUE = "\N{NO-BREAK SPACE}"


def read_labelled_rows(
    labels: str | None,
    chips: str | None,
    label_set: LabelSet | str | None = None,
    flag: str = "--labels",
) -> tuple[list[LabelRow], LabelSet]:
    """Read labels, check them against their label set, and print both with counts.

    Args:
        labels: a labels csv; None or the address of the chips for one folder per class there.
        chips: folder, prefix or glob of the chips.
        label_set: a label set, or the address of a label-set file; by default that of the labels.
        flag: the flag that names the csv, for messages.

    Raises:
        UsageError: the labels or the label set are invalid, or they contradict each other.
        StorageError: a file cannot be read.
    """
    advice = "" if isinstance(label_set, LabelSet) else "use --label_set for others"
    if isinstance(label_set, str):
        label_set = read_label_set(label_set)
    known = label_set.names if label_set else ()
    if labels is None or (chips is not None and absolute_uri(labels) == absolute_uri(chips)):
        source, form = f"--chips {chips}", "one folder per class"
        rows = _rows_of_folders(chips, source)
    else:
        source = f"{flag} {labels}"
        if Path(labels).is_dir():
            raise UsageError(
                f"{source} is a folder: give a csv, or leave {flag} out if the chips are in one "
                "folder per class"
            )
        rows, form = read_labels(labels, flag, known)
    if label_set is None:
        label_set = choose_label_set(set().union(*(row.tags for row in rows)), source)
    check_rows(rows, label_set, source, advice)
    print(f"Labels: {source.partition(' ')[2]} ({form})\n{_describe(rows, label_set)}", flush=True)
    return rows, label_set


def _rows_of_folders(chips: str | None, source: str) -> list[LabelRow]:
    if chips is None:
        raise UsageError("give --labels, or --chips with one folder per class")
    listed = list_training_chips(chips, say_ignored=False)  # the next listing says it
    return rows_of_folders((uri for uris in listed.values() for uri in uris), source)


def _describe(rows: Iterable[LabelRow], label_set: LabelSet) -> str:
    """The label set, with how many rows have each label."""
    rows = list(rows)
    held = Counter(tag for row in rows for tag in row.tags)
    counts = [f"{name} {held[name]:,}".replace(" ", _GLUE) for name in label_set.names]
    kind = "labels of Planet" if label_set == PLANET_LABELS else "labels"
    text = f"{len(counts)} {kind} in {len(rows):,} rows: {', '.join(counts)}"
    lines = textwrap.wrap(text, _WIDTH, break_on_hyphens=False, break_long_words=False)
    return textwrap.indent("\n".join(lines), "  ").replace(_GLUE, " ")
