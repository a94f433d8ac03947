"""Where a command's results go: a local folder of csv tables, JSON figures and png pictures."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import UsageError
from pipelines.storage.store import write_bytes
from train.addresses import local_path

SUMMARY_FILE = "summary.json"


def resolve_output(output: str) -> Path:
    """The local folder for results; it may be missing.

    Raises:
        UsageError: it is remote, a file, or not writable.
    """
    folder = local_path("--output", output).resolve()
    present = next(path for path in (folder, *folder.parents) if path.exists())
    if present.is_file():
        raise UsageError(f"--output {output}: {present} is a file; give a folder")
    if not present.is_dir() or not os.access(present, os.W_OK):
        raise UsageError(f"--output {output}: {present} is not writable")
    if os.path.lexists(folder / SUMMARY_FILE) and "pictures" not in read_summary(folder):
        raise UsageError(
            f"--output {output}: the {SUMMARY_FILE} there would be replaced, and is not of this "
            "program; give another folder"
        )
    return folder


def read_summary(folder: Path) -> dict[str, Any]:
    """What `write_summary` wrote; empty if there is none, or a file that is something else."""
    try:
        found = json.loads((folder / SUMMARY_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a csv: fractions with six digits, nothing for a missing value (None, NaN)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    write_bytes(str(path), text.getvalue().encode())


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`: what a report needs about a command's results."""
    text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    write_bytes(str(folder / SUMMARY_FILE), text.encode())


def describe_picture(file: str, kind: str, caption: str) -> dict[str, str]:
    """A picture's entry in a summary."""
    return {"file": file, "kind": kind, "caption": caption}


def _cell(value: Any) -> Any:
    if value is None or value != value:  # only NaN differs from itself
        return ""
    return f"{value:.6f}" if isinstance(value, float) else value
