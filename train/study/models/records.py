"""Records of finished parts of the study, so that they are not made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.storage.store import write_bytes
from train.results import read_summary


def read_outcome(path: Path, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The outcome of a part with exactly this request; None if it is not finished."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("request") != _as_read(request):
        return None
    outcome: dict[str, Any] = record["outcome"]
    return outcome


def write_outcome(path: Path, request: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
    """Record that a part is finished."""
    text = json.dumps({"request": request, "outcome": outcome}, indent=1)
    write_bytes(str(path), f"{text}\n".encode())


def read_results(folder: Path, part: str) -> dict[str, Any]:
    """The summary of a command's results in a part of the study's folder.

    Its pictures are paths relative to the study's folder. Empty if one of them is missing.
    """
    summary = read_summary(folder / part)
    if "pictures" not in summary:
        return {}
    pictures = [p | {"file": f"{part}/{p['file']}"} for p in summary["pictures"]]
    complete = all((folder / picture["file"]).is_file() for picture in pictures)
    return summary | {"pictures": pictures} if complete else {}


def _as_read(value: Any) -> Any:
    """A value as it comes back from JSON: tuples as lists."""
    return json.loads(json.dumps(value))
